#!/usr/bin/env python3
"""What a store of ten million runs costs: its start, its memory, and how long requests wait.

    cargo build --release -p tool-telemetry-collect --bins --examples
    tests/checks/collect_large.py target/release [RUNS]

Where libfaketime is installed, the day ends afterwards, and its runs are merged while requests come in.
"""

import pathlib
import sys
import time

from collect_load import Collect, Figures, directory, load, start_load, stop

# Debian's package `faketime` has it here. The program `faketime` would not hand a signal on.
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# Seconds, from a warm cache; bytes; and milliseconds.
MOST_SECONDS, MOST_BYTES, MOST_PAUSE = 2, 10, 15


def wait_for_ids(server):
    """The numbers of an idle server, which then says how large its index is."""
    for _ in range(1200):
        metrics = server.metrics()
        if metrics["index_traces"] > 0:
            return metrics
        time.sleep(0.05)
    sys.exit("the server never came to rest")


def under_load(target, server, seconds):
    """50,000 runs a second in batches, and a sender of single runs. Returns what each measured."""
    batches = start_load(target, server, 16, 500, seconds, 50_000)
    single = load(target, server, 4, 1, seconds, 200)
    return Figures(batches.communicate()[0]), single


def measure(target, place, runs=10_000_000, seconds=10):
    """Prints the figures of a large store, and returns those that miss their aim."""
    server = Collect(target, place)
    began, kept = time.monotonic(), 0
    while kept < runs:
        kept += load(target, server, 16, 500, 5).answered
    rate = kept / (time.monotonic() - began)
    longest = server.metrics()
    stop(server)
    print(f"{kept:,.0f} runs at {rate:,.0f} a second; longest commit {1000 * longest['commit_seconds_longest']:.0f} ms, "
          f"{server.bytes() / kept:.1f} bytes a run on disk")
    starts = []
    for _ in range(3):
        server = Collect(target, place)
        starts.append(server.seconds_to_start)
        metrics = wait_for_ids(server)
        if len(starts) < 3:
            stop(server)
    of_id = metrics["index_bytes"] / metrics["index_traces"]
    batches, single = under_load(target, server, seconds)
    metrics = server.metrics()
    commit, step = (1000 * metrics[f"{name}_seconds_longest"] for name in ("commit", "maintenance"))
    stop(server)
    print(f"start {', '.join(f'{start:.2f}' for start in starts)} s; {of_id:.2f} bytes an id; {single.memory:.0f} MB")
    print(f"at 50,000 runs/s in batches and 200 requests/s of one run: 99 % {batches.late:.1f} and {single.late:.1f} ms, longest "
          f"{batches.longest:.1f} and {single.longest:.1f} ms; longest commit {commit:.1f} ms, longest step of maintenance {step:.1f} ms",
          flush=True)
    aims = [("start", min(starts), MOST_SECONDS), ("bytes an id", of_id, MOST_BYTES),
            ("pause", max(commit, step), MOST_PAUSE)]
    return [f"{name}: {figure:.1f}, the aim is {aim}" for name, figure, aim in aims if figure > aim]


def merge(target, place, seconds=60):
    """The next day: its first requests come while the runs of the last one are merged."""
    server = Collect(target, place, "env", f"LD_PRELOAD={FAKETIME}", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME=+1d")
    batches, single = under_load(target, server, seconds)
    metrics = server.metrics()
    commit, step = (1000 * metrics[f"{name}_seconds_longest"] for name in ("commit", "maintenance"))
    print(f"while a day is merged: 99 % {batches.late:.1f} and {single.late:.1f} ms, longest {batches.longest:.1f} and "
          f"{single.longest:.1f} ms; longest commit {commit:.1f} ms, longest step of maintenance {step:.1f} ms", flush=True)
    stop(server)
    return [f"step of maintenance: {step:.1f}, the aim is {MOST_PAUSE}"] if step > MOST_PAUSE else []


def main():
    target = pathlib.Path(sys.argv[1]).resolve()
    with directory() as place:
        place = pathlib.Path(place)
        misses = measure(target, place, int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000)
        if FAKETIME:
            misses += merge(target, place)
    for miss in misses:
        print(f"missed: {miss}")
    # Times depend on what else the machine does.
    sys.exit(any(miss.startswith("bytes") for miss in misses))


if __name__ == "__main__":
    main()
