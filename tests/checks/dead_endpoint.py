#!/usr/bin/env python3
"""Many runs with an endpoint that refuses connections. The tool works as without telemetry, and every run arrives later.

    dead_endpoint.py DOTNET [--runs N]
"""

import argparse
import collections
import pathlib
import time

from test_user import TestUser
from recorder import Recorder, attributes

# Arguments, and the expected exit code.
COMMANDS = (
    (("build",), 0),
    (("build", "--project", "nowhere"), 1),
    (("test", "--framework", "net451"), 0),
    (("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"), 7),
    (("rebuild",), 2),
    (("pack", "--framework", "net46"), 1),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dotnet", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=900)
    arguments = parser.parse_args()
    faults = []
    recorder = Recorder(listen=False)
    with TestUser(arguments.dotnet, recorder.endpoint) as user:
        user.write("project.json", b'{ "frameworks": { "net451": {}, "netcoreapp1.1": {} } }')
        without = [outcome(user.run(*command, DOTNET_CLI_TELEMETRY_OPTOUT="1")) for command, _ in COMMANDS]
        user.expect(0, "telemetry", "on")
        started = time.monotonic()
        for number in range(arguments.runs):
            command, exit_code = COMMANDS[number % len(COMMANDS)]
            done = outcome(user.run(*command))
            if done != without[number % len(COMMANDS)] or done[0] != exit_code:
                faults.append(f"run {number}, {command}: {done}")
        took = time.monotonic() - started

        pending = len(user.run_files())
        recorder.listen()
        user.expect(0, "telemetry", "flush")
        traces = recorder.wait(arguments.runs)
        left = len(user.run_files())
    recorder.close()

    if len(traces) != arguments.runs:
        faults.append(f"{len(traces)} runs arrived")
    if left:
        faults.append(f"{left} runs are still pending")
    codes = collections.Counter()
    for trace_id, spans in traces.items():
        ids = collections.Counter(span.span_id for span in spans)
        if max(ids.values()) > 1:
            faults.append(f"trace {trace_id.hex()} arrived more than once")
        codes.update(attributes(span)["process.exit.code"] for span in spans if not span.parent_span_id)
    wanted = collections.Counter(COMMANDS[number % len(COMMANDS)][1] for number in range(arguments.runs))
    if codes != wanted:
        faults.append(f"exit codes {dict(codes)} arrived, not {dict(wanted)}")
    for fault in faults[:50]:
        print(fault)
    print(
        f"dead_endpoint: {arguments.runs} runs in {took:.1f} s, {pending} pending, {len(traces)} arrived in "
        f"{len(recorder.requests)} requests, {len(faults)} faults"
    )
    raise SystemExit(bool(faults))


def outcome(done):
    return done.returncode, done.stdout, done.stderr


main()
