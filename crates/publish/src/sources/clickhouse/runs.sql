-- Runs by version, command, outcome, and duration.
-- Parameters: the key of the command, twice.
SELECT
    hash,
    version,
    if(has(keys, ?), held[indexOf(keys, ?)], '') AS command,
    if(has(keys, 'error.type'), held[indexOf(keys, 'error.type')], '') AS error,
    toUInt16(bucket) AS bucket,
    toInt64(count()) AS number
FROM spans
WHERE is_run
GROUP BY hash, version, command, error, bucket
