#!/usr/bin/env python3
"""A Collector that is killed while runs arrive loses none of them.

    collector_kill.py OTELCOL TOOL-TELEMETRY DOTNET TELEMETRY-TOML DOCS/STACKS [--runs N]

The Collector has a queue on disk, as queue.yaml sets it, and passes the runs on to a receiver that counts them. It is killed and started again five
times. A run arrives twice only if a kill came between its storage and the answer, on either side of the Collector, which OTLP
cannot know.
"""

import argparse
import collections
import pathlib
import subprocess
import time

from collector import Collector, generate
from recorder import Recorder, spans
from test_user import TestUser

KILLS = 5
WRITERS = 2
OVERRIDES = """
extensions:
  file_storage: { directory: "{directory}/queue" }
exporters:
  otlp_http:
    endpoint: "http://127.0.0.1:{downstream}"
    headers: { api-key: none }
    compression: none
    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }
"""
# Shells start the commands, because Python would be slower than they are.
LOOP = 'i=0; while [ $i -lt "$2" ]; do "$1" restore >/dev/null 2>&1; i=$((i + 1)); done'


def main():
    parser = argparse.ArgumentParser()
    for name in ("otelcol", "companion", "dotnet", "definition", "stacks"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    configuration = generate(arguments.companion, arguments.definition)
    queue = (arguments.stacks / "queue.yaml").read_text()
    recorder = Recorder()
    # A killed Collector resets its connections.
    recorder.server.handle_error = lambda *_: None
    arrived = Arrived(recorder)
    faults = []
    with (
        Collector(arguments.otelcol, configuration, queue, OVERRIDES, downstream=recorder.port) as collector,
        TestUser(arguments.dotnet, f"http://127.0.0.1:{collector.http}") as user,
    ):
        user.expect(0, "telemetry", "on")
        user.write("project.json", b"{}")
        each = arguments.runs // WRITERS
        writers = [
            subprocess.Popen(["sh", "-c", LOOP, "sh", user.tool, str(each)], cwd=user.home, env=user.environment)
            for _ in range(WRITERS)
        ]
        for kill in range(1, KILLS + 1):
            wait_for(arrived, user, kill * arguments.runs // (KILLS + 2))
            # What the Collector has answered for from here on is only on its disk.
            recorder.status = 503
            user.run("telemetry", "flush")
            collector.kill()
            # An uploader meets a Collector that is down, and the runs wait.
            user.run("telemetry", "flush")
            collector.start()
            recorder.status = 200
        for writer in writers:
            if writer.wait():
                faults.append("a command failed")
        wait_for(arrived, user, arguments.runs)
        status = user.expect(0, "telemetry", "status").stdout.decode()
        collector.stop()
    recorder.close()

    twice = len({trace for (trace, _), number in arrived.copies().items() if number > 1})
    most = max(arrived.copies().values())
    runs = arrived.runs()
    if runs != arguments.runs:
        faults.append(f"{runs} runs arrived, not {arguments.runs}: {status}")
    # At each kill, one request of the uploader and one of each of the exporter's ten consumers may be unanswered.
    if twice > KILLS * 11 * arrived.largest or most > KILLS + 1:
        faults.append(f"{twice} runs arrived twice, one {most} times")
    if "dropped    0" not in status and "dropped" in status:
        faults.append(f"the uploader dropped runs: {status}")
    for fault in faults:
        print(fault)
    print(f"kill: {runs} runs arrived through {KILLS} kills, {twice} of them twice, {len(faults)} faults")
    raise SystemExit(bool(faults))


class Arrived:
    """Counts what a recorder has received since the last look."""

    def __init__(self, recorder):
        self.recorder, self.seen = recorder, 0
        self.spans, self.largest = collections.Counter(), 0

    def copies(self):
        """How often each span arrived."""
        new = self.recorder.requests[self.seen:]
        self.seen += len(new)
        for request in new:
            ids = [(span.trace_id, span.span_id) for span in spans(request)]
            self.largest = max(self.largest, len({trace for trace, _ in ids}))
            self.spans.update(ids)
        return self.spans

    def runs(self):
        return len({trace for trace, _ in self.copies()})


def wait_for(arrived, user, number, seconds=600):
    """Waits until so many runs have arrived. An uploader may be waiting after a failure, so runs are also sent by hand."""
    end = time.monotonic() + seconds
    while arrived.runs() < number:
        if time.monotonic() > end:
            raise SystemExit(f"{arrived.runs()} runs arrived within {seconds} s, not {number}")
        user.run("telemetry", "flush")


if __name__ == "__main__":
    main()
