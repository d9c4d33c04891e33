#!/usr/bin/env python3
"""What comes out of a real Collector under the generated configuration: no canary, and all else as it went in.

    collector_canaries.py OTELCOL TOOL-TELEMETRY DOTNET TELEMETRY-TOML

A canary is put in one place of a real run or of a count, and sent over HTTP/protobuf, HTTP/JSON, and gRPC.
"""

import argparse
import base64
import copy
import json
import os
import pathlib
import urllib.error
import urllib.request

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.common.v1 import common_pb2 as common

from collector import Collector, attributes_of, generate, spans_of, to_file, wait_until
from recorder import from_json
from test_user import TestUser

CANARY = "anna-canary"
TEXT = common.AnyValue(string_value=CANARY)
PROJECT = b'{ "testRunner": "xunit", "runtimes": { "win7-x64": {} }, "frameworks": { "net451": {} } }'
ROOT, PROJECT_SPAN, TARGET = "dotnet build", "project", "target"
MONDAY = 1_795_392_000 * 10**9  # 23 November 2026, 00:00 UTC
HASH = "0123456789abcdef0123456789abcdef"


def main():
    parser = argparse.ArgumentParser()
    for name in ("otelcol", "companion", "dotnet", "definition"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    configuration = generate(arguments.companion, arguments.definition)
    run = real_run(arguments.dotnet)
    faults = []
    with Collector(arguments.otelcol, configuration, to_file("dotnet")) as collector:
        cases = [Case(name, run, *case) for name, *case in RUN_CASES]
        cases += [Case(name, count(), *case) for name, *case in COUNT_CASES]
        cases += [Case(name, run_and_count(run), *case) for name, *case in BOTH_CASES]
        last = Case("the last one", run, lambda request: None)
        for door in DOORS:
            for case in (*cases, last):
                case.send(door, collector)
        wait_until(lambda: any(last.traces[DOORS[-1]] in line for line in collector.lines()), "the last run arrives")
        text = "\n".join(collector.lines())
        spans = collector.spans()
        for case in cases:
            faults += case.faults(spans)
        if CANARY.lower() in text.lower():
            faults += [f"a canary came out: {line[:2000]}" for line in collector.lines() if CANARY in line.lower()]
        faults += other_doors(collector)
        faults += [f"the Collector's log has a canary: {line}" for line in collector.text().splitlines() if CANARY in line]
    faults += two_tools(arguments, run)
    for fault in faults:
        print(fault)
    print(f"canaries: {len(cases)} cases over {len(DOORS)} doors, {len(faults)} faults")
    raise SystemExit(bool(faults))


def real_run(dotnet):
    """The request that the example's uploader would send for one run."""
    with TestUser(dotnet, "http://127.0.0.1:9") as user:
        user.expect(0, "telemetry", "on")
        user.write("project.json", PROJECT)
        user.expect(0, "build")
        lines = user.run_files()[0].read_text().splitlines()
    # The last line for a span wins.
    spans, envelope = {}, None
    for line in lines:
        for resource, scope, span in spans_of(json.loads(line)):
            spans[span["spanId"]] = span
            envelope = {"resource": resource["resource"], "scopeSpans": [{"scope": scope["scope"], "spans": []}]}
    envelope["scopeSpans"][0]["spans"] = list(spans.values())
    request = from_json(json.dumps({"resourceSpans": [envelope]}))
    assert {ROOT, PROJECT_SPAN, TARGET} <= {span.name for span in all_spans(request)}
    return request


def count():
    """A count, as docs/otlp.md describes it."""
    return from_json(json.dumps({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "dotnet"), text("tool_telemetry.data_points", HASH)]},
        "scopeSpans": [{"scope": {"name": "tool-telemetry"}, "spans": [{
            "traceId": "11" * 16, "spanId": "22" * 8, "flags": 257, "name": "count", "kind": 1,
            "startTimeUnixNano": str(MONDAY), "endTimeUnixNano": str(MONDAY),
            "attributes": [text("dotnet.command", "build")], "status": {},
        }]}],
    }]}))


