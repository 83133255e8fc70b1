"""Switching registers: greenswitch, Boost.Context's fcontext and the C library's ucontext, in one program.

    python3 benchmarks/context_switch.py [--json FILE]

What belongs here: the machine layers alone, built on the spot from context_switch.cpp and csrc/switch.  What
never does: anything with Python greenlets in it; that is `python -m greenswitch.bench`.

Needs g++ (or the compiler that CXX names) and Boost.Context: libboost-context-dev on Debian and Ubuntu.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [ROOT / "benchmarks" / "context_switch.cpp", ROOT / "csrc" / "bench" / "gs_bench.c"]
SOURCES += [*sorted((ROOT / "csrc" / "stack").glob("*.c")), *sorted((ROOT / "csrc" / "switch").glob("*.S"))]
TEXTS = {
    "greenswitch": "greenswitch, gs_switch",
    "fcontext": "Boost.Context, jump_fcontext",
    "ucontext": "C library, swapcontext",
}
LOOPS = {"same": "one loop", "apart": "two loops"}


def fail(reason: str) -> None:
    """End with a sentence."""
    raise SystemExit(reason)


def check(compiler: list[str]) -> None:
    """That what is needed is here."""
    header = "#include <boost/context/detail/fcontext.hpp>\n"
    try:
        found = subprocess.run(
            [*compiler, "-E", "-x", "c++", "-"],
            input=header,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        fail(f"{compiler[0]!r} cannot be run ({error.strerror}): install g++, or name a compiler in CXX.")
    if found.returncode != 0:
        fail("Boost.Context's headers are not here: install libboost-context-dev (boost-devel on Fedora).")


def build(compiler: list[str], directory: str) -> str:
    """The program, compiled and linked."""
    objects = []
    for source in SOURCES:
        objects.append(str(Path(directory, source.name + ".o")))
        # The C and assembler sources are C to every driver, g++ included, when it is told so.
        language = {".cpp": "c++", ".c": "c", ".S": "assembler-with-cpp"}[source.suffix]
        standard = {".cpp": ["-std=c++17"], ".c": ["-std=c11"], ".S": []}[source.suffix]
        options = ["-O2", "-fPIE", f"-I{ROOT / 'csrc'}", *standard, "-x", language]
        run([*compiler, *options, "-c", str(source), "-o", objects[-1]])
    program = str(Path(directory, "context_switch"))
    run([*compiler, "-pie", *objects, "-lboost_context", "-o", program])
    return program


def run(command: list[str]) -> str:
    """What the command prints; its own words and the end if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        fail(f"{shlex.join(command)} ended with status {done.returncode}.")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Times switches of registers, beside Boost.Context's.")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--runs", metavar="N", type=int, default=9, help="how often to measure each")
    options = parser.parse_args()
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    check(compiler)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    with tempfile.TemporaryDirectory() as directory:
        printed = run([build(compiler, directory), str(options.runs)])
    # One line for each run of each: who, which loops, nanoseconds for a switch.
    seen: dict[str, dict[str, list[float]]] = {}
    for line in printed.splitlines():
        who, loops, nanoseconds = line.split()
        seen.setdefault(who, {}).setdefault(loops, []).append(float(nanoseconds))
    print("nanoseconds for a switch, best and median, pinned to one core")
    print(f"{'':30}" + "".join(f"{text:>20}" for text in LOOPS.values()))
    for who, text in TEXTS.items():
        cells = [
            f"{min(seen[who][loops]):12.1f} {statistics.median(seen[who][loops]):7.1f}" for loops in LOOPS
        ]
        print(f"{text:30}" + "".join(cells))
    if options.json:
        figures = {
            who: {
                loops: {"best": min(values), "median": statistics.median(values), "worst": max(values)}
                for loops, values in rows.items()
            }
            for who, rows in seen.items()
        }
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
