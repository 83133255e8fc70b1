"""A random stress of the switcher:  python tests/stress --seconds 600 --seed 1

Rounds of walks (walk.py), each with a seed of its own, which is said when something goes wrong.  What belongs
here: the command line, the rounds, and the account at the end of each.  What never does: what happens in a
walk.

A round is one of three kinds:
  alone     one thread, collections only where the walk asks for them: the same seed gives the same walk
  collected one thread, with the collector switched on, so that deaths come at any time
  threads   several threads at once, which leave greenlets to each other; some end with suspended greenlets
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import sys
import threading
import time
from typing import Any

from model import KINDS, Token
from routes import recursion
from walk import Walk, flotsam, variable

from greenswitch import getcurrent

walks: dict[int, Walk] = {}  # those that are going on, by thread


def report(unraisable: Any) -> None:
    """sys.unraisablehook: only what the model expects is unraisable."""
    walk = walks.get(threading.get_ident())
    if walk is None or not walk.is_reported(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)
        (walk or next(iter(walks.values()))).complain("an exception was lost")


class Round:
    """One round.  `steps` is the number of actions of each walk."""

    def __init__(self, seed: str, kind: str, steps: int) -> None:
        self.seed = seed
        self.kind = kind
        self.steps = steps
        self.walks: list[Walk] = []
        self.abandoned: list[Walk] = []

    def run(self) -> None:
        depth = recursion()
        gc.collect()
        if self.kind == "alone":
            gc.disable()
        else:
            gc.enable()
        if self.kind == "threads":
            self._in_threads()
        else:
            self._walk("")
        self._account()
        if recursion() != depth:
            self.walks[0].complain(f"{depth} calls of functions fitted, and now {recursion()}")

    def _walk(self, number: str) -> None:
        label = f"repeat with: --kind {self.kind} --round {self.seed} --steps {self.steps}, on {sys.version}"
        walk = Walk(label, self.seed + number, self.steps, self.kind)
        self.walks.append(walk)
        walks[threading.get_ident()] = walk
        walk.walk()
        if number and walk.dice.randrange(2):
            self.abandoned.append(walk)
            walk.abandon()
        else:
            walk.close()

    def _in_threads(self) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        threads = [threading.Thread(target=self._walk, args=(f"/{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
        for walk in self.abandoned:
            walk.after_the_end()
        flotsam.clear()

    def _account(self) -> None:
        """Nothing is left."""
        variable.set(None)
        walks.clear()
        self._collect()
        for walk in self.walks:
            left = [node for node in walk.nodes if node is not walk.main and node.ref() is not None]
            walk.demand(not left, f"{left} are left")
            walk.nodes = [walk.main]
            walk.main.variable = None
        self._collect()
        for walk in self.walks:
            count = sys.getrefcount(walk.sentinel)
            walk.demand(count == 2, f"the sentinel has {count} references")
        if Token.living:
            self.walks[0].complain(f"{len(Token.living)} values are left")

    def _collect(self) -> None:
        """Twice: what is killed by the first is garbage for the second."""
        for _ in range(2):
            gc.collect()
            getcurrent()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/stress", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long, about")
    parser.add_argument("--seed", default=str(time.time_ns()), help="for all rounds")
    parser.add_argument("--kind", choices=KINDS, help="only such rounds")
    parser.add_argument("--round", help="this round, once: what a complaint says")
    parser.add_argument("--steps", type=int, default=2000, help="of each walk")
    chosen = parser.parse_args()
    faulthandler.enable()
    faulthandler.dump_traceback_later(chosen.seconds + 300, exit=True)
    sys.setrecursionlimit(3000)
    sys.unraisablehook = report
    print(f"seed {chosen.seed}", flush=True)
    end = time.monotonic() + chosen.seconds
    number = rounds = switches = kills = digest = 0
    while True:
        kind = chosen.kind or KINDS[number % len(KINDS)]
        seed = chosen.round or f"{chosen.seed}.{number}"
        if sys.stdout.isatty():
            print(f"round {seed} {kind}", end="\r", flush=True)
        current = Round(seed, kind, chosen.steps)
        current.run()
        rounds += 1
        number += 1
        for walk in current.walks:
            switches += walk.switches
            kills += walk.kills
            if kind == "alone":
                digest ^= walk.digest
        if chosen.round or time.monotonic() > end:
            break
    print(f"{rounds} rounds, {switches} switches, {kills} killed, digest {digest:x}")


if __name__ == "__main__":
    main()
