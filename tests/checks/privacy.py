#!/usr/bin/env python3
"""What is published, computed a second time: the budget with 50 digits, the noise, and what an attacker learns.

    privacy.py TOOL-TELEMETRY [--weeks N]

Counts go into a store as OTLP/JSON Lines. Then the program publishes them, and only its ledger is looked at.
"""

import argparse
import collections
import datetime
import decimal
import hashlib
import itertools
import json
import math
import pathlib
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile

from decimal import Decimal

decimal.getcontext().prec = 50
DELTA = Decimal("1e-6")
MONDAY = datetime.date(2020, 12, 21)  # The next weeks are 2020-W53 and 2021-W01.
DEFINITION = """
format = 1
tool = "frob"
[publisher]
name = "Frob"
contact = "privacy@example.org"
privacy = "https://example.org/privacy"
retention_days = 90
licence = "CC-BY-4.0"
[[data_point]]
key = "frob.command"
on = ["run"]
sentence = "The command"
why = "To choose."
kind = "command"
values = ["build", "run", "test"]
audience = "maker"
since = "1.0"
until = "never"
[publish]
period = "week"
epsilon = {epsilon}
[[count]]
of = ["frob.command"]
at_most = 4
[[count]]
of = ["frob.command", "error.type"]
at_most = 4
"""


def exponent(alpha, rho, epsilon):
    """The logarithm of δ of Canonne, Kamath, and Steinke's Corollary 13 at one α."""
    return (alpha - 1) * (alpha * rho - epsilon) - (alpha - 1).ln() + alpha * (1 - 1 / alpha).ln()


def log_delta(rho, epsilon):
    """The smallest over α, by golden sections."""
    ratio = (Decimal(5).sqrt() - 1) / 2
    low, high = Decimal(1) + Decimal("1e-9"), 2 + (epsilon + 100) / rho
    for _ in range(110):
        width = ratio * (high - low)
        if exponent(high - width, rho, epsilon) < exponent(low + width, rho, epsilon):
            high = low + width
        else:
            low = high - width
    return exponent((low + high) / 2, rho, epsilon)


def bisect(low, high, is_low):
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_low(middle) else (low, middle)
    return (low + high) / 2


def rho_of(epsilon):
    return bisect(Decimal("1e-9"), epsilon, lambda rho: log_delta(rho, epsilon) <= DELTA.ln())


def epsilon_of(rho):
    return bisect(Decimal(0), rho + 60 * rho.sqrt(), lambda epsilon: log_delta(rho, epsilon) > DELTA.ln())


def count(tool_hash, monday, cell):
    start = str(int(datetime.datetime.combine(monday, datetime.time(), datetime.timezone.utc).timestamp()) * 10**9)
    text = lambda key, value: {"key": key, "value": {"intValue": str(value)} if type(value) is int else {"stringValue": value}}
    span = {
        "traceId": secrets.token_hex(16), "spanId": secrets.token_hex(8), "name": "count", "kind": 1,
        "startTimeUnixNano": start, "endTimeUnixNano": start, "attributes": [text(*item) for item in cell.items()],
    }
    resource = {"attributes": [text("service.name", "frob"), text("tool_telemetry.data_points", tool_hash)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [
        {"scope": {"name": "tool-telemetry"}, "spans": [span]}]}]}


class Publisher:
    """A store, and the program."""

    def __init__(self, program, directory, epsilon, definition=DEFINITION):
        self.program, self.directory = program, pathlib.Path(directory)
        text = definition.format(epsilon=epsilon)
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:32]
        (self.directory / "telemetry.toml").write_text(text)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def add(self, counts):
        """Imports counts, some of them twice, and closes the weeks as the server does 28 days after their end."""
        lines = [json.dumps(count(self.hash, monday, cell)) for monday, cell in counts]
        (self.directory / "counts.jsonl").write_text("\n".join(lines + lines[::7]) + "\n")
        self.run("import", "--store", "store", "--data-points", "frob=telemetry.toml", "counts.jsonl")
        with sqlite3.connect(self.directory / "store" / "runs.sqlite") as store:
            closed = ((datetime.date.today() - datetime.date(1970, 1, 1)).days + 3) // 7 - 5
            store.execute("INSERT OR REPLACE INTO setting VALUES ('closed_through', ?)", (str(closed),))

    def publish(self, ledger, last, *more):
        day = last + datetime.timedelta(days=35)
        self.run("publish", "--store", "store", "--ledger", ledger, "--out", f"{ledger}-site", "--today", str(day), *more)
        files = sorted((self.directory / ledger).glob("*.json"))
        return [json.loads(file.read_text()) for file in files]


