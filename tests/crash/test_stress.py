"""A random walk over everything that the switcher can do, in processes of their own.

Greenlets recurse through Python and through C, switch, throw, are killed by their last reference and by the
collector, finish early, hand values over and check that what they had in their locals is still there.
"""

from __future__ import annotations

from typing import Any

import pytest

WALK = """
import gc, random, sys, threading
from greenswitch import greenlet, getcurrent, GreenletExit

class Thrown(Exception):
    pass

switches = 0

def walk(seed, steps):
    dice = random.Random(seed)
    main = getcurrent()
    alive = []  # and started
    count = 0

    def through_c(function, depth):
        kind = dice.randrange(4)
        if kind == 0:
            return max([depth], key=lambda _: function(depth) or 0)
        if kind == 1:
            return next(map(function, [depth]))
        if kind == 2:
            return sorted([2, 1], key=lambda _: function(depth) or 0)[0]
        return (lambda: function(depth))()

    def generate(depth):
        for number in range(3):
            body(depth + 1)
            yield number

    def body(depth):
        global switches
        nonlocal count
        mine = [dice.random() for _ in range(5)]
        copy = list(mine)
        while True:
            count += 1
            what = dice.randrange(20)
            if count > steps or what < 4:
                break
            try:
                if what < 9 and depth < 12:
                    through_c(body, depth + 1)
                elif what < 11 and depth < 12:
                    assert list(generate(depth)) == [0, 1, 2]
                elif what < 14:
                    switches += 1
                    main.switch(depth)
                elif what < 16 and alive:
                    other = dice.choice(alive)
                    if dice.randrange(8) == 0:
                        other.throw(Thrown)
                    else:
                        other.switch(depth)
                elif what == 16:
                    # Main starts it: one started from here would begin at this depth.
                    fresh.append(greenlet(run))
                elif what == 17 and len(alive) > 20:
                    victim = alive.pop(dice.randrange(len(alive)))
                    if dice.randrange(2):
                        victim.itself = victim
                    del victim
                elif what == 18 and dice.randrange(50) == 0:
                    gc.collect(1)
                elif alive:
                    frame = dice.choice(alive).gr_frame
                    while frame is not None:
                        frame.f_lineno
                        frame = frame.f_back
            except Thrown:
                assert sys.exc_info()[0] is Thrown
            assert mine == copy

    def run(*_):
        try:
            body(0)
        except Thrown:
            pass
        return None

    fresh = [greenlet(run)]
    while count < steps:
        alive[:] = [g for g in alive if not g.dead]
        starting = fresh.pop() if fresh else greenlet(run)
        del fresh[20:]
        alive.append(starting)
        for g in starting, dice.choice(alive):
            try:
                g.switch(None)
            except Thrown:
                pass
    for g in alive[:]:
        while not g.dead:
            g.throw(GreenletExit)
    alive.clear()
    gc.collect()
    getcurrent()

if sys.argv[2] == 'threads':
    threads = [threading.Thread(target=walk, args=(int(sys.argv[1]) + i, 15_000)) for i in range(3)]
    sys.setswitchinterval(1e-4)
    for t in threads: t.start()
    for t in threads: t.join()
else:
    walk(int(sys.argv[1]), 60_000)
print('walked' if switches > 1000 else switches)
"""


@pytest.mark.parametrize("kind", ["alone", "threads"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_walk(seed: int, kind: str, run_python: Any) -> None:
    """S1, S2, S5 and the crash list at once: no crash, no lost local, no stray output."""
    outcome = run_python(WALK, str(seed), kind, timeout=120).check()
    assert (outcome.stdout, outcome.stderr) == ("walked\n", "")
