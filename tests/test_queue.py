"""Queues: order, bounds, and that no item is lost or given out twice.

What belongs here: `greenswitch.queue`. What never does: pools that use queues.
"""

from __future__ import annotations

import queue as stdlib_queue
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenswitch import Greenlet, GreenletExit, Timeout, get_hub, joinall, killall, sleep, spawn
from greenswitch.event import Event
from greenswitch.queue import (
    Channel,
    Empty,
    Full,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


every_kind = pytest.mark.parametrize("kind", [SimpleQueue, Queue, PriorityQueue, LifoQueue])


@every_kind
def test_items_come_out_in_the_queues_order(kind: type[SimpleQueue[int]]) -> None:
    """G9."""
    queue = kind()
    for item in (3, 1, 2):
        queue.put(item)
    assert queue.qsize() == len(queue) == 3 and not queue.empty() and not queue.full() and queue
    expected = {PriorityQueue: [1, 2, 3], LifoQueue: [2, 1, 3]}.get(kind, [3, 1, 2])
    assert queue.peek() == queue.peek_nowait() == expected[0]
    assert [queue.get(), queue.get_nowait(), queue.get(timeout=1)] == expected
    assert queue.empty() and queue
    filled = kind(items=[3, 1, 2])
    assert filled.copy().get() == expected[0] and filled.qsize() == 3


@every_kind
def test_nothing_there(kind: type[SimpleQueue[int]]) -> None:
    queue = kind()
    for attempt in (queue.get_nowait, queue.peek_nowait):
        with pytest.raises(Empty) as caught:
            attempt()
        assert caught.value.__context__ is None
    for bounded in (queue.get, queue.peek):
        with pytest.raises(Empty):
            bounded(block=False)
        with pytest.raises(Empty):
            bounded(timeout=0.001)
        with pytest.raises(Empty):
            bounded(timeout=0)
        with pytest.raises(ValueError, match="non-negative"):
            bounded(timeout=-1)
    assert Empty is stdlib_queue.Empty and Full is stdlib_queue.Full


@every_kind
def test_no_room(kind: type[SimpleQueue[int]]) -> None:
    queue = kind(2)
    assert queue.maxsize == 2
    queue.put(1)
    queue.put(2)
    assert queue.full()
    with pytest.raises(Full):
        queue.put_nowait(3)
    with pytest.raises(Full):
        queue.put(3, block=False)
    with pytest.raises(Full):
        queue.put(3, timeout=0.001)
    queue.get()
    queue.put(4)
    assert queue.qsize() == 2 and queue.full()
    assert kind(0).maxsize is None and kind(-1).maxsize is None and not kind(None).full()
    for bad in ("x", 1.5):
        with pytest.raises(TypeError):
            kind(bad)  # type: ignore[arg-type]


@every_kind
def test_more_items_than_room_to_begin_with(kind: type[SimpleQueue[int]]) -> None:
    queue = kind(2, [1, 2, 3, 4])
    assert queue.full() and queue.qsize() == 4
    for _ in range(2):
        queue.get()
        with pytest.raises(Full):
            queue.put_nowait(9)
    queue.get()
    queue.put_nowait(9)
    assert queue.full()


def test_producer_and_consumer_of_uneven_speed() -> None:
    """G9: bounded, decoupled, nothing lost, in order."""
    queue, got, sizes = Queue[int](3), list[int](), set[int]()

    def producer() -> None:
        for number in range(200):
            queue.put(number)
            sizes.add(queue.qsize())
            if number % 7 == 0:
                sleep(0.0005)

    def consumer() -> None:
        for number in range(200):
            got.append(queue.get())
            if number % 5 == 0:
                sleep(0.0005)

    joinall([spawn(producer), spawn(consumer)])
    assert got == list(range(200)) and max(sizes) <= 3


def test_who_waits_is_served_in_the_order_of_coming() -> None:
    queue, got = Queue[int](), list[object]()

    def run(name: int) -> None:
        got.append((name, queue.get()))

    made = [spawn(run, name) for name in range(10)]
    sleep(0)
    for item in range(10):
        queue.put(item)
    # Each item is somebody's now: nobody who comes later gets it.
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get_nowait()
    joinall(made)
    assert got == [(number, number) for number in range(10)]


def test_putters_are_served_in_the_order_of_coming() -> None:
    queue = Queue[int](1)
    queue.put(-1)
    made = [spawn(queue.put, number) for number in range(10)]
    sleep(0)
    assert [queue.get() for _ in range(11)] == list(range(-1, 10))
    joinall(made)


def test_who_was_handed_an_item_and_is_killed_gives_it_back() -> None:
    """The item goes to the next one who waits, else back to the front."""
    for kind, expected in ((Queue, [0, 1, 2]), (PriorityQueue, [0, 1, 2]), (LifoQueue, [0, 2, 1])):
        queue = kind()
        victim = spawn(queue.get)
        sleep(0)
        queue.put(0)
        queue.put(1)
        queue.put(2)
        get_hub().loop.ready.appendleft(lambda victim=victim: victim.throw(GreenletExit))
        victim.join()
        assert isinstance(victim.value, GreenletExit)
        assert [queue.get_nowait() for _ in range(3)] == expected

    passed = Queue[str]()
    first, second = spawn(passed.get), spawn(passed.get)
    sleep(0)
    passed.put("item")
    get_hub().loop.ready.appendleft(lambda: first.throw(GreenletExit))
    assert second.get(timeout=5) == "item"


def test_a_given_back_item_may_exceed_the_bound_but_no_other_does() -> None:
    queue = Queue[int](1)
    victim = spawn(queue.get)
    sleep(0)
    queue.put(1)
    queue.put(2)
    assert queue.full()
    get_hub().loop.ready.appendleft(lambda: victim.throw(GreenletExit))
    victim.join()
    assert queue.qsize() == 2
    assert queue.get() == 1
    with pytest.raises(Full):
        queue.put_nowait(3)
    assert queue.get() == 2
    queue.put_nowait(3)


def test_those_who_give_up_leave_nothing_behind() -> None:
    queue = Queue[int]()
    for _ in range(1000):
        with pytest.raises(Empty):
            queue.get(timeout=0)
    killed = [spawn(queue.get) for _ in range(2000)]
    last = spawn(queue.get)
    sleep(0)
    killall(killed)
    assert len(queue._getters) <= 64 and "getters[1]" in repr(queue)
    queue.put(5)
    assert last.get(timeout=5) == 5 and queue.empty()
    full = Queue[int](1, [0])
    waiting = [spawn(full.put, 1) for _ in range(100)]
    sleep(0)
    killall(waiting)
    assert full.get() == 0
    full.put_nowait(1)


@every_kind
def test_peek_waits_for_an_item_and_leaves_it(kind: type[SimpleQueue[int]]) -> None:
    queue = kind()
    looking = [spawn(queue.peek) for _ in range(2)]
    taking = spawn(queue.get)
    late = spawn(queue.peek, timeout=10)
    sleep(0)
    queue.put(5)
    assert [one.get(timeout=5) for one in looking] == [5, 5]
    assert taking.get(timeout=5) == 5
    assert not late.ready()
    queue.put(6)
    assert late.get(timeout=5) == 6 and queue.get_nowait() == 6


def test_iteration_ends_with_stop_iteration() -> None:
    queue = Queue[Any](items=[1, 2, StopIteration, 3])
    assert list(queue) == [1, 2] and queue.get() == 3
    channel = Channel[Any]()
    spawn(lambda: [channel.put(item) for item in (1, 2, StopIteration)])
    assert list(channel) == [1, 2]


@every_kind
def test_in_a_callback_of_the_loop(kind: type[SimpleQueue[int]]) -> None:
    """Where nobody may wait: as if `block` were false."""
    queue, log = kind(1), list[object]()

    def callback() -> None:
        for attempt in (lambda: queue.put(1), lambda: queue.put(2), queue.peek, queue.get, queue.get):
            try:
                log.append(attempt())
            except (Empty, Full) as error:
                log.append(type(error))

    get_hub().loop.run_callback(callback)
    sleep(0.001)
    assert log == [None, Full, 1, 1, Empty]


def test_a_subclass_keeps_its_items_otherwise() -> None:
    class Newest(Queue[int]):
        """Knows only the newest item."""

        def _put(self, item: int) -> None:
            self.queue.clear()
            self.queue.append(item)

    queue = Newest()
    for item in range(3):
        queue.put(item)
    assert queue.get() == 2 and queue.empty()
    waiting = spawn(queue.get)
    sleep(0)
    queue.put(7)
    assert waiting.get(timeout=5) == 7


def test_priorities_that_cannot_be_compared() -> None:
    queue = PriorityQueue[Any]()
    queue.put(1)
    with pytest.raises(TypeError):
        queue.put("x")
    assert queue.get() == 1


def test_an_item_that_stays_in_though_it_cannot_be_compared_keeps_its_place() -> None:
    queue = PriorityQueue[Any](2)
    queue.put((1, object()))
    with pytest.raises(TypeError):
        queue.put((1, object()))
    assert queue.qsize() == 2 and queue.full()
    with pytest.raises(Full):
        queue.put_nowait((2, None))


@every_kind
def test_the_bound_can_be_changed(kind: type[SimpleQueue[int]]) -> None:
    queue = kind(1)
    putting = [spawn(queue.put, number) for number in range(5)]

    def put_by_now() -> int:
        sleep(0)
        sleep(0)
        return sum(each.ready() for each in putting)

    assert put_by_now() == 1
    queue.maxsize = 3
    assert put_by_now() == 3 == queue.maxsize and queue.full()
    queue.maxsize = 2
    queue.get()
    assert put_by_now() == 3 and queue.full()
    queue.get()
    assert put_by_now() == 4 and queue.qsize() == 2
    queue.maxsize = None
    assert put_by_now() == 5 and queue.qsize() == 3
    queue.put_nowait(6)
    assert not queue.full()
    for bound in (2, 3):
        queue.maxsize = bound
        assert queue.full()
        with pytest.raises(Full):
            queue.put_nowait(7)
    for _ in range(2):
        queue.get()
    queue.put_nowait(8)
    with pytest.raises(Full):
        queue.put_nowait(9)
    queue.maxsize = 5
    queue.put_nowait(10)
    assert queue.qsize() == 4 and not queue.full()


# join


def test_join_waits_for_the_work_on_all_items() -> None:
    """G9."""
    queue, log = JoinableQueue[int](), list[int]()
    assert queue.join() is True

    def worker() -> None:
        while True:
            item = queue.get()
            sleep(0.001)
            log.append(item)
            queue.task_done()

    workers = [spawn(worker) for _ in range(3)]
    for item in range(9):
        queue.put(item)
    assert queue.unfinished_tasks == 9
    assert queue.join(timeout=0.0001) is False
    assert queue.join() is True and sorted(log) == list(range(9)) and queue.unfinished_tasks == 0
    killall(workers)
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        queue.task_done()
    assert JoinableQueue(items=[1, 2]).unfinished_tasks == 2
    assert JoinableQueue(items=[1, 2], unfinished_tasks=5).unfinished_tasks == 5


def test_many_join_and_some_give_up() -> None:
    queue = Queue[int](items=[1])
    joiners = [spawn(queue.join) for _ in range(5)]
    impatient = spawn(queue.join, 0.001)
    assert impatient.get() is False
    joiners[0].kill()
    queue.get()
    queue.task_done()
    assert [one.get(timeout=5) for one in joiners[1:]] == [True] * 4


def test_a_full_put_is_no_task() -> None:
    queue = Queue[int](1)
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=0.001)
    assert queue.unfinished_tasks == 1


