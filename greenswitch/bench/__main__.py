"""The command line of the microbenchmarks, and their table.

What belongs here: options, how often to measure, printing.  What never does: what is measured.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from typing import Any

from greenswitch import __version__, _core
from greenswitch.bench import switcher

RUNS = 7
QUICK_RUNS = 3
QUICK_SHARE = 10
PEER = "greenlet"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    names = [benchmark.name for benchmark in switcher.TIMED] + [switcher.MEMORY_NAME]
    parser = argparse.ArgumentParser(
        prog="python -m greenswitch.bench",
        description="Times the stack switcher, beside greenlet where it is installed.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--only", metavar="NAME", choices=names, help="one of: " + ", ".join(names))
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    return parser.parse_args(arguments)


def find_peer() -> tuple[Any, str] | None:
    """greenlet and its version, or None where it is not installed."""
    try:
        return importlib.import_module(PEER), importlib.metadata.version(PEER)
    except ImportError:
        return None


def measure_times(
    benchmark: switcher.Benchmark, modules: dict[str, Any], quick: bool
) -> dict[str, list[float]]:
    """Nanoseconds of several runs, turn and turn about so that a noisy moment hits all alike."""
    count = benchmark.count // QUICK_SHARE if quick else benchmark.count
    seen: dict[str, list[float]] = {name: [] for name in modules}
    for module in modules.values():
        benchmark.function(module, count // 10)
    for _ in range(QUICK_RUNS if quick else RUNS):
        for name, module in modules.items():
            seen[name].append(benchmark.function(module, count) * 1e9)
    return seen


def measure_memory(modules: dict[str, Any], quick: bool) -> dict[str, list[float]]:
    count = switcher.MEMORY_COUNT // QUICK_SHARE if quick else switcher.MEMORY_COUNT
    return {name: [switcher.memory_in_a_process(module.__name__, count)] for name, module in modules.items()}


def show(name: str, text: str, unit: str, seen: dict[str, list[float]]) -> dict[str, Any]:
    """Print one row; return it as data."""
    row: dict[str, Any] = {"name": name, "text": text, "unit": unit}
    cells = []
    for who, values in seen.items():
        row[who] = {"best": min(values), "median": statistics.median(values)}
        cells.append(f"{min(values):10,.1f} {statistics.median(values):10,.1f}")
    if PEER in seen:
        row["ratio"] = min(seen["greenswitch"]) / min(seen[PEER])
        cells.append(f"{row['ratio']:8.3f}  (1/{1 / row['ratio']:.1f})")
    print(f"{text:32} {unit:5} " + "  ".join(cells), flush=True)
    return row


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        figures = measure(options.only, options.quick)
    finally:
        os.sched_setaffinity(0, cpus)
    if options.json:
        try:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(figures, file, indent=2)
        except OSError as error:
            print(f"cannot write the figures to {options.json}: {error.strerror}", file=sys.stderr)
            return 1
    return 0


def measure(only: str | None, quick: bool) -> dict[str, Any]:
    """Measure and print, row by row; return the figures."""
    modules: dict[str, Any] = {"greenswitch": _core}
    versions = {"greenswitch": __version__}
    peer = find_peer()
    if peer is not None:
        modules[PEER], versions[PEER] = peer
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"CPython {platform.python_version()}, {platform.platform()}, pinned to one core; {named}")
    if peer is None:
        print("greenlet is not installed, so there is nothing to compare with: pip install greenlet")
    heads = "  ".join(f"{name + ': best':>10} {'median':>10}" for name in modules)
    print(f"{'':32} {'':5} {heads}" + ("     ratio" if peer is not None else ""))
    rows = []
    for benchmark in switcher.TIMED:
        if only in (None, benchmark.name):
            seen = measure_times(benchmark, modules, quick)
            rows.append(show(benchmark.name, benchmark.text, "ns", seen))
    if only in (None, switcher.MEMORY_NAME):
        seen = measure_memory(modules, quick)
        rows.append(show(switcher.MEMORY_NAME, switcher.MEMORY_TEXT, "bytes", seen))
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "versions": versions,
        "rows": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
