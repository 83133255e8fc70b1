"""The thread pool executor: standard futures that greenlets can wait for (`ThreadPoolExecutor`; spec G10).

What belongs here: `greenswitch._executor`. What never does: the threads and the pool of a hub
(`test_threadpool`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import Timeout, get_hub, joinall, sleep, spawn
from greenswitch.threadpool import ThreadPoolExecutor

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def fail(text: str) -> None:
    raise ValueError(text)


def held(executor: ThreadPoolExecutor, count: int = 2) -> tuple[threading.Event, list[Any]]:
    """Calls that keep threads busy until the event is set."""
    release = threading.Event()
    return release, [executor.submit(release.wait, 30) for _ in range(count)]


# Each of these waits for the calls of `futures`.
WAITS: list[Callable[[list[Any]], object]] = [
    lambda futures: [future.result() for future in futures],
    lambda futures: [future.exception(30) for future in futures],
    lambda futures: concurrent.futures.wait(futures),
    lambda futures: concurrent.futures.wait(futures, 30, concurrent.futures.FIRST_COMPLETED),
    lambda futures: concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION),
    lambda futures: list(concurrent.futures.as_completed(futures)),
]


@pytest.mark.parametrize("wait", WAITS)
def test_greenlets_run_while_one_waits(
    executor: ThreadPoolExecutor, wait: Callable[[list[Any]], object]
) -> None:
    """Without patching anything: a greenlet that waits must run for the threads to be released."""
    release, futures = held(executor)
    waiter = spawn(wait, futures)
    sleep(0.01)
    assert not waiter.ready()
    release.set()
    waiter.get()
    assert any(future.done() for future in futures)


@pytest.mark.parametrize("wait", WAITS)
def test_the_main_greenlet_waits(executor: ThreadPoolExecutor, wait: Callable[[list[Any]], object]) -> None:
    release, futures = held(executor)
    spawn(lambda: (sleep(0.01), release.set()))
    wait(futures)
    assert release.is_set()


def test_futures_are_the_standard_ones(executor: ThreadPoolExecutor) -> None:
    assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    future = executor.submit(pow, 2, exp=3)
    assert isinstance(future, concurrent.futures.Future)
    assert (future.result(), future.done(), future.exception()) == (8, True, None)
    failed = executor.submit(fail, "no")
    with pytest.raises(ValueError, match="no"):
        failed.result()
    assert repr(failed.exception()) == "ValueError('no')"
    called: list[object] = []
    failed.add_done_callback(called.append)
    assert called == [failed]
    assert list(executor.map(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]


def test_at_most_as_many_at_work_as_there_may_be(executor: ThreadPoolExecutor) -> None:
    now, most = [0], [0]
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.001)
        with lock:
            now[0] -= 1
        return number

    futures = [executor.submit(work, number) for number in range(50)]
    assert [future.result() for future in futures] == list(range(50)) and most[0] <= 2
    order: list[int] = []
    with ThreadPoolExecutor(1) as single:
        for number in range(50):
            single.submit(order.append, number)
    assert order == list(range(50))


def test_waits_have_bounds(executor: ThreadPoolExecutor) -> None:
    release, futures = held(executor)
    for wait in (futures[0].result, futures[0].exception):
        with pytest.raises(concurrent.futures.TimeoutError):
            wait(0.001)
    assert not concurrent.futures.wait(futures, 0.001).done
    with pytest.raises(concurrent.futures.TimeoutError):
        list(concurrent.futures.as_completed(futures, 0.001))
    with pytest.raises(Timeout), Timeout(0.001):
        futures[0].result()
    killed = spawn(futures[0].result)
    sleep(0)
    killed.kill()
    release.set()
    assert futures[0].result() is True


def test_what_is_not_begun_can_be_cancelled(executor: ThreadPoolExecutor) -> None:
    release, futures = held(executor)
    while not all(future.running() for future in futures):
        sleep(0.001)
    late = executor.submit(fail, "never")
    assert late.cancel() and late.cancelled() and not futures[0].cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        late.result()
    release.set()


@pytest.mark.parametrize("cancel", [False, True])
def test_shutdown(cancel: bool) -> None:
    executor = ThreadPoolExecutor(2)
    release, futures = held(executor, 4)
    while sum(future.running() for future in futures) < 2:
        sleep(0.001)
    executor.shutdown(wait=False, cancel_futures=cancel)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    ending = spawn(executor.shutdown)
    sleep(0.01)
    assert not ending.ready()
    release.set()
    ending.get()
    assert sum(future.cancelled() for future in futures) == (2 if cancel else 0)
    assert all(future.done() for future in futures)
    while executor._native.size:
        sleep(0.001)
    executor.kill()


def test_an_executor_that_is_forgotten_ends_its_threads() -> None:
    executor = ThreadPoolExecutor(2)
    executor.submit(int).result()
    native, gone = executor._native, weakref.ref(executor)
    del executor
    while gone() is not None or native.size:
        gc.collect()
        sleep(0.001)


def test_futures_from_every_thread(executor: ThreadPoolExecutor) -> None:
    """Threads with a hub of their own, and without; greenlets of both."""
    outcomes: list[Any] = []

    def work(number: int) -> None:
        outcomes.append(executor.submit(abs, -number).result())
        workers = [spawn(lambda own: executor.submit(abs, own).result(), own) for own in range(3)]
        joinall(workers)
        outcomes.append([each.value for each in workers])

    threads = [threading.Thread(target=work, args=(7,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(7) == outcomes.count([0, 1, 2]) == 4


def test_the_hub_waits_for_busy_threads_only(run_python: RunPython) -> None:
    """G12: what is called in a thread may wake the main greenlet; idle threads cannot."""
    program = """
