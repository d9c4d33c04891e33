"""A user with a home of their own who runs one of the tools, and in nothing of this machine's environment."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile


class TestUser:
    """Use it in a `with`: the home is deleted at the end."""

    def __init__(self, tool, endpoint, protocol="http/protobuf", compression=None, **variables):
        self.tool = str(pathlib.Path(tool).resolve())
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="test-user-"))
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            **variables,
        }
        if compression:
            self.environment["OTEL_EXPORTER_OTLP_COMPRESSION"] = compression

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # An uploader that is about to end may still write to the home.
        for _ in range(20):
            shutil.rmtree(self.home, ignore_errors=True)
            if not self.home.exists():
                return

    def run(self, *arguments, **variables):
        return subprocess.run(
            [self.tool, *arguments],
            cwd=self.home,
            env=self.environment | variables,
            capture_output=True,
            timeout=120,
        )

    def expect(self, exit_code, *arguments, **variables):
        done = self.run(*arguments, **variables)
        if done.returncode != exit_code:
            said = done.stderr.decode(errors="replace")
            raise SystemExit(f"{arguments} ended with {done.returncode}, not with {exit_code}: {said}")
        return done

    def write(self, name, content):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def state(self):
        """Every file of the tool's state and choices, by path below the home."""
        files = {}
        for folder in (".local", ".config"):
            for path in sorted((self.home / folder).rglob("*")):
                if path.is_file():
                    try:
                        files[str(path.relative_to(self.home))] = path.read_bytes()
                    except FileNotFoundError:
                        pass  # an outcome is a rename: it is found under its new name, or was already
        return files

    def run_files(self, folder="runs"):
        return sorted((self.home / ".local").rglob(f"{folder}/*.jsonl"))


def closed_port():
    """A port of loopback that refuses connections for as long as the socket is open: bound, never listened at."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound, bound.getsockname()[1]
