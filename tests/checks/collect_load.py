"""Servers that receive OTLP, and load for them: `collect_speed.py` and `collect_large.py` measure with these."""

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
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r"(\d+) runs answered, (\d+) runs/s, (\d+) requests/s, 50 % ([\d.]+) ms, 99 % ([\d.]+) ms, "
                  r"longest ([\d.]+) ms, (\d+) refused, (-?[\d.]+) µs of CPU a run, (\d+) MB")


class Figures:
    """What one load measured."""

    def __init__(self, text):
        found = LINE.search(text)
        if not found:
            sys.exit(f"the load said: {text}")
        (self.answered, self.rate, self.requests, self.median, self.late, self.longest, self.refused, self.cpu,
         self.memory) = (float(figure) for figure in found.groups())


class Collect:
    name = "**`collect`**"

    def __init__(self, target, directory, *before):
        self.target, self.store = target, directory / "store"
        command = [*before, target / "tool-telemetry-collect", "collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
                   "--metrics", "127.0.0.1:0", "--store", self.store,
                   "--data-points", ROOT / "examples/dotnet/telemetry.toml"]
        start = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        words = self.process.stdout.readline().decode().split()
        self.seconds_to_start = time.monotonic() - start
        self.address, self.metrics_address = words[1], words[3]

    def metrics(self):
        text = urllib.request.urlopen(f"http://{self.metrics_address}/metrics").read().decode()
        lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("tool_telemetry_collect_"): float(value) for name, value in lines}

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
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        processors = "processors: [batch]," if self.batch else ""
        config = directory / "collector.yaml"
        config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: {self.address}}}}}}}}}
processors: {{batch: {{}}}}
exporters: {{file: {{path: {self.file}}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], {processors} exporters: [file]}}}}
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
        with open(self.file, "rb") as file:
            return sum(line.count(b'"spanId"') for line in file if line.endswith(b"\n"))


class Batching(Collector):
    batch = True
    name = "Collector, batch processor"


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()


def start_load(target, server, connections, runs, seconds, rate=None):
    command = [target / "examples/load", server.address, str(server.process.pid), str(connections), str(runs), str(seconds)]
    return subprocess.Popen(command + ([str(rate)] if rate else []), stdout=subprocess.PIPE, text=True)


def load(target, server, connections, runs, seconds, rate=None):
    return Figures(start_load(target, server, connections, runs, seconds, rate).communicate()[0])


def directory():
    return tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY"))


def sync_milliseconds(place):
    """The median time of a 4 KiB append that is synced, as a database's log writes."""
    times = []
    with open(place / "sync", "wb") as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            start = time.monotonic()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.monotonic() - start))
    return statistics.median(times)
