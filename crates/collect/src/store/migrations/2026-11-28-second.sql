-- How many installations counted a cell. The week is the last one of the period.
CREATE TABLE count_cell (
    tool        TEXT NOT NULL,
    week        INTEGER NOT NULL,
    -- Of the period: 1 or 4.
    weeks       INTEGER NOT NULL,
    -- The content hash of the telemetry.toml that asked for the table.
    hash        BLOB NOT NULL,
    cell_keys   TEXT NOT NULL,
    cell_values TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (tool, week, weeks, hash, cell_keys, cell_values)
) STRICT, WITHOUT ROWID;

-- Spans that were rejected, by the week of their arrival. The tool is empty if it was not known.
CREATE TABLE rejection (
    tool   TEXT NOT NULL,
    week   INTEGER NOT NULL,
    reason TEXT NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (tool, week, reason)
) STRICT, WITHOUT ROWID;