# shutdown


def test_shutdown_lets_nothing_in_and_empties() -> None:
    queue = Queue[int](1, [1])
    putting = spawn(queue.put, 2)
    sleep(0)
    queue.shutdown()
    assert queue.is_shutdown
    get_hub().handle_error, kept = lambda *_: None, get_hub().handle_error  # type: ignore[method-assign]
    try:
        putting.join()
    finally:
        get_hub().handle_error = kept  # type: ignore[method-assign]
    assert isinstance(putting.exception, ShutDown)
    with pytest.raises(ShutDown):
        queue.put(3)
    assert queue.peek() == 1 and queue.get() == 1
    for attempt in (queue.get, queue.get_nowait, queue.peek, queue.peek_nowait):
        with pytest.raises(ShutDown):
            attempt()


def test_shutdown_wakes_who_waits(capsys: pytest.CaptureFixture[str]) -> None:
    queue = Queue[int]()
    waiting = [spawn(queue.get), spawn(queue.peek), spawn(queue.get, timeout=10)]
    sleep(0)
    queue.shutdown()
    joinall(waiting)
    assert all(isinstance(one.exception, ShutDown) for one in waiting)
    capsys.readouterr()


def test_immediate_shutdown_drops_what_is_in() -> None:
    queue = Queue[int](items=[1, 2, 3])
    joining = spawn(queue.join)
    sleep(0)
    queue.shutdown(immediate=True)
    assert joining.get(timeout=5) is True and queue.empty() and queue.unfinished_tasks == 0
    with pytest.raises(ShutDown):
        queue.get()


