-- The spans of a tool's runs in one week, each once, beside the run that it belongs to. This is the head of four queries.
-- Parameters: what is approved, the hash of the newest telemetry.toml, the table, the tool, a day before the week, a day after
-- it, and its Monday.
WITH
    -- A telemetry.toml, the name of a span, whether it is a run, and the keys that it may have: with a list of values, or a
    -- least and a greatest number, or values that are judged elsewhere.
    CAST(?, 'Array(Tuple(hash String, name String, is_run UInt8, keys Array(Tuple(key String, is_open UInt8, list Array(String), least Int64, most Int64))))') AS approved,
    arrayMap(one -> (one.hash, one.name), approved) AS names,
    told AS
    (
        SELECT
            TraceId,
            SpanId,
            Timestamp,
            ParentSpanId,
            toUInt64(Duration) AS duration,
            ResourceAttributes['tool_telemetry.data_points'] AS own_hash,
            if(own_hash = '', ?, own_hash) AS hash,
            indexOf(names, (hash, toString(SpanName))) AS place,
            ResourceAttributes['service.version'] AS version,
            arraySort(arrayFilter(
                (key, value) -> arrayExists(
                    one -> one.key = key AND (one.is_open OR has(one.list, value) OR (
                        toString(toInt64OrZero(value)) = value AND toInt64OrZero(value) BETWEEN one.least AND one.most)),
                    approved[place].keys),
                arrayMap(key -> toString(key), mapKeys(SpanAttributes)), mapValues(SpanAttributes))) AS keys,
            arrayMap(key -> SpanAttributes[key], keys) AS held
        FROM ?
        WHERE ServiceName = ? AND SpanKind IN ('Internal', 'SPAN_KIND_INTERNAL')
            AND Timestamp >= toDateTime64(?, 9, 'UTC') AND Timestamp < toDateTime64(?, 9, 'UTC')
            AND place > 0
            AND NOT (SpanName = 'count' AND ParentSpanId = '' AND NOT mapContains(SpanAttributes, 'process.executable.name'))
    ),
    -- Of the copies of a span the longest is the last word: a run arrives when it begins, and again at its end.
    once AS
    (
        SELECT
            TraceId AS trace,
            SpanId AS id,
            min(Timestamp) AS start,
            max((duration, ParentSpanId != '', ParentSpanId, place, own_hash, version, keys, held)) AS word
        FROM told
        GROUP BY trace, id
    ),
    traces AS
    (
        SELECT
            trace,
            groupArray(id) AS ids,
            groupArray(word.3) AS parents,
            groupArray(word) AS words,
            arrayMap(word -> approved[word.4].is_run, words) AS are_runs,
            arraySum(are_runs) AS runs
        FROM once
        GROUP BY trace
        HAVING toMonday(min(start), 'UTC') = toDate(?)
    ),
    spans AS
    (
        SELECT
            trace,
            words[place] AS word,
            approved[word.4].hash AS hash,
            approved[word.4].name AS name,
            are_runs[place] AS is_run,
            word.1 AS duration,
            word.6 AS version,
            word.7 AS keys,
            word.8 AS held,
            -- The run above a span. Where there is one run, all spans are its own.
            multiIf(
                is_run, place,
                runs = 1, indexOf(are_runs, 1),
                arrayFold(
                    (at, hop) -> if(are_runs[at] OR indexOf(ids, parents[at]) = 0, at, indexOf(ids, parents[at])),
                    range(least(length(ids), 64)), toUInt64(place))) AS run,
            words[run] AS run_word,
            are_runs[run] AS has_run,
            -- The bucket of the duration: four a doubling. A logarithm may be off by one, and a shift by a signed number
            -- has a sign.
            toUInt8(least(63, floor(log2(duration)))) AS guess,
            toUInt8(guess + (guess < 63 AND bitShiftLeft(toUInt64(1), guess + 1) <= duration)
                - (bitShiftLeft(toUInt64(1), guess) > duration)) AS doublings,
            bitShiftLeft(duration, toUInt8(63 - doublings)) AS fraction,
            if(duration = 0, 0, 1 + 4 * doublings + (fraction >= 10968499650544839023)
                + (fraction >= 13043817825332782212) + (fraction >= 15511800964685064948)) AS bucket
        FROM traces
        ARRAY JOIN arrayEnumerate(ids) AS place
    )
