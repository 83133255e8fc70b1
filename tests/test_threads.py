"""Between native threads: what one does wakes who waits in another, whoever has a hub or none (spec S5, G8).

What belongs here: every object that greenlets wait for, used by several threads at once. What never does:
what the objects do inside of one thread; each has tests of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from greenswitch import (
    Greenlet,
    GreenletExit,
    Timeout,
    get_hub,
    getcurrent,
    iwait,
    joinall,
    sleep,
    spawn,
    spawn_later,
)
from greenswitch._core import get_turn, set_turn
from greenswitch.event import AsyncResult, Event
from greenswitch.hub import get_hub_if_any
from greenswitch.lock import BoundedSemaphore, RLock, Semaphore
from greenswitch.queue import (
    Channel,
    Empty,
    Full,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    SimpleQueue,
)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


class Thread(threading.Thread):
    """Runs `work` and keeps what it raises for `finish`."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        self.join(50)
        assert not self.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error


def taken(lock: Any) -> Any:
    lock.acquire()
    return lock


def full(queue: Any) -> Any:
    queue.put(0)
    return queue


def get_item(queue: Any) -> None:
    assert queue.get() == 1


def lock_and_unlock(lock: Any) -> None:
    assert lock.acquire()
    lock.release()


def lock_and_try(lock: Any) -> None:
    """For one that others release who have not acquired it: it may be free already."""
    assert lock.acquire()
    with suppress(ValueError):
        lock.release()


@dataclass
class Kind:
    """Something to wait for: how it is made, how one waits, and what wakes one who does. `everybody`: it
    wakes all."""

    make: Callable[[], Any]
    wait: Callable[[Any], object]
    wake: Callable[[Any], object]
    everybody: bool = False


def kinds() -> Iterator[Any]:
    def kind(name: str, *parts: Any, **more: Any) -> Any:
        return pytest.param(Kind(*parts, **more), id=name)

    yield kind("Event", Event, lambda event: event.wait(), lambda event: event.set(), everybody=True)
    yield kind("AsyncResult", AsyncResult, get_item, lambda result: result.set(1), everybody=True)
    yield kind(
        "AsyncResult-wait",
        AsyncResult,
        lambda result: result.wait(),
        lambda result: result.set_exception(ValueError()),
        everybody=True,
    )
    yield kind("Semaphore", lambda: Semaphore(0), lambda lock: lock.acquire(), lambda lock: lock.release())
    yield kind(
        "Semaphore-wait",
        lambda: Semaphore(0),
        lambda lock: lock.wait(),
        lambda lock: lock.release(),
        everybody=True,
    )
    yield kind(
        "BoundedSemaphore", lambda: taken(BoundedSemaphore(1)), lock_and_try, lambda lock: lock.release()
    )
    yield kind("RLock", RLock, lock_and_unlock, None)
    for cls in (SimpleQueue, Queue, JoinableQueue, LifoQueue, PriorityQueue, Channel):
        yield kind(f"{cls.__name__}-get", cls, get_item, lambda queue: queue.put(1))
    for cls in (SimpleQueue, Queue, LifoQueue, PriorityQueue):
        yield kind(
            f"{cls.__name__}-put",
            lambda cls=cls: full(cls(1)),
            lambda queue: queue.put(0),
            lambda queue: queue.get(),
        )
    yield kind("Channel-put", Channel, lambda channel: channel.put(1), get_item)
    yield kind("Queue-peek", Queue, lambda queue: queue.peek(), lambda queue: queue.put(1), everybody=True)
    yield kind(
        "Queue-join",
        lambda: full(Queue()),
        lambda queue: queue.join(),
        lambda queue: queue.task_done(),
        everybody=True,
    )


KINDS = list(kinds())
WAKED_BY_HAND = [each for each in KINDS if each.values[0].wake is not None]


def in_main(work: Callable[[], object]) -> None:
    work()