# Channel


def test_a_channel_hands_over() -> None:
    channel, log = Channel[int](), list[object]()

    def giver() -> None:
        for number in range(3):
            channel.put(number)
            log.append(("put", number))

    def taker() -> None:
        for _ in range(3):
            log.append(("got", channel.get()))

    giving = spawn(giver)
    sleep(0)
    assert channel.balance == 1 and channel.empty() and channel.full() and channel.qsize() == 0
    assert not giving.ready() and log == []
    taking = spawn(taker)
    joinall([giving, taking])
    assert [entry for entry in log if entry[0] == "got"] == [("got", number) for number in range(3)]
    # Who gives goes on after who takes.
    for number in range(3):
        assert log.index(("got", number)) < log.index(("put", number))
    assert channel.balance == 0


def test_who_waits_at_a_channel() -> None:
    channel: Channel[int] = Channel()
    assert channel.getters == channel.putters == []
    takers = [spawn(channel.get) for _ in range(2)]
    sleep(0)
    assert channel.getters == takers and channel.balance == -2
    killall(takers)
    assert channel.getters == []
    givers = [spawn(channel.put, number) for number in range(2)]
    sleep(0)
    assert channel.putters == list(enumerate(givers)) and channel.balance == 2
    assert channel.get() == 0 and channel.putters == [(1, givers[1])]
    assert channel.get() == 1 and channel.putters == []


