-- In how many runs values occur together: those of the run, and of one step where the run has none. A run is asked only for
-- the tables of its own telemetry.toml.
-- Parameter: the hash and the keys of each table.
SELECT
    crossing.keys AS keys,
    arrayMap(key -> multiIf(
        key = 'service.version', run_word.6,
        has(run_word.7, key), run_word.8[indexOf(run_word.7, key)],
        held[indexOf(spans.keys, key)]), crossing.keys) AS cell,
    run_word.5 AS hash,
    toInt64(uniqExact(trace, run)) AS number
FROM spans
ARRAY JOIN arrayFilter(
    one -> one.hash = run_word.5, CAST(?, 'Array(Tuple(hash String, keys Array(String)))')) AS crossing
WHERE has_run AND arrayAll(
    key -> key = 'service.version' OR has(run_word.7, key) OR has(spans.keys, key), crossing.keys)
GROUP BY hash, keys, cell
