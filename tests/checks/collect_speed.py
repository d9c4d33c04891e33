#!/usr/bin/env python3
"""How fast `collect` is beside the OpenTelemetry Collector with its file exporter, and what each loses when it is killed.

    cargo build --release -p tool-telemetry-collect --bins --examples
    tests/checks/collect_speed.py target/release COLLECTOR [ROUNDS SECONDS]

COLLECTOR is a Collector with the `otlp` receiver and the `file` exporter. It prints the tables of docs/figures.md, in some
seven minutes. The programs take turns, each round with new data, and the client runs on the same machine. What else runs
there slows all of them: compare columns, not days.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

import collect_large
from collect_load import Batching, Collect, Collector, Figures, ROOT, directory, load, start_load, stop, sync_milliseconds

# Connections, and runs in each request.
LOADS = {"500 connections, one run a request": (500, 1), "16 connections, 500 runs a request": (16, 500)}
# Connections, runs in each request, and runs a second.
STEADY = {"100,000 runs/s, 500 a request": (16, 500, 100_000), "5,000 requests/s of one run": (500, 1, 5_000)}


def median(rows, name):
    return statistics.median(getattr(row, name) for row in rows)


def full_speed(kinds, target, rounds, seconds):
    results, syncs = {}, []
    for number in range(rounds):
        for title, (connections, runs) in LOADS.items():
            for kind in kinds:
                with directory() as place:
                    place = pathlib.Path(place)
                    syncs.append(sync_milliseconds(place))
                    server = kind(place)
                    figures = load(target, server, connections, runs, seconds)
                    stop(server)
                    figures.disk = server.bytes() / max(server.kept(), 1)
                    results.setdefault((title, server.name), []).append(figures)
                    print(f"round {number}: {title}, {server.name}: {figures.rate:.0f} runs/s, {figures.cpu} µs, load "
                          f"{os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(f"A sync of 4 KiB: {statistics.median(syncs):.2f} ms (median; {min(syncs):.2f} to {max(syncs):.2f}).\n")
    print("| | | runs/s | 99 % | CPU a run | peak memory | disk a run |\n| --- | --- | --- | --- | --- | --- | --- |")
    for (title, name), rows in results.items():
        best, least = max(row.rate for row in rows), min(row.late for row in rows)
        print(f"| {title} | {name} | {median(rows, 'rate'):,.0f} ({best:,.0f}) | {median(rows, 'late'):.0f} ({least:.0f}) ms "
              f"| {median(rows, 'cpu'):.1f} µs | {median(rows, 'memory'):.0f} MB | {median(rows, 'disk'):.0f} B |")


def steady(kinds, target, seconds):
    print("\n| | | 50 % | 99 % | longest | CPU a run |\n| --- | --- | --- | --- | --- | --- |")
    for title, (connections, runs, rate) in STEADY.items():
        for kind in kinds:
            with directory() as place:
                server = kind(pathlib.Path(place))
                figures = load(target, server, connections, runs, seconds, rate)
                stop(server)
            reached = "" if figures.rate > 0.97 * rate else f" (only {figures.rate:,.0f} runs/s)"
            print(f"| {title}{reached} | {server.name} | {figures.median:.1f} ms | {figures.late:.1f} ms | {figures.longest:.0f} ms "
                  f"| {figures.cpu:.1f} µs |", flush=True)


def killed(kinds, target):
    print()
    for kind in kinds:
        with directory() as place:
            server = kind(pathlib.Path(place))
            running = start_load(target, server, 16, 500, 30)
            time.sleep(5)
            server.process.kill()
            server.process.wait()
            answered = Figures(running.communicate()[0]).answered
            print(f"Killed at full load: {server.name} had answered {answered:,.0f} runs and kept {server.kept():,}.", flush=True)


def main():
    target, collector = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    rounds, seconds = (int(argument) for argument in sys.argv[3:5]) if len(sys.argv) > 4 else (3, 8)
    kinds = [lambda place: Collect(target, place), lambda place: Collector(collector, place),
             lambda place: Batching(collector, place)]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    print(f"`{commit}`, {time.strftime('%-d %B %Y')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; {rounds} "
          f"interleaved rounds of {seconds} s, medians, and the best round in parentheses.\n")
    full_speed(kinds, target, rounds, seconds)
    steady(kinds, target, seconds)
    killed(kinds, target)
    print()
    with directory() as place:
        for miss in collect_large.measure(target, pathlib.Path(place)):
            print(f"missed: {miss}")


if __name__ == "__main__":
    main()