def test_a_channel_without_a_partner() -> None:
    channel = Channel[int]()
    with pytest.raises(Full):
        channel.put_nowait(1)
    with pytest.raises(Empty):
        channel.get_nowait()
    with pytest.raises(Full):
        channel.put(1, timeout=0.001)
    with pytest.raises(Empty):
        channel.get(timeout=0.001)
    assert channel.balance == 0
    waiting = spawn(channel.get)
    sleep(0)
    assert channel.balance == -1 and "getters[1]" in repr(channel)
    channel.put_nowait(5)
    assert waiting.get(timeout=5) == 5
    giving = spawn(channel.put, 6)
    sleep(0)
    assert channel.get_nowait() == 6 and giving.join(timeout=5) is None
    with pytest.raises(ValueError):
        Channel(2)


def test_what_a_killed_taker_was_given_goes_to_the_next() -> None:
    channel = Channel[str]()
    victim = spawn(channel.get)
    sleep(0)
    channel.put_nowait("item")
    get_hub().loop.ready.appendleft(lambda: victim.throw(GreenletExit))
    victim.join()
    assert channel.get(timeout=5) == "item"
    assert channel.balance == 0
    giving = spawn(channel.put, "never taken")
    sleep(0)
    giving.kill()
    with pytest.raises(Empty):
        channel.get_nowait()


