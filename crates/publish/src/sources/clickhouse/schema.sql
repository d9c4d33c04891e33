-- The columns of a table, if the user may read it.
-- Parameter: the table.
SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = ? ORDER BY position
