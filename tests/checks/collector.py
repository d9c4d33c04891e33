"""The OpenTelemetry Collector as a process, with configurations that `tool-telemetry collector-config` generates."""

import json
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from test_user import closed_port


def generate(companion, *arguments):
    """A generated configuration."""
    done = subprocess.run([companion, "collector-config", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"collector-config: {done.stderr}")
    return done.stdout


class Collector:
    """Runs a Collector. Use it in a `with`.

    `configurations` are texts; a later one overrides an earlier one. `{directory}`, `{http}`, `{grpc}`, and other names in
    braces are replaced by the directory of its files, by its ports, and by `values`.
    """

    def __init__(self, program, *configurations, ports=None, **values):
        self.program = program
        self.own = tempfile.TemporaryDirectory(prefix="collector-")
        self.directory = pathlib.Path(self.own.name)
        self.http, self.grpc = ports or free_ports(2)
        self.files = []
        values |= {"directory": self.directory, "http": self.http, "grpc": self.grpc}
        # Its own metrics would need another port.
        quiet = "service: { telemetry: { metrics: { level: none } } }\n"
        for number, text in enumerate((*configurations, ADDRESSES, quiet)):
            for name, value in values.items():
                text = text.replace("{" + name + "}", str(value))
            path = self.directory / f"{number}.yaml"
            path.write_text(text)
            self.files += ["--config", str(path)]
        self.log = self.directory / "log"
        self.process = None

    def validate(self):
        """What is wrong with the configurations; empty if nothing is."""
        done = subprocess.run([self.program, "validate", *self.files], capture_output=True, text=True)
        return done.stderr + done.stdout if done.returncode else ""

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, *self.files], stdout=log, stderr=subprocess.STDOUT, env={"HOME": str(self.directory)}
            )
        wait_for_port(self.http, self.process, self.text)
        wait_for_port(self.grpc, self.process, self.text)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends it in order, so that all that it holds is exported."""
        self.process.terminate()
        self.process.wait(timeout=60)

    def text(self):
        return self.log.read_text(errors="replace")

    def lines(self):
        """What the file exporter wrote, as OTLP/JSON, but for a line that it is still writing."""
        path = self.directory / "out.jsonl"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def spans(self):
        """What the file exporter wrote: each span with the resource and the scope that it is in."""
        return [found for line in self.lines() for found in spans_of(json.loads(line))]

    def __enter__(self):
        if wrong := self.validate():
            raise SystemExit(f"the configuration is not valid: {wrong}")
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.own.cleanup()


# The ports of a test in place of those of the generated configuration.
ADDRESSES = """
receivers:
  otlp:
    protocols:
      grpc: { endpoint: "127.0.0.1:{grpc}" }
      http: { endpoint: "127.0.0.1:{http}" }
"""

# Writes what passes to a file.
TO_FILE = """
exporters:
  file: { path: "{directory}/out.jsonl", flush_interval: 50ms }
service:
  pipelines:
"""


def to_file(*tools):
    """A configuration that writes what passes to a file, for `Collector.spans`."""
    return TO_FILE + "".join(f"    traces/{tool}: {{ exporters: [file] }}\n" for tool in tools)


def spans_of(traces):
    for resource in traces.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                yield resource, scope, span


def attributes_of(holder):
    return {
        attribute.get("key"): next(iter(attribute.get("value", {}).values()), None)
        for attribute in holder.get("attributes", [])
    }


def free_ports(number):
    ports = [closed_port() for _ in range(number)]
    for bound, _ in ports:
        bound.close()
    return [port for _, port in ports]


def wait_for_port(port, process, log, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"{process.args[0]} does not open port {port}: {log()}") from None
            time.sleep(0.02)


def wait_until(holds, what, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.02)

