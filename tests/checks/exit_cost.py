#!/usr/bin/env python3
"""What a command pays for telemetry, as a whole process, against the same program without the crate.

    exit_cost.py FOLDER-WITH-BOTH-PROGRAMS [--pairs N] [--report]

Both programs run in pairs, in an order thrown by chance, at a receiver, at a port that refuses and at one that never
answers; and the runs are counted afterwards. The columns are medians; the difference is the median of the pairs'
differences, and is what is judged. On a busy machine (a load above one for each core) processes wait for each other,
and the figures are told but not judged.
"""

import argparse
import fcntl
import os
import pathlib
import random
import statistics
import time

from person import Person, closed_port
from recorder import Recorder, Silent

# Milliseconds.
LIMIT_NONE_STARTS = 0.5
LIMIT_ONE_STARTS = 1.0
# Machines are shared: what is over the limit is measured again, and counts when it is over each time.
ATTEMPTS = 5
# What the program ends with, so that a run that did not happen is not a fast one.
EXIT_CODE = 7


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--report", action="store_true", help="tell the figures, and never fail for them")
    arguments = parser.parse_args()
    with_crate, bare = (arguments.programs / f"exit-cost-{name}" for name in ("with", "bare"))
    faults, slow, counted, loads = [], [], 0, [os.getloadavg()[0]]
    print(f"{'endpoint':<16}{'uploader':<12}{'without':>10}{'with':>10}{'difference':>12}{'limit':>9}")
    for endpoint in ("receiver", "refused", "never answers"):
        for starts, limit in ((False, LIMIT_NONE_STARTS), (True, LIMIT_ONE_STARTS)):
            for attempt in range(1, ATTEMPTS + 1):
                place = Place(endpoint)
                with Person(with_crate, place.endpoint) as person:
                    pairs, uploader_starts = measure(person, place, bare, arguments.pairs, starts)
                    runs, problem = place.count(person)
                # One more has begun the measurement.
                if problem or runs != arguments.pairs + 1:
                    faults.append(f"{endpoint}: {runs} of {arguments.pairs + 1} runs counted {problem}")
                # An uploader that is about to end takes a run with it now and then.
                if starts and uploader_starts < 0.9 * arguments.pairs:
                    faults.append(f"{endpoint}: only {uploader_starts} of {arguments.pairs} runs started an uploader")
                counted += runs
                loads.append(os.getloadavg()[0])
                times = [statistics.median(column) for column in zip(*pairs)]
                difference = statistics.median(after - before for before, after in pairs)
                print(
                    f"{endpoint:<16}{'starts' if starts else 'is there':<12}"
                    f"{times[0]:>7.2f} ms{times[1]:>7.2f} ms{difference:>+9.3f} ms{limit:>6.1f} ms",
                    flush=True,
                )
                if difference < limit:
                    break
                if attempt == ATTEMPTS:
                    slow.append(f"{endpoint}: {difference:.3f} ms, and {limit} ms is the limit")
    for fault in faults + slow:
        print(fault)
    load, cores = max(loads), os.cpu_count()
    judged = load <= cores and not arguments.report
    print(
        f"exit_cost: {len(loads) - 1} times {arguments.pairs} pairs, {counted} runs counted, {len(slow)} over the limit"
        f"{'' if judged else f' (not judged; the load was {load:.1f} on {cores} cores)'}"
    )
    raise SystemExit(bool(faults or (slow and judged)))


def measure(person, place, bare, pairs, starts):
    """Milliseconds without and with the crate, in pairs; and how many of the runs did start an uploader."""
    if person.run("on").returncode:
        raise SystemExit("telemetry cannot be turned on")
    person.expect(EXIT_CODE)
    if not (eventually(lambda: is_locked(person) or has_backed_off(person))):
        raise SystemExit(f"{place.kind}: the first run started no uploader")
    measured, started = [], 0
    for _ in range(pairs):
        if starts:
            place.send_uploader_away(person)
        pair = [None, None]
        for which in random.sample((0, 1), 2):
            pair[which] = run((bare, person.tool)[which], person)
        measured.append(pair)
        if starts:
            started += eventually(lambda: place.uploader_came(person))
    return measured, started


def eventually(holds, seconds=10):
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.005)
    return bool(held)


def folder(person):
    """The one destination's folder."""
    (lock,) = (person.home / ".local").rglob("uploader.lock")
    return lock.parent


def is_locked(person):
    locks = list((person.home / ".local").rglob("uploader.lock"))
    if not locks:
        return False
    with open(locks[0]) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def has_backed_off(person):
    return any((person.home / ".local").rglob("backoff"))


DISCARD = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]


def run(program, person):
    started = time.perf_counter_ns()
    child = os.posix_spawn(program, [str(program)], person.environment, file_actions=DISCARD)
    _, status = os.waitpid(child, 0)
    took = time.perf_counter_ns() - started
    if os.waitstatus_to_exitcode(status) != EXIT_CODE:
        raise SystemExit(f"{program} ended with {os.waitstatus_to_exitcode(status)}")
    return took / 1e6


class Place:
    """An endpoint, and how the runs that went there are counted."""

    def __init__(self, kind):
        self.kind = kind
        match kind:
            case "receiver":
                self.server = Recorder()
                self.endpoint = self.server.endpoint
            case "refused":
                self.server, port = closed_port()
                self.endpoint = f"http://127.0.0.1:{port}"
            case "never answers":
                self.server = Silent()
                self.endpoint = self.server.endpoint

    def send_uploader_away(self, person):
        """Waits until no uploader runs, and forgets that one backed off."""
        if self.kind == "never answers":
            self.server.hang_up()
        with open(folder(person) / "uploader.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # One that is about to end looks once more, and tries for the lock for 100 ms.
            time.sleep(0.15)
            (folder(person) / "backoff").unlink(missing_ok=True)

    def uploader_came(self, person):
        """Since the last one was sent away: it delivered, was refused, or is connected and waits."""
        match self.kind:
            case "receiver":
                return not person.run_files()
            case "refused":
                return has_backed_off(person)
            case "never answers":
                return bool(self.server.open)

    def count(self, person):
        """Runs that arrived, or that wait whole on disk; and what is wrong with that."""
        if self.kind == "receiver":
            person.expect(0, "flush")
            count = len(self.server.traces())
            problem = "; some wait still" if person.run_files() else ""
        else:
            self.send_uploader_away(person)
            count, problem = len(person.run_files()), ""
        self.server.close()
        return count, problem


main()
