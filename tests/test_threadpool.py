"""`greenswitch.threadpool`: native threads that work for greenlets.

What belongs here: which call runs where, how its outcome comes back, how many threads there are. What never
does: pools of greenlets.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch.exceptions import InvalidThreadUseError
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, getcurrent, sleep
from greenswitch.threadpool import ThreadPool, ThreadResult
from greenswitch.timeout import Timeout

if TYPE_CHECKING:
    from conftest import RunPython

spawn = Greenlet.spawn

pytestmark = pytest.mark.usefixtures("within_two_minutes")


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A pool of three threads."""
    pool = ThreadPool(3)
    yield pool
    pool.kill()
    until(lambda: pool.size == 0)


def until(condition: Any) -> None:
    while not condition():
        sleep(0.001)


def fail(text: str) -> None:
    raise ValueError(text)


# Outcomes


def test_apply_runs_elsewhere_and_answers_here(pool: ThreadPool) -> None:
    """G10: the function runs in another native thread, its value comes back."""
    ident, value = pool.apply(lambda a, b: (threading.get_ident(), a + b), (1,), {"b": 2})
    assert value == 3
    assert ident != threading.get_ident()
    assert pool.apply(dict) == {}


def test_errors_are_raised_in_the_caller(pool: ThreadPool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="^text$") as caught:
        pool.apply(fail, ("text",))
    assert caught.traceback[-1].name == "fail"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_errors_of_every_kind_come_back(pool: ThreadPool, kind: type[BaseException]) -> None:
    def stop() -> None:
        raise kind("stop")

    with pytest.raises(kind):
        pool.apply(stop)
    assert pool.apply(lambda: "still works") == "still works"


def test_spawn_gives_a_result_that_comes_later(pool: ThreadPool) -> None:
    """G7, G10: the future of a call in a thread."""
    gate = threading.Event()
    result = pool.spawn(lambda *args, **kwargs: (gate.wait(10), args, kwargs), 1, two=2)
    sleep(0.005)
    assert not result.ready()
    gate.set()
    assert result.get() == (True, (1,), {"two": 2})
    assert result.successful()


def test_spawn_reports_a_failure_once(pool: ThreadPool, capsys: pytest.CaptureFixture[str]) -> None:
    """G7: nobody may ever ask the result, so the failure is printed."""
    result = pool.spawn(fail, "text")
    result.wait()
    printed = capsys.readouterr().err
    assert printed.count("ValueError: text") == 1
    assert "failed with ValueError" in printed and "function fail" in printed
    for _ in range(2):
        with pytest.raises(ValueError, match="^text$"):
            result.get()


def test_map_keeps_the_order(pool: ThreadPool) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert pool.map(slow_first, range(10)) == [number * number for number in range(10)]


def test_the_other_ways_to_map(pool: ThreadPool) -> None:
    """G10: what a pool of greenlets can do, a pool of threads can, too."""
    gate = threading.Event()

    def late_first(number: int) -> int:
        if number == 0:
            gate.wait(10)
        elif number == 5:
            gate.set()
        return number

    assert list(pool.imap(late_first, range(6))) == list(range(6))
    gate.clear()
    assert sorted(pool.imap_unordered(late_first, range(6), maxsize=2)) == list(range(6))
    assert pool.map_async(abs, [-1, -2]).get() == [1, 2]
    called = []
    assert pool.apply_async(abs, (-3,), callback=called.append).get() == 3
    gate.clear()
    busy = [pool.spawn(gate.wait, 10) for _ in range(3)]
    late = pool.apply_async(abs, (-4,), callback=called.append)
    gate.set()
    assert late.get() == 4
    assert all(result.get() for result in busy)
    until(lambda: called == [3, 4])


def test_greenlets_run_while_a_thread_works(pool: ThreadPool) -> None:
    """G10, L3: a native blocking call does not stop the hub."""
    turns = 0

    def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0.001)

    ticker = spawn(tick)
    pool.apply(time.sleep, (0.1,))
    ticker.kill()
    assert turns > 10


