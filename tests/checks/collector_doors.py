#!/usr/bin/env python3
"""Real runs reach a real Collector through each door, and come out as they were sent.

    collector_doors.py OTELCOL TOOL-TELEMETRY DOTNET TELEMETRY-TOML DOCS/STACKS

Three protocols, with gzip and without: plain, TLS, and mutual TLS with a token, as gateway.yaml has it; and while the
Collector's memory limiter refuses.
"""

import argparse
import contextlib
import json
import pathlib
import tempfile

import trustme

from collector import Collector, attributes_of, generate, spans_of, to_file, wait_until
from test_user import TestUser

PROJECT = b'{ "testRunner": "xunit", "frameworks": { "net451": {}, "netcoreapp1.1": {} } }'
# Arguments and exit codes.
COMMANDS = ((("build",), 0), (("test", "--project", "nowhere"), 1), (("rebuild",), 2))

TLS = """
receivers:
  otlp:
    protocols:
      grpc: { tls: { cert_file: "{tls}/server.pem", key_file: "{tls}/server.key" } }
      http: { tls: { cert_file: "{tls}/server.pem", key_file: "{tls}/server.key" } }
"""
# A Collector always needs more than 1 MiB, so this one refuses everything.
NO_MEMORY = """
processors:
  memory_limiter: { check_interval: 10ms, limit_mib: 1 }
service:
  pipelines:
    traces/dotnet: { processors: [memory_limiter, filter/dotnet, transform/dotnet] }
"""
ENOUGH_MEMORY = NO_MEMORY.replace("limit_mib: 1 ", "limit_mib: 1000 ")


def main():
    parser = argparse.ArgumentParser()
    for name in ("otelcol", "companion", "dotnet", "definition", "stacks"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    check = Check(arguments.otelcol, generate(arguments.companion, arguments.definition), arguments.dotnet)
    with tempfile.TemporaryDirectory() as directory:
        tls = pathlib.Path(directory)
        client = certificates(tls)
        (tls / "token").write_text("a,b-50%")
        gateway = (arguments.stacks / "gateway.yaml").read_text().replace("/etc/otelcol", str(tls))
        trusting = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tls / "authority.pem")}
        token = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20a%2Cb-50%25"}
        check.doors("plain", "http")
        check.doors("TLS", "https", TLS, tls=tls, variables=trusting)
        check.doors("gateway", "https", gateway, variables=trusting | client | token)
        check.refused("no certificate", "https", gateway, variables=trusting | token)
        check.refused("no token", "https", gateway, variables=trusting | client)
        check.waits_for_memory()
    for fault in check.faults:
        print(fault)
    print(f"doors: {check.compared} spans through {check.number} doors, {len(check.faults)} faults")
    raise SystemExit(bool(check.faults))


class Check:
    def __init__(self, otelcol, configuration, dotnet):
        self.otelcol, self.configuration, self.dotnet = otelcol, configuration, dotnet
        self.faults, self.compared, self.number = [], 0, 0

    def collector(self, *configurations, **values):
        return Collector(self.otelcol, self.configuration, to_file("dotnet"), *configurations, **values)

    def doors(self, name, scheme, *configurations, variables=None, **values):
        with self.collector(*configurations, **values) as collector:
            sent = {}
            for protocol in ("http/protobuf", "http/json", "grpc"):
                for compression in (None, "gzip"):
                    with self.user(collector, scheme, protocol, compression, variables) as user:
                        self.use(user)
                        sent |= spans_by_id(user.expect(0, "telemetry", "show", "--json").stdout.decode())
                    self.number += 1
            collector.stop()
            self.compare(name, sent, collector)

    def user(self, collector, scheme, protocol, compression, variables):
        port = collector.grpc if protocol == "grpc" else collector.http
        return TestUser(self.dotnet, f"{scheme}://localhost:{port}", protocol, compression, **(variables or {}))

    def use(self, user, flush=0):
        user.expect(0, "telemetry", "on")
        user.write("project.json", PROJECT)
        for command, exit_code in COMMANDS:
            user.expect(exit_code, *command)
        user.expect(flush, "telemetry", "flush")

    def compare(self, name, sent, collector):
        arrived = {}
        for line in collector.lines():
            for key, span in spans_by_id(line).items():
                if key in arrived:
                    self.faults.append(f"{name}: {key} arrived twice")
                arrived[key] = span
        self.compared += len(arrived)
        for key in sent.keys() | arrived.keys():
            if sent.get(key) != arrived.get(key):
                self.faults.append(f"{name}: {arrived.get(key)} arrived, not {sent.get(key)}")

    def refused(self, name, scheme, *configurations, variables, **values):
        with self.collector(*configurations, **values) as collector:
            for protocol in ("http/protobuf", "grpc"):
                with self.user(collector, scheme, protocol, None, variables) as user:
                    self.use(user, flush=3)
            collector.stop()
            if collector.lines():
                self.faults.append(f"{name}: something arrived")

    def waits_for_memory(self):
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(self.collector(NO_MEMORY))
            wait_until(lambda: "data refused" in full.text() or "Memory usage is above" in full.text(), "it runs out of memory")
            users = [
                stack.enter_context(self.user(full, "http", protocol, None, None)) for protocol in ("http/protobuf", "grpc")
            ]
            for user in users:
                self.use(user, flush=3)
                pending = len(user.run_files())
                if pending != len(COMMANDS):
                    self.faults.append(f"memory: {pending} runs are pending, not {len(COMMANDS)}")
            full.stop()
            if full.lines():
                self.faults.append("memory: something arrived at a Collector that refuses")
            with self.collector(ENOUGH_MEMORY, ports=(full.http, full.grpc)) as collector:
                sent = {}
                for user in users:
                    user.expect(0, "telemetry", "flush")
                    sent |= spans_by_id(user.expect(0, "telemetry", "show", "--json").stdout.decode())
                collector.stop()
                self.compare("memory", sent, collector)
                self.number += 1


def certificates(directory):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    server = authority.issue_cert("localhost")
    server.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    server.private_key_pem.write_to_path(directory / "server.key")
    client = authority.issue_cert("somebody@example.com")
    client.cert_chain_pems[0].write_to_path(directory / "client.pem")
    client.private_key_pem.write_to_path(directory / "client.key")
    return {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(directory / "client.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(directory / "client.key"),
    }


def spans_by_id(lines):
    """Everything about each span, by its ids. The last line for a span wins."""
    return {
        (span["traceId"], span["spanId"]): {
            "resource": attributes_of(resource["resource"]),
            "scope": scope["scope"],
            "attributes": attributes_of(span),
            "status": span.get("status") or {},
            "parent": span.get("parentSpanId") or "",
            **{key: span[key] for key in ("name", "kind", "flags", "startTimeUnixNano", "endTimeUnixNano")},
        }
        for line in lines.splitlines()
        for resource, scope, span in spans_of(json.loads(line))
    }


if __name__ == "__main__":
    main()
