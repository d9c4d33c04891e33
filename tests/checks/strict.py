#!/usr/bin/env python3
"""A strict OTLP checker, which uses no code of this project, checks run files and the requests of each protocol.

    strict.py SHARED DOTNET
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from test_user import TestUser, closed_port
from tls_front import TlsFront

# Each encoding plain and compressed, with and without mutual TLS.
TRANSPORTS = [
    (protocol, compression, tls)
    for protocol in ("http/protobuf", "http/json", "grpc")
    for compression in (None, "gzip")
    for tls in (False, True)
]

PROJECT = b"""{ "testRunner": "xunit", "frameworks": { "net451": {}, "netcoreapp1.1": {}, "anna": {} } }"""

# Arguments and exit codes, for every kind of line that a run file can have.
COMMANDS = (
    (("build",), 0),
    (("test",), 0),
    (("restore",), 0),
    (("build", "--project", "nowhere"), 1),
    (("rebuild",), 2),
    (("run", "--", "sh", "-c", "exit 7"), 7),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("dotnet", type=pathlib.Path)
    arguments = parser.parse_args()
    checker = arguments.shared / "tools" / "strict_otlp.py"
    faults, files, requests, spans = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for protocol, compression, tls in TRANSPORTS:
            name = f"{protocol}{' gzip' if compression else ''}{' TLS' if tls else ''}"
            own_directory = pathlib.Path(directory) / name.replace("/", " ")
            own_directory.mkdir()
            out = own_directory / "received.jsonl"
            # The server takes these ports a moment later.
            ports = [closed_port() for _ in range(2)]
            http, grpc = (port for _, port in ports)
            port, over = (grpc, "h2") if protocol == "grpc" else (http, "http/1.1")
            with contextlib.ExitStack() as stack:
                front, secured = None, {}
                endpoint = f"http://127.0.0.1:{port}"
                if tls:
                    front = stack.enter_context(TlsFront(own_directory / "tls", port, over))
                    endpoint, secured = f"https://localhost:{front.port}", variables(front)
                user = stack.enter_context(TestUser(arguments.dotnet, endpoint, protocol, compression, **secured))
                user.expect(0, "telemetry", "on")
                user.write("project.json", PROJECT)
                for command, exit_code in COMMANDS:
                    user.expect(exit_code, *command)
                pending = user.run_files()
                if len(pending) != len(COMMANDS):
                    faults.append(f"{name}: {len(pending)} runs are pending, not {len(COMMANDS)}")
                faults += check(checker, name, pending)
                files += len(pending)

                for bound, _ in ports:
                    bound.close()
                with Server(checker, http, grpc, out):
                    user.expect(0, "telemetry", "flush")
                faults += check(checker, name, user.run_files("sent"))
                if front and not front.handshakes:
                    faults.append(f"{name}: no connection used TLS")
            received = [json.loads(line) for line in out.read_text().splitlines()]
            requests += len(received)
            spans += sum(request["n"] for request in received)
            roots = [span for request in received for span in request["spans"] if not span["parent"]]
            if len(roots) != len(COMMANDS):
                faults.append(f"{name}: {len(roots)} runs arrived, not {len(COMMANDS)}")
            for request in received:
                faults += [f"{name}: {violation}" for violation in request["violations"]]
                if protocol != "grpc" and request["gzip"] != bool(compression):
                    faults.append(f"{name}: compressed is {request['gzip']}")
    for fault in faults:
        print(fault)
    print(
        f"strict: {files} run files, and {spans} spans in {requests} requests over {len(TRANSPORTS)} kinds of "
        f"transport, {len(faults)} violations"
    )
    raise SystemExit(bool(faults))


def variables(front):
    return {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(front.authority),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(front.client_certificate),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(front.client_key),
    }


def check(checker, name, files):
    done = subprocess.run([sys.executable, checker, "check", *files], capture_output=True, text=True)
    if done.returncode == 0 and files:
        return []
    return [f"{name}: {line}" for line in done.stdout.splitlines() if "0 violations" not in line] or [
        f"{name}: the checker found nothing to check: {done.stderr}"
    ]


class Server:
    def __init__(self, checker, http, grpc, out):
        addresses = ["--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}", "--out", out]
        self.process = subprocess.Popen([sys.executable, checker, "serve", *addresses], stdout=subprocess.PIPE)
        if not self.process.stdout.readline().startswith(b"ready"):
            raise SystemExit("the strict receiver does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        time.sleep(0.1)  # it logs a request before it answers; this is only for its shutdown
        self.process.terminate()
        self.process.wait()


main()