def test_calls_of_several_greenlets_overlap(pool: ThreadPool) -> None:
    """G10: three blocking calls meet at a barrier: they run at the same time."""
    barrier = threading.Barrier(3, timeout=30)
    calls = [spawn(pool.apply, barrier.wait) for _ in range(3)]
    joinall(calls, raise_error=True)
    assert sorted(call.value for call in calls) == [0, 1, 2]


def test_killed_caller_leaves_the_call_running(pool: ThreadPool, capsys: pytest.CaptureFixture[str]) -> None:
    """G14: a kill reaches who waits for a thread; what the thread gives is thrown away, a failure is
    reported."""
    gate, ended = threading.Event(), []

    def work() -> None:
        gate.wait(10)
        ended.append(True)
        fail("nobody waits for me")

    caller = spawn(pool.apply, work)
    sleep(0.005)
    caller.kill()
    with pytest.raises(Timeout), Timeout(0.005):
        pool.apply(gate.wait, (10,))
    assert len(pool) == 2
    gate.set()
    pool.join()
    assert ended == [True] and len(pool) == 0
    assert capsys.readouterr().err.count("ValueError: nobody waits for me") == 1


# Threads


def test_threads_are_made_on_demand_up_to_the_limit(pool: ThreadPool) -> None:
    """G10: one thread for calls one after another, never more than `maxsize`; the next spawn waits for a
    place."""
    assert pool.size == 0
    for _ in range(5):
        pool.apply(int)
    assert pool.size == 1
    gate = threading.Event()
    results = [pool.spawn(gate.wait, 10) for _ in range(3)]
    assert pool.size == len(pool) == 3
    late = spawn(pool.spawn, int)
    sleep(0.005)
    assert not late.ready() and len(pool) == 3
    gate.set()
    assert late.get().get() == 0
    assert [result.get() for result in results] == [True] * 3
    assert pool.size == 3 and len(pool) == 0


def test_who_is_killed_while_waiting_for_a_place_takes_none(pool: ThreadPool) -> None:
    gate = threading.Event()
    results = [pool.spawn(gate.wait, 10) for _ in range(3)]
    waiting = [spawn(pool.apply, int) for _ in range(3)]
    sleep(0.005)
    waiting[0].kill()
    gate.set()
    for result in results:
        result.get()
    waiting[1].kill()
    assert waiting[2].get() == 0
    assert len(pool) == 0
    assert pool.map(int, "123456") == [1, 2, 3, 4, 5, 6]


def test_places_are_given_in_the_order_of_coming(pool: ThreadPool) -> None:
    """G10: also where several come free in one turn of the loop, while more wait than can begin."""
    gates = [threading.Event() for _ in range(12)]
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        gates[number].wait(10)

    waiting = [spawn(pool.apply, work, (number,)) for number in range(12)]
    for rank in range(0, 12, 3):
        until(lambda rank=rank: len(begun) == rank + 3)
        assert sorted(begun[rank:]) == [rank, rank + 1, rank + 2]
        outcomes = len(get_hub().loop.ready)
        for gate in gates[rank : rank + 3]:
            gate.set()
        # Without a turn of the loop meanwhile.
        deadline = time.monotonic() + 10
        while len(get_hub().loop.ready) < outcomes + 3 and time.monotonic() < deadline:
            time.sleep(0.001)
    joinall(waiting)
    assert not len(pool)


def test_idle_threads_are_given_back() -> None:
    """G10: a thread without work ends after its time, and the next call gets a new one."""
    pool = ThreadPool(2, idle_task_timeout=0.05)
    barrier = threading.Barrier(2, timeout=30)
    assert sorted(pool.map(lambda _: barrier.wait(), range(2))) == [0, 1]
    assert pool.size == 2
    until(lambda: pool.size == 0)
    assert pool.apply(int) == 0
    assert pool.size == 1
    until(lambda: pool.size == 0)


