"""Coroutines and greenlets that wait for each other (spec D4).

What belongs here: results, failures, ends and contexts across the border, in both directions. What never
does: the loop by itself (`test_loop`).
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import Greenlet, GreenletExit, Timeout, aio, get_hub, joinall, sleep, spawn, wait
from greenswitch.event import AsyncResult, Event
from greenswitch.exceptions import BlockingSwitchOutError, LoopExit

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Failures of greenlets are kept here, and not printed."""
    kept: list[BaseException] = []

    def keep(context: object, kind: object, value: BaseException, trace: object) -> None:
        kept.append(value)

    monkeypatch.setattr(get_hub(), "handle_error", keep, raising=False)
    return kept


async def add(left: int, right: int) -> int:
    await asyncio.sleep(0.001)
    return left + right


async def fail_deep_down() -> None:
    await asyncio.sleep(0.001)
    raise ValueError("deep down")


class Stubborn:
    """A coroutine that notes how it is ended and takes its time for that."""

    def __init__(self, outcome: BaseException | None = None) -> None:
        self.noted: list[str] = []
        self.outcome = outcome

    async def run(self) -> str:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            self.noted.append("cancelled")
            await asyncio.sleep(0.02)
            self.noted.append("cleaned up")
            if self.outcome is not None:
                raise self.outcome from None
            raise
        return "never"


# A greenlet waits for a coroutine


def test_wait() -> None:
    """In the main greenlet and in others, with no loop of the program's own."""
    assert aio.wait(add(1, 2)) == 3
    running = [spawn(aio.wait, add(number, number)) for number in range(10)]
    joinall(running, raise_error=True)
    assert [each.value for each in running] == [2 * number for number in range(10)]