def in_greenlets(work: Callable[[], object]) -> None:
    """In one of several greenlets of the thread."""
    others = [spawn(sleep, 0.001) for _ in range(3)]
    spawn(work).get()
    joinall(others)


@pytest.mark.parametrize("waker", ["no hub", "hub", "greenlet"])
@pytest.mark.parametrize("run", [in_main, in_greenlets])
@pytest.mark.parametrize("kind", WAKED_BY_HAND)
def test_one_thread_wakes_another(
    kind: Kind, run: Callable[[Callable[[], object]], None], waker: str
) -> None:
    thing = kind.make()
    waits, woken = threading.Event(), threading.Event()
    had_hub: list[object] = []

    def wait() -> None:
        waits.set()
        kind.wait(thing)
        woken.set()

    def wake() -> None:
        waits.wait(30)
        # That `waits` is set comes a moment before the wait; both orders must do.
        time.sleep(0.002)
        had_hub.append(get_hub_if_any())
        kind.wake(thing)

    def act() -> None:
        if waker == "hub":
            sleep(0)
        if waker == "greenlet":
            spawn(wake).get()
        else:
            wake()

    threads = [Thread(lambda: run(wait)), Thread(act)]
    for thread in threads:
        thread.finish()
    assert woken.is_set() and (had_hub == [None]) == (waker == "no hub")


@pytest.mark.parametrize("kind", WAKED_BY_HAND)
def test_greenlets_of_several_threads_wait(kind: Kind) -> None:
    """Whoever waits is woken once, and nobody waits for ever; this thread wakes."""
    thing = kind.make()
    done = threading.Semaphore(0)
    counts = [0] * 4

    def work(number: int) -> None:
        def wait() -> None:
            kind.wait(thing)
            counts[number] += 1
            done.release()

        joinall([spawn(wait) for _ in range(5)], raise_error=True)

    threads = [Thread(lambda number=number: work(number)) for number in range(4)]
    time.sleep(0.02)
    for _ in range(1 if kind.everybody else 20):
        kind.wake(thing)
        if isinstance(thing, BoundedSemaphore):
            # Each takes it and gives it back.
            break
    for thread in threads:
        thread.finish()
    assert counts == [5] * 4


@pytest.mark.parametrize("kind", WAKED_BY_HAND)
def test_giving_up_and_being_woken_by_another_thread_exclude_each_other(kind: Kind) -> None:
    """G14: kills and timeouts strike while another thread wakes; at the end everybody can be woken still."""
    thing = kind.make()
    over = threading.Event()

    def give_up() -> None:
        while not over.is_set():
            waiting = [spawn(kind.wait, thing) for _ in range(4)]
            sleep(0)
            with Timeout(0.0005, False):
                kind.wait(thing)
            for each in waiting:
                each.kill()
                assert each.successful() and (each.value is None or each.value is not thing)

    threads = [Thread(give_up) for _ in range(2)]
    deadline = time.monotonic() + 0.15
    woken = 0
    while time.monotonic() < deadline:
        try:
            with Timeout(0.01, False):
                kind.wake(thing)
                woken += 1
        except (ValueError, Full, Empty):
            # More permits or tasks were given back than taken: there was nobody.
            pass
    over.set()
    for thread in threads:
        thread.finish()
    assert woken
    # Whatever is left in it is taken out or used up, and then it works as a new one does.
    last = Thread(lambda: kind.wait(thing))
    while last.is_alive():
        try:
            with Timeout(0.01, False):
                kind.wake(thing)
        except ValueError:
            pass
        time.sleep(0.001)
    last.finish()


