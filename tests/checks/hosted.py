#!/usr/bin/env python3
"""The settings for hosted services in docs/stacks.md make the tool send the request that they describe.

    hosted.py DOTNET DOCS/STACKS.MD

The host is replaced by a receiver on this machine, and path and headers stay.
"""

import argparse
import pathlib
import re
import urllib.parse

from recorder import Recorder
from test_user import TestUser

# As base64 may have it.
KEY = "k+e/y0=="
ROW = re.compile(r"^\| ([^|`]+) \| `(https://[^`]+)` \| `([^`]+)` \|$", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dotnet", type=pathlib.Path)
    parser.add_argument("page", type=pathlib.Path)
    arguments = parser.parse_args()
    faults = []
    rows = ROW.findall(arguments.page.read_text())
    for service, endpoint, headers in rows:
        headers = headers.replace("KEY", KEY)
        recorder = Recorder()
        path = urllib.parse.urlsplit(endpoint).path
        with TestUser(arguments.dotnet, recorder.endpoint + path, OTEL_EXPORTER_OTLP_HEADERS=headers) as user:
            user.expect(0, "telemetry", "on")
            user.write("project.json", b"{}")
            user.expect(0, "build")
            user.expect(0, "telemetry", "flush")
        recorder.close()
        request, *lines = bytes(recorder.raw).split(b"\r\n\r\n")[0].decode().split("\r\n")
        received = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if request != f"POST {path.rstrip('/')}/v1/traces HTTP/1.1":
            faults.append(f"{service}: the request is {request}")
        for name, value in (pair.split("=", 1) for pair in headers.split(",")):
            if received.get(name) != urllib.parse.unquote(value):
                faults.append(f"{service}: {name} is {received.get(name)!r}")
    if len(rows) < 8:
        faults.append(f"the page has {len(rows)} services")
    for fault in faults:
        print(fault)
    print(f"hosted: {len(rows)} services, {len(faults)} faults")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
