"""Everything that is measured, side by side, written down: RESULTS.md with its plots.

    python3 benchmarks/results.py [--only PART,...] [--quick] [--out FOLDER]

The parts are switches of registers in C, the microbenchmarks of the switcher and of the hub, tasks that wait
for each other, servers of echoes and of WSGI, and four series that are plotted. In one interpreter, the one
that runs this; on one core, but for the load on the servers. What is not installed is left out, and the file
says which versions of what were there. Plots need matplotlib: the extra `benchmarks`.

What belongs here: having the others measure, the series, the tables and plots. What never does: what is
measured once (`python -m greenswitch.bench`, context_switch.py, tasks.py, echo.py, wsgi.py).
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from greenswitch import _core
from greenswitch.bench import memory, switcher
from greenswitch.bench.__main__ import find_processor
from greenswitch.bench.timing import US, Benchmark, measure

HERE = Path(__file__).resolve().parent
PACKAGES = ("greenswitch", "greenlet", "gevent", "eventlet", "uvloop", "httptools")

DEPTHS = (0, 5, 10, 20, 50, 100, 200)
NUMBERS = (2, 10, 100, 1_000, 10_000, 100_000)
CONNECTIONS = (10, 50, 200, 1_000, 4_000, 10_000)


class Plot(NamedTuple):
    """A series as a picture."""

    file: str
    title: str
    x: str
    y: str
    points: dict[str, list[tuple[float, float]]]
    """Of each subject."""


class Part(NamedTuple):
    """What stands in the file."""

    title: str
    text: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    plot: Plot | None = None


class LeftOut(Exception):
    """Something that a part needs is not on this machine; what is said of it."""


def have(script: Iterable[str], quick: bool, quickly: Iterable[str]) -> Any:
    """What a script that is given `--json FILE` writes there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        done = subprocess.run(
            [sys.executable, *script, *(quickly if quick else ()), "--json", str(file)],
            cwd=folder,  # `-m` looks there first, and in the repository finds the source
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode == 1 and "Traceback" not in done.stderr:
            raise LeftOut(done.stderr.strip().splitlines()[-1])
        sys.stderr.write(done.stderr)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(script)} has failed with status {done.returncode}.")
        return json.loads(file.read_text(encoding="utf-8"))


