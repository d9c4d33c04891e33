#!/usr/bin/env python3
"""What telemetry adds to a whole process, compared with the same program without the crate.

    exit_cost.py DIRECTORY-WITH-BOTH-PROGRAMS [--pairs N]

The limits apply to figures that repeat on any machine: system calls (strace), instructions (valgrind's callgrind), and page
faults, each the median of several runs. Then both programs run in pairs, in random order, with a receiver, a port that
refuses connections, and one that never answers. The runs are counted, and the times are printed without a limit.
"""

import argparse
import fcntl
import os
import pathlib
import random
import re
import statistics
import subprocess
import time

from test_user import TestUser, closed_port
from recorder import Recorder, Silent

# The most system calls, instructions, and page faults that the crate may add. The comments have the figures of November 2026
# (`.ci/checks`). Calls and instructions are the same in each run, page faults differ by up to 7; the rest is a margin for
# other versions of the compiler and the C library.
LIMITS = {
    "opted out": (0, 117_000, 36),  # 0; 106,531; 29: mostly the loader's, because the program has 4 MB instead of 0.5
    "backing off": (49, 229_000, 47),  # 49; 208,330; 40
    "working": (50, 229_000, 48),  # 50; 208,920; 41
    "starting": (62, 279_000, 48),  # 62; 253,656; 41
}
# One run in 64 also enforces the limits of the spool; the median excludes it.
REPEATS = {"system calls": 9, "instructions": 3, "page faults": 15}
# The exit code of the programs, so that a program that failed does not count as a fast one.
EXIT_CODE = 7


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=40)
    arguments = parser.parse_args()
    programs = [(arguments.programs / f"exit-cost-{name}").resolve() for name in ("bare", "with")]
    faults = check_repeatable_figures(*programs)
    faults += print_times(*programs, arguments.pairs)
    for fault in faults:
        print(fault)
    print(f"exit_cost: {len(faults)} faults")
    raise SystemExit(bool(faults))


def check_repeatable_figures(bare, with_crate):
    faults = []
    print(f"{'':<16}{'':<14}{'without':>12}{'with':>12}{'difference':>12}{'limit':>12}")
    for scene, limits in LIMITS.items():
        for (what, count), limit in zip(COUNTS.items(), limits):
            figures = []
            for program in (bare, with_crate):
                counted = []
                for _ in range(REPEATS[what]):
                    with Scene(scene, with_crate) as user:
                        counted.append(count(program, user))
                figures.append(int(statistics.median(counted)))
            difference = figures[1] - figures[0]
            print(
                f"{scene:<16}{what:<14}{figures[0]:>12,}{figures[1]:>12,}{difference:>+12,}{limit:>12,}", flush=True
            )
            if difference > limit:
                faults.append(f"{scene}: {difference:,} more {what}, and the limit is {limit:,}")
    return faults


class Scene(TestUser):
    """A user who opted out, whose uploader backed off, whose uploader is working, or whose run starts one."""

    def __init__(self, scene, tool):
        self.bound, port = closed_port()
        super().__init__(tool, f"http://127.0.0.1:{port}")
        self.scene, self.lock = scene, None

    def __enter__(self):
        self.expect(0, "on")
        if self.scene == "opted out":
            self.environment["DO_NOT_TRACK"] = "1"
            return self
        # The first run creates the directories, and its uploader is refused.
        self.expect(EXIT_CODE)
        if not eventually(lambda: has_backed_off(self)):
            raise SystemExit("the first run started no uploader")
        if self.scene != "backing off":
            # Python's descriptors are not inherited, so only this process holds the lock.
            self.lock = open(spool(self) / "uploader.lock")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            (spool(self) / "backoff").unlink()
        if self.scene == "starting":
            self.lock.close()
        return self

    def __exit__(self, *end):
        if self.lock:
            self.lock.close()
        super().__exit__(*end)
        self.bound.close()


def run_under(words, program, user):
    done = subprocess.run([*words, program], env=user.environment, cwd=user.home, capture_output=True)
    if done.returncode != EXIT_CODE:
        raise SystemExit(f"{words[0]} {program}: ended with {done.returncode}: {done.stderr.decode()}")


def system_calls(program, user):
    run_under(["strace", "-qq", "-o", user.home / "calls"], program, user)
    return sum(re.match(r"[a-z]\w*\(", line) is not None for line in open(user.home / "calls", errors="replace"))


