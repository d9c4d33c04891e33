#!/usr/bin/env python3
"""Cells, computed a second time: 10,000 known runs as JSON lines, and what is counted of them.

    cells.py TOOL-TELEMETRY [--runs N]

Imports them into a store, and compares each cell of the store, and what `report` says of durations, with what known_runs.py
finds without a store. Then weeks are closed: late runs and wrong clocks must not reach them.
"""

import argparse
import collections
import csv
import datetime
import json
import math
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

import known_runs as known


class Store:
    def __init__(self, program, directory):
        self.program, self.directory = program, pathlib.Path(directory)
        self.files = []
        for number, version in enumerate(known.VERSIONS):
            file = self.directory / f"{number}.toml"
            file.write_text(version.text)
            self.files.append(str(file))

    def run(self, *arguments, codes=(0,)):
        done = subprocess.run([self.program, *arguments], cwd=self.directory, capture_output=True, text=True)
        if done.returncode not in codes:
            sys.exit(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def add(self, lines):
        with open(self.directory / "lines.jsonl", "w") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
        data_points = [argument for file in self.files for argument in ("--data-points", file)]
        return self.run("import", "--store", "store", *data_points, "lines.jsonl", codes=(0, 1))

    def sql(self, query, *values):
        with sqlite3.connect(self.directory / "store" / "runs.sqlite") as store:
            return store.execute(query, values).fetchall()

    def cells(self):
        rows = self.sql("SELECT week, name, cell_values, n FROM cell WHERE tool = ?", known.TOOL)
        return {(week, table, values): number for week, table, values, number in rows}

    def counts(self):
        """With values as texts: `1` and `"1"` are one cell of what is published."""
        rows = self.sql("SELECT week, hex(hash), cell_keys, cell_values, n FROM count_cell WHERE tool = ?", known.TOOL)
        counts = collections.Counter()
        for week, hash, keys, values, number in rows:
            values = [value if type(value) is str else json.dumps(value) for value in json.loads(values)]
            counts[week, hash.lower(), keys, known.text(values)] += number
        return counts


def same(what, found, expected):
    differing = [(key, found.get(key), expected.get(key)) for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    assert not differing, f"{what}: {len(differing)} differ: {sorted(differing, key=str)[:5]}"
    assert len(expected) > 100
    print(f"{what}: {len(expected)} cells, {sum(expected.values())} in all, each the same")


def by_week(cells):
    return {(known.number_of_week(monday), *rest): number for (monday, *rest), number in cells.items()}


def check_quantiles(store, durations):
    store.run("report", "--store", "store", "--internal", "--out", "private")
    rows = list(csv.DictReader(open(store.directory / "private/data/runs.csv")))
    worst = 0
    for row in rows:
        exact = sorted(durations[datetime.date.fromisoformat(row["week_start"]), row["command"]])
        assert int(row["runs"]) == len(exact), row
        for share, column in ((0.5, "seconds_50"), (0.95, "seconds_95")):
            rank = exact[math.ceil(share * len(exact)) - 1] / 1e9
            found = float(row[column])
            if rank > 1e-3:
                worst = max(worst, found / rank, rank / found)
    print(f"quantiles: {2 * len(rows)}, at most {100 * (worst - 1):.2f} % off; buckets promise 9.06 %")
    assert len(rows) > 30 and 1 < worst < 1.0906


def check_late_and_ahead(store, runs):
    """A closed week takes nothing more; a start in the future counts in the week of its arrival."""
    this_week = known.number_of_week(datetime.date.today() - datetime.timedelta(days=datetime.date.today().weekday()))
    store.sql("INSERT OR REPLACE INTO setting VALUES ('closed_through', ?)", str(this_week - 5))
    before, counts = store.cells(), store.counts()
    late = known.Known(200, seed=3)
    store.add(late.lines)
    assert store.cells() == before and store.counts() == counts, "late runs were counted"
    resource = {"service.name": known.TOOL, "tool_telemetry.data_points": known.VERSIONS[0].hash}
    ahead = known.nanos(datetime.date(2150, 1, 1))
    runs = [known.Span(f"{number + 1:032x}", f"{number + 1:016x}", None, known.TOOL, ahead, 10**9, {"frob.command": "build"}) for number in range(7)]
    store.add([known.request(resource, [run]) for run in runs])
    changed = {key: number for key, number in store.cells().items() if before.get(key) != number}
    assert {week for week, *_ in changed} <= {this_week, this_week + 1} and set(changed.values()) == {7}, changed
    counters = dict(store.sql("SELECT name, n FROM counter"))
    assert counters["traces.clock_ahead"] == 7 and counters["spans.late"] > 200, counters
    print(f"closed weeks: {counters['spans.late']} late spans and 7 runs from 2150 changed none of their cells")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    runs = known.Known(arguments.runs)
    with tempfile.TemporaryDirectory() as directory:
        store = Store(arguments.program.resolve(), directory)
        store.add(runs.lines)
        same("runs", store.cells(), by_week(runs.cells))
        same("counts", store.counts(), by_week(runs.counts))
        recounted = store.run("recount", "--store", "store")
        assert ", 0 differ" in recounted, recounted
        check_quantiles(store, runs.durations)
        check_late_and_ahead(store, runs)


if __name__ == "__main__":
    main()
