"""When very many wait, an operation costs what it costs when few do.

What belongs here: counts of what is done for one operation.  What never does: seconds; they are measured by
`python -m greenswitch.bench hub`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from greenswitch import Greenlet, Timeout, get_hub, killall, sleep, spawn
from greenswitch.event import AsyncResult, Event
from greenswitch.lock import Semaphore
from greenswitch.loop import Loop
from greenswitch.pool import Pool
from greenswitch.queue import Channel, Queue

FEW, MANY = 10, 20_000


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


@contextmanager
def crowd(number: int, wait: Callable[[], object]) -> Iterator[list[Greenlet]]:
    """So many greenlets that wait, and when they are woken wait again."""

    def member() -> None:
        while True:
            wait()

    members = [spawn(member) for _ in range(number)]
    sleep(0)
    yield members
    killall(members)


def calls_of(operation: Callable[[], object]) -> int:
    """How many functions are called, of Python and of C, in all greenlets, until the operation is done and
    those whom it woke wait again."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def do() -> None:
        operation()
        sleep(0)
        sleep(0)

    # What is made at the first time is made.
    do()
    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return calls


def queue_wakes_one() -> tuple[Callable[[], object], Callable[[], object]]:
    queue = Queue[int]()
    return queue.get, lambda: queue.put(1)


def channel_wakes_one() -> tuple[Callable[[], object], Callable[[], object]]:
    channel = Channel[int]()
    return channel.get, lambda: channel.put(1)


def place_in_a_queue() -> tuple[Callable[[], object], Callable[[], object]]:
    queue = Queue[int](1, [0])
    return lambda: queue.put(1), queue.get


def semaphore_lets_one_in() -> tuple[Callable[[], object], Callable[[], object]]:
    semaphore = Semaphore(0)
    return semaphore.acquire, semaphore.release


def another_event() -> tuple[Callable[[], object], Callable[[], object]]:
    """The crowd waits for one event, and what happens is about another one."""
    theirs, ours = Event(), Event()

    def operation() -> None:
        ours.wait(0.0)
        ours.set()
        ours.clear()

    return theirs.wait, operation


def result_beside() -> tuple[Callable[[], object], Callable[[], object]]:
    theirs: AsyncResult[None] = AsyncResult()

    def give_up() -> None:
        with pytest.raises(Timeout):
            theirs.get(timeout=0)

    return theirs.get, give_up


def timeout_beside_sleepers() -> tuple[Callable[[], object], Callable[[], object]]:
    def operation() -> None:
        with Timeout(1):
            sleep(0)

    return lambda: sleep(3600), operation


def spawn_beside_sleepers() -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: sleep(3600), lambda: spawn(int).join()


def place_in_a_pool() -> tuple[Callable[[], object], Callable[[], object]]:
    """The crowd waits for a place that does not come."""
    pool = Pool(0)
    return lambda: pool.spawn(int), lambda: pool.wait_available(0)


@pytest.mark.parametrize(
    "case",
    [
        queue_wakes_one,
        channel_wakes_one,
        place_in_a_queue,
        semaphore_lets_one_in,
        another_event,
        result_beside,
        timeout_beside_sleepers,
        spawn_beside_sleepers,
        place_in_a_pool,
    ],
)
def test_an_operation_does_as_much_whoever_else_waits(
    case: Callable[[], tuple[Callable[[], object], Callable[[], object]]],
) -> None:
    """S3, G8, G9, G10, G14."""
    counts = {}
    for number in (FEW, MANY):
        wait, operation = case()
        with crowd(number, wait):
            # The least of several: other things may fall due in one of them.
            counts[number] = min(calls_of(operation) for _ in range(3))
    assert counts[MANY] <= counts[FEW] + 5


def test_an_event_wakes_each_at_the_same_cost() -> None:
    """S3, G8: so many times as much for so many times as many."""
    counts = {}
    for number in (100, 10_000):
        event = Event()

        def happen(event: Event = event) -> None:
            event.set()
            event.clear()

        with crowd(number, event.wait):
            counts[number] = min(calls_of(happen) for _ in range(3)) / number
    assert counts[10_000] <= counts[100] * 1.1


class Moment(float):
    """A time that knows how often it was looked at."""

    looks = 0

    def __add__(self, other: float) -> Moment:
        return Moment(float(self) + other)

    def __lt__(self, other: Any) -> bool:
        Moment.looks += 1
        return float(self) < float(other)

    def __gt__(self, other: Any) -> bool:
        Moment.looks += 1
        return float(self) > float(other)

    def __sub__(self, other: Any) -> float:
        Moment.looks += 1
        return float(self) - float(other)


def test_a_timer_far_in_the_future_costs_nothing_in_a_turn() -> None:
    """L1: what is looked at in a turn of the loop is the first timer alone."""
    looks = {}
    for number in (1, 10_000):
        loop = Loop(clock=lambda: Moment(1000.0))
        for _ in range(number):
            loop.call_later(3600, int)
        left = [100]

        def turn(loop: Loop = loop, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0]:
                # In another turn, after the timers and the poller had their part.
                loop.idlers.append(turn)
            else:
                loop.close()

        loop.ready.append(turn)
        Moment.looks = 0
        loop.run()
        looks[number] = Moment.looks
        assert left == [0]
    assert looks[10_000] == looks[1] <= 100 * 4


def test_a_crowd_that_was_killed_leaves_nothing_behind() -> None:
    """G14: no timer, nobody in a row."""
    loop = get_hub().loop
    before = loop.timer_count
    event, queue, semaphore = Event(), Queue[int](), Semaphore(0)

    def wait(number: int) -> None:
        with Timeout(3600):
            (event.wait, queue.get, semaphore.acquire, lambda: sleep(3600))[number % 4]()

    waiting = [spawn(wait, number) for number in range(MANY)]
    sleep(0)
    assert loop.timer_count == before + MANY + MANY // 4
    killall(waiting)
    assert loop.timer_count == before and len(loop._timers) < before + 1000
    assert not event.linkcount() and not semaphore.linkcount()
