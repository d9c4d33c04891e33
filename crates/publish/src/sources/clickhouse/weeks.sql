-- The Mondays of the weeks in which a tool has spans.
-- Parameters: the table, and the tool.
SELECT DISTINCT toString(toMonday(Timestamp, 'UTC')) AS monday FROM ? WHERE ServiceName = ? AND SpanName != 'count' ORDER BY monday