@pytest.mark.parametrize("make", [lambda: Semaphore(1), lambda: BoundedSemaphore(1), RLock])
def test_mutual_exclusion_between_greenlets_of_threads(make: Callable[[], Any]) -> None:
    """G8: also where the holder sleeps, and where some give up."""
    lock = make()
    holders: list[object] = []
    entered = [0] * 4

    def work(number: int) -> None:
        def enter() -> None:
            for turn in range(30):
                if turn % 5 == 4 and not lock.acquire(timeout=0.0005):
                    continue
                if turn % 5 != 4:
                    lock.acquire()
                holders.append(getcurrent())
                if turn % 3 == 0:
                    sleep(0)
                assert holders == [getcurrent()]
                holders.clear()
                entered[number] += 1
                lock.release()

        # One of the threads has but its main greenlet.
        if number:
            joinall([spawn(enter) for _ in range(3)], raise_error=True)
        else:
            enter()

    threads = [Thread(lambda number=number: work(number)) for number in range(4)]
    for thread in threads:
        thread.finish()
    assert entered[0] >= 24 and min(entered[1:]) >= 72 and not lock.locked()


def test_an_rlock_of_another_thread_cannot_be_released() -> None:
    lock = RLock()
    lock.acquire()
    lock.acquire()

    def work() -> None:
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()
        assert not lock.acquire(blocking=False) and not lock.acquire(timeout=0.001)

    Thread(work).finish()
    waiting = Thread(lambda: lock_and_unlock(lock))
    time.sleep(0.005)
    lock.release()
    time.sleep(0.005)
    assert waiting.is_alive()
    lock.release()
    waiting.finish()


def test_a_thread_that_ends_while_it_waits_leaves_the_row() -> None:
    """What it might have been handed goes to the next."""
    lock = Semaphore(0)
    queue: Queue[int] = Queue()

    def work() -> None:
        spawn(lock.acquire)
        spawn(queue.get)
        sleep(0)

    for _ in range(3):
        Thread(work).finish()
    lock.release()
    queue.put(1)
    with Timeout(10):
        assert lock.acquire() and queue.get() == 1


def test_a_greenlet_is_joined_and_killed_from_another_thread() -> None:
    made: list[Any] = []
    ready = threading.Event()

    def work() -> None:
        made.append(spawn(sleep, 30))
        sleep(0)
        ready.set()
        made[0].join()

    thread = Thread(work)
    ready.wait(10)
    joining = [spawn(made[0].get), spawn(joinall, made), spawn(list, iwait(made)), spawn(made[0].join)]
    sleep(0)
    made[0].kill()
    assert made[0].dead and isinstance(joining[0].get(), GreenletExit)
    assert [each.get() for each in joining[1:]] == [made, made, None]
    thread.finish()


def test_a_link_that_another_thread_makes_at_the_very_end_is_called() -> None:
    """While those who join are being woken."""
    hub = get_hub()
    called: list[Any] = []

    def link_first(callback: Callable[[], object]) -> None:
        if get_turn() is not hub.turn:
            set_turn(hub.turn)
            Thread(lambda: target.rawlink(called.append)).finish()
        hub.loop.ready.append(callback)

    def work() -> None:
        sleep(0)
        set_turn((hub, link_first, hub.suspend, hub.loop))

    target = spawn(work)
    joining = [spawn(target.join), spawn(target.join)]
    joinall(joining)
    sleep(0)
    assert called == [target] and not target.has_links()


@pytest.mark.parametrize("seconds", [None, 0.0, 30.0])
def test_one_that_does_not_run_yet_is_killed_from_another_thread(seconds: float | None) -> None:
    """It never runs, and its own thread is the one that takes it out of its loop."""
    loop = get_hub().loop
    sleep(0)
    timers = loop.timer_count
    ran: list[int] = []
    if seconds is None:
        made = Greenlet(ran.append, 1)
    else:
        made = spawn_later(seconds, ran.append, 1) if seconds else spawn(ran.append, 1)
    killer = threading.Thread(target=made.kill, daemon=True)
    killer.start()
    killer.join(10)
    assert not killer.is_alive() and made.dead and isinstance(made.get(), GreenletExit)
    # What stands in the loop is for the loop's own thread to take out.
    assert not loop._dropped and loop.timer_count == timers + bool(seconds)
    sleep(0)
    sleep(0)
    assert not ran and loop.timer_count == timers
