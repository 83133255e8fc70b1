"""What the hub costs, for any package with gevent's names: greenswitch itself, or gevent.

What belongs here: one small program for each operation whose cost is promised or asked for.  What never does:
sockets; a server needs a process of its own to talk to, and is in benchmarks/.

Both packages may be measured in one process: between two runs each of them has only its main greenlet running
and everybody else suspended off the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import perf_counter
from typing import Any

from greenswitch.bench.timing import Benchmark, Run, own

WORKERS = 10
TIMERS = 10_000
CROWDS = (10, 1_000, 100_000)
LONG = 3600.0


@dataclass(frozen=True)
class Package:
    """The names that the benchmarks use."""

    spawn: Any
    sleep: Any
    joinall: Any
    killall: Any
    Timeout: Any
    Event: Any
    Queue: Any
    Semaphore: Any
    Pool: Any


def load(name: str) -> Package:
    """Of a package that has gevent's modules. ImportError if it is not there."""
    top = import_module(name)
    return Package(
        top.spawn,
        top.sleep,
        top.joinall,
        top.killall,
        top.Timeout,
        import_module(f"{name}.event").Event,
        import_module(f"{name}.queue").Queue,
        import_module(f"{name}.lock").Semaphore,
        import_module(f"{name}.pool").Pool,
    )


def nothing(*args: object) -> None:
    """What greenlets do whose work is not what is measured."""


def timed(function: Callable[[range], object], count: int) -> float:
    rounds = range(count)
    start = perf_counter()
    function(rounds)
    return (perf_counter() - start) / count


@contextmanager
def spawn_and_join(api: Package, function: Callable[..., object]) -> Iterator[Run]:
    spawn = api.spawn

    def each(rounds: range) -> None:
        for _ in rounds:
            spawn(function).join()

    yield partial(timed, own(each))


