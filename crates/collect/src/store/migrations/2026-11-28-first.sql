-- Rows that arrived, were merged, or go together: what an entry of the index in memory points to.
CREATE TABLE run_group (
    id    INTEGER PRIMARY KEY,
    -- 0 live, 1 staged by a merge that is under way, 2 dead: its rows are deleted bit by bit.
    state INTEGER NOT NULL,
    -- The day of arrival, until that day is merged; staged groups have that of the merge.
    day   INTEGER,
    -- The tool and the week of all its traces, once merged.
    tool  TEXT,
    week  INTEGER
) STRICT;

-- The id is the group and, below it, a random number: not the order of arrival.
CREATE TABLE run_row (
    id     INTEGER PRIMARY KEY,
    traces INTEGER NOT NULL,
    spans  INTEGER NOT NULL,
    ids    BLOB NOT NULL,
    data   BLOB NOT NULL
) STRICT;

-- Rows that do not hold what was written to them, put aside as they are.
CREATE TABLE damaged_row (
    id   INTEGER PRIMARY KEY,
    ids  BLOB,
    data BLOB
) STRICT;

-- Traces of a row that have since been written again, with more spans or a later word.
CREATE TABLE stale (
    run_group INTEGER NOT NULL,
    trace_id  BLOB NOT NULL,
    PRIMARY KEY (run_group, trace_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cell (
    tool      TEXT NOT NULL,
    week      INTEGER NOT NULL,
    name      TEXT NOT NULL,
    cell_values TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (tool, week, name, cell_values)
) STRICT, WITHOUT ROWID;

-- What was not kept, and why.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Each telemetry.toml that ever judged a run of this store, in the order of its last use.
CREATE TABLE definition (
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    tool TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