def run_and_count(run):
    both = copy.deepcopy(run)
    both.resource_spans[0].scope_spans[0].spans.append(count().resource_spans[0].scope_spans[0].spans[0])
    return both


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def all_spans(request):
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


class Case:
    """A change to a request, the names of the spans that it costs, and the keys that their spans or resource lose."""

    def __init__(self, name, base, change, dropped=(), missing=(), passes=False):
        self.name, self.base, self.change = name, base, change
        everything = {span.name for span in all_spans(base)}
        self.dropped = everything if dropped == ALL else set(dropped)
        self.missing, self.passes = set(missing), passes
        self.traces = {}

    def send(self, door, collector):
        request = copy.deepcopy(self.base)
        trace = os.urandom(16)
        for span in all_spans(request):
            span.trace_id = trace
        self.change(request)
        self.traces[door] = trace.hex()
        door(collector, request)

    def faults(self, spans):
        found = []
        for door, trace in self.traces.items():
            arrived = [one for one in spans if one[2]["traceId"] == trace]
            names = sorted(span.get("name", "") for *_, span in arrived)
            wanted = sorted(span.name for span in all_spans(self.base) if span.name not in self.dropped)
            if names != wanted:
                found.append(f"{self.name} ({door.__name__}): {names} arrived, not {wanted}")
            if not self.passes:
                found += [f"{self.name} ({door.__name__}): {fault}" for one in arrived for fault in self.differences(*one)]
        return found

    def differences(self, resource, scope, span):
        """How a span and what is around it differ from the base, but for the missing keys."""
        base = json_of(self.base)["resourceSpans"][0]
        base_scope = base["scopeSpans"][0]
        base_span = next((one for one in base_scope["spans"] if one["name"] == span.get("name")), {})
        yield from self.differing("resource", resource, base, ("resource",), "scopeSpans")
        yield from self.differing("scope", scope, base_scope, ("scope",), "spans")
        yield from self.differing("span", {"span": span}, {"span": base_span}, ("span",), "")

    def differing(self, what, arrived, base, path, below):
        for key in set(arrived) - {*path, below}:
            yield f"the {what} has {key} {arrived[key]!r}"
        arrived, base = (holder.get(path[0], {}) for holder in (arrived, base))
        wanted = {key: value for key, value in attributes_of(base).items() if key not in self.missing}
        if attributes_of(arrived) != wanted or len(arrived.get("attributes", [])) != len(wanted):
            yield f"the {what} has the attributes {arrived.get('attributes')}, not {wanted}"
        for key in (set(arrived) | set(base)) - {"attributes", "traceId"} - self.missing:
            if arrived.get(key, EMPTY.get(key)) != base.get(key, EMPTY.get(key)):
                yield f"the {what} has {key} {arrived.get(key)!r}, not {base.get(key)!r}"


# What may be written or left out.
EMPTY = {"status": {}, "parentSpanId": "", "version": ""}
ALL = "all"


def json_of(request):
    """OTLP/JSON: ids in hexadecimal, enums as integers."""
    def ids(value):
        if isinstance(value, dict):
            return {
                key: base64.b64decode(item).hex() if key in ("traceId", "spanId", "parentSpanId") else ids(item)
                for key, item in value.items()
            }
        return [ids(item) for item in value] if isinstance(value, list) else value

    return ids(json_format.MessageToDict(request, use_integers_for_enums=True))


def encoded(request):
    """With a field 99, which OTLP does not know and a receiver must ignore."""
    return request.SerializeToString() + bytes((0x9A, 0x06, len(CANARY))) + CANARY.encode()


def protobuf(collector, request):
    post(collector, "/v1/traces", encoded(request), "application/x-protobuf")


def http_json(collector, request):
    body = json_of(request)
    # A key that OTLP does not know must be ignored.
    body["resourceSpans"][0]["unknownKey"] = CANARY
    post(collector, "/v1/traces", json.dumps(body).encode(), "application/json")


