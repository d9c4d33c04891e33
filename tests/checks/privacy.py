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
    text = lambda key, value: {"key": key, "value": {"stringValue": value}}
    span = {
        "traceId": secrets.token_hex(16), "spanId": secrets.token_hex(8), "name": "count", "kind": 1,
        "startTimeUnixNano": start, "endTimeUnixNano": start, "attributes": [text(*item) for item in cell.items()],
    }
    resource = {"attributes": [text("service.name", "frob"), text("tool_telemetry.data_points", tool_hash)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [
        {"scope": {"name": "tool-telemetry"}, "spans": [span]}]}]}


class Publisher:
    """A store, and the program."""

    def __init__(self, program, directory, epsilon):
        self.program, self.directory = program, pathlib.Path(directory)
        text = DEFINITION.format(epsilon=epsilon)
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--weeks", type=int, default=12)
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    check_budget(program)
    check_attacks(program, arguments.weeks)


if __name__ == "__main__":
    main()
