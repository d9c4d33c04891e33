-- In how many runs each value occurs, on the run or on its steps. A value on several spans of a run counts once.
SELECT
    hash,
    version,
    key,
    value,
    toInt64(uniqExact(trace, run)) AS number
FROM spans
ARRAY JOIN keys AS key, held AS value
GROUP BY hash, version, key, value