def test_wait_beside_a_running_loop() -> None:
    """It is that loop which runs the coroutine, so it may use what the others there use."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def take() -> int:
            assert asyncio.get_running_loop() is loop
            return await queue.get()

        def green() -> int:
            assert aio.get_loop() is loop
            return aio.wait(take())

        taking = [aio.greenlet(spawn(green)) for _ in range(3)]
        waiting = asyncio.gather(*taking)
        for number in range(3):
            await asyncio.sleep(0.001)
            queue.put_nowait(number)
        return list(await waiting)

    assert aio.run(main()) == [0, 1, 2]


def test_wait_for_a_future_and_a_task_and_an_awaitable() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return add(2, 2).__await__()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future, done = loop.create_future(), loop.create_future()
        done.set_result("at once")
        task = loop.create_task(add(1, 1))

        def green() -> list[Any]:
            spawn(lambda: (sleep(0.01), future.set_result("future")))
            return [aio.wait(future), aio.wait(task), aio.wait(done), aio.wait(Awaitable())]

        assert await aio.greenlet(spawn(green)) == ["future", 2, "at once", 4]

    aio.run(main())


def test_failure_of_a_coroutine_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="deep down") as caught:
        aio.wait(fail_deep_down())
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "fail_deep_down"


def test_kill_cancels_and_waits_for_the_end() -> None:
    stubborn = Stubborn()
    running = spawn(aio.wait, stubborn.run())
    sleep(0.01)
    running.kill()
    assert stubborn.noted == ["cancelled", "cleaned up"]
    assert isinstance(running.value, GreenletExit)


def test_what_a_cancelled_task_fails_with_is_not_lost(quiet: list[BaseException]) -> None:
    running = spawn(aio.wait, Stubborn(KeyError("while cleaning up")).run())
    sleep(0.01)
    running.kill()
    assert isinstance(running.exception, KeyError)
    assert isinstance(running.exception.__context__, GreenletExit)
    assert quiet == [running.exception]


def test_a_second_kill_does_not_wait_any_longer() -> None:
    async def never_ends() -> None:
        while not may_end.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass

    may_end = threading.Event()
    running = spawn(aio.wait, never_ends())
    sleep(0.01)
    running.kill(block=False)
    sleep(0.03)
    assert not running.dead
    running.kill()
    assert running.dead
    may_end.set()
    sleep(0.05)


@pytest.mark.parametrize("timeout", [0.01, Timeout(0.01)])
def test_timeout_cancels(timeout: Any) -> None:
    stubborn = Stubborn()
    with pytest.raises(Timeout) as caught:
        aio.wait(stubborn.run(), timeout)
    assert stubborn.noted == ["cancelled", "cleaned up"]
    assert caught.value.seconds == 0.01
    if isinstance(timeout, Timeout):
        assert caught.value is timeout


def test_timeout_block_around() -> None:
    stubborn = Stubborn()
    with Timeout(0.01, False):
        aio.wait(stubborn.run())
        raise AssertionError("not reached")
    assert stubborn.noted == ["cancelled", "cleaned up"]


def test_silent_timeout() -> None:
    stubborn = Stubborn()
    assert aio.wait(stubborn.run(), Timeout(0.01, False)) is None
    assert stubborn.noted == ["cancelled", "cleaned up"]


def test_in_time_is_no_timeout() -> None:
    assert aio.wait(add(1, 2), 10) == 3
    assert get_hub().loop.timer_count <= 1


def test_cancelled_by_somebody_else() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(asyncio.sleep(1000))
        waiting = spawn(catch, task)
        await asyncio.sleep(0.01)
        task.cancel()
        assert await aio.greenlet(waiting) == "CancelledError"

    def catch(task: Any) -> str:
        try:
            aio.wait(task)
        except asyncio.CancelledError as error:
            return type(error).__name__
        return "nothing"

    aio.run(main())


def test_wait_is_refused_where_it_would_stop_the_loop() -> None:
    async def main() -> None:
        waited_for = add(1, 2)
        with pytest.raises(RuntimeError, match="await"):
            aio.wait(waited_for)
        with pytest.raises(RuntimeError):
            aio.run(waited_for)
        assert await waited_for == 3

    aio.run(main())
    caught: list[BaseException] = []

    def callback() -> None:
        waited_for = add(1, 2)
        try:
            aio.wait(waited_for)
        except BlockingSwitchOutError as error:
            caught.append(error)
        waited_for.close()

    get_hub().loop.run_callback(callback)
    sleep(0.01)
    assert len(caught) == 1


def test_what_cannot_be_awaited() -> None:
    with pytest.raises(TypeError):
        aio.wait(42)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        aio.spawn(42)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):  # by CPython's version
        aio.run(42)  # type: ignore[arg-type]


@pytest.mark.parametrize("thread", [False, True], ids=["", "another-thread"])
def test_a_loop_that_is_closed_keeps_nobody_waiting(thread: bool) -> None:
    loop = aio.EventLoop()
    futures = [loop.create_future() for _ in range(2)]
    told: list[str] = []

    def green() -> None:
        try:
            aio.wait(futures[0])
        except RuntimeError as error:
            told.append(str(error))

    def killed() -> None:
        try:
            aio.wait(futures[1])
        except GreenletExit:
            told.append("killed")

    def work() -> None:
        waiting, dying = spawn(green), spawn(killed)
        sleep(0.02)
        dying.kill(block=False)
        waiting.join()
        dying.join()

    closing = threading.Timer(0.1, loop.close)
    if thread:
        # It stops there, so that nobody does what is to be done in it.
        loop.call_soon(loop.stop)
        running = threading.Thread(target=loop.run_forever)
        running.start()
        running.join()
    closing.start()
    work()
    closing.join()
    assert sorted(told) == ["Event loop is closed", "killed"]


def test_deadlock_tells_of_the_task() -> None:
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(LoopExit) as caught:
        aio.wait(stuck())
    assert "stuck()" in str(caught.value)


def test_an_idle_loop_keeps_nobody_waiting() -> None:
    """The loop that serves a thread does not hide that there is nothing left to do."""
    aio.wait(asyncio.sleep(0))
    assert wait(timeout=20)
    with pytest.raises(LoopExit):
        Event().wait()


# Spawning a coroutine


def test_spawn() -> None:
    """G5: it does not run before the caller waits."""
    began = []

    async def work() -> str:
        began.append(True)
        await asyncio.sleep(0.001)
        return "worked"

    spawned = aio.spawn(work())
    assert isinstance(spawned, Greenlet)
    assert not began
    assert spawned.get() == "worked"
    assert spawned.task.done()


def test_spawned_failure(quiet: list[BaseException]) -> None:
    """G7: reported once, as of any greenlet."""
    spawned = aio.spawn(fail_deep_down())
    spawned.join()
    assert isinstance(spawned.exception, ValueError)
    assert quiet == [spawned.exception]
    assert "fail_deep_down" in "".join(traceback.format_tb(spawned.exception.__traceback__))


def test_killing_the_spawned() -> None:
    stubborn = Stubborn()
    spawned = aio.spawn(stubborn.run())
    sleep(0.01)
    spawned.kill()
    assert stubborn.noted == ["cancelled", "cleaned up"]
    assert spawned.task.cancelled()
    assert isinstance(spawned.value, GreenletExit)


def test_killing_the_spawned_before_it_runs() -> None:
    """The coroutine never runs, and nobody complains that it was not awaited."""
    stubborn = Stubborn()
    spawned = aio.spawn(stubborn.run())
    spawned.kill()
    assert spawned.dead
    sleep(0.01)
    assert spawned.task.cancelled()
    assert stubborn.noted == []
    del spawned
    gc.collect()


def test_cancelling_the_task_of_the_spawned() -> None:
    spawned = aio.spawn(asyncio.sleep(1000))
    sleep(0.001)
    spawned.task.cancel()
    spawned.join()
    assert spawned.successful()
    assert isinstance(spawned.value, GreenletExit)


# A coroutine awaits a greenlet


def test_await_a_greenlet() -> None:
    async def main() -> list[Any]:
        done = spawn(lambda: "done")
        await asyncio.sleep(0.01)
        return [
            await aio.greenlet(done),
            await aio.greenlet(spawn(lambda: (sleep(0.01), "value")[1])),
            *await asyncio.gather(*[aio.greenlet(spawn(int, number)) for number in "123"]),
        ]

    assert aio.run(main()) == ["done", "value", 1, 2, 3]


def test_failure_of_a_greenlet_keeps_its_traceback(quiet: list[BaseException]) -> None:
    def fail() -> None:
        sleep(0.001)
        raise LookupError("in the greenlet")

    async def main() -> None:
        await aio.greenlet(spawn(fail))

    with pytest.raises(LookupError) as caught:
        aio.run(main())
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert "main" in names
    assert names[-1] == "fail"


def test_cancelling_kills_and_waits_for_the_end() -> None:
    noted = []

    def green() -> None:
        try:
            sleep(1000)
        except GreenletExit:
            noted.append("killed")
            sleep(0.02)
            noted.append("cleaned up")
            raise

    async def main() -> None:
        awaited = spawn(green)
        task = asyncio.ensure_future(aio.greenlet(awaited))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert noted == ["killed", "cleaned up"]
        assert awaited.dead
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.greenlet(spawn(sleep, 1000)), 0.01)

    aio.run(main())


def test_what_a_killed_greenlet_fails_with_is_not_lost(quiet: list[BaseException]) -> None:
    def green() -> None:
        try:
            sleep(1000)
        finally:
            raise KeyError("while cleaning up")

    async def main() -> None:
        task = asyncio.ensure_future(aio.greenlet(spawn(green)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(KeyError):
        aio.run(main())
    assert len(quiet) == 1


def test_a_second_cancel_does_not_wait_any_longer() -> None:
    ended = Event()

    def green() -> None:
        while not ended.is_set():
            try:
                sleep(0.01)
            except GreenletExit:
                pass

    async def main() -> None:
        awaited = spawn(green)
        task = asyncio.ensure_future(aio.greenlet(awaited))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.03)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not awaited.dead
        assert not awaited.has_links()
        ended.set()
        await aio.greenlet(awaited)

    aio.run(main())


def test_shield() -> None:
    async def main() -> str:
        awaited = spawn(lambda: (sleep(0.05), "went on")[1])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(aio.greenlet(awaited)), 0.01)
        result: str = await aio.greenlet(awaited)
        return result

    assert aio.run(main()) == "went on"


def test_a_killed_greenlet_counts_as_cancelled() -> None:
    async def main() -> None:
        awaited = spawn(sleep, 1000)
        asyncio.get_running_loop().call_later(0.01, lambda: awaited.kill(block=False))
        with pytest.raises(asyncio.CancelledError):
            await aio.greenlet(awaited)
        with pytest.raises(asyncio.CancelledError):
            await aio.greenlet(awaited)

    aio.run(main())


def test_there_and_back() -> None:
    """A coroutine that awaits a greenlet that waits for a coroutine, many levels deep; and the end goes down
    all of them."""
    depth = 20
    ended = []

    async def down(level: int) -> int:
        try:
            return await aio.greenlet(spawn(green, level)) if level else 0
        except asyncio.CancelledError:
            ended.append(level)
            raise

    def green(level: int) -> int:
        result: int = aio.wait(down(level - 1)) + 1
        return result

    assert aio.wait(down(depth)) == depth
    assert not ended

    async def stuck(level: int) -> int:
        try:
            return await aio.greenlet(spawn(stuck_green, level)) if level else await asyncio.sleep(1000, 0)
        finally:
            ended.append(level)

    def stuck_green(level: int) -> int:
        return aio.wait(stuck(level - 1))

    with pytest.raises(Timeout):
        aio.wait(stuck(depth), 0.05)
    assert ended == list(range(depth + 1))


# Contexts


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


def test_contexts() -> None:
    """A coroutine runs in a copy of the context of the greenlet that waits for it or spawned it; a greenlet
    has one of its own."""

    async def read(change: str) -> str:
        before = variable.get()
        await asyncio.sleep(0.001)
        assert variable.get() == before
        variable.set(change)
        return before

    def green() -> list[str]:
        variable.set("green")
        spawned = aio.spawn(read("other"))
        variable.set("later")
        return [aio.wait(read("changed")), variable.get(), spawned.get()]

    token = variable.set("main")
    try:
        assert spawn(green).get() == ["later", "later", "green"]
        assert aio.wait(read("changed")) == "main"

        async def main() -> str:
            variable.set("coroutine")
            seen: str = await aio.greenlet(spawn(variable.get))
            assert variable.get() == "coroutine"
            return seen

        assert aio.run(main()) == "default"
        assert variable.get() == "main"
    finally:
        variable.reset(token)


# Threads


def test_between_threads() -> None:
    """A greenlet waits for a task of another thread's loop, and a coroutine awaits a greenlet of another
    thread; each with its cancelling."""
    ready: AsyncResult[Any] = AsyncResult()
    may_end = threading.Event()

    def thread() -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            forever = asyncio.ensure_future(asyncio.sleep(1000))
            ready.set(
                [
                    asyncio.ensure_future(add(20, 22)),
                    forever,
                    spawn(lambda: (sleep(0.02), "over there")[1]),
                    (killed := spawn(sleep, 1000)),
                ]
            )
            await loop.run_in_executor(None, may_end.wait)
            assert forever.cancelled()
            assert killed.dead

        aio.run(main())

    running = threading.Thread(target=thread)
    running.start()
    task, forever, green, killed = ready.get()
    assert aio.wait(task) == 42
    assert aio.wait(task) == 42
    with pytest.raises(Timeout):
        aio.wait(forever, 0.01)

    async def main() -> None:
        assert await aio.greenlet(green) == "over there"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.greenlet(killed), 0.01)

    aio.run(main())
    may_end.set()
    running.join()


def test_each_thread_has_a_loop_that_ends_with_it() -> None:
    """No descriptor, no warning about a loop that was not closed, and clean-ups that need the loop."""
    loops = []

    def thread() -> None:
        assert aio.wait(add(1, 1)) == 2
        loops.append(aio.get_loop())

    for _ in range(3):
        running = threading.Thread(target=thread)
        running.start()
        running.join()
    gc.collect()
    assert len(set(loops)) == 3
    assert all(loop.is_closed() for loop in loops)


END = """
import asyncio
from greenswitch import aio, sleep

