"""Groups and pools: who is in, how many may be, and functions over many arguments.

What belongs here: `greenswitch.pool`. What never does: the pool of native threads.
"""

from __future__ import annotations

import gc
import itertools
import queue as stdlib_queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenswitch import Greenlet, Timeout, get_hub, getcurrent, sleep, spawn, spawn_raw
from greenswitch.pool import Group, Pool, PoolFull


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The failures that are reported, instead of their being printed."""
    failures: list[BaseException] = []
    monkeypatch.setattr(get_hub(), "handle_error", lambda context, type, value, tb: failures.append(value))
    return failures


def slow(number: int) -> int:
    """The later the argument, the sooner the result."""
    sleep(0.002 * (5 - number))
    return number * number


def bad(number: int) -> int:
    if number == 2:
        raise ValueError(number)
    return number


every_kind = pytest.mark.parametrize("make", [Group, Pool, lambda: Pool(1), lambda: Pool(2)])
Make = Callable[[], Group]


@every_kind
def test_map_keeps_the_order_and_apply_the_result(make: Make) -> None:
    """G10."""
    group = make()
    squares = [0, 1, 4, 9, 16]
    assert group.map(slow, range(5)) == squares
    assert list(group.imap(slow, range(5))) == squares
    assert sorted(group.imap_unordered(slow, range(5))) == squares
    assert group.map_async(slow, range(5)).get() == squares
    assert group.apply(slow, (3,)) == 9 and group.apply(int, ("ff",), {"base": 16}) == 255
    assert group.apply_async(slow, (3,)).get() == 9
    assert list(group.imap(lambda a, b: a + b, [1, 2, 3], [10, 20])) == [11, 22]
    assert group.map(slow, []) == [] and list(group.imap(slow, [])) == []
    assert len(group) == 0


def test_unordered_results_come_as_they_are_ready() -> None:
    assert list(Group().imap_unordered(slow, range(5))) == [16, 9, 4, 1, 0]
    assert list(Pool(2).imap_unordered(slow, range(3))) == [1, 0, 4]


@every_kind
def test_a_failure_is_raised_where_it_belongs(make: Make, quiet: list[BaseException]) -> None:
    group = make()
    with pytest.raises(ValueError, match="2"):
        group.map(bad, range(4))
    group.join()
    for method in (group.imap, group.imap_unordered):
        iterator, seen = method(bad, range(4)), list[object]()
        while True:
            try:
                seen.append(next(iterator))
            except StopIteration:
                break
            except ValueError as error:
                seen.append(str(error))
        assert seen == [0, 1, "2", 3]
        with pytest.raises(StopIteration):
            next(iterator)
    with pytest.raises(ValueError):
        group.apply(bad, (2,))
    with pytest.raises(ValueError):
        group.apply_async(bad, (2,)).get()
    with pytest.raises(ValueError):
        group.map_async(bad, range(4)).get()
    group.join()
    assert all(isinstance(error, ValueError) for error in quiet)


@every_kind
def test_arguments_that_fail(make: Make) -> None:
    group = make()

    def arguments() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("arguments")

    with pytest.raises(KeyError):
        group.map(abs, arguments())
    for method in (group.imap, group.imap_unordered):
        iterator = method(abs, arguments())
        assert next(iterator) == 1 and next(iterator) == 2
        with pytest.raises(KeyError):
            next(iterator)
        with pytest.raises(StopIteration):
            next(iterator)
        with pytest.raises(TypeError):
            method(abs, 5)  # type: ignore[arg-type]
    group.join()


@every_kind
def test_callbacks(make: Make, quiet: list[BaseException]) -> None:
    group, results = make(), list[object]()
    assert group.apply_cb(slow, (3,), callback=results.append) == 9
    assert group.map_cb(slow, [1, 2], results.append) == [1, 4]
    group.apply_async(slow, (4,), callback=results.append).join()
    group.apply_async(bad, (2,), callback=results.append).join()
    group.map_async(slow, [3], results.append).join()
    sleep(0.001)
    assert sorted(map(str, results)) == ["16", "9", "[1, 4]", "[9]"]


@pytest.mark.parametrize("size", [1, 3])
def test_never_more_than_size_at_work(size: int) -> None:
    """G10."""
    pool = Pool(size)
    working = most = 0

    def work(number: int) -> int:
        nonlocal working, most
        working += 1
        most = max(most, working)
        sleep(0.0005)
        working -= 1
        return number

    assert pool.map(work, range(20)) == list(range(20))
    assert list(pool.imap(work, range(20))) == list(range(20))
    assert sorted(pool.imap_unordered(work, range(20))) == list(range(20))
    assert most == size


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_work_whose_results_nobody_asks_for_is_done(name: str) -> None:
    """As gevent does it: the work may be the purpose."""
    pool, done = Pool(2), list[int]()
    getattr(pool, name)(done.append, range(5))
    gc.collect()
    sleep(0.001)
    pool.join()
    assert done == list(range(5))


def test_work_without_end_is_taken_bit_by_bit() -> None:
    pool = Pool(2)
    iterator = pool.imap(lambda number: number, itertools.count())
    assert [next(iterator) for _ in range(5)] == list(range(5))
    # Nobody wants the rest: the feeding ends with the iterator.
    del iterator
    gc.collect()
    pool.join()
    assert len(pool) == 0

    fed: list[int] = []

    def arguments() -> Iterator[int]:
        for number in itertools.count():
            fed.append(number)
            yield number

    assert list(Group().imap(bad, range(2), maxsize=0)) == [0, 1]
    bounded = Group().imap(lambda number: number, arguments(), maxsize=3)
    assert [next(bounded) for _ in range(4)] == list(range(4))
    sleep(0.001)
    assert len(fed) <= 9
    del bounded
    gc.collect()
    sleep(0.001)


def test_a_pool_is_full() -> None:
    pool = Pool(1)
    assert not pool.full() and pool.free_count() == 1 and pool.wait_available() == 1
    running = pool.spawn(sleep, 10)
    assert pool.full() and pool.free_count() == 0 and running in pool and list(pool) == [running]
    assert pool.wait_available(timeout=0.001) == 0
    extra = Greenlet(sleep)
    for attempt in (
        lambda: pool.add(extra, blocking=False),
        lambda: pool.add(extra, timeout=0.001),
        lambda: pool.start(extra, blocking=False),
    ):
        with pytest.raises(PoolFull):
            attempt()
    assert issubclass(PoolFull, stdlib_queue.Full)
    waiting = spawn(pool.spawn, slow, 4)
    sleep(0)
    assert not waiting.ready()
    running.kill()
    assert waiting.get(timeout=5).get() == 16
    with pytest.raises(Timeout), Timeout(0.01):
        while True:
            pool.spawn(sleep, 10)
    assert len(pool) == 1
    pool.kill()
    assert pool.free_count() == 1
    assert Pool(0).full() and Pool(None).free_count() == 1 and Pool().wait_available() == 1
    with pytest.raises(ValueError, match="size must not be negative: -1"):
        Pool(-1)


def test_a_spawn_that_is_killed_while_it_waits_takes_no_place() -> None:
    pool = Pool(1)
    running = pool.spawn(sleep, 10)
    waiting = [spawn(pool.spawn, sleep) for _ in range(5)]
    sleep(0)
    for one in waiting:
        one.kill()
    running.kill()
    assert pool.wait_available(timeout=1) == 1
    pool.spawn(sleep).join()
    pool.join()


def test_apply_from_inside_the_pool_does_not_wait_for_itself() -> None:
    pool = Pool(1)
    inner: list[object] = []

    def outer() -> int:
        inner.append(getcurrent())
        return int(pool.apply(lambda: inner.append(getcurrent()) or 5))

    assert pool.apply(outer) == 5
    assert inner[0] is inner[1]
    nested = pool.spawn(lambda: pool.apply_async(slow, (4,)))
    assert nested.get(timeout=5).get(timeout=5) == 16


@every_kind
def test_who_is_in(make: Make) -> None:
    group = make()
    one = group.spawn(sleep, 0.001)
    other = spawn(sleep, 0.001)
    assert one in group and other not in group and len(group) == 1 and "Greenlet" in repr(group)
    group.discard(other)
    group.discard(one)
    group.discard(one)
    assert len(group) == 0 and not one.dead
    group.add(other)
    assert group.join(timeout=0.0001) is False
    assert group.join() is True and len(group) == 0 and other.dead
    one.join()


@every_kind
def test_who_is_taken_in_twice_takes_one_place(make: Make) -> None:
    group = make()
    one = Greenlet(sleep)
    group.add(one)
    group.add(one)
    group.start(one)
    assert len(group) == 1
    group.join()
    for _ in range(2):
        with Timeout(5):
            group.spawn(sleep)
    group.join()
    assert group.wait_available(timeout=0.001) in (None, 1, 2)


@every_kind
def test_a_bare_greenlet_is_in_until_it_is_let_go(make: Make) -> None:
    """The main greenlet, for example."""
    group = make()
    group.add(getcurrent())  # type: ignore[arg-type]
    assert getcurrent() in group and group.join(timeout=0.001) is False
    group.discard(getcurrent())  # type: ignore[arg-type]
    bare: Any = spawn_raw(sleep, 30)
    group.add(bare)
    sleep(0)
    group.kill(block=False)
    sleep(0)
    assert bare.dead and bare in group
    group.discard(bare)
    assert group.join() is True and group.wait_available(timeout=0.001) in (None, 1, 2)


def test_a_group_of_given_greenlets() -> None:
    made = [spawn(sleep, 0.001) for _ in range(3)]
    group = Group(made)
    assert len(group) == 3 and not group.full() and group.wait_available() is None
    assert group.join(timeout=5) is True and all(one.dead for one in made)
    # One that is done already leaves by the loop.
    group.add(made[0])
    assert group.join(timeout=5) is True


def test_join_raises_a_failure(quiet: list[BaseException]) -> None:
    group = Group()
    group.spawn(bad, 2)
    group.spawn(sleep, 0.001)
    with pytest.raises(ValueError, match="2"):
        group.join(raise_error=True)
    assert group.join(raise_error=True) is True


@every_kind
def test_kill(make: Make) -> None:
    group = make()
    made = [group.spawn(sleep, 10)]
    if not group.full():
        made.append(group.spawn(sleep, 10))
    sleep(0)
    group.killone(made[-1])
    group.killone(made[-1])
    assert made[-1].dead and len(group) == len(made) - 1
    group.kill()
    assert all(one.dead for one in made) and len(group) == 0 and not group.dying
    group.kill()
    new = group.spawn(sleep, 10)
    group.kill(block=False)
    sleep(0)
    assert new.dead and len(group) == 0


def test_kill_of_the_stubborn() -> None:
    group = Group()
    stop = False

    def stubborn() -> None:
        while not stop:
            try:
                sleep(0.001)
            except BaseException:
                pass

    one = group.spawn(stubborn)
    sleep(0)
    group.kill(timeout=0.005)
    assert not one.dead
    group.killone(one, timeout=0.001)
    stop = True
    group.join()


def test_killing_the_workers_does_not_hang_who_waits_for_results() -> None:
    pool = Pool(2)
    iterator = pool.imap_unordered(lambda _: sleep(10), range(2))
    sleep(0.001)
    assert len(pool) == 2
    pool.kill()
    assert len(list(iterator)) == 2


def test_a_class_of_ones_own() -> None:
    class Mine(Greenlet):
        pass

    pool = Pool(2, greenlet_class=Mine)
    assert type(pool.spawn(sleep)) is Mine and pool.greenlet_class is Mine and pool.size == 2
    pool.join()

    class Sub(Group):
        greenlet_class = Mine

    seen: list[Any] = Sub().map(lambda _: type(getcurrent()), range(3))
    assert seen == [Mine] * 3