def test_thread_that_ends_as_work_comes() -> None:
    """G10: no call is lost between the end of an idle thread's patience and its end."""
    pool = ThreadPool(4, idle_task_timeout=0.001)
    for turn in range(200):
        assert pool.apply(lambda turn=turn: turn) == turn
        sleep(0.001 if turn % 3 else 0.002)
    until(lambda: pool.size == 0)


def test_maxsize_can_change(pool: ThreadPool) -> None:
    gate = threading.Event()
    for _ in range(3):
        pool.spawn(gate.wait, 10)
    late = spawn(pool.apply, int)
    sleep(0.005)
    assert not late.ready()
    pool.maxsize = 4
    assert late.get() == 0
    pool.maxsize = 1
    gate.set()
    pool.join()
    until(lambda: pool.size == 1)
    assert pool.maxsize == 1
    assert pool.map(int, "12") == [1, 2]
    assert pool.size == 1


@pytest.mark.parametrize(("maxsize", "error"), [(-1, ValueError), ("1", TypeError), (None, TypeError)])
def test_bad_maxsize(pool: ThreadPool, maxsize: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="maxsize must"):
        ThreadPool(maxsize)
    with pytest.raises(error, match="maxsize must"):
        pool.maxsize = maxsize
    assert pool.maxsize == 3


def test_kill_ends_the_threads_and_the_pool_goes_on(pool: ThreadPool) -> None:
    gate = threading.Event()
    threads = threading.active_count()
    busy = pool.spawn(gate.wait, 10)
    pool.apply(int)
    pool.kill()
    assert pool.size == 0
    gate.set()
    assert busy.get() is True
    until(lambda: threading.active_count() <= threads)
    assert pool.apply(int) == 0


def test_forgotten_pool_ends_its_threads() -> None:
    pool = ThreadPool(2)
    pool.apply(int)
    workers = pool._workers
    del pool
    until(lambda: workers.size == 0)


def test_join(pool: ThreadPool) -> None:
    pool.join()
    gate = threading.Event()
    results = [pool.spawn(gate.wait, 10) for _ in range(2)]
    joining = [spawn(pool.join) for _ in range(2)]
    sleep(0.005)
    assert not any(greenlet.ready() for greenlet in joining)
    gate.set()
    joinall(joining, raise_error=True)
    assert all(result.ready() for result in results)


# The hub


def test_hub_waits_for_a_call_and_for_nothing_else(run_python: RunPython) -> None:
    """G12, L1: a call under way keeps the loop alive; after it the deadlock is found, idle threads or not."""
    outcome = run_python(
        """
import time
from greenswitch.event import Event
from greenswitch.hub import LoopExit, get_hub
import greenswitch.threadpool
hub = get_hub()
result = hub.threadpool.spawn(time.sleep, 0.05)
print(hub.loop.refs)
result.get()
print(hub.loop.refs, hub.threadpool.size)
try:
    Event().wait()
except LoopExit:
    print("deadlock")
""",
        timeout=30,
    ).check()
    assert outcome.stdout == "1\n0 1\ndeadlock\n"


def test_pool_belongs_to_one_thread(pool: ThreadPool) -> None:
    """S5: `spawn` elsewhere is refused; `apply` elsewhere, also in one of its own threads, runs on the
    spot."""

    def inside() -> tuple[int, int]:
        with pytest.raises(InvalidThreadUseError):
            pool.spawn(int)
        return threading.get_ident(), pool.apply(threading.get_ident)

    here, there = pool.apply(inside)
    assert here == there != threading.get_ident()


def test_hub_has_a_pool() -> None:
    hub = get_hub()
    assert isinstance(hub.threadpool, ThreadPool)
    assert hub.threadpool is hub.threadpool
    assert hub.threadpool.maxsize == 10
    assert hub.threadpool.hub is hub


def test_outcomes_come_in_the_hub(pool: ThreadPool) -> None:
    """G7: links of the result run in the hub's greenlet, in the hub's thread."""
    where = []
    result = pool.spawn(int)
    result.rawlink(lambda _: where.append((threading.get_ident(), getcurrent())))
    result.get()
    sleep(0)
    assert where == [(threading.get_ident(), get_hub())]


