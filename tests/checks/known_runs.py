"""Known runs and counts of one tool, as OTLP/JSON Lines, and what they add up to, computed from nothing but themselves.

They have what a store must not be misled by: weeks across New Year and leap weeks, runs that begin in the last nanosecond of a
week, several versions of telemetry.toml, provisional and last words of runs in any order, values on many spans, runs in runs,
steps whose parent is missing, repeated deliveries, and names, keys, and values that nothing approves.
"""

import collections
import datetime
import hashlib
import json
import random

TOOL = "frob"
DAY = 86_400 * 10**9
POINT = """
[[data_point]]
key = "{key}"
on = {on}
sentence = "A value"
why = "To choose."
{kind}
audience = "maker"
since = "1.0"
until = "never"
"""
HEAD = """format = 1
tool = "frob"
[publisher]
name = "Frob"
contact = "privacy@example.org"
privacy = "https://example.org/privacy"
retention_days = 3650
licence = "CC-BY-4.0"
"""
SPAN = """
[[span]]
name = "{name}"
target = "frob"
sentence = "A step"
why = "To choose."
audience = "maker"
since = "1.0"
until = "never"
"""
COMMANDS = ["build", "run", "test"]
RELEASES = ["1.0.0", "1.1.0"]
FRAMEWORKS = ["net8.0", "netcoreapp1.1"]


def definition(commands, second):
    """A telemetry.toml. The second version has a command, a data point, and a table more."""
    text = HEAD + SPAN.format(name="phase") + SPAN.format(name="target")
    point = lambda key, on, kind: POINT.format(key=key, on=json.dumps(on), kind=kind)
    text += point("frob.command", ["run"], f'kind = "command"\nvalues = {json.dumps(commands)}')
    text += point("process.exit.code", ["run"], 'kind = "exit_code"')
    text += point("frob.number", ["phase"], 'kind = "integer"\nmin = -3\nmax = 20')
    text += point("frob.cached", ["phase", "target"], 'kind = "bool"')
    text += point("frob.framework", ["target"], 'kind = "moniker"\nprefixes = ["net", "netcoreapp"]\nsuffixes = ["-windows"]')
    if second:
        text += point("frob.colour", ["run", "phase"], 'kind = "set"\nvalues = ["auto", "never"]')
    text += '[publish]\nperiod = "week"\n'
    tables = [("frob.command",), ("frob.command", "error.type"), ("frob.number",), ("frob.cached",),
              ("frob.command", "frob.cached"), ("service.version",), ("frob.framework",)]
    if second:
        tables += [("frob.command", "frob.colour"), ("frob.framework", "service.version")]
    for table in tables:
        text += f"[[count]]\nof = {json.dumps(table)}\nat_most = 2\n"
        text += f"releases = {json.dumps(RELEASES)}\n" if "service.version" in table else ""
        text += f"values = {json.dumps(FRAMEWORKS)}\n" if "frob.framework" in table else ""
    return text, tables


class Version:
    def __init__(self, commands, second):
        self.text, self.tables = definition(commands, second)
        self.hash = hashlib.sha256(self.text.encode()).hexdigest()[:32]
        self.commands = commands
        self.keys = {
            "run": {"frob.command", "process.exit.code", "error.type"} | ({"frob.colour"} if second else set()),
            "phase": {"frob.number", "frob.cached"} | ({"frob.colour"} if second else set()),
            "target": {"frob.framework", "frob.cached"},
        }

    def is_approved(self, role, key, value):
        if key not in self.keys[role]:
            return False
        kind = type(value)
        return {
            "frob.command": kind is str and value in self.commands + ["other"],
            "process.exit.code": kind is int and -2**31 <= value < 2**32,
            "error.type": value in ("_OTHER", "cut_off"),
            "frob.number": kind is int and -3 <= value <= 20,
            "frob.cached": kind is bool,
            "frob.framework": value in ("net8.0", "netcoreapp1.1", "net10.0-windows", "other"),
            "frob.colour": kind is str and value in ("auto", "never", "other"),
        }[key]


VERSIONS = [Version(COMMANDS, False), Version(COMMANDS + ["pack"], True)]
MONDAYS = [datetime.date(*day) for day in (
    (2014, 12, 29), (2015, 12, 28), (2020, 2, 24), (2020, 12, 21), (2020, 12, 28), (2021, 1, 4), (2025, 12, 29), (2026, 3, 30))]


def nanos(day):
    return (day - datetime.date(1970, 1, 1)).days * DAY


def attribute(key, value):
    if type(value) is bool:
        return {"key": key, "value": {"boolValue": value}}
    if type(value) is int:
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}


