#!/usr/bin/env python3
"""Real project.json files through the example tool `dotnet`.

The data points that arrive must equal `expected.json`, which was computed without this project. Nothing else of the files may
be written to disk or sent, headers included.

    project_json.py SHARED DOTNET
"""

import argparse
import concurrent.futures
import json
import pathlib
import re

from test_user import TestUser
from recorder import GrpcRecorder, Recorder, attributes

PROTOCOLS = ("http/protobuf", "http/json", "grpc")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("dotnet", type=pathlib.Path)
    arguments = parser.parse_args()
    directory = arguments.shared / "project-json"
    expected = json.loads((directory / "expected.json").read_text())
    files = sorted(path for path in directory.glob("*.json") if path.name != "expected.json")
    faults = []
    if sorted(expected) != [path.name for path in files]:
        faults.append("expected.json and the files do not match")

    strings = searched_bytes = 0
    for protocol in PROTOCOLS:
        empty = Build(arguments.dotnet, protocol, b"{}").everything
        contents = [path.read_bytes() for path in files]
        # A flush mostly waits, so several at once take no longer than one.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda content: Build(arguments.dotnet, protocol, content), contents))
        for path, content, run in zip(files, contents, runs):
            faults += [f"{path.name}, {protocol}: {fault}" for fault in wrong(run.traces, expected[path.name])]
            # The approved values must be found. Otherwise a search that finds nothing proves nothing.
            faults += [
                f"{path.name}, {protocol}: {framework} is not found"
                for framework in expected[path.name]["frameworks"]
                if framework.encode() not in run.sent or framework.encode() not in run.on_disk
            ]
            secrets = strings_of(content, expected[path.name])
            secrets |= {path.stem, str(directory)}
            secrets = {text for text in secrets if text.encode() not in empty}
            strings += len(secrets)
            searched_bytes += len(run.everything)
            faults += [
                f"{path.name}, {protocol}: {text!r} was written or sent"
                for text in sorted(secrets)
                if text.encode() in run.everything or json.dumps(text)[1:-1].encode() in run.everything
            ]
    for fault in faults:
        print(fault)
    print(
        f"project_json: {len(files)} files over {len(PROTOCOLS)} protocols, {strings} strings searched for in "
        f"{searched_bytes} bytes, {len(faults)} faults"
    )
    raise SystemExit(bool(faults))


class Build:
    """One build, first with the port closed and then open, and every byte that it wrote or sent."""

    def __init__(self, dotnet, protocol, content):
        # A gRPC server cannot keep its port closed. The files on disk are the same there.
        recorder = GrpcRecorder() if protocol == "grpc" else Recorder(listen=False)
        with TestUser(dotnet, recorder.endpoint, protocol) as user:
            user.expect(0, "telemetry", "on")
            user.write("project.json", content)
            user.expect(0, "build")
            on_disk = user.state()
            if protocol != "grpc":
                if not any("/runs/" in name for name in on_disk):
                    raise SystemExit("the run is not pending although its port is closed")
                recorder.listen()
            user.expect(0, "telemetry", "flush")
            self.traces = recorder.traces()
            recorder.close()
            after = user.state()
            if not any("/sent/" in name for name in after):
                raise SystemExit("the delivered run is not kept")
            self.sent = bytes(recorder.raw)
            self.on_disk = b"\n".join(
                part for files in (on_disk, after) for name, data in files.items() for part in (name.encode(), data)
            )
            self.everything = self.sent + b"\n" + self.on_disk


def wrong(traces, expected):
    """The differences from the expected data points."""
    if len(traces) != 1:
        return [f"{len(traces)} traces arrived"]
    (spans,) = traces.values()
    root = [span for span in spans if not span.parent_span_id]
    found = {key: [] for key in expected}
    for span in spans:
        values = attributes(span)
        for key, name in (("frameworks", "framework"), ("runtimes_present", "runtimes"), ("test_runner", "runner")):
            found[key] += [value for attribute, value in values.items() if attribute.endswith(name)]
    found["frameworks"].sort()
    wanted = {
        "frameworks": sorted(expected["frameworks"]),
        "runtimes_present": [expected["runtimes_present"]],
        "test_runner": [expected["test_runner"]] if expected["test_runner"] else [],
    }
    faults = [f"{key}: {found[key]} and not {wanted[key]}" for key in wanted if found[key] != wanted[key]]
    if len(root) != 1:
        faults.append(f"{len(root)} root spans")
    else:
        values = attributes(root[0])
        if (values.get("dotnet.command"), values.get("process.exit.code")) != ("build", 0):
            faults.append(f"the run says {values}")
        if not root[0].start_time_unix_nano:
            faults.append("no time of invocation")
    return faults


TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|"(?P<string>(?:[^"\\]|\\.)*)"(?P<key>\s*:)?|[^\s"/]+|/""", re.DOTALL
)


def strings_of(content, expected):
    """All strings of four or more characters except keys, frameworks, and test runners; also the words of comments.

    It uses its own few lines, so that no JSON reader decides what is searched for.
    """
    keys, strings = set(), set()
    for token in TOKEN.finditer(content.decode("utf-8-sig")):
        if token["comment"] is not None:
            strings |= set(re.findall(r"\w{4,}", token["comment"]))
        elif token["string"] is not None:
            text = json.loads(f'"{token["string"]}"')
            (keys if token["key"] else strings).add(text)
    approved = keys | set(expected["frameworks"]) | {expected["test_runner"]}
    return {text for text in strings if len(text) >= 4} - approved


main()