def number(value: float) -> str:
    """Three figures, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(figures: Mapping[str, float]) -> str:
    """The median, and how far the runs were apart."""
    return f"{number(figures['median'])} ({number(figures['best'])} to {number(figures['worst'])})"


def ratio(ours: Mapping[str, float], theirs: Mapping[str, float] | None) -> str:
    return "" if theirs is None else f"1/{theirs['median'] / ours['median']:.1f}"


# Tables of what others measure


def microbenchmarks(what: str, peer: str, title: str, text: str, quick: bool) -> Part:
    figures = have(["-m", "greenswitch.bench", what], quick, ["--quick"])
    rows = []
    for row in figures["rows"]:
        subjects = [row.get(name) for name in (US, peer, "CPython")]
        ours = subjects[0]
        cells = ["" if one is None else spread(one) for one in subjects[:2]]
        if ours is None:
            # Of the interpreter's own, for scale.
            cells[0] = spread(subjects[2])
        rows.append((row["text"], row["unit"], *cells, "" if ours is None else ratio(ours, subjects[1])))
    return Part(title, text, ("", "", US, peer, "ratio"), rows)


def of_registers(quick: bool) -> Part:
    figures = have([str(HERE / "context_switch.py")], quick, ["--runs", "2"])
    rows = [(who, *(spread(row) for row in rows.values())) for who, rows in figures.items()]
    text = (
        "`benchmarks/context_switch.py`: nanoseconds for a switch in C. Two places wait in the same loop, as"
        " two greenlets wait in the same line of the switcher, or in two loops."
    )
    return Part("Registers", text, ("", "one loop", "two loops"), rows)


def of_switcher(quick: bool) -> Part:
    text = "`python -m greenswitch.bench`: median of the runs, and the least and the most of them."
    return microbenchmarks("switcher", "greenlet", "The switcher", text, quick)


def of_hub(quick: bool) -> Part:
    text = "`python -m greenswitch.bench hub`: in the same way."
    return microbenchmarks("hub", "gevent", "The hub", text, quick)


def of_tasks(quick: bool) -> Part:
    figures = have([str(HERE / "tasks.py")], quick, ["--rounds", "2", "--seconds", "0.05"])
    names = list(dict.fromkeys(name for by_name in figures.values() for name in by_name))
    rows = [
        (row, *(spread(by_name[name]) if name in by_name else "" for name in names))
        for row, by_name in figures.items()
    ]
    text = "`benchmarks/tasks.py`: nanoseconds for one, each round in a process of its own."
    return Part("Tasks that wait for each other", text, ("", *names), rows)


def of_echo(quick: bool) -> Part:
    connections = CONNECTIONS[:2] if quick else CONNECTIONS
    figures = have(
        [str(HERE / "echo.py"), "--connections", ",".join(map(str, connections))],
        quick,
        ["--seconds", "0.5", "--rounds", "1"],
    )
    rows, points = [], dict[str, list[tuple[float, float]]]()
    for count, by_name in figures.items():
        for name, one in by_name.items():
            points.setdefault(name, []).append((float(count), one["cpu"]))
            cells = (number(one["cpu"]), number(one["rate"]), number(one["p99"]), number(one["memory"]))
            rows.append((f"{int(count):,}", name, *cells))
    plot = Plot("echo", "Echo server", "connections", "us of the server's core per request", points)
    heads = (
        "connections",
        "server",
        "us of CPU per request",
        "requests/s",
        "p99, us",
        "bytes per connection",
    )
    return Part("Echo server", "`benchmarks/echo.py`: messages of 64 bytes.", heads, rows, plot)


def of_wsgi(quick: bool) -> Part:
    figures = have([str(HERE / "wsgi.py")], quick, ["--seconds", "1", "--rounds", "1"])
    rows = [
        (f"{int(count):,}", name, number(one["cpu"]), number(one["rate"]), number(one["p99"]))
        for count, by_name in figures.items()
        for name, one in by_name.items()
    ]
    heads = ("connections", "server", "us of CPU per request", "requests/s", "p99, us")
    return Part("WSGI server", "`benchmarks/wsgi.py`, loaded by wrk.", heads, rows)


# Series


def switchers() -> dict[str, Any]:
    found: dict[str, Any] = {US: _core}
    try:
        found["greenlet"] = importlib.import_module("greenlet")
    except ImportError:
        pass
    return found


def timed_series(
    file: str, title: str, x: str, text: str, benchmarks: dict[int, Benchmark], quick: bool
) -> Part:
    """Of the switcher, on one core."""
    subjects = switchers()
    rows, points = [], {name: list[tuple[float, float]]() for name in subjects}
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        for position, benchmark in benchmarks.items():
            seen = measure(benchmark, subjects, 2 if quick else 7, 0.01 if quick else 0.05)
            figures = {
                name: {
                    "median": 1e9 * statistics.median(values),
                    "best": 1e9 * min(values),
                    "worst": 1e9 * max(values),
                }
                for name, values in seen.items()
            }
            for name, one in figures.items():
                points[name].append((position, one["median"]))
            cells = [spread(one) for one in figures.values()]
            rows.append((f"{position:,}", *cells, ratio(figures[US], figures.get("greenlet"))))
    finally:
        os.sched_setaffinity(0, cpus)
    return Part(title, text, (x, *subjects, "ratio"), rows, Plot(file, title, x, "ns per switch", points))


def of_depth(quick: bool) -> Part:
    benchmarks = {
        depth: Benchmark(
            f"depth-{depth}",
            "",
            switcher.two(switcher.drive_nothing, switcher.answer_nothing, switcher.at_depth(depth)),
        )
        for depth in (DEPTHS[:2] if quick else DEPTHS)
    }
    text = "Nanoseconds for a switch between two greenlets, one of them below so many Python frames."
    return timed_series("depth", "Switch against depth", "Python frames", text, benchmarks, quick)


def of_number(quick: bool) -> Part:
    benchmarks = {
        size: Benchmark(f"ring-{size}", "", switcher.ring(size))
        for size in (NUMBERS[:3] if quick else NUMBERS)
    }
    text = "Nanoseconds for a switch in a ring of so many greenlets, each of which knows its neighbour only."
    return timed_series("number", "Switch against number", "greenlets", text, benchmarks, quick)


def of_memory(quick: bool) -> Part:
    rows, points = [], dict[str, list[tuple[float, float]]]()
    subjects = {name: api.__name__ for name, api in switchers().items()}
    for count in NUMBERS[3:4] if quick else NUMBERS[3:]:
        each = {name: memory.memory_in_a_process(module, count) for name, module in subjects.items()}
        for name, size in each.items():
            points.setdefault(name, []).append((count, size * count / 2**20))
        theirs = each.get("greenlet")
        last = "" if theirs is None else f"1/{theirs / each[US]:.1f}"
        rows.append((f"{count:,}", *(number(size) for size in each.values()), last))
    plot = Plot("memory", "Memory against number", "suspended greenlets", "MiB", points)
    text = "Bytes for each of so many greenlets that are suspended."
    return Part("Memory against number", text, ("greenlets", *subjects, "ratio"), rows, plot)


PARTS: dict[str, Callable[[bool], Part]] = {
    "registers": of_registers,
    "switcher": of_switcher,
    "depth": of_depth,
    "number": of_number,
    "memory": of_memory,
    "hub": of_hub,
    "tasks": of_tasks,
    "echo": of_echo,
    "wsgi": of_wsgi,
}


# The file


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def head() -> list[str]:
    machine = f"{find_processor()}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    system = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    return [
        "# Measured",
        "",
        f"By `python3 benchmarks/results.py` on {datetime.date.today()}: {machine}; {system}; {python};"
        f" {versions()}.",
    ]


def table(part: Part, draws: bool) -> list[str]:
    lines = ["", f"## {part.title}", "", part.text, ""]
    lines.append(f"| {' | '.join(part.heads)} |")
    lines.append("|" + "---|" * len(part.heads))
    lines += [f"| {' | '.join(row)} |" for row in part.rows]
    if part.plot is not None and draws:
        lines += ["", f"![{part.plot.title}](plots/{part.plot.file}.svg)"]
    return lines


def draw(plot: Plot, folder: Path, pyplot: Any) -> None:
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, points in plot.points.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    # A depth of nothing has no place on a logarithmic scale.
    axes.set_xscale("symlog" if any(x == 0 for points in plot.points.values() for x, _ in points) else "log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.set_title(plot.title)
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    # Without the moment of its making, so that what has not changed stays the same file.
    figure.savefig(folder / f"{plot.file}.svg", metadata={"Date": None})
    pyplot.close(figure)


def drawing() -> Any:
    """matplotlib's pyplot, that draws into files; None where it is not installed."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError:
        print("matplotlib is not installed, so there are no plots: pip install 'greenswitch[benchmarks]'")
        return None
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "greenswitch"
    return importlib.import_module("matplotlib.pyplot")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures everything, and writes RESULTS.md with its plots.")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to")
    options = parser.parse_args()
    chosen = options.only.split(",")
    for name in chosen:
        if name not in PARTS:
            parser.error(f"no part {name!r}: {', '.join(PARTS)}")
    pyplot = drawing()
    (options.out / "plots").mkdir(parents=True, exist_ok=True)
    lines = head()
    for name in chosen:
        print(name, flush=True)
        try:
            part = PARTS[name](options.quick)
        except LeftOut as reason:
            print(reason, file=sys.stderr)
            lines += ["", f"## {name.capitalize()}", "", f"Left out: {reason}"]
            continue
        lines += table(part, pyplot is not None)
        if part.plot is not None and pyplot is not None:
            draw(part.plot, options.out / "plots", pyplot)
    (options.out / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
