-- A cell and a span of time that a person should look at, or has looked at.
CREATE TABLE mark (
    id          TEXT PRIMARY KEY,
    tool        TEXT NOT NULL,
    -- A table of cells, or the keys of a table of count_cell.
    name        TEXT NOT NULL,
    cell_values TEXT NOT NULL,
    first_hour  INTEGER NOT NULL,
    end_hour    INTEGER NOT NULL,
    -- 0 nobody has decided yet, 1 it counts, 2 it does not count.
    state       INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    n_before    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