def instructions(program, user):
    out = user.home / "callgrind"
    run_under(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}.%p", "-q"], program, user)
    # A child that starts an uploader writes a file of its own. All of them delay the command.
    files = list(user.home.glob("callgrind.*"))
    return sum(int(re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)[1]) for file in files)


def page_faults(program, user):
    child = os.posix_spawn(program, [str(program)], user.environment, file_actions=DISCARD)
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) != EXIT_CODE:
        raise SystemExit(f"{program} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_minflt


COUNTS = {"system calls": system_calls, "instructions": instructions, "page faults": page_faults}


def print_times(bare, with_crate, number_of_pairs):
    faults = []
    print(f"{'endpoint':<16}{'uploader':<14}{'without':>12}{'with':>12}{'difference':>12}")
    for endpoint in ("receiver", "refused", "never answers"):
        for starts in (False, True):
            target = Target(endpoint)
            with TestUser(with_crate, target.endpoint) as user:
                pairs, uploader_starts = measure(user, target, bare, number_of_pairs, starts)
                runs, problem = target.count(user)
            # One run precedes the measurement.
            if problem or runs != number_of_pairs + 1:
                faults.append(f"{endpoint}: {runs} of {number_of_pairs + 1} runs counted {problem}")
            # An uploader that is about to end sometimes takes a run with it.
            if starts and uploader_starts < 0.9 * number_of_pairs:
                faults.append(f"{endpoint}: only {uploader_starts} of {number_of_pairs} runs started an uploader")
            times = [statistics.median(column) for column in zip(*pairs)]
            difference = statistics.median(after - before for before, after in pairs)
            print(
                f"{endpoint:<16}{'starts' if starts else 'running':<14}"
                f"{times[0]:>9.2f} ms{times[1]:>9.2f} ms{difference:>+9.3f} ms",
                flush=True,
            )
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"Medians of {number_of_pairs} pairs; the load was {load:.1f} on {cores} cores.")
    return faults


def measure(user, target, bare, pairs, starts):
    """Pairs of milliseconds without and with the crate, and how many runs started an uploader."""
    if user.run("on").returncode:
        raise SystemExit("telemetry cannot be turned on")
    user.expect(EXIT_CODE)
    if not (eventually(lambda: is_locked(user) or has_backed_off(user))):
        raise SystemExit(f"{target.kind}: the first run started no uploader")
    measured, started = [], 0
    for _ in range(pairs):
        if starts:
            target.send_uploader_away(user)
        pair = [None, None]
        for which in random.sample((0, 1), 2):
            pair[which] = run((bare, user.tool)[which], user)
        measured.append(pair)
        if starts:
            started += eventually(lambda: target.uploader_came(user))
    return measured, started


def eventually(holds, seconds=10):
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.005)
    return bool(held)


def spool(user):
    """The spool of the only destination."""
    (lock,) = (user.home / ".local").rglob("uploader.lock")
    return lock.parent


def is_locked(user):
    locks = list((user.home / ".local").rglob("uploader.lock"))
    if not locks:
        return False
    with open(locks[0]) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def has_backed_off(user):
    return any((user.home / ".local").rglob("backoff"))


DISCARD = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]


def run(program, user):
    started = time.perf_counter_ns()
    child = os.posix_spawn(program, [str(program)], user.environment, file_actions=DISCARD)
    _, status = os.waitpid(child, 0)
    took = time.perf_counter_ns() - started
    if os.waitstatus_to_exitcode(status) != EXIT_CODE:
        raise SystemExit(f"{program} ended with {os.waitstatus_to_exitcode(status)}")
    return took / 1e6


class Target:
    """An endpoint, and how its runs are counted."""

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

    def send_uploader_away(self, user):
        """Waits until no uploader runs, and deletes the backoff."""
        if self.kind == "never answers":
            self.server.hang_up()
        with open(spool(user) / "uploader.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # An uploader that is about to end retries the lock for 100 ms.
            time.sleep(0.15)
            (spool(user) / "backoff").unlink(missing_ok=True)

    def uploader_came(self, user):
        """Whether a new uploader delivered, was refused, or is connected."""
        match self.kind:
            case "receiver":
                return not user.run_files()
            case "refused":
                return has_backed_off(user)
            case "never answers":
                return bool(self.server.open)

    def count(self, user):
        """The number of runs that arrived or are pending, and the problem if there is one."""
        if self.kind == "receiver":
            user.expect(0, "flush")
            count = len(self.server.traces())
            problem = "; some are still pending" if user.run_files() else ""
        else:
            self.send_uploader_away(user)
            count, problem = len(user.run_files()), ""
        self.server.close()
        return count, problem


main()