class Span:
    def __init__(self, trace, id, parent, name, start, duration, attributes):
        self.trace, self.id, self.parent, self.name = trace, id, parent, name
        self.start, self.duration, self.attributes = start, duration, attributes

    def json(self):
        span = {"traceId": self.trace, "spanId": self.id, "name": self.name, "kind": 1,
                "startTimeUnixNano": str(self.start), "endTimeUnixNano": str(self.start + self.duration),
                "attributes": [attribute(*item) for item in self.attributes.items()]}
        return span | ({"parentSpanId": self.parent} if self.parent else {})


def request(resource, spans):
    return {"resourceSpans": [{"resource": {"attributes": [attribute(*item) for item in resource.items()]},
                               "scopeSpans": [{"scope": {"name": "tool-telemetry"}, "spans": [span.json() for span in spans]}]}]}


class Known:
    """`runs` runs, and counts. `with_types` also plants values of another type, which a table of texts cannot tell."""

    def __init__(self, runs, seed=1, with_types=True):
        self.random = random.Random(seed)
        self.with_types = with_types
        self.lines, self.cells, self.counts = [], collections.Counter(), collections.Counter()
        self.durations = collections.defaultdict(list)
        self.rejected_counts = collections.Counter()
        for _ in range(runs):
            self.run()
            if self.random.random() < 0.8:
                self.count()
        repeated = self.random.sample(self.lines, len(self.lines) // 10)
        self.lines += repeated
        self.random.shuffle(self.lines)

    def id(self, size):
        return f"{self.random.getrandbits(4 * size) | 1:0{size}x}"

    def start(self):
        """The Monday of a week, and a time in it: at its edges more often than chance would have it."""
        monday = self.random.choice(MONDAYS)
        first = nanos(monday)
        return monday, self.random.choice(
            [first, first + 7 * DAY - 1, first + self.random.randrange(7 * DAY), first + self.random.randrange(7 * DAY)])

    def duration(self):
        power = self.random.randrange(64 - 8)
        return self.random.choice([0, 2**power, max(0, 2**power - 1), int(10**self.random.uniform(3, 11))])

    def run(self):
        version = self.random.choice(VERSIONS)
        has_hash = version is not VERSIONS[-1] or self.random.random() < 0.9
        monday, start = self.start()
        release = self.random.choice(["1.0.0", "1.1.0", "1.2.0-dev", "2.0.0-rc.1+git.abc", ""])
        resource = {"service.name": TOOL, "host.name": "annas-laptop"}
        resource |= {"service.version": release} if release else {}
        resource |= {"tool_telemetry.data_points": version.hash} if has_hash else {}
        trace = self.id(32)
        spans, expected = self.tree(version, trace, None, start)
        if self.random.random() < 0.05:
            # A run that this one called.
            inner, more = self.tree(version, trace, spans[-1].id, start)
            spans, expected = spans + inner, expected + more
        if self.random.random() < 0.1:
            spans.append(Span(trace, self.id(16), spans[0].id, "upload", start, 5, {"frob.command": "build"}))
        self.expect(version if has_hash else None, {"1.2.0-dev": "1.2.0", "2.0.0-rc.1+git.abc": "2.0.0-rc.1"}.get(release, release),
                    monday, expected)
        # A request for all, or one for each span, as in a run's file.
        batches = [spans] if self.random.random() < 0.5 else [[span] for span in spans]
        self.lines += [request(resource, batch) for batch in batches]

    def tree(self, version, trace, parent, start):
        """Spans as they are sent, and the ones that count: role, attributes, duration, and their place in the tree."""
        command = self.random.choice(version.commands + ["other"])
        code = self.random.choice([0, 0, 0, 1, 2, -1073741819])
        attributes = {"process.executable.name": TOOL, "frob.command": command, "process.exit.code": code}
        attributes |= {"error.type": "_OTHER"} if code else {}
        if self.random.random() < 0.3:
            attributes["frob.colour"] = self.random.choice(["auto", "never", "pink"])
        if self.random.random() < 0.1:
            attributes |= {"frob.command": "/home/anna/secret", "user.name": "anna"}
        if self.with_types and self.random.random() < 0.05:
            attributes["process.exit.code"] = "1"
        duration = self.duration()
        name = TOOL if self.random.random() < 0.5 else f"{TOOL} {command}"
        run = Span(trace, self.id(16), parent, name, start, duration, attributes)
        spans = [run]
        if self.random.random() < 0.5 and duration > 0:
            provisional = {key: value for key, value in attributes.items() if key == "process.executable.name"}
            spans.append(Span(trace, run.id, parent, TOOL, start, 0, provisional | {"frob.command": "other"}))
        steps = []
        for _ in range(self.random.choice([0, 0, 1, 2, 4])):
            attributes = {"frob.number": self.random.choice([-3, 0, 7, 20, 21]), "frob.cached": self.random.random() < 0.5}
            if self.random.random() < 0.3:
                attributes["frob.colour"] = self.random.choice(["auto", "never"])
            if self.with_types and self.random.random() < 0.1:
                attributes["frob.cached"] = "true"
            above = self.random.choice([run] + steps)
            steps.append(Span(trace, self.id(16), above.id, "phase", start, self.duration(), attributes))
            if self.random.random() < 0.5:
                framework = self.random.choice(["net8.0", "netcoreapp1.1", "net10.0-windows", "other", "net8.0-anna", "NET8.0"])
                steps.append(Span(trace, self.id(16), steps[-1].id, "target", start, self.duration(), {"frob.framework": framework}))
        expected = [("run", run)] + [(step.name, step) for step in steps]
        return spans + steps, [(version, expected)]

    def expect(self, version, release, monday, trees):
        for of_tree, tree in trees:
            kept = [(role, {key: value for key, value in span.attributes.items() if of_tree.is_approved(role, key, value)}, span.duration)
                    for role, span in tree]
            once = set()
            run, duration = kept[0][1], kept[0][2]
            once.add(("runs", (release,)))
            for role, attributes, _ in kept:
                once |= {(key, (release, value)) for key, value in attributes.items()}
            command = run.get("frob.command")
            if command is not None:
                once.add(("frob.command and error.type", (command, run.get("error.type"))))
                once.add(("frob.command and duration", (command, bucket(duration))))
                self.durations[monday, command].append(duration)
            self.durations[monday, ""].append(duration)
            once.add(("duration", (release, bucket(duration))))
            for keys in version.tables if version else []:
                if len(keys) > 1 and keys != ("frob.command", "error.type"):
                    for values in crossed(keys, release, run, [attributes for role, attributes, _ in kept[1:]]):
                        once.add((" and ".join(keys), values))
            for table, values in once:
                self.cells[monday, table, text(values)] += 1
            for role, _, duration in kept[1:]:
                self.cells[monday, f"duration of {role}", text((bucket(duration),))] += 1

    def count(self):
        """What an installation counts, and now and then what no unmodified one sends."""
        version = self.random.choice(VERSIONS)
        monday = self.random.choice(MONDAYS)
        keys = self.random.choice(version.tables)
        values = {
            "frob.command": version.commands + ["other"], "error.type": ["_OTHER", "cut_off"],
            "frob.number": list(range(-3, 21)), "frob.cached": [True, False], "frob.colour": ["auto", "never", "other"],
            "service.version": RELEASES + ["other"], "frob.framework": FRAMEWORKS + ["other"],
        }
        cell = {key: self.random.choice(values[key]) for key in keys}
        start, duration, is_right = nanos(monday), 0, True
        wrong = self.random.random()
        if wrong < 0.02:
            cell["user.name"], is_right = "anna", False
        elif wrong < 0.04:
            cell[keys[0]], is_right = "/home/anna", False
        elif wrong < 0.06:
            start, is_right = start + 3_600 * 10**9, False
        elif wrong < 0.08:
            duration, is_right = 1, False
        spans = [Span(self.id(32), self.id(16), None, "count", start, duration, cell)]
        if wrong > 0.99:
            # Another span in its trace: neither counts.
            spans.append(Span(spans[0].trace, self.id(16), None, "count", start, 0, cell))
            is_right = False
        resource = {"service.name": TOOL, "tool_telemetry.data_points": version.hash}
        self.lines.append(request(resource, spans))
        if is_right:
            keys = sorted(keys)
            values = [str(cell[key]).lower() if type(cell[key]) is not str else cell[key] for key in keys]
            self.counts[monday, version.hash, text(keys), text(values)] += 1
        else:
            self.rejected_counts[monday] += 1

    def write(self, path, lines=None):
        with open(path, "w") as file:
            for line in self.lines if lines is None else lines:
                file.write(json.dumps(line) + "\n")


def crossed(keys, release, run, steps):
    """Those of the run alone, or with one step where the run has none."""
    own = {"service.version": release} | run
    missing = [key for key in keys if key not in own]
    if not missing:
        return {tuple(own[key] for key in keys)}
    return {tuple(own.get(key, step.get(key)) for key in keys) for step in steps if all(key in step for key in missing)}


def bucket(nanos):
    """Four buckets a doubling: 1 + floor(4 log2 n), in whole numbers."""
    return (nanos**4).bit_length() if nanos else 0


def text(values):
    return json.dumps(list(values), separators=(",", ":"))


def number_of_week(monday):
    """ISO weeks since the one that holds 1 January 1970."""
    return ((monday - datetime.date(1970, 1, 1)).days + 3) // 7
