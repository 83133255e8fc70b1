"""Whether memory grows:  python tests/growth/growth.py NAME [COUNT]

What belongs here: the ways to make and lose greenlets, and the measuring.  What never does: what they are
for.

A way is gone COUNT times after a warm-up, and what resident memory has grown by is printed: bytes for each
time.  By default the numbers are those of the promise: 1,000,000 greenlets that finish, 100,000 that are
given up while they are suspended, 1,000 threads that end with suspended greenlets.
"""

from __future__ import annotations

import gc
import resource
import sys
import threading
from collections.abc import Callable

from greenswitch import GreenletExit, getcurrent, greenlet

main = getcurrent()


def resident() -> int:
    """Bytes of this process that are in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def nested(depth: int) -> None:
    """Suspend below so many calls: deeper than the first chunk of the interpreter's stack holds."""
    if depth:
        nested(depth - 1)
    else:
        main.switch()


def in_c() -> None:
    max([1], key=lambda _: main.switch())


def in_except() -> None:
    try:
        raise KeyError(object())
    except KeyError:
        main.switch()


def finish(count: int) -> None:
    """They run to their end."""
    for number in range(count):
        greenlet(abs).switch(number)


def finish_after_switches(count: int) -> None:
    """They run to their end after a switch, from some depth."""
    for _ in range(count):
        started = greenlet(nested)
        started.switch(20)
        started.switch()


def fail(count: int) -> None:
    """They end by an exception."""
    for _ in range(count):
        try:
            greenlet(divmod).switch(1, 0)
        except ZeroDivisionError:
            pass


def abandon(count: int) -> None:
    """The last reference goes while they are suspended."""
    for number in range(count):
        started = greenlet((nested, in_c, in_except)[number % 3])
        if number % 3:
            started.switch()
        else:
            started.switch(20)


def abandon_unstarted(count: int) -> None:
    """It goes before they are started, or they are thrown into."""
    for number in range(count):
        new = greenlet(nested)
        if number % 2:
            new.throw(GreenletExit)


def abandon_in_cycles(count: int) -> None:
    """Only the collector finds them."""
    for number in range(count):
        started = greenlet(in_except)
        started.switch()
        started.__dict__["itself"] = started
        del started
        if number % 1000 == 999:
            gc.collect()
            getcurrent()


def from_other_threads(count: int) -> None:
    """Another thread drops the last reference; the owner kills."""
    holder: list[greenlet] = []
    for number in range(count):
        started = greenlet(in_except)
        started.switch()
        holder.append(started)
        del started
        if number % 1000 == 999:
            thread = threading.Thread(target=holder.clear)
            thread.start()
            thread.join()
            getcurrent()


def end_threads(count: int) -> None:
    """Threads end with greenlets that are suspended, new and dead."""
    kept: list[greenlet] = []

    def run() -> None:
        me = getcurrent()

        def wait(depth: int) -> None:
            if depth:
                wait(depth - 1)
            else:
                me.switch()

        many = [greenlet(wait) for _ in range(10)]
        for each in many[:7]:
            each.switch(20)
        many[0].throw(GreenletExit)
        many[1].__dict__["others"] = many
        kept[:] = many[2:4]

    for _ in range(count):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()


# How often, for the promise, and in the tests.
WAYS: dict[Callable[[int], None], tuple[int, int]] = {
    finish: (1_000_000, 200_000),
    finish_after_switches: (1_000_000, 100_000),
    fail: (1_000_000, 100_000),
    abandon: (100_000, 50_000),
    abandon_unstarted: (1_000_000, 200_000),
    abandon_in_cycles: (100_000, 30_000),
    from_other_threads: (100_000, 50_000),
    end_threads: (1_000, 1_000),
}


def growth(way: Callable[[int], None], count: int) -> float:
    """Bytes for each time, after a warm-up that fills free lists and caches.

    The least of several parts: what is lost each time shows in all of them, and what an allocator does at
    some moment in one."""
    parts = 4
    way(500 if way is end_threads else max(1_000, count // 10))
    grown = []
    for _ in range(parts):
        gc.collect()
        before = resident()
        way(count // parts)
        gc.collect()
        grown.append((resident() - before) / (count // parts))
    return max(0.0, min(grown))


if __name__ == "__main__":
    named = {way.__name__: (way, counts[0]) for way, counts in WAYS.items()}
    for name in sys.argv[1:2] or named:
        chosen, promised = named[name]
        print(f"{growth(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else promised):.2f}", name)
