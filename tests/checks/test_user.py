"""A user with a home directory, who runs a tool without this machine's environment."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile


class TestUser:
    """Use it in a `with`. The home directory is deleted at the end."""

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
        # An uploader that is about to end may still write to the home directory.
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
            stderr = done.stderr.decode(errors="replace")
            raise SystemExit(f"{arguments} ended with {done.returncode}, not with {exit_code}: {stderr}")
        return done

    def write(self, name, content):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def state(self):
        """All files of the tool's state and settings, by path below the home directory."""
        files = {}
        for directory in (".local", ".config"):
            for path in sorted((self.home / directory).rglob("*")):
                if path.is_file():
                    try:
                        files[str(path.relative_to(self.home))] = path.read_bytes()
                    except FileNotFoundError:
                        pass  # an outcome is a rename, so the file is found under its other name
        return files

    def run_files(self, directory="runs"):
        return sorted((self.home / ".local").rglob(f"{directory}/*.jsonl"))


def closed_port():
    """A loopback port that refuses connections while the socket is open: it is bound and never listens."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound, bound.getsockname()[1]
