#!/usr/bin/env python3
"""The same runs through `collect`'s store and through the Collector's table in ClickHouse: the same cells, the same site.

    clickhouse.py TOOL-TELEMETRY COLLECTOR BRIDGE [--runs N]

COLLECTOR is an OpenTelemetry Collector with the clickhouse exporter. BRIDGE answers ClickHouse's HTTP interface in front of
ClickHouse's engine: `clickhouse_bridge.py PORT DIRECTORY USER PASSWORD`, run by this Python, which needs chdb-core, lz4, and
clickhouse-cityhash. The Collector filters nothing here, so that the queries have to.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import cells
import known_runs as known

CONFIGURATION = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{port}"}}
exporters:
  clickhouse:
    endpoint: http://127.0.0.1:{bridge}/
    username: otel
    password: secret
    database: otel
    compress: none
    timeout: 120s
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [clickhouse]}}
"""
LINES_AT_ONCE = 1_000
SEED = "a seed that everyone knows"
# The day on which the newest week of known_runs.py is due.
TODAY = "2026-05-04"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ClickHouse:
    def __init__(self, bridge, directory):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, bridge, str(self.port), str(directory / "clickhouse"), "otel", "secret"],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, sql, database="otel"):
        address = f"http://127.0.0.1:{self.port}/?user=otel&password=secret&database={database}"
        with urllib.request.urlopen(urllib.request.Request(address, data=sql.encode()), timeout=600) as answer:
            return answer.read().decode()


