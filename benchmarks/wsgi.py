"""pywsgi beside gevent's, under wrk: the same application, one core for the server.

    python3 benchmarks/wsgi.py [--connections 50,1000] [--seconds 4] [--rounds 3]
                               [--only NAME,...] [--json FILE]

For each server and number of connections: microseconds of the server's core per request, requests a second,
and the time that 99 of a hundred requests stayed below. The best of the rounds counts.

What belongs here: driving wrk, and the table. What never does: the servers (`_servers`).

Needs wrk, which is a package of Debian and Ubuntu.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import _servers

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


class Figures(NamedTuple):
    """Of one server with one number of connections."""

    cpu: float
    """Microseconds per request"""
    rate: float
    """Requests per second"""
    p99: float
    """Microseconds"""


def measure(name: str, connections: int, seconds: int) -> Figures:
    ours, theirs = _servers.cores()
    with _servers.serving(_servers.command("wsgi", name), ours) as server:
        url = f"http://127.0.0.1:{server.port}/"
        load = ["wrk", "-t1", f"-c{connections}", "--latency"]
        before = server.cpu()
        done = subprocess.run(
            [*load, f"-d{seconds}s", url],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: None if theirs is None else _servers.pin(theirs),
        )
        used = server.cpu() - before
    text = done.stdout
    answered = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec: +([\d.]+)", text)
    p99 = re.search(r"99% +([\d.]+)(us|ms|s)", text)
    if done.returncode or answered is None or rate is None or p99 is None or "Non-2xx" in text:
        raise SystemExit(f"{name}, {connections} connections: wrk has failed\n{text}")
    return Figures(used / int(answered[1]) * 1e6, float(rate[1]), float(p99[1]) * UNITS[p99[2]])


def main() -> None:
    names = list(_servers.WSGI)
    parser = argparse.ArgumentParser(description="WSGI servers side by side.")
    parser.add_argument("--connections", default="50,1000")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(names))
    parser.add_argument("--json")
    options = parser.parse_args()
    asked = options.only.split(",")
    for name in asked:
        if name not in names:
            parser.error(f"no server {name!r}: {', '.join(names)}")
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: it is a package of Debian and Ubuntu.")
    chosen = []
    for name in asked:
        try:
            _servers.need(*_servers.WSGI[name][1])
            chosen.append(name)
        except _servers.Missing as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    results: dict[int, dict[str, Figures]] = {}
    for connections in map(int, options.connections.split(",")):
        best = results[connections] = {}
        for _ in range(options.rounds):
            for name in chosen:
                figures = measure(name, connections, options.seconds)
                if name not in best or figures.cpu < best[name].cpu:
                    best[name] = figures
        print(f"\n{connections} connections")
        print(f"{'':14}{'us of CPU':>12}{'of gevent':>12}{'requests/s':>12}{'p99, us':>12}")
        gevent = best.get("gevent")
        for name, figures in best.items():
            ratio = f"{figures.cpu / gevent.cpu:12.2f}" if gevent else " " * 12
            print(f"{name:14}{figures.cpu:12.2f}{ratio}{figures.rate:12.0f}{figures.p99:12.0f}")
    told = {str(number): {name: one._asdict() for name, one in by.items()} for number, by in results.items()}
    _servers.write(options.json, told)


if __name__ == "__main__":
    main()