def test_many_calls(pool: ThreadPool) -> None:
    """G10: a thousand greenlets, three threads."""
    calls = [spawn(pool.apply, abs, (-number,)) for number in range(1000)]
    joinall(calls, raise_error=True)
    assert [call.value for call in calls] == list(range(1000))
    assert pool.size <= 3


def test_the_number_of_threads_can_be_set(pool: ThreadPool) -> None:
    pool.size = 2
    assert pool.size == 2
    pool.size = 1
    assert pool.size == 1 and pool.apply(abs, (-1,)) == 1
    pool.size = 0
    assert pool.size == 0
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=r"size must be between 0 and maxsize, which is 3"):
            pool.size = wrong
    joinall([spawn(pool.apply, time.sleep, (0.01,)) for _ in range(3)])
    pool.adjust()
    assert pool.size == 3 and pool.pid == os.getpid()


def test_greenlets_in_a_worker(pool: ThreadPool) -> None:
    """A call may use greenlets, in a hub of its thread's own."""

    def work() -> list[int]:
        greenlets = [spawn(lambda number: sleep(0.001) or number, number) for number in range(3)]  # type: ignore[func-returns-value]
        joinall(greenlets)
        assert get_hub() is not here
        return [each.value for each in greenlets]

    here = get_hub()
    assert pool.map(lambda _: work(), range(5)) == [[0, 1, 2]] * 5


def test_an_outcome_is_brought_to_the_hub(capsys: pytest.CaptureFixture[str]) -> None:
    log: list[Any] = []

    def receive(result: ThreadResult) -> None:
        log.append((result, threading.get_ident(), getcurrent()))

    def fail_there(result: ThreadResult) -> None:
        error = ValueError("there")
        result.handle_error("context", (ValueError, error, None))

    for act in (lambda result: result.set(7), fail_there):
        result = ThreadResult(receive, get_hub(), lambda: log.append("ready"))
        thread = threading.Thread(target=act, args=(result,))
        thread.start()
        until(lambda: len(log) == 2)
        thread.join()
        assert log == ["ready", (result, threading.get_ident(), get_hub())]
        log.clear()
    assert (
        not result.successful() and repr(result.exception) == "ValueError('there')" and result.value is None
    )
    assert "context failed with ValueError" in capsys.readouterr().err
    result = ThreadResult(log.append, get_hub(), int)
    result.set(5)
    sleep(0)
    assert log == [result] and (result.value, result.exception, result.exc_info) == (5, None, ())


# Exit and fork


@pytest.mark.parametrize("busy", ["int", "forever", "spin"])
def test_interpreter_exits_at_once(run_python: RunPython, busy: str) -> None:
    """G10: threads that are idle, blocked or computing do not keep the program from exiting."""
    outcome = run_python(
        f"""
import time
from greenswitch.hub import get_hub, sleep
import greenswitch.threadpool
def forever(): time.sleep(1000)
def spin():
    while True: pass
pool = get_hub().threadpool
pool.apply(int)
pool.spawn({busy})
sleep(0.05)
print("end")
""",
        timeout=30,
    ).check()
    assert (outcome.stdout, outcome.stderr) == ("end\n", "")


def test_pool_in_a_child_process(run_python: RunPython) -> None:
    """G15: after a fork the child has threads of its own; the parent's go on."""
    outcome = run_python(
        """
import os, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from greenswitch.hub import get_hub, sleep
import greenswitch.threadpool
pool = get_hub().threadpool
pool.apply(int)
slow = pool.spawn(time.sleep, 0.1)
child = os.fork()
if not child:
    assert pool.apply(lambda: "child") == "child"
    assert len(pool) == 0 and pool.size == 1
    os._exit(0)
slow.get()
assert os.waitpid(child, 0)[1] == 0
print(pool.apply(lambda: "parent"))
""",
        timeout=30,
    ).check()
    assert outcome.stdout == "parent\n"