@contextmanager
def spawn_many(api: Package) -> Iterator[Run]:
    """A thousand at a time, then wait for all."""
    spawn, joinall = api.spawn, api.joinall

    def run(count: int) -> float:
        batches = range(-(-count // 1000))
        start = perf_counter()
        for _ in batches:
            joinall([spawn(nothing) for _ in range(1000)])
        return (perf_counter() - start) / (1000 * len(batches))

    yield own(run)


def together(api: Package, function: Callable[[range], object], number: int, count: int) -> float:
    """So many greenlets share the rounds; seconds for one round."""
    share = range(-(-count // number))
    workers = [api.spawn(function, share) for _ in range(number)]
    start = perf_counter()
    api.joinall(workers)
    return (perf_counter() - start) / (len(share) * number)


@contextmanager
def give_way(api: Package, number: int) -> Iterator[Run]:
    """So many greenlets, each of which does nothing but let the others run."""
    sleep = api.sleep

    def each(rounds: range) -> None:
        for _ in rounds:
            sleep(0)

    yield partial(together, api, own(each), number)


@contextmanager
def event_hand_over(api: Package) -> Iterator[Run]:
    """Two greenlets wake each other by two events; one operation is a set, a wait and a clear."""
    here, there = api.Event(), api.Event()

    def answer() -> None:
        while True:
            there.wait()
            there.clear()
            here.set()

    def ask(rounds: range) -> None:
        for _ in rounds:
            there.set()
            here.wait()
            here.clear()

    partner = api.spawn(own(answer))
    try:
        ask = own(ask)
        yield lambda count: timed(ask, count) / 2
    finally:
        partner.kill()


@contextmanager
def queue_hand_over(api: Package, maxsize: int | None) -> Iterator[Run]:
    """One puts, the other takes; one operation is an item."""
    queue = api.Queue(maxsize)
    sleep = api.sleep

    def take() -> None:
        get = queue.get
        while True:
            get()

    def put(rounds: range) -> None:
        put = queue.put
        for _ in rounds:
            put(None)
            if maxsize is None:
                # Nobody but the putter would ever run, and the queue would grow.
                sleep(0)

    taker = api.spawn(own(take))
    try:
        yield partial(timed, own(put))
    finally:
        taker.kill()


@contextmanager
def semaphore_block(api: Package, number: int) -> Iterator[Run]:
    """So many greenlets take turns inside a lock, and give way in there."""
    semaphore = api.Semaphore(1)
    sleep = api.sleep

    def each(rounds: range) -> None:
        for _ in rounds:
            with semaphore:
                sleep(0)

    yield partial(together, api, own(each), number)


@contextmanager
def pool_results(api: Package) -> Iterator[Run]:
    pool = api.Pool(WORKERS)

    def run(count: int) -> float:
        start = perf_counter()
        for _ in pool.imap_unordered(nothing, range(count)):
            pass
        return (perf_counter() - start) / count

    yield own(run)


@contextmanager
def timeout_block(api: Package) -> Iterator[Run]:
    """A timeout that never comes around a block that does not wait."""
    Timeout = api.Timeout

    def each(rounds: range) -> None:
        for _ in rounds:
            with Timeout(LONG):
                pass

    yield partial(timed, own(each))


@contextmanager
def spawn_timers(api: Package) -> Iterator[Run]:
    """Ten thousand greenlets are spawned and sleep, each for a moment of its own, and end."""

    def run(count: int) -> float:
        batches = range(-(-count // TIMERS))
        start = perf_counter()
        for _ in batches:
            api.joinall([api.spawn(api.sleep, 1e-9 * (1 + number)) for number in range(TIMERS)])
        return (perf_counter() - start) / (TIMERS * len(batches))

    yield own(run)


@contextmanager
def many_timers(api: Package) -> Iterator[Run]:
    """Greenlets that sleep for a moment, each for another one, again and again."""
    sleep = api.sleep

    def each(seconds: float, rounds: range) -> None:
        for _ in rounds:
            sleep(seconds)

    each = own(each)

    def run(count: int) -> float:
        rounds = range(-(-count // TIMERS))
        sleepers = [api.spawn(each, 1e-9 * (1 + number), rounds) for number in range(TIMERS)]
        # They begin, so that no spawn is in the time.
        sleep(0)
        start = perf_counter()
        api.joinall(sleepers)
        return (perf_counter() - start) / (len(rounds) * TIMERS)

    yield own(run)


@contextmanager
def crowd(api: Package, number: int, wait: Callable[[], object]) -> Iterator[None]:
    """So many greenlets that wait, and when they are told wait again."""

    def member() -> None:
        while True:
            wait()

    member = own(member)
    members = [api.spawn(member) for _ in range(number)]
    api.sleep(0)
    try:
        yield
    finally:
        api.killall(members)


@contextmanager
def event_crowd(api: Package, number: int) -> Iterator[Run]:
    """An event wakes all of the crowd; one operation is one of them."""
    event = api.Event()

    def run(count: int) -> float:
        rounds = range(-(-count // number))
        start = perf_counter()
        for _ in rounds:
            event.set()
            event.clear()
            api.sleep(0)
        return (perf_counter() - start) / (len(rounds) * number)

    with crowd(api, number, event.wait):
        yield own(run)


@contextmanager
def queue_crowd(api: Package, number: int) -> Iterator[Run]:
    """The longest waiting of the crowd gets an item and waits again."""
    queue = api.Queue()

    def each(rounds: range) -> None:
        put, sleep = queue.put, api.sleep
        for _ in rounds:
            put(None)
            sleep(0)

    with crowd(api, number, queue.get):
        yield partial(timed, own(each))


@contextmanager
def sleep_crowd(api: Package, number: int) -> Iterator[Run]:
    """The crowd sleeps for long; one makes and cancels a timeout and gives way."""
    sleep, Timeout = api.sleep, api.Timeout

    def each(rounds: range) -> None:
        for _ in rounds:
            with Timeout(1):
                sleep(0)

    with crowd(api, number, partial(sleep, LONG)):
        yield partial(timed, own(each))


BENCHMARKS = (
    Benchmark("spawn", "spawn and join", partial(spawn_and_join, function=nothing)),
    Benchmark(
        "spawn-builtin", "the same of a builtin function", partial(spawn_and_join, function=perf_counter)
    ),
    Benchmark("spawn-1000", "spawn 1,000 and join them", spawn_many),
    Benchmark("yield-1", "sleep(0), nobody else", partial(give_way, number=1)),
    Benchmark("yield-2", "sleep(0), two greenlets", partial(give_way, number=2)),
    Benchmark("yield-1000", "sleep(0), 1,000 greenlets", partial(give_way, number=1000)),
    Benchmark("event", "Event hand-over", event_hand_over),
    Benchmark("queue", "Queue hand-over", partial(queue_hand_over, maxsize=None)),
    Benchmark("queue-1", "Queue(1) hand-over", partial(queue_hand_over, maxsize=1)),
    Benchmark("semaphore-1", "Semaphore around a sleep(0)", partial(semaphore_block, number=1)),
    Benchmark("semaphore-10", "the same, contended by ten", partial(semaphore_block, number=WORKERS)),
    Benchmark("imap", "imap_unordered, pool of ten", pool_results),
    Benchmark("timeout", "uncontended Timeout block", timeout_block),
    Benchmark("timers", "10,000 spawned to sleep", spawn_timers),
    Benchmark("timers-sleep", "10,000 sleep again", many_timers),
    *(
        Benchmark(f"{name}-{number}", f"{text} of {number:,}", partial(prepare, number=number))
        for name, text, prepare in (
            ("events", "Event wakes each", event_crowd),
            ("queues", "Queue wakes one", queue_crowd),
            ("sleeps", "Timeout, beside sleepers", sleep_crowd),
        )
        for number in CROWDS
    ),
)