def numbers(release):
    """Every published number by its cell. None is below the threshold."""
    return {
        (tuple(table["of"]), tuple(cell["values"])): cell["installations"]
        for table in release["tables"] for cell in table["cells"]
    }


def check_budget(program):
    for epsilon in ("0.5", "2", "4"):
        with tempfile.TemporaryDirectory() as directory:
            publisher = Publisher(program, directory, epsilon)
            publisher.add([(MONDAY, {"frob.command": "build"})])
            stated = publisher.publish("ledger", MONDAY, "--first", str(MONDAY))[0]["privacy"]
            site = (pathlib.Path(directory) / "ledger-site" / "index.html").read_text()
            thresholds = publisher.publish("ledger", MONDAY)[0]["tables"]
        rho = rho_of(Decimal(epsilon))
        variance = (Decimal(8) / (2 * rho) * 1000).to_integral_value(decimal.ROUND_CEILING) / 1000
        yearly = epsilon_of(52 * Decimal(8) / (2 * Decimal(str(stated["variance"]))))
        print(f"ε {epsilon}: ρ {rho:.9f}, σ {variance.sqrt():.4f}, a year {yearly:.4f}")
        assert variance <= Decimal(str(stated["variance"])) <= variance + Decimal("0.002"), stated
        assert abs(stated["rho"] / float(rho) - 1) < 1e-3 and stated["counts_per_installation"] == 8, stated
        assert abs(stated["sigma"] - float(variance.sqrt())) < 1e-3, stated
        assert all(table["threshold"] == math.ceil(5 * math.sqrt(stated["variance"])) for table in thresholds)
        assert f"at most {math.ceil(yearly * 10) / 10:.1f}" in site, yearly


def check_attacks(program, weeks):
    """An attacker knows all but one hidden cell, adds counts of his own to lift it over the threshold, sees many weeks and
    a correction, and solves for the hidden number: by a linear program, and by trying every number."""
    import numpy
    from scipy.optimize import linprog

    hidden, lift = 6, 300
    mondays = [MONDAY + datetime.timedelta(days=7 * week) for week in range(weeks)]
    with tempfile.TemporaryDirectory() as directory:
        publisher = Publisher(program, directory, "2")
        cell = {"frob.command": "test"}
        counts = [(monday, cell) for monday in mondays for _ in range(hidden + lift)]
        counts += [(mondays[0], {"frob.command": "build"}) for _ in range(1_000)]
        publisher.add(counts)
        ledger = publisher.publish("ledger", mondays[-1], "--first", str(MONDAY))
        ledger = publisher.publish("ledger", mondays[-1], "--correct", str(MONDAY), "--reason", "A test")
    exact = collections.Counter((monday, tuple(cell.values())) for monday, cell in counts)
    sigma = ledger[0]["privacy"]["sigma"]
    seen = []
    assert [release["start"] for release in ledger[:weeks]] == [str(monday) for monday in mondays]
    for release in ledger:
        monday = datetime.date.fromisoformat(release["start"])
        for (_, values), number in numbers(release).items():
            if number is not None:
                assert abs(number - exact[monday, values]) < 6.5 * sigma + 3, (monday, values, number)
        seen.append(numbers(release)[("frob.command",), ("test",)] - lift)
    # The linear program: the number from which the published ones differ least, with the differences as variables.
    size = len(seen)
    a = numpy.zeros((2 * size, 1 + size))
    a[:size, 0], a[size:, 0] = 1, -1
    a[:size, 1:], a[size:, 1:] = -numpy.eye(size), -numpy.eye(size)
    b = numpy.concatenate([seen, -numpy.array(seen)])
    solved = linprog([0] + [1] * size, A_ub=a, b_ub=b, bounds=[(0, None)] * (1 + size)).x[0]
    # Exhaustive: the likelihood of each number, with the noise's own distribution and the rounding.
    def likelihood(number):
        chance = lambda it: sum(math.exp(-((it + step - number) ** 2) / (2 * sigma**2)) for step in range(-2, 3))
        return sum(math.log(chance(it)) for it in seen)
    best = sorted(range(0, 60), key=likelihood, reverse=True)
    exhaustive = best[0]
    # One installation more or less stays inside of what is likely after all these releases.
    gain = abs(likelihood(hidden) - likelihood(hidden + 1))
    spread = sigma / math.sqrt(size)
    print(f"{size} releases of a hidden {hidden}: the linear program says {solved:.1f}, trying all says {exhaustive}; "
          f"noise averages to ±{spread:.2f}; log-likelihood of one more installation: {gain:.3f}")
    rho = float(ledger[0]["privacy"]["rho"]) * size
    assert abs(solved - hidden) < 6 * spread * 1.3 + 1 and abs(exhaustive - hidden) < 6 * spread + 1
    assert gain < float(epsilon_of(Decimal(rho))), "an attacker learns more than ε says"


