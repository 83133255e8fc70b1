"""The command line of the microbenchmarks, and their table.

What belongs here: options, how long to measure, printing.  What never does: what is measured.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from greenswitch import __version__, _core
from greenswitch.bench import compiled, hub, memory, switcher
from greenswitch.bench.timing import US, Benchmark, measure

PEER = "greenlet"
HUB_PEER = "gevent"
TIMED = (*compiled.BENCHMARKS, *switcher.BENCHMARKS)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    runs: int
    seconds: float
    """Of each run."""

    suspended: int
    """Greenlets whose memory is measured."""


FULL = Effort(runs=9, seconds=0.05, suspended=memory.COUNT)
QUICK = Effort(runs=3, seconds=0.01, suspended=memory.COUNT // 10)


class Impossible(Exception):
    """Why nothing can be measured, in a sentence."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    families = dict.fromkeys(benchmark.family for benchmark in TIMED)
    hub_families = dict.fromkeys(benchmark.family for benchmark in hub.BENCHMARKS)
    parser = argparse.ArgumentParser(
        prog="python -m greenswitch.bench",
        description="Times the stack switcher, beside greenlet, or the hub, beside gevent.",
    )
    parser.add_argument(
        "what", nargs="?", choices=("switcher", "hub"), default="switcher", help="which of the two halves"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument(
        "--only",
        metavar="NAME",
        help=f"one of {', '.join(families)}, {memory.NAME}; of the hub {', '.join(hub_families)};"
        " or one row, like depth-50",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    if options.what == "hub":
        known = [*hub_families, *(benchmark.name for benchmark in hub.BENCHMARKS)]
    else:
        known = [*families, *(benchmark.name for benchmark in TIMED), memory.NAME]
    if options.only not in (None, *known):
        parser.error(f"argument --only: invalid choice: {options.only!r} (choose from {', '.join(known)})")
    return options


def find_peer() -> tuple[Any, str] | None:
    """greenlet and its version, or None where it is not installed."""
    try:
        return importlib.import_module(PEER), importlib.metadata.version(PEER)
    except ImportError:
        return None


def find_hub_peer() -> tuple[hub.Package, str] | None:
    """gevent and its version, or None where it is not installed."""
    try:
        return hub.load(HUB_PEER), importlib.metadata.version(HUB_PEER)
    except ImportError:
        return None


def find_processor() -> str:
    """The processor's model, as far as the kernel tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.machine()


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        measure_what = measure_hub if options.what == "hub" else measure_all
        figures = measure_what(options.only, QUICK if options.quick else FULL)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(figures, file, indent=2)
                file.write("\n")
    except Impossible as impossible:
        print(impossible, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot write the figures to {options.json}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        os.sched_setaffinity(0, cpus)
    return 0


def measure_all(only: str | None, effort: Effort) -> dict[str, Any]:
    """Measure and print, row by row; the figures."""
    chosen = [benchmark for benchmark in TIMED if only in (None, benchmark.name, benchmark.family)]
    if compiled.MISSING is not None:
        possible = [benchmark for benchmark in chosen if benchmark not in compiled.BENCHMARKS]
        if chosen and not possible:
            raise Impossible(compiled.MISSING)
        chosen = possible
    switchers: dict[str, Any] = {US: _core}
    versions = {US: __version__}
    peer = find_peer()
    if peer is not None:
        switchers[PEER], versions[PEER] = peer
    figures = describe(versions, effort)
    show_head(figures, PEER)
    if compiled.MISSING is not None:
        print(compiled.MISSING)
    for row in measure_rows(chosen, switchers, effort):
        add_ratio(row, PEER)
        show(row, switchers)
        figures["rows"].append(row)
    if only in (None, memory.NAME):
        row = measure_memory(switchers, effort)
        add_ratio(row, PEER)
        show(row, switchers)
        figures["rows"].append(row)
    return figures


def measure_hub(only: str | None, effort: Effort) -> dict[str, Any]:
    """The same for the hub's operations."""
    packages = {US: hub.load(US)}
    versions = {US: __version__}
    peer = find_hub_peer()
    if peer is not None:
        packages[HUB_PEER], versions[HUB_PEER] = peer
    figures = describe(versions, effort)
    show_head(figures, HUB_PEER)
    chosen = [benchmark for benchmark in hub.BENCHMARKS if only in (None, benchmark.name, benchmark.family)]
    for row in measure_rows(chosen, packages, effort):
        add_ratio(row, HUB_PEER)
        show(row, packages)
        figures["rows"].append(row)
    return figures


def describe(versions: Mapping[str, str], effort: Effort) -> dict[str, Any]:
    """What is measured, where and how; without rows so far."""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "processor": find_processor(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "versions": versions,
        "runs": effort.runs,
        "rows": [],
    }


def measure_rows(
    chosen: list[Benchmark], switchers: Mapping[str, Any], effort: Effort
) -> Iterator[dict[str, Any]]:
    for benchmark in chosen:
        subjects = {benchmark.alone: _core} if benchmark.alone is not None else switchers
        seen = measure(benchmark, subjects, effort.runs, effort.seconds)
        nanoseconds = {name: [1e9 * value for value in values] for name, values in seen.items()}
        yield as_row(benchmark.name, benchmark.text, "ns", nanoseconds)


def measure_memory(switchers: Mapping[str, Any], effort: Effort) -> dict[str, Any]:
    try:
        seen = {
            name: [memory.memory_in_a_process(api.__name__, effort.suspended)]
            for name, api in switchers.items()
        }
    except subprocess.SubprocessError as error:
        raise Impossible(f"The process that measures memory has failed: {error}") from error
    return as_row(memory.NAME, memory.TEXT, "bytes", seen)


def as_row(name: str, text: str, unit: str, seen: Mapping[str, list[float]]) -> dict[str, Any]:
    """What has been seen, as data."""
    row: dict[str, Any] = {"name": name, "text": text, "unit": unit}
    for who, values in seen.items():
        row[who] = {"best": min(values), "median": statistics.median(values), "worst": max(values)}
    return row


def add_ratio(row: dict[str, Any], peer: str) -> None:
    """That of the best, where there are both."""
    if US in row and peer in row:
        row["ratio"] = row[US]["best"] / row[peer]["best"]


def show_head(figures: dict[str, Any], peer: str) -> None:
    versions = figures["versions"]
    print(", ".join(f"{name} {version}" for name, version in versions.items()), end="")
    print(f" on CPython {figures['python']} ({figures['compiler']})")
    print(f"{figures['processor']}, {figures['system']}, pinned to one core")
    print(f"nanoseconds, best and median of {figures['runs']} runs")
    if peer not in versions:
        name = "gevent" if peer is HUB_PEER else "greenlet"
        print(f"{name} is not installed, so there is nothing to compare with: pip install {name}")
    heads = "".join(f"{name:>13} {'median':>9}" for name in versions)
    print(f"\n{'':14} {'':31}{heads}" + ("    ratio" if peer in versions else ""))


def show(row: dict[str, Any], switchers: Mapping[str, Any]) -> None:
    unit = "" if row["unit"] == "ns" else f", {row['unit']}"
    cells = [
        f"{row[who]['best']:13,.1f} {row[who]['median']:9,.1f}"
        for who in (*switchers, "CPython")
        if who in row
    ]
    if "ratio" in row:
        cells.append(f"{'1/' + format(1 / row['ratio'], '.1f'):>9}")
    print(f"{row['name']:14} {row['text'] + unit:31}" + "".join(cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
