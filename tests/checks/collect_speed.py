#!/usr/bin/env python3
"""How fast `collect` is beside the OpenTelemetry Collector with its file exporter, and what each loses when it is killed.

    cargo build --release -p tool-telemetry-collect --bins --examples
    tests/checks/collect_speed.py target/release COLLECTOR [ROUNDS SECONDS]

COLLECTOR is a Collector with the `otlp` receiver and the `file` exporter. The programs take turns, each round with new
data, and the client runs on the same machine. What else runs there slows all of them: compare columns, not days.
"""

import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Connections, and runs in each request.
LOADS = {"one run a request": (500, 1), "500 runs a request": (16, 500)}
FIGURES = re.compile(r"(\d+) runs answered, (\d+) runs/s, (\d+) requests/s, 50 % ([\d.]+) ms, 99 % ([\d.]+) ms, "
                     r"longest ([\d.]+) ms, (\d+) refused, (-?[\d.]+) µs of CPU a run, (\d+) MB")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fsync_milliseconds(directory):
    """The median time of a 4 KiB append that is synced, as a database's log writes."""
    times = []
    with open(directory / "fsync", "wb") as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            start = time.monotonic()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.monotonic() - start))
    return statistics.median(times)


class Collect:
    name = "collect"

    def __init__(self, target, directory):
        self.target, self.store = target, directory / "store"
        command = [target / "tool-telemetry-collect", "collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
                   "--metrics", "127.0.0.1:0", "--store", self.store,
                   "--data-points", ROOT / "examples/dotnet/telemetry.toml"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = self.process.stdout.readline().decode().split()[1]

    def bytes(self):
        return sum(file.stat().st_size for file in self.store.iterdir())

    def kept(self):
        status = subprocess.run([self.target / "tool-telemetry-collect", "status", "--store", self.store],
                                capture_output=True, text=True, check=True).stdout
        return int(status.split(" ")[0])


class Collector:
    batch = False
    name = "Collector"

    def __init__(self, program, directory):
        self.file = directory / "traces.jsonl"
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        processors = "processors: [batch]" if self.batch else ""
        config = directory / "collector.yaml"
        config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: {self.address}}}}}}}}}
processors: {{batch: {{}}}}
exporters: {{file: {{path: {self.file}}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], {processors + ',' if processors else ''} exporters: [file]}}}}
""")
        self.process = subprocess.Popen([program, "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)

    def bytes(self):
        return self.file.stat().st_size

    def kept(self):
        spans = 0
        with open(self.file, "rb") as file:
            for line in file:
                spans += line.count(b'"spanId"') if line.endswith(b"\n") else 0
        return spans


class Batching(Collector):
    batch = True
    name = "Collector, batch processor"


def measure(target, server, connections, runs, seconds, rate=None, kill_after=None):
    command = [target / "examples/load", server.address, str(server.process.pid), str(connections), str(runs), str(seconds)]
    load = subprocess.Popen(command + ([str(rate)] if rate else []), stdout=subprocess.PIPE, text=True)
    if kill_after:
        time.sleep(kill_after)
        server.process.kill()
        server.process.wait()
    text = load.communicate()[0]
    found = FIGURES.search(text)
    if not found:
        sys.exit(f"the load said: {text}")
    return [float(figure) for figure in found.groups()]


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()


def main():
    target, collector = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    rounds, seconds = (int(argument) for argument in sys.argv[3:5]) if len(sys.argv) > 4 else (3, 10)
    kinds = [lambda directory: Collect(target, directory), lambda directory: Collector(collector, directory),
             lambda directory: Batching(collector, directory)]
    results, syncs = {}, []
    for number in range(rounds):
        for load, (connections, runs) in LOADS.items():
            for kind in kinds:
                with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY")) as place:
                    directory = pathlib.Path(place)
                    syncs.append(fsync_milliseconds(directory))
                    server = kind(directory)
                    figures = measure(target, server, connections, runs, seconds)
                    stop(server)
                    kept = server.kept()
                    results.setdefault((load, server.name), []).append(figures + [server.bytes() / max(kept, 1), kept])
                    print(number, load, server.name, figures, round(server.bytes() / max(kept, 1)), os.getloadavg()[0], flush=True)
    print(f"fsync of 4 KiB: median {statistics.median(syncs):.2f} ms, from {min(syncs):.2f} to {max(syncs):.2f}")
    for (load, name), rows in results.items():
        best = max(rows, key=lambda row: row[1])
        middle = [statistics.median(column) for column in zip(*rows)]
        print(f"| {load} | {name} | {middle[1]:,.0f} (best {best[1]:,.0f}) runs/s | 99 % {middle[4]:.0f} (best {min(row[4] for row in rows):.0f}) ms "
              f"| {middle[7]:.1f} µs | {middle[8]:.0f} MB | {middle[9]:.0f} B |")
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY")) as place:
            server = kind(pathlib.Path(place))
            answered = measure(target, server, 16, 500, 30, kill_after=5)[0]
            print(f"killed at full load: {server.name}: {answered:.0f} runs answered, {server.kept()} kept")


if __name__ == "__main__":
    main()
