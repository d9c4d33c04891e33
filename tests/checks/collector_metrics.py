#!/usr/bin/env python3
"""Runs and durations by command and exit code, as a real Collector's span metrics, and as the dashboard asks Prometheus for them.

    collector_metrics.py OTELCOL TOOL-TELEMETRY DOTNET TELEMETRY-TOML DOCS/STACKS
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile
import urllib.parse
import urllib.request

from collector import Collector, free_ports, generate, wait_for_port, wait_until
from test_user import TestUser

OVERRIDES = """
connectors: { spanmetrics: { metrics_flush_interval: 200ms } }
exporters: { prometheus: { endpoint: "127.0.0.1:{metrics}" } }
"""
SCRAPING = """
global: {{ scrape_interval: 250ms, scrape_timeout: 200ms }}
scrape_configs: [{{ job_name: runs, honor_labels: true, static_configs: [{{ targets: ["127.0.0.1:{}"] }}] }}]
"""
# Arguments, exit code, and command as the metrics have it.
COMMANDS = (
    (("build",), 0, "build"),
    (("build",), 0, "build"),
    (("test", "--project", "nowhere"), 1, "test"),
    (("rebuild",), 2, "none"),
)


def main():
    parser = argparse.ArgumentParser()
    for name in ("otelcol", "companion", "dotnet", "definition", "stacks"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    configuration = generate(arguments.companion, arguments.definition)
    spanmetrics = (arguments.stacks / "spanmetrics.yaml").read_text()
    metrics, prometheus = free_ports(2)
    faults = []
    with (
        Collector(arguments.otelcol, configuration, spanmetrics, OVERRIDES, metrics=metrics) as collector,
        Prometheus(prometheus, metrics) as database,
        TestUser(arguments.dotnet, f"http://127.0.0.1:{collector.http}") as user,
    ):
        user.expect(0, "telemetry", "on")
        user.write("project.json", b'{ "frameworks": { "net451": {} } }')
        # Prometheus sees an increase between two of its visits.
        for round in (1, 2):
            for command, exit_code, _ in COMMANDS:
                user.expect(exit_code, *command)
            user.expect(0, "telemetry", "flush")
            wanted = round * len(COMMANDS)
            wait_until(lambda: sum(calls(metrics).values()) >= wanted, "the metrics have all runs")
            total = 'sum(traces_span_metrics_calls_total{process_exit_code!="none"})'
            wait_until(lambda: database.value(total) == wanted, "Prometheus has all runs")
        expected = {}
        for _, exit_code, command in COMMANDS:
            expected[command, str(exit_code)] = expected.get((command, str(exit_code)), 0) + 2
        if calls(metrics) != expected:
            faults.append(f"the metrics have {calls(metrics)}, not {expected}")
        panels = json.loads((arguments.stacks / "grafana-dashboard.json").read_text())["panels"]
        for panel in panels:
            for target in panel["targets"]:
                answer = database.query(filled(target["expr"]))
                if not any(float(result["value"][1]) > 0 for result in answer):
                    faults.append(f"the panel {panel['title']!r} is empty: {answer}")
                labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
                faults += [
                    f"the panel {panel['title']!r} has no label {label}"
                    for label in labels
                    if not all(result["metric"].get(label) for result in answer)
                ]
    for fault in faults:
        print(fault)
    print(f"metrics: {sum(expected.values())} runs, {len(panels)} panels, {len(faults)} faults")
    raise SystemExit(bool(faults))


def filled(expression):
    """The query that Grafana would make of a panel's."""
    for variable, value in (("__rate_interval", "1m"), ("__interval", "1m"), ("__range", "1m"), ("tool", "dotnet")):
        expression = expression.replace(f"${variable}", value)
    return expression


def calls(port):
    """Runs by command and exit code, as the exporter shows them. Other spans have no exit code."""
    found = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("traces_span_metrics_calls_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                if labels["process_exit_code"] != "none":
                    key = labels["dotnet_command"], labels["process_exit_code"]
                    found[key] = found.get(key, 0) + float(line.rsplit(" ", 1)[1])
    return found


class Prometheus:
    def __init__(self, port, metrics):
        self.port, self.metrics = port, metrics

    def __enter__(self):
        self.own = tempfile.TemporaryDirectory(prefix="prometheus-")
        directory = pathlib.Path(self.own.name)
        (directory / "prometheus.yml").write_text(SCRAPING.format(self.metrics))
        self.log = directory / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={directory}/prometheus.yml",
                    f"--storage.tsdb.path={directory}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for_port(self.port, self.process, self.log.read_text)
        return self

    def query(self, expression):
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def value(self, expression):
        answer = self.query(expression)
        return float(answer[0]["value"][1]) if answer else 0

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.own.cleanup()


if __name__ == "__main__":
    main()
