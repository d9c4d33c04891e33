-- Steps by name and duration.
SELECT
    name,
    toUInt16(bucket) AS bucket,
    toInt64(count()) AS number
FROM spans
WHERE NOT is_run
GROUP BY name, bucket
