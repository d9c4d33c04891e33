#!/usr/bin/env python3
"""A collector from another project receives the same spans over each protocol.

    rotel.py ROTEL-AGENT DOTNET
"""

import argparse
import json
import pathlib
import re
import socket
import subprocess
import tempfile
import time

from test_user import TestUser, closed_port

PROTOCOLS = (
    ("http/protobuf", None),
    ("http/protobuf", "gzip"),
    ("http/json", None),
    ("http/json", "gzip"),
    ("grpc", None),
    ("grpc", "gzip"),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("agent", type=pathlib.Path)
    parser.add_argument("dotnet", type=pathlib.Path)
    arguments = parser.parse_args()
    faults, compared = [], 0
    for protocol, compression in PROTOCOLS:
        name = f"{protocol}{' gzip' if compression else ''}"
        with Agent(arguments.agent) as agent:
            endpoint = f"http://127.0.0.1:{agent.grpc if protocol == 'grpc' else agent.http}"
            with TestUser(arguments.dotnet, endpoint, protocol, compression) as user:
                user.expect(0, "telemetry", "on")
                user.write("project.json", b'{ "testRunner": "xunit", "frameworks": { "net451": {} } }')
                user.expect(0, "build")
                user.expect(1, "test", "--project", "nowhere")
                user.expect(0, "telemetry", "flush")
                sent = spans_of(user.expect(0, "telemetry", "show", "--json").stdout.decode())
            # It prints the spans a moment after it answers.
            end = time.monotonic() + 10
            while (missing := [span for span in sent if not agent.has(span)]) and time.monotonic() < end:
                time.sleep(0.05)
            faults += [f"{name}: {span} did not arrive as it was sent" for span in missing]
            if (printed := agent.span_count()) != len(sent):
                faults.append(f"{name}: {printed} spans arrived, {len(sent)} were sent")
            compared += len(sent)
    for fault in faults:
        print(fault)
    print(f"rotel: {compared} spans over {len(PROTOCOLS)} kinds of transport, {len(faults)} faults")
    raise SystemExit(bool(faults))


def spans_of(lines):
    """Trace id, span id, name, and attributes of each span in `telemetry show --json`."""
    spans = {}
    for line in lines.splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    values = {
                        item["key"]: text_of(*item["value"].values()) for item in span.get("attributes", [])
                    }
                    # The last line for a span wins.
                    spans[span["traceId"], span["spanId"]] = (span["name"], values)
    return [(*ids, *content) for ids, content in spans.items()]


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


class Agent:
    def __init__(self, program):
        self.directory = tempfile.TemporaryDirectory()
        self.log = pathlib.Path(self.directory.name) / "out"
        ports = [closed_port() for _ in range(2)]
        self.http, self.grpc = (port for _, port in ports)
        for bound, _ in ports:
            bound.close()
        places = ["--otlp-grpc-endpoint", f"127.0.0.1:{self.grpc}", "--otlp-http-endpoint", f"127.0.0.1:{self.http}"]
        own = ["--pid-file", f"{self.directory.name}/pid", "--log-file", f"{self.directory.name}/log"]
        printing = ["--debug-log", "traces", "--debug-log-verbosity", "detailed"]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [program, "start", "--exporter", "blackhole", *printing, *places, *own],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={"HOME": self.directory.name},
            )
        self._wait_until_open()

    def _wait_until_open(self):
        end = time.monotonic() + 20
        for port in (self.http, self.grpc):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > end or self.process.poll() is not None:
                        raise SystemExit(f"rotel-agent does not start: {self.text()}")
                    time.sleep(0.05)

    def text(self):
        printed = self.log.read_text(errors="replace")
        log = pathlib.Path(self.directory.name) / "log"
        return printed + (log.read_text(errors="replace") if log.exists() else "")

    def blocks(self):
        """The printed block of each span."""
        return re.split(r"^.*\bSpan #\d+.*$", self.text(), flags=re.MULTILINE)[1:]

    def span_count(self):
        return len(self.blocks())

    def has(self, span):
        trace_id, span_id, name, values = span
        wanted = [trace_id, span_id, name, *values, *values.values()]
        return any(all(text in block for text in wanted) for block in self.blocks())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


main()