async def background():
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")

async def generator():
    try:
        yield 1
        yield 2
    finally:
        print("generator closed")

async def first(numbers):
    return await numbers.__anext__()

numbers = generator()
print(aio.wait(first(numbers)))
aio.wait(asyncio.to_thread(int))
aio.spawn(background())
sleep(0.01)
"""


def test_the_loop_of_the_main_thread_ends_with_the_program(run_python: RunPython) -> None:
    """As at the end of `asyncio.run`."""
    outcome = run_python(END, options=("-X", "dev", "-W", "error")).check()
    assert outcome.stdout.splitlines() == ["1", "cleaned up", "generator closed"]
    assert outcome.stderr == ""


ERRORS = """
import asyncio, sys
from greenswitch import aio

async def leave():
    await asyncio.sleep(0.001)
    sys.exit(5)

aio.wait(leave())
"""


def test_system_exit_in_a_coroutine_ends_the_program(run_python: RunPython) -> None:
    outcome = run_python(ERRORS)
    assert outcome.status == 5, outcome


DESTROYED = """
import asyncio
from greenswitch import aio, get_hub

for _ in range(3):
    print(aio.wait(asyncio.sleep(0.001, "waited")))
    get_hub().destroy()
"""


def test_another_hub_has_another_loop(run_python: RunPython) -> None:
    outcome = run_python(DESTROYED).check()
    assert outcome.stdout == "waited\n" * 3


def test_nothing_is_left() -> None:
    """Neither greenlets nor tasks nor timers pile up."""

    def work() -> None:
        assert aio.wait(add(1, 2)) == 3
        spawn(sleep, 0).join()
        with pytest.raises(Timeout):
            aio.wait(asyncio.sleep(1000), 0.001)
        aio.spawn(add(1, 2)).get()

    work()
    gc.collect()
    loop = aio.get_loop()
    before = count()
    for _ in range(20):
        work()
    gc.collect()
    assert count() <= before
    assert not asyncio.all_tasks(loop)
    assert get_hub().loop.timer_count <= 1


def count() -> int:
    return sum(isinstance(thing, (Greenlet, asyncio.Future)) for thing in gc.get_objects())