SIZES = 10_000
SIZES_DEFINITION = DEFINITION.split("[[data_point]]")[0] + """[[data_point]]
key = "frob.size"
on = ["run"]
sentence = "The size"
why = "To choose."
kind = "integer"
min = 0
max = 9999
audience = "maker"
since = "1.0"
until = "never"
[publish]
period = "week"
epsilon = {epsilon}
[[count]]
of = ["frob.size"]
at_most = 25
"""


def check_membership(program, weeks):
    """The strongest attacker: all counts of 10,000 cells are his own, so he knows them, but those of 400 possible victims, each
    with as many cells as one installation may count. He guesses of each victim whether it was counted at all: from one release,
    from a release and its correction, and from several weeks in which it always was."""
    at_most, own, secret = 25, 300, random.Random(secrets.randbits(64))
    groups = SIZES // at_most
    mondays = [MONDAY + datetime.timedelta(days=7 * week) for week in range(weeks)]
    guesses = collections.defaultdict(list)
    for number in range(2):
        members = [secret.random() < 0.5 for _ in range(groups)]
        with tempfile.TemporaryDirectory() as directory:
            publisher = Publisher(program, directory, "2", SIZES_DEFINITION)
            publisher.add([(MONDAY, {"frob.size": 0})])
            with sqlite3.connect(publisher.directory / "store" / "runs.sqlite") as store:
                (tool, week, period, hash, keys, _, _), = store.execute(
                    "SELECT tool, week, weeks, hash, cell_keys, cell_values, n FROM count_cell").fetchall()
                store.execute("DELETE FROM count_cell")
                store.executemany(
                    "INSERT INTO count_cell (tool, week, weeks, hash, cell_keys, cell_values, n) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(tool, week + after, period, hash, keys, f"[{size}]", own + members[size // at_most])
                     for after in range(weeks) for size in range(SIZES)])
            publisher.publish("ledger", mondays[-1], "--first", str(MONDAY))
            ledger = publisher.publish("ledger", mondays[-1], "--correct", str(MONDAY), "--reason", "A test")
        scores = [[sum(cell["installations"] for cell in release["tables"][0]["cells"][group * at_most:(group + 1) * at_most])
                   for group in range(groups)] for release in ledger]
        # The midpoint between "counted" and "not counted" is the best threshold, whatever the noise.
        for name, releases in (("one release", [0]), ("a release and its correction", [0, weeks]), (f"{weeks} weeks", range(weeks))):
            middle = len(releases) * at_most * (own + 0.5)
            guesses[name, len(releases)] += [(member, sum(scores[release][group] for release in releases) > middle)
                                             for group, member in enumerate(members)]
    privacy = ledger[0]["privacy"]
    mu = math.sqrt(at_most) / privacy["sigma"]
    for (name, number), made in guesses.items():
        found = sum(guess for member, guess in made if member) / sum(member for member, _ in made) - sum(
            guess for member, guess in made if not member) / sum(not member for member, _ in made)
        expected = math.erf(mu * math.sqrt(number) / 2 / math.sqrt(2))
        epsilon = float(epsilon_of(Decimal(str(privacy["rho"])) * number))
        allowed = math.tanh(epsilon / 2) + 1e-6
        print(f"membership, {name}: advantage {found:.3f}, the noise's own {expected:.3f}, ε = {epsilon:.2f} allows {allowed:.3f}")
        # Four standard deviations of so many guesses.
        assert abs(found - expected) < 4 / math.sqrt(len(made)), "the noise is not what is stated"
        assert found < allowed, "an attacker learns more than ε says"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--weeks", type=int, default=12)
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    check_budget(program)
    check_attacks(program, arguments.weeks)
    check_membership(program, 4)


if __name__ == "__main__":
    main()