def test_a_channel_between_threads() -> None:
    there, back = Channel[int](), Channel[int]()

    def work() -> None:
        for _ in range(300):
            back.put(there.get(timeout=20) + 1, timeout=20)

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(300):
        there.put(number, timeout=20)
        assert back.get(timeout=20) == number + 1
    thread.join()


# Many, at random, between threads


@pytest.mark.parametrize("maxsize", [None, 1, 5])
def test_random_kills_and_timeouts_lose_and_double_no_item(maxsize: int | None) -> None:
    chance = random.Random(maxsize)
    queue, got, put = Queue[int](maxsize), list[int](), list[int]()
    done = Event()

    def taker() -> None:
        while not done.is_set():
            try:
                item = queue.get(timeout=chance.random() * 0.001)
            except Empty:
                continue
            got.append(item)
            if chance.random() < 0.2:
                sleep(0)

    def giver(base: int) -> None:
        for number in range(base, base + 100):
            while True:
                try:
                    queue.put(number, timeout=chance.random() * 0.001)
                except Full:
                    continue
                break
            put.append(number)

    takers: list[Greenlet] = [spawn(taker) for _ in range(8)]
    givers = [spawn(giver, base) for base in range(0, 1000, 100)]
    while not all(one.dead for one in givers):
        victim = takers.pop(chance.randrange(len(takers)))
        victim.kill(block=False)
        takers.append(spawn(taker))
        sleep(0.0005)
    done.set()
    joinall(takers)
    while not queue.empty():
        got.append(queue.get_nowait())
    assert sorted(put) == list(range(1000))
    # A kill may hit a taker between `get` and the note that it got something; no item comes twice.
    assert len(set(got)) == len(got) and len(got) >= 1000 - 5


@pytest.mark.parametrize("maxsize", [None, 2])
def test_a_queue_between_threads_loses_nothing(maxsize: int | None) -> None:
    """S5: threads with one greenlet, with many, without a hub."""
    queue, results = Queue[int](maxsize), Queue[int]()
    producers, each = 4, 250

    def produce(base: int) -> None:
        for number in range(base, base + each):
            queue.put(number)

    def consume() -> None:
        while (item := queue.get()) >= 0:
            results.put(item)

    def consume_in_greenlets() -> None:
        joinall([spawn(consume) for _ in range(3)])

    threads = [threading.Thread(target=produce, args=(number * each,)) for number in range(producers)]
    consumers = [threading.Thread(target=consume) for _ in range(2)]
    consumers.append(threading.Thread(target=consume_in_greenlets))
    for thread in [*threads, *consumers]:
        thread.start()
    got = sorted(results.get(timeout=30) for _ in range(producers * each))
    assert got == list(range(producers * each))
    for _ in range(5):
        queue.put(-1)
    for thread in [*threads, *consumers]:
        while thread.is_alive():
            sleep(0.001)
    assert queue.empty() and results.empty()


def test_a_put_in_a_thread_without_a_hub_wakes() -> None:
    queue = Queue[int]()
    thread = threading.Thread(target=lambda: (time.sleep(0.02), queue.put(1)))
    thread.start()
    assert queue.get() == 1
    thread.join()


def test_texts() -> None:
    queue = Queue[int](5, [1, 2])
    assert str(queue) == "<Queue maxsize=5 queue=deque([1, 2]) tasks=2>"
    assert repr(queue) == f"<Queue at {id(queue):#x} maxsize=5 queue=deque([1, 2]) tasks=2>"
    assert str(SimpleQueue()) == "<SimpleQueue>" and str(Channel()) == "<Channel>"
    full = Queue[int](1, [1])
    waiting = spawn(full.put, 2)
    sleep(0)
    assert "putters[1]" in str(full)
    waiting.kill()
    assert queue.hub is get_hub() and Channel().hub is get_hub()