class Collector:
    def __init__(self, program, directory, clickhouse):
        self.port = free_port()
        (directory / "collector.yaml").write_text(CONFIGURATION.format(port=self.port, bridge=clickhouse.port))
        self.log = open(directory / "collector.log", "w")
        self.process = subprocess.Popen([program, "--config", directory / "collector.yaml"], stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                self.send([])
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit((directory / "collector.log").read_text()[-2000:])

    def send(self, lines):
        body = json.dumps({"resourceSpans": [part for line in lines for part in line["resourceSpans"]]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/traces", data=body,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()


def spans_in(lines):
    """Each once, but the first and the last word of a run are two. The exporter may repeat what was not answered in time."""
    spans = (span for line in lines for part in line["resourceSpans"] for scope in part["scopeSpans"] for span in scope["spans"])
    return len({(span["traceId"], span["spanId"], int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) for span in spans})


def rows(path):
    return sorted(tuple(row.values()) for row in csv.DictReader(open(path)))


def compare(store, source, what):
    """Reports and releases of a source, and of the store."""
    given = [argument for file in store.files for argument in ("--data-points", file)]
    named = {"store": ["--store", "store"], what: source}
    for name, arguments in named.items():
        started = time.monotonic()
        store.run("report", *arguments, *given, "--internal", "--out", f"{name}-report", "--today", TODAY)
        store.run("publish", *arguments, *given, "--ledger", f"{name}-ledger", "--out", f"{name}-site", "--today", TODAY,
                  "--noise-is-known", SEED, "--first", str(known.MONDAYS[-1]))
        print(f"{name}: {time.monotonic() - started:.1f} s for a report and the release of the weeks since {known.MONDAYS[-1]}")
    for file in ("cells.csv", "runs.csv", "installations.csv"):
        one, other = (rows(store.directory / f"{name}-report" / "data" / file) for name in named)
        differing = set(one) ^ set(other)
        assert not differing, f"{file}: {len(differing)} rows differ: {sorted(differing)[:6]}"
        print(f"{file}: {len(one)} rows, each the same")
    ledgers = [sorted((store.directory / f"{name}-ledger").glob("*.json")) for name in named]
    contents = [[json.loads(file.read_text()) for file in files] for files in ledgers]
    for ledger in contents:
        for release in ledger:
            # Of what was rejected, one knows the week of its arrival, and the other that of its start.
            release.pop("rejected")
            release.pop("previous")
    assert contents[0] == contents[1] and contents[0]
    numbers = [cell["installations"] for cell in contents[0][0]["tables"][0]["cells"]]
    print(f"{len(contents[0])} releases with known noise, each the same; the first has {numbers}")


def check_errors(store, clickhouse):
    """Each says what a person has to do, and nothing is drawn."""
    address = f"http://127.0.0.1:{clickhouse.port}/otel"
    clickhouse.ask("CREATE TABLE IF NOT EXISTS json_traces (Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, "
                   "SpanName String, SpanKind String, ServiceName String, ResourceAttributes JSON, SpanAttributes JSON, "
                   "Duration UInt64) ENGINE = MergeTree ORDER BY ServiceName")
    cases = [
        (address, "wrong", [], "the user or the password is wrong"),
        (address, "secret", ["--clickhouse-table", "traces"], "ClickHouse has no table traces"),
        (address, "secret", ["--clickhouse-table", "json_traces"], "its column ResourceAttributes is JSON"),
        (f"http://127.0.0.1:{clickhouse.port}/absent", "secret", [], "absent"),
        (f"http://127.0.0.1:{free_port()}/otel", "secret", [], "cannot be read"),
        ("http://192.0.2.1/otel", "secret", [], "write https"),
    ]
    given = [argument for file in store.files for argument in ("--data-points", file)]
    for place, password, more, words in cases:
        done = subprocess.run(
            [store.program, "publish", "--clickhouse", place, "--clickhouse-user", "otel", *more, *given, "--ledger", "errors",
             "--out", "errors-site", "--first", str(known.MONDAYS[-1])],
            cwd=store.directory, capture_output=True, text=True, env=os.environ | {"CLICKHOUSE_PASSWORD": password})
        assert done.returncode in (1, 2) and words in done.stderr, (place, more, done.stderr)
        assert password not in done.stderr.replace("password is wrong", "") or password == "secret", done.stderr
        print("refused:", done.stderr.strip()[:180])
    assert not (store.directory / "errors").exists()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("collector", type=pathlib.Path)
    parser.add_argument("bridge", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    # A table of texts cannot tell `true` from "true": the Collector's own configuration judges types.
    runs = known.Known(arguments.runs, seed=7, with_types=False)
    directory = pathlib.Path(tempfile.mkdtemp())
    processes = []
    try:
        clickhouse = ClickHouse(arguments.bridge, directory)
        processes.append(clickhouse.process)
        collector = Collector(arguments.collector.resolve(), directory, clickhouse)
        processes.append(collector.process)
        store = cells.Store(arguments.program.resolve(), directory)
        store.add(runs.lines)
        today = (datetime.date.fromisoformat(TODAY) - datetime.date(1970, 1, 1)).days
        store.sql("INSERT OR REPLACE INTO setting VALUES ('closed_through', ?)", str((today + 3) // 7 - 5))
        for start in range(0, len(runs.lines), LINES_AT_ONCE):
            collector.send(runs.lines[start:start + LINES_AT_ONCE])
        expected, deadline = spans_in(runs.lines), time.monotonic() + 600
        while (found := int(clickhouse.ask("SELECT uniqExact(TraceId, SpanId, Duration) FROM otel_traces"))) < expected:
            assert time.monotonic() < deadline, f"{found} of {expected} spans have arrived"
            time.sleep(0.2)
        rows_in_table = int(clickhouse.ask("SELECT count() FROM otel_traces"))
        print(f"{arguments.runs} runs: {len(runs.lines)} requests, {rows_in_table} rows of {found} spans in the Collector's table")
        (directory / "password").write_text("secret\n")
        source = ["--clickhouse", f"http://127.0.0.1:{clickhouse.port}/otel", "--clickhouse-user", "otel",
                  "--clickhouse-password-file", "password"]
        compare(store, source, "clickhouse")
        check_errors(store, clickhouse)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
