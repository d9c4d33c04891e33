-- The counts of a tool in one period, each once, by telemetry.toml, table, and cell. What no telemetry.toml asks for is
-- summed by hash, without keys.
-- Parameters: what is asked for, the start of the period, the table, the tool, the end of the period, and the table and the
-- tool again.
WITH
    -- A telemetry.toml, the keys of a table, and for each key its values, or the least and the greatest of a number.
    CAST(?, 'Array(Tuple(hash String, keys Array(String), admitted Array(Tuple(list Array(String), least Int64, most Int64))))') AS asked_for
SELECT
    hash,
    if(is_asked_for, all_keys, []) AS keys,
    if(is_asked_for, all_values, []) AS cell,
    toInt64(sum(number)) AS installations
FROM
(
    SELECT
        said.1 AS hash,
        said.2 AS all_keys,
        said.3 AS all_values,
        count() AS number,
        is_well_formed AND arrayExists(
            one -> one.hash = said.1 AND one.keys = said.2 AND arrayAll(
                (value, admitted) -> has(admitted.list, value) OR (
                    toString(toInt64OrZero(value)) = value
                    AND toInt64OrZero(value) BETWEEN admitted.least AND admitted.most),
                arrayResize(said.3, length(one.admitted)),
                one.admitted),
            asked_for) AS is_asked_for
    FROM
    (
        -- Senders repeat what was not answered, so a count is known by its ids. It is alone in its trace.
        SELECT
            TraceId,
            max((own_hash, own_keys, own_values)) AS said,
            min(is_whole) AS is_well_formed
        FROM
        (
            SELECT
                TraceId,
                SpanId,
                toDateTime64(?, 9, 'UTC') AS start,
                ResourceAttributes['tool_telemetry.data_points'] AS own_hash,
                arraySort(arrayMap(key -> toString(key), mapKeys(SpanAttributes))) AS own_keys,
                arrayMap(key -> SpanAttributes[key], own_keys) AS own_values,
                Timestamp = start AND Duration = 0 AND SpanKind IN ('Internal', 'SPAN_KIND_INTERNAL') AS is_whole
            FROM ?
            WHERE ServiceName = ? AND SpanName = 'count' AND ParentSpanId = ''
                AND NOT mapContains(SpanAttributes, 'process.executable.name')
                AND Timestamp >= start AND Timestamp < toDateTime64(?, 9, 'UTC')
        )
        GROUP BY TraceId
        HAVING uniqExact(SpanId) = 1
    )
    WHERE TraceId NOT IN (SELECT TraceId FROM ? WHERE ServiceName = ? AND SpanName != 'count')
    GROUP BY said, is_well_formed
)
GROUP BY hash, keys, cell
ORDER BY hash, keys, cell