def over_grpc(collector, request):
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc}") as channel:
        export = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            request_serializer=encoded,
            response_deserializer=service.ExportTraceServiceResponse.FromString,
        )
        export(request, timeout=20, metadata=(("x-user", CANARY),))


DOORS = (protobuf, http_json, over_grpc)


def post(collector, path, body, content_type):
    request = urllib.request.Request(
        f"http://127.0.0.1:{collector.http}{path}?user={CANARY}",
        body,
        {"Content-Type": content_type, "User-Agent": CANARY, "X-User": CANARY},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def other_doors(collector):
    """Logs and metrics are not received."""
    for path in ("/v1/logs", "/v1/metrics"):
        try:
            post(collector, path, b"", "application/x-protobuf")
            yield f"{path} is open"
        except urllib.error.HTTPError as error:
            if error.code != 404:
                yield f"{path} answers {error.code}"


def two_tools(arguments, run):
    """Two configurations, generated together and apart, in both orders: the runs of both tools arrive once."""
    directory = Collector(arguments.otelcol)
    other = directory.directory / "weave.toml"
    other.write_text(arguments.definition.read_text().replace('tool = "dotnet"', 'tool = "weave"'))
    apart = [generate(arguments.companion, file) for file in (arguments.definition, other)]
    for configurations in (apart, apart[::-1], [generate(arguments.companion, arguments.definition, other)]):
        with Collector(arguments.otelcol, *configurations, to_file("dotnet", "weave")) as collector:
            wanted = {}
            for tool in ("dotnet", "weave", "stranger"):
                request = copy.deepcopy(run)
                trace = os.urandom(16)
                for resource in request.resource_spans:
                    attribute(resource.resource, "service.name").string_value = tool
                for span in all_spans(request):
                    span.trace_id = trace
                    span.name = span.name.replace("dotnet", tool)
                    for pair in span.attributes:
                        if pair.key == "process.executable.name":
                            pair.value.string_value = tool
                wanted[trace.hex()] = 0 if tool == "stranger" else len(all_spans(request))
                protobuf(collector, request)
            collector.stop()
            for trace, number in wanted.items():
                arrived = sum(span["traceId"] == trace for *_, span in collector.spans())
                if arrived != number:
                    yield f"two tools: {arrived} spans arrived, not {number}"
    directory.own.cleanup()


# Changes.

def attribute(holder, key):
    return next(pair.value for pair in holder.attributes if pair.key == key)


def named(request, name):
    return next(span for span in all_spans(request) if span.name == name)


def resource_of(request):
    return request.resource_spans[0].resource


def scope_of(request):
    return request.resource_spans[0].scope_spans[0]


def add(place, key, value=TEXT):
    return lambda request: place(request).attributes.append(common.KeyValue(key=key, value=value))


def put(place, key, value=TEXT):
    """Sets the attribute, which is there already."""
    return lambda request: attribute(place(request), key).CopyFrom(value)


def field(place, name, value):
    return lambda request: setattr(place(request), name, value)


def both(*changes):
    return lambda request: [change(request) for change in changes] and None


def span(name):
    return lambda request: named(request, name)


def words(text):
    return common.AnyValue(string_value=text)


def number(value):
    return common.AnyValue(int_value=value)


def nested(value):
    pair = common.KeyValue(key="build", value=value)
    return common.AnyValue(kvlist_value=common.KeyValueList(values=[pair]))


def listed(value):
    return common.AnyValue(array_value=common.ArrayValue(values=[value]))


root, project, target = span(ROOT), span(PROJECT_SPAN), span(TARGET)
COMMAND, FRAMEWORK, CODE = "dotnet.command", "dotnet.target.framework", "process.exit.code"
RUNTIMES, RUNNER, EXECUTABLE = "dotnet.project.runtimes", "dotnet.project.test_runner", "process.executable.name"
RESOURCE_KEYS = (
    "service.version",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "tool_telemetry.data_points",
)


def wrong_values():
    """A free text, and each type that the data point does not have."""
    values = {
        "a text": TEXT,
        "a double": common.AnyValue(double_value=7.5),
        "bytes": common.AnyValue(bytes_value=CANARY.encode()),
        "a map": nested(TEXT),
        "a list": listed(TEXT),
        "a list of an approved value": listed(words("build")),
        "nothing": common.AnyValue(),
    }
    for place, key, good in (
        (root, COMMAND, "build"),
        (root, CODE, 0),
        (root, EXECUTABLE, "dotnet"),
        (project, RUNTIMES, True),
        (project, RUNNER, "xunit"),
        (target, FRAMEWORK, "net451"),
    ):
        own = dict(values)
        own["an integer" if not isinstance(good, int) or good is True else "a large integer"] = number(1 << 40)
        own["its text"] = words(str(good).lower()) if not isinstance(good, str) else number(0)
        own["a flag"] = common.AnyValue(bool_value=True) if good is not True else words("true")
        for name, value in own.items():
            yield f"{key}: {name}", put(place, key, value), (), (key,)
    for key in RESOURCE_KEYS:
        for name, value in values.items():
            yield f"{key}: {name}", put(resource_of, key, value), (), (key,)


RUN_CASES = [
    ("nothing changed", lambda request: None),
    *wrong_values(),
    # Keys.
    ("an unknown key of the run", add(root, CANARY)),
    ("an unknown key of a span", add(project, "user.name")),
    ("an unknown key of the resource", add(resource_of, "host.name")),
    ("a key of the redaction processor", add(root, "redaction.masked.keys")),
    ("another key of the redaction processor", add(project, "redaction.redacted.keys")),
    ("a key of the redaction processor in the resource", add(resource_of, "redaction.ignored.keys")),
    ("an empty key", add(root, "")),
    ("a key in capitals", add(root, "Dotnet.Command")),
    ("an attribute of the scope", lambda request: scope_of(request).scope.attributes.append(
        common.KeyValue(key=COMMAND, value=words("build")))),
    ("a key that cannot be a name of an attribute", add(root, f'"] == nil or "{CANARY}')),
    # The first of two attributes counts, and only it passes.
    ("a key twice in the run", add(root, COMMAND)),
    ("a key twice in a span", add(target, FRAMEWORK)),
    ("a key twice in the resource", add(resource_of, "service.name")),
    ("another key twice in the resource", add(resource_of, "service.version")),
    # An approved attribute on the wrong span.
    ("the command on a span", add(project, COMMAND, words("build"))),
    ("the framework on the run", add(root, FRAMEWORK, words("net451"))),
    ("the framework on another span", add(project, FRAMEWORK, words("net451"))),
    ("the executable on a span", add(project, EXECUTABLE, words("dotnet"))),
    ("the error on a span", add(target, "error.type", words("_OTHER"))),
    ("the exit code on a span", add(target, CODE, number(0))),
    ("a resource attribute on the run", add(root, "service.version", words("1.0.0"))),
    ("a data point in the resource", add(resource_of, COMMAND, words("build"))),
    # Values that are nearly right.
    ("a free error", add(root, "error.type")),
    ("a command in capitals", put(root, COMMAND, words("Build")), (), (COMMAND,)),
    ("a command and a line", put(root, COMMAND, words(f"build\n{CANARY}")), (), (COMMAND,)),
    ("a line and a command", put(root, COMMAND, words(f"{CANARY}\nbuild")), (), (COMMAND,)),
    ("a command and a line end", put(root, COMMAND, words("build\n")), (), (COMMAND,)),
    ("a command and a zero byte", put(root, COMMAND, words("build\0")), (), (COMMAND,)),
    ("a pattern in place of a command", put(root, COMMAND, words("build|test")), (), (COMMAND,)),
    ("an exit code above 32 bits", put(root, CODE, number(1 << 32)), (), (CODE,)),
    ("an exit code below 32 bits", put(root, CODE, number(-(1 << 31) - 1)), (), (CODE,)),
    ("a moniker with a free prefix", put(target, FRAMEWORK, words("anna8.0")), (), (FRAMEWORK,)),
    ("a moniker with a free suffix", put(target, FRAMEWORK, words("net8.0-anna")), (), (FRAMEWORK,)),
    ("a moniker with four numbers", put(target, FRAMEWORK, words("net192.168.1.10")), (), (FRAMEWORK,)),
    ("a moniker with a long number", put(target, FRAMEWORK, words("net123456")), (), (FRAMEWORK,)),
    ("a moniker with a leading zero", put(target, FRAMEWORK, words("net08")), (), (FRAMEWORK,)),
    ("a moniker whose dots are letters", put(target, FRAMEWORK, words("net8x0-windows10x0x17763x0")), (), (FRAMEWORK,)),
    ("a version with a build", put(resource_of, "service.version", words("1.0.0+anna")), (), ("service.version",)),
    ("a version with a free stage", put(resource_of, "service.version", words("1.0.0-anna")), (), ("service.version",)),
    ("an address as a version", put(resource_of, "service.version", words("10.1.2.3")), (), ("service.version",)),
    ("a hash in capitals", put(resource_of, "tool_telemetry.data_points", words(HASH.upper())), (),
     ("tool_telemetry.data_points",)),
    ("a long hash", put(resource_of, "tool_telemetry.data_points", words(HASH + "0")), (), ("tool_telemetry.data_points",)),
    # Who reports.
    ("another tool", put(resource_of, "service.name", TEXT), ALL),
    ("a tool that is not a text", put(resource_of, "service.name", listed(words("dotnet"))), ALL),
    ("no tool", lambda request: resource_of(request).Clear(), ALL),
    ("another library", lambda request: setattr(scope_of(request).scope, "name", CANARY), ALL),
    ("no scope", lambda request: scope_of(request).ClearField("scope"), ALL),
    ("a free version of the scope", lambda request: setattr(scope_of(request).scope, "version", CANARY), (), ("version",)),
    # Around the spans.
    ("entity references, which OTTL cannot read", lambda request: resource_of(request).entity_refs.add(
        type="service", id_keys=["service.name"], schema_url="https://example.com/1.0.0"), (), (), True),
    ("a schema URL of the resource", lambda request: setattr(request.resource_spans[0], "schema_url", CANARY)),
    ("a schema URL of the scope", lambda request: setattr(scope_of(request), "schema_url", CANARY)),
    ("dropped attributes of the resource", field(resource_of, "dropped_attributes_count", 77)),
    ("dropped attributes of the scope", lambda request: setattr(scope_of(request).scope, "dropped_attributes_count", 77)),
    # Fields of a span.
    ("a free name", field(root, "name", CANARY), (ROOT,)),
    ("a free command in the name", field(root, "name", f"dotnet {CANARY}"), (ROOT,)),
    ("a free text after the name", field(root, "name", f"dotnet build {CANARY}"), (ROOT,)),
    ("a line after the name", field(root, "name", f"dotnet build\n{CANARY}"), (ROOT,)),
    ("a line end after the name", field(root, "name", "dotnet build\n"), (ROOT,)),
    ("a name in capitals", field(root, "name", "Dotnet build"), (ROOT,)),
    ("an empty name", field(root, "name", ""), (ROOT,)),
    ("the name of a count on a span with a parent", field(project, "name", "count"), (PROJECT_SPAN,)),
    ("a kind", field(root, "kind", 2), (ROOT,)),
    ("no kind", field(root, "kind", 0), (ROOT,)),
    ("other flags", field(root, "flags", 0x101 | 77 << 10), (ROOT,)),
    ("flags of a span", field(target, "flags", 0xFF), (TARGET,)),
    ("a trace state", field(root, "trace_state", f"user={CANARY}"), (ROOT,)),
    ("a trace state of a span", field(project, "trace_state", f"user={CANARY}"), (PROJECT_SPAN,)),
    ("a status message", lambda request: setattr(root(request).status, "message", CANARY), (ROOT,)),
    ("a status of ok", lambda request: setattr(root(request).status, "code", 1), (ROOT,)),
    ("an event", lambda request: root(request).events.add(name=CANARY), (ROOT,)),
    ("an event without a name", lambda request: project(request).events.add(time_unix_nano=77), (PROJECT_SPAN,)),
    ("a link", lambda request: root(request).links.add(trace_id=b"7" * 16, trace_state=CANARY), (ROOT,)),
    ("dropped attributes", field(root, "dropped_attributes_count", 77), (ROOT,)),
    ("dropped events", field(root, "dropped_events_count", 77), (ROOT,)),
    ("dropped links", field(project, "dropped_links_count", 77), (PROJECT_SPAN,)),
]

cell = span("count")
COUNT_CASES = [
    ("a count", lambda request: None),
    ("a count of other", put(cell, COMMAND, words("other"))  , (), (), True),
    ("a count of a crossing", add(cell, "error.type", words("cut_off")), (), (), True),
    ("a count of a free text", put(cell, COMMAND), ALL),
    ("a count of a number", put(cell, COMMAND, number(7)), ALL),
    ("a count of an unknown key", add(cell, CANARY), ALL),
    ("a count of a key twice", add(cell, COMMAND), ALL),
    ("a count of keys that no table has", add(cell, RUNNER, words("xunit")), ALL),
    ("a count of nothing", lambda request: cell(request).ClearField("attributes"), ALL),
    ("a count with a name of the executable", add(cell, EXECUTABLE, words("dotnet")), ALL),
    ("a count of a version that is not listed", both(
        lambda request: cell(request).ClearField("attributes"), add(cell, "service.version", words("6.6.6"))), ALL),
    ("a count with a parent", field(cell, "parent_span_id", b"3" * 8), ALL),
    ("a count on Tuesday", both(
        field(cell, "start_time_unix_nano", MONDAY + 86_400 * 10**9),
        field(cell, "end_time_unix_nano", MONDAY + 86_400 * 10**9)), ALL),
    ("a count a nanosecond late", both(
        field(cell, "start_time_unix_nano", MONDAY + 1), field(cell, "end_time_unix_nano", MONDAY + 1)), ALL),
    ("a count at no time", both(
        field(cell, "start_time_unix_nano", 0), field(cell, "end_time_unix_nano", 0)), ALL),
    ("a count in the far future", both(
        field(cell, "start_time_unix_nano", (1 << 64) - 1), field(cell, "end_time_unix_nano", (1 << 64) - 1)), ALL),
    ("a count that lasts", field(cell, "end_time_unix_nano", MONDAY + 77), ALL),
    ("a count that failed", lambda request: setattr(cell(request).status, "code", 2), ALL),
    ("a count with a remote parent", field(cell, "flags", 0x301), ALL),
    ("a count with a version in its scope", lambda request: setattr(scope_of(request).scope, "version", "0.1.0"), ALL),
    ("a count with more in its resource", add(resource_of, "service.version", words("1.0.0")), ALL),
    ("a count without a hash", lambda request: resource_of(request).attributes.pop() and None, ALL),
    ("a count with a free hash", put(resource_of, "tool_telemetry.data_points", TEXT), ALL),
    ("a count with its tool twice", both(
        lambda request: resource_of(request).attributes.pop() and None, add(resource_of, "service.name")), ALL),
]
BOTH_CASES = [
    ("a count in the resource of a run", lambda request: None, ("count",)),
    # Neither the run's: its resource says which version ran. The count passes.
    ("a run in the resource of a count", lambda request: both(
        lambda request: resource_of(request).CopyFrom(count().resource_spans[0].resource),
        lambda request: scope_of(request).scope.ClearField("version"))(request),
     (ROOT, PROJECT_SPAN, TARGET, "compile", "restore"), (*RESOURCE_KEYS[:-1], "version"), True),
]

if __name__ == "__main__":
    main()