import time
from greenswitch.event import Event
from greenswitch.exceptions import LoopExit
from greenswitch.threadpool import ThreadPoolExecutor
executor = ThreadPoolExecutor(2)
for count in (1, 2, 5):
    event = Event()
    futures = [executor.submit(time.sleep, 0.2) for _ in range(count)]
    futures[-1].add_done_callback(lambda _: event.set())
    print(event.wait())
    try:
        Event().wait()
    except LoopExit:
        print("nothing can wake it")
    print(all(future.done() for future in futures))
"""
    expected = "True\nnothing can wake it\nTrue\n" * 3
    assert run_python(program, timeout=30).check().stdout == expected


def test_initializers(executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(2, "name", begun.append, (1,)) as other:
        release, futures = held(other)
        sleep(0.01)
        release.set()
        assert [future.result() for future in futures] == [True, True] and begun == [1, 1]
        other.submit(int).result()
        assert begun == [1, 1]
    broken = ThreadPoolExecutor(1, initializer=fail, initargs=("begin",))
    with caplog.at_level(logging.CRITICAL):
        future = broken.submit(int)
        error = future.exception()
    assert isinstance(error, concurrent.futures.thread.BrokenThreadPool)
    assert "Exception in initializer:" in caplog.text
    with pytest.raises(concurrent.futures.BrokenExecutor):
        broken.submit(int)
    broken.shutdown()
    with pytest.raises(ValueError, match="max_workers"):
        ThreadPoolExecutor(0)


def test_asyncio_can_use_it() -> None:
    """D4."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        return list(await asyncio.gather(*(loop.run_in_executor(None, pow, 2, n) for n in range(5))))

    assert asyncio.run(main()) == [1, 2, 4, 8, 16]


def test_it_is_not_imported_with_the_pool(run_python: RunPython) -> None:
    program = """
import sys, greenswitch.threadpool as module
print('concurrent.futures' in sys.modules, hasattr(module, 'nonsense'))
print(module.ThreadPoolExecutor is module.ThreadPoolExecutor, 'concurrent.futures' in sys.modules)
"""
    assert run_python(program).check().stdout == "False False\nTrue True\n"


@pytest.mark.parametrize("busy", ["int", "forever"])
def test_the_interpreter_exits_at_once(run_python: RunPython, busy: str) -> None:
    program = f"""
import time
from greenswitch.threadpool import ThreadPoolExecutor
def forever(): time.sleep(1000)
executor = ThreadPoolExecutor(2)
print(executor.submit(int).result())
executor.submit({busy})
"""
    outcome = run_python(program, timeout=30).check()
    assert (outcome.stdout, outcome.stderr) == ("0\n", "")


def test_in_a_child_process(run_python: RunPython) -> None:
    """G15."""
    program = """
import os, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from greenswitch.threadpool import ThreadPoolExecutor
executor = ThreadPoolExecutor(2)
slow = executor.submit(time.sleep, 0.1)
executor.submit(int).result()
child = os.fork()
if not child:
    assert executor.submit(lambda: "child").result() == "child" and executor._native.size == 1
    executor.shutdown()
    os._exit(0)
slow.result()
assert os.waitpid(child, 0)[1] == 0
print(executor.submit(lambda: "parent").result())
"""
    assert run_python(program, timeout=30).check().stdout == "parent\n"


def test_patched_programs_use_it_as_before(run_python: RunPython) -> None:
    program = """
from greenswitch import monkey, spawn, sleep
monkey.patch_all()
import concurrent.futures, time
from greenswitch.threadpool import ThreadPoolExecutor
native = monkey.get_original("time", "sleep")
with ThreadPoolExecutor(2) as executor:
    ticks = []
    ticker = spawn(lambda: [(ticks.append(1), time.sleep(0.01)) for _ in range(1000)])
    futures = [executor.submit(native, 0.1) for _ in range(2)]
    concurrent.futures.wait(futures)
    print(len(ticks) > 3)
    ticker.kill()
"""
    assert run_python(program, timeout=30).check().stdout == "True\n"


def test_the_hub_is_not_needed(run_python: RunPython) -> None:
    """Submitting alone makes no hub."""
    program = """
from greenswitch.hub import get_hub_if_any
from greenswitch.threadpool import ThreadPoolExecutor
executor = ThreadPoolExecutor(1)
future = executor.submit(int)
while not future.done():
    pass
print(get_hub_if_any(), future.result())
"""
    assert run_python(program, timeout=30).check().stdout == "None 0\n"
    assert get_hub() is get_hub()
