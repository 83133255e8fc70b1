"""Echo servers: greenswitch, gevent, eventlet, asyncio's streams, the same on uvloop, threads, C on epoll.

    python3 benchmarks/echo.py [--connections 50,1000,10000] [--size 64] [--seconds 3] [--rounds 3]
                               [--only NAME,...] [--json FILE]

For each server and number of connections: microseconds of the server's core per request, requests a second
with one core for it, the time that 99 of a hundred requests stayed below, and memory per connection. The
rounds go through all servers, and the best of each counts: what else the machine does only makes it worse.

What belongs here: driving echo_load.c, and the table. What never does: the servers (`_servers`,
echo_epoll.c).

Needs a C compiler (cc, or what CC names). What is not installed is left out, with a line that says so.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import _servers

HERE = Path(__file__).resolve().parent
NAMES = [*_servers.ECHO, "c"]
MOST_THREADS = 2000


class Figures(NamedTuple):
    """Of one server with one number of connections."""

    cpu: float
    """Microseconds per request"""
    rate: float
    """Requests per second"""
    p99: float
    """Microseconds"""
    memory: float
    """Bytes per connection"""


def compile_c(folder: str) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for name in ("echo_load", "echo_epoll"):
        source, program = str(HERE / f"{name}.c"), str(Path(folder, name))
        try:
            done = subprocess.run(
                [*compiler, "-O2", "-o", program, source], stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise SystemExit(
                f"{compiler[0]!r} cannot be run ({error.strerror}): install a C compiler."
            ) from None
        if done.returncode:
            raise SystemExit(f"{name}.c does not compile:\n{done.stderr}")


def measure(name: str, connections: int, size: int, seconds: float, folder: str) -> Figures:
    ours, theirs = _servers.cores()
    command = [str(Path(folder, "echo_epoll"))] if name == "c" else _servers.command("echo", name)
    with _servers.serving(command, ours) as server:
        before = server.memory()
        load = subprocess.Popen(
            [str(Path(folder, "echo_load")), str(server.port), str(connections), str(size), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: None if theirs is None else _servers.pin(theirs),
        )
        assert load.stdout is not None
        said = []
        for word in ("begin", "end"):
            if load.stdout.readline() != f"{word}\n":
                raise SystemExit(f"{name}, {connections} connections: the load has failed")
            said.append(server.cpu())
        memory = server.memory() - before
        answered, _, p99, _ = map(float, load.communicate()[0].split())
    return Figures((said[1] - said[0]) / answered * 1e6, answered / seconds, p99, memory / connections)


def better(old: Figures | None, new: Figures) -> Figures:
    return new if old is None or new.cpu < old.cpu else old


def show(results: dict[int, dict[str, Figures]]) -> None:
    for connections, by_name in results.items():
        print(f"\n{connections} connections")
        print(f"{'':14}{'us of CPU':>12}{'of gevent':>12}{'requests/s':>12}{'p99, us':>12}{'bytes each':>12}")
        gevent = by_name.get("gevent")
        for name, figures in by_name.items():
            ratio = f"{figures.cpu / gevent.cpu:12.2f}" if gevent else " " * 12
            print(
                f"{name:14}{figures.cpu:12.2f}{ratio}{figures.rate:12.0f}{figures.p99:12.0f}{figures.memory:12.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Echo servers side by side.")
    parser.add_argument("--connections", default="50,1000,10000")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--json")
    options = parser.parse_args()
    names = []
    for name in options.only.split(","):
        if name not in NAMES:
            parser.error(f"no server {name!r}: {', '.join(NAMES)}")
        try:
            _servers.need(*(() if name == "c" else _servers.ECHO[name][1]))
            names.append(name)
        except _servers.Missing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    results: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        compile_c(folder)
        for connections in map(int, options.connections.split(",")):
            best = results[connections] = {}
            for _ in range(options.rounds):
                for name in names:
                    if name == "threads" and connections > MOST_THREADS:
                        continue
                    figures = measure(name, connections, options.size, options.seconds, folder)
                    best[name] = better(best.get(name), figures)
    show(results)
    told = {str(number): {name: one._asdict() for name, one in by.items()} for number, by in results.items()}
    _servers.write(options.json, told)


if __name__ == "__main__":
    main()
