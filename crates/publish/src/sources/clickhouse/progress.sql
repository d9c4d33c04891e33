-- How far a query is.
-- Parameter: its id.
SELECT read_rows, total_rows_approx FROM system.processes WHERE query_id = ?
