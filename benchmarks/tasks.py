"""Tasks that wait for each other in memory: greenswitch, gevent, eventlet, asyncio, uvloop and threads.

    python3 benchmarks/tasks.py [--rounds 5] [--seconds 0.3] [--only NAME,...] [--json FILE]

For each operation the nanoseconds that one takes, the least of the rounds, on one core; each round and each
means is a process of its own, and the means take turns. What is not installed is left out, with a line that
says so.

`python -m greenswitch.bench hub` has more operations, for greenswitch and gevent alone.

What belongs here: running them, and the table. What never does: the operations (`_tasks`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import _servers
import _tasks

HERE = Path(__file__).resolve().parent


def measure(name: str, seconds: float, core: int | None) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "_tasks.py"), name, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: None if core is None else _servers.pin(core),
    )
    if done.returncode:
        raise SystemExit(f"{name} has failed")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def show(results: dict[str, dict[str, dict[str, float]]], names: list[str]) -> None:
    print(f"{'ns, the least':22}" + "".join(f"{name:>13}" for name in names))
    for row, by_name in results.items():
        cells = [f"{by_name[name]['best']:13,.0f}" if name in by_name else f"{'-':>13}" for name in names]
        print(f"{row:22}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description="Tasks that wait for each other, side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each operation")
    parser.add_argument("--only", default=",".join(_tasks.SUBJECTS))
    parser.add_argument("--json")
    options = parser.parse_args()
    names = []
    for name in options.only.split(","):
        if name not in _tasks.SUBJECTS:
            parser.error(f"nothing is called {name!r}: {', '.join(_tasks.SUBJECTS)}")
        if _tasks.is_missing(name):
            print(f"{name} is left out: it is not installed", file=sys.stderr)
        else:
            names.append(name)
    seen: dict[str, dict[str, list[float]]] = {row: {} for row in _tasks.ROWS}
    for _ in range(options.rounds):
        for name in names:
            for row, figure in measure(name, options.seconds, _servers.cores()[0]).items():
                seen[row].setdefault(name, []).append(figure)
    results = {
        row: {
            name: {"best": min(figures), "median": statistics.median(figures), "worst": max(figures)}
            for name, figures in by_name.items()
        }
        for row, by_name in seen.items()
    }
    show(results, names)
    print("\n" + "\n".join(f"{row}: {text}" for row, text in _tasks.ROWS.items()))
    _servers.write(options.json, results)


if __name__ == "__main__":
    main()
