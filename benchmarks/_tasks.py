"""Tasks of one process that wait for each other, by one means: `_tasks.py NAME SECONDS`.

What belongs here: for each means - green threads, coroutines, native threads - the same operations, as short
as its means allow. What never does: greenswitch where another is measured, and tables.

The process prints, as JSON, the nanoseconds that one operation takes, by its name.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from time import perf_counter
from typing import Any

Operation = Callable[[int], float]
"""Does it so many times; the seconds that it took."""

CROWD = 1000

ROWS = {
    "give way": "one of two tasks lets the other run: sleep(0)",
    "start and join": "a task is started, does nothing, and is waited for",
    "start 1,000 and join": "the same, a thousand at a time; for one of them",
    "event": "a task wakes another by an event, and waits for the next",
    "queue": "an object goes from one task to another by a queue of one place",
    "lock": "a lock, for which ten tasks stand in a row, is taken, kept over a sleep(0), and given back",
    "time limit": "a limit of time is set for what does not wait, and taken back",
}


def nothing() -> None:
    pass


# Green threads


def green(
    spawn: Any, sleep: Any, join: Any, joinall: Any, Event: Any, Queue: Any, Semaphore: Any, Timeout: Any
) -> dict[str, Operation]:
    """Of a package with gevent's way of doing things. `join` gets the task, `Event` may be None."""

    def together(*functions: Callable[[], None]) -> float:
        tasks = [spawn(function) for function in functions]
        start = perf_counter()
        joinall(tasks)
        return perf_counter() - start

    def give_way(count: int) -> float:
        def each() -> None:
            for _ in range(count // 2):
                sleep(0)

        return together(each, each)

    def start_and_join(count: int) -> float:
        start = perf_counter()
        for _ in range(count):
            join(spawn(nothing))
        return perf_counter() - start

    def start_many(count: int) -> float:
        start = perf_counter()
        for _ in range(count // CROWD):
            joinall([spawn(nothing) for _ in range(CROWD)])
        return perf_counter() - start

    def event(count: int) -> float:
        here, there = Event(), Event()

        def each(mine: Any, other: Any) -> None:
            for _ in range(count // 2):
                other.set()
                mine.wait()
                mine.clear()
            other.set()

        return together(lambda: each(here, there), lambda: each(there, here))

    def queue(count: int) -> float:
        between = Queue(1)

        def give() -> None:
            for number in range(count):
                between.put(number)

        def take() -> None:
            for _ in range(count):
                between.get()

        return together(give, take)

    def lock(count: int) -> float:
        semaphore = Semaphore()

        def each() -> None:
            for _ in range(count // 10):
                with semaphore:
                    sleep(0)

        return together(*[each] * 10)

    def time_limit(count: int) -> float:
        start = perf_counter()
        for _ in range(count):
            with Timeout(10):
                pass
        return perf_counter() - start

    operations = {
        "give way": give_way,
        "start and join": start_and_join,
        "start 1,000 and join": start_many,
        "queue": queue,
        "lock": lock,
        "time limit": time_limit,
    }
    return operations if Event is None else {**operations, "event": event}


def greenswitch() -> dict[str, Operation]:
    import greenswitch as top
    from greenswitch.event import Event
    from greenswitch.lock import Semaphore
    from greenswitch.queue import Queue

    join = top.Greenlet.join
    return green(top.spawn, top.sleep, join, top.joinall, Event, Queue, Semaphore, top.Timeout)


def gevent() -> dict[str, Operation]:
    import gevent as top
    from gevent.event import Event
    from gevent.lock import Semaphore
    from gevent.queue import Queue

    join = top.Greenlet.join
    return green(top.spawn, top.sleep, join, top.joinall, Event, Queue, Semaphore, top.Timeout)


def eventlet() -> dict[str, Operation]:
    import eventlet as top
    from eventlet.queue import Queue
    from eventlet.semaphore import Semaphore

    join = top.greenthread.GreenThread.wait

    def joinall(tasks: Iterable[Any]) -> None:
        for task in tasks:
            join(task)

    # Its event can be sent only once.
    return green(top.spawn, top.sleep, join, joinall, None, Queue, Semaphore, top.Timeout)


# Coroutines


def coroutines(runner: Callable[[Coroutine[Any, Any, float]], float]) -> dict[str, Operation]:
    """Of asyncio, on the loop that `runner` makes."""
    import asyncio

    async def noop() -> None:
        pass

    async def together(*made: Coroutine[Any, Any, None]) -> float:
        tasks = [asyncio.create_task(one) for one in made]
        start = perf_counter()
        await asyncio.wait(tasks)
        return perf_counter() - start

    async def give_way(count: int) -> float:
        async def each() -> None:
            for _ in range(count // 2):
                await asyncio.sleep(0)

        return await together(each(), each())

    async def start_and_join(count: int) -> float:
        start = perf_counter()
        for _ in range(count):
            await asyncio.create_task(noop())
        return perf_counter() - start

    async def start_many(count: int) -> float:
        start = perf_counter()
        for _ in range(count // CROWD):
            await asyncio.wait([asyncio.create_task(noop()) for _ in range(CROWD)])
        return perf_counter() - start

    async def event(count: int) -> float:
        here, there = asyncio.Event(), asyncio.Event()

        async def each(mine: asyncio.Event, other: asyncio.Event) -> None:
            for _ in range(count // 2):
                other.set()
                await mine.wait()
                mine.clear()
            other.set()

        return await together(each(here, there), each(there, here))

    async def queue(count: int) -> float:
        between: asyncio.Queue[int] = asyncio.Queue(1)

        async def give() -> None:
            for number in range(count):
                await between.put(number)

        async def take() -> None:
            for _ in range(count):
                await between.get()

        return await together(give(), take())

    async def lock(count: int) -> float:
        semaphore = asyncio.Semaphore()

        async def each() -> None:
            for _ in range(count // 10):
                async with semaphore:
                    await asyncio.sleep(0)

        return await together(*[each() for _ in range(10)])

    async def time_limit(count: int) -> float:
        start = perf_counter()
        for _ in range(count):
            async with asyncio.timeout(10):
                pass
        return perf_counter() - start

    operations = {
        "give way": give_way,
        "start and join": start_and_join,
        "start 1,000 and join": start_many,
        "event": event,
        "queue": queue,
        "lock": lock,
    }
    if sys.version_info >= (3, 11):
        operations["time limit"] = time_limit

    def as_operation(function: Callable[[int], Coroutine[Any, Any, float]]) -> Operation:
        return lambda count: runner(function(count))

    return {name: as_operation(function) for name, function in operations.items()}


def asyncio() -> dict[str, Operation]:
    import asyncio

    return coroutines(asyncio.run)


def uvloop() -> dict[str, Operation]:
    import uvloop

    return coroutines(uvloop.run)


# Native threads


def threads() -> dict[str, Operation]:
    """Of `threading`, where nothing gives way for nothing and a limit of time is none of a block's."""
    import queue as queues
    import threading

    threading.stack_size(256 * 1024)

    def together(*functions: Callable[[], None]) -> float:
        tasks = [threading.Thread(target=function) for function in functions]
        start = perf_counter()
        for task in tasks:
            task.start()
        for task in tasks:
            task.join()
        return perf_counter() - start

    def start_and_join(count: int) -> float:
        return sum(together(nothing) for _ in range(count))

    def start_many(count: int) -> float:
        return sum(together(*[nothing] * CROWD) for _ in range(count // CROWD))

    def event(count: int) -> float:
        here, there = threading.Event(), threading.Event()

        def each(mine: threading.Event, other: threading.Event) -> None:
            for _ in range(count // 2):
                other.set()
                mine.wait()
                mine.clear()
            other.set()

        return together(lambda: each(here, there), lambda: each(there, here))

    def queue(count: int) -> float:
        between: queues.Queue[int] = queues.Queue(1)

        def give() -> None:
            for number in range(count):
                between.put(number)

        def take() -> None:
            for _ in range(count):
                between.get()

        return together(give, take)

    return {
        "start and join": start_and_join,
        "start 1,000 and join": start_many,
        "event": event,
        "queue": queue,
    }


SUBJECTS: dict[str, Callable[[], dict[str, Operation]]] = {
    "greenswitch": greenswitch,
    "gevent": gevent,
    "eventlet": eventlet,
    "asyncio": asyncio,
    "uvloop": uvloop,
    "threads": threads,
}
NEEDED = ("gevent", "eventlet", "uvloop")


def is_missing(name: str) -> bool:
    return name in NEEDED and importlib.util.find_spec(name) is None


def nanoseconds(operation: Operation, seconds: float) -> float:
    """Of one, measured over about so many seconds; what warms up is not counted."""
    count = CROWD
    while (taken := operation(count)) < seconds / 8:
        count *= 4
    count = max(CROWD, round(count * seconds / taken / CROWD) * CROWD)
    return operation(count) / count * 1e9


if __name__ == "__main__":
    chosen = SUBJECTS[sys.argv[1]]()
    print(json.dumps({name: nanoseconds(one, float(sys.argv[2])) for name, one in chosen.items()}))
