"""From greenlets to coroutines and back.

What belongs here: a greenlet that waits for a coroutine, a coroutine that awaits a greenlet, what happens
to one when the other is cancelled, and the loop of a thread in which nobody runs one. What never does: how a
loop waits (`loop`).

Killed and cancelled are the same thing on two sides. Who is killed while he waits for the other side cancels
it, or kills it, waits until it has ended, and goes on with his own end then; only what the other side fails
with on that occasion takes precedence. One who is killed a second time does not wait any longer.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from .._core import GreenletExit, getcurrent
from .._original import get_ident, local
from ..exceptions import BlockingSwitchOutError, LoopExit
from ..greenlets import Greenlet
from ..hub import Waiter, get_hub
from ..timeout import Timeout
from .loop import EventLoop, on_own_chunk, running_loops, tell_tasks

__all__ = ["TaskGreenlet", "get_loop", "greenlet", "run", "spawn", "wait"]

_T = TypeVar("_T")

_here = local()
"""`host`: the greenlet that runs a loop because nobody else did."""

_exiting = False
"""Is the interpreter about to end? Then the threads of executors have ended, and none can be started."""


# The loop of a thread


class _Host(Greenlet):
    """Runs a loop until the thread ends."""

    def __init__(self) -> None:
        super().__init__()
        self.asyncio_loop = EventLoop()

    def _run(self) -> None:
        loop = self.asyncio_loop
        hub = get_hub()
        try:
            while True:
                try:
                    loop.run_forever()
                except GreenletExit:
                    raise
                except BaseException as error:
                    # SystemExit and KeyboardInterrupt out of a task: for the main greenlet.
                    hub.handle_error(None, type(error), error, error.__traceback__)
        finally:
            if hub.loop.closed:
                # The thread has ended: nobody can wait any more.
                loop.close()
            else:
                _finish(loop)


def get_loop() -> EventLoop:
    """The loop that `spawn` and `wait` use in this thread: the one that was started last of those that run
    here; if none does, one that runs in a greenlet of its own from now on. Does not block."""
    hub = get_hub()
    host: _Host | None = getattr(_here, "host", None)
    if host is not None and (host.dead or host.parent is not hub):
        host = None
    for loop in reversed(running_loops()):
        if loop.waits_in(hub) and (host is None or loop is not host.asyncio_loop):
            return loop
    if host is None:
        host = _here.host = _Host()
        host.start()
    return host.asyncio_loop


def _end_host() -> None:
    """The program ends: let the tasks of the loop end before it."""
    global _exiting
    _exiting = True
    host: _Host | None = getattr(_here, "host", None)
    if host is not None and not host.dead and host.parent is get_hub():
        host.kill()


def _forget_host() -> None:
    # Its descriptors are the parent's as well, and its tasks are the parent's work.
    _here.__dict__.clear()


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, and close the loop, as at the end of `asyncio.run`."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for task in left:
            if not task.cancelled() and task.exception() is not None:
                loop.call_exception_handler(
                    {
                        "message": "a task failed while its loop was being closed",
                        "exception": task.exception(),
                        "task": task,
                    }
                )
        loop.run_until_complete(loop.shutdown_asyncgens())
        if not _exiting:
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


if sys.version_info >= (3, 11):

    def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
        """`asyncio.run` with our loop: other greenlets of this thread run meanwhile. Blocks until `main` is
        done; its result, or what it raises."""
        # Asked here as well: a runner that is left without having run anything runs its own clean-up.
        _refuse_in_coroutine("run")
        with asyncio.Runner(debug=debug, loop_factory=EventLoop) as runner:
            return runner.run(main)

else:

    def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
        """`asyncio.run` with our loop: other greenlets of this thread run meanwhile. Blocks until `main` is
        done; its result, or what it raises."""
        if not asyncio.iscoroutine(main):
            raise ValueError(f"a coroutine was expected, got {main!r}")
        _refuse_in_coroutine("run")
        loop = EventLoop()
        try:
            asyncio.set_event_loop(loop)
            if debug is not None:
                loop.set_debug(debug)
            return loop.run_until_complete(main)
        finally:
            try:
                _finish(loop)
            finally:
                asyncio.set_event_loop(None)


# A greenlet that waits for a coroutine


@on_own_chunk
def wait(awaitable: Awaitable[_T], timeout: float | Timeout | None = None) -> _T:
    """Wait for a coroutine, a task or a future of asyncio, in a greenlet: its result, or what it raises. A
    coroutine is run as a task of `get_loop()`. Blocks.

    If the greenlet is killed, the task is cancelled, and this waits for its end. The same happens after
    `timeout` seconds, and then Timeout is raised; a Timeout in their place is started and raises itself.

    Raises asyncio.CancelledError if somebody else cancelled the task, RuntimeError inside of a coroutine,
    which is to say `await`, and if the loop is closed meanwhile; TypeError for what cannot be awaited.
    """
    if isinstance(timeout, Timeout):
        with timeout:
            return wait(awaitable)
        # One that ends silently.
        return None  # type: ignore[return-value]
    _refuse_in_coroutine("wait")
    if getcurrent() is get_hub():
        raise BlockingSwitchOutError("aio.wait() in a callback of the hub's loop")
    if asyncio.isfuture(awaitable):
        future: asyncio.Future[_T] = awaitable
    else:
        future = asyncio.ensure_future(awaitable, loop=get_loop())
    return _outcome(future, timeout)


def _outcome(future: asyncio.Future[_T], timeout: float | None = None) -> _T:
    """What `wait` does, once there is a future."""
    if future.done():
        return future.result()
    waiter = Waiter()
    try:
        if _wait_for(future, waiter, timeout, future.add_done_callback):
            return future.result()
        raise Timeout(timeout)
    except BaseException as error:
        if future.done() and waiter.woken:
            # What it ended with, or what came when that was settled.
            raise
        if isinstance(error, LoopExit):
            tell_tasks(error)
        if not future.get_loop().is_closed():
            _cancel(future)
        raise


class _Told:
    """Wakes a waiter when a future is done."""

    __slots__ = ("_waiter",)

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter

    def __call__(self, future: object) -> None:
        self._waiter.wake()


def _wait_for(
    future: asyncio.Future[Any],
    waiter: Waiter,
    timeout: float | None,
    begin: Callable[[Callable[[object], None]], object],
) -> bool:
    """Call `begin` with what is to be called when `future` is done, there where it may be touched, and wait
    for that. False after `timeout` seconds. RuntimeError if the loop is closed meanwhile."""
    loop = future.get_loop()
    waiters = loop.waiters if isinstance(loop, EventLoop) else set()
    told = _Told(waiter)
    waiters.add(waiter)
    try:
        _in_loop_of(future, begin, told)
        if not waiter.wait(timeout):
            return False
    finally:
        waiters.discard(waiter)
        if not future.done():
            _in_loop_of(future, future.remove_done_callback, told)
    if not future.done():
        raise RuntimeError("Event loop is closed")
    return True


def _in_loop_of(future: asyncio.Future[Any], function: Callable[..., object], *args: Any) -> None:
    """Call `function(*args)` where it may touch `future`: now, if that is this thread."""
    loop = future.get_loop()
    if isinstance(loop, EventLoop) and loop.is_here():
        function(*args)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(partial(function, *args))


def _cancel(future: asyncio.Future[Any]) -> None:
    """Cancel `future` and wait for its end. Raises what it fails with, and what this wait is ended with."""

    def begin(told: Callable[[object], None]) -> None:
        future.add_done_callback(told)
        future.cancel()

    if not future.done():
        try:
            _wait_for(future, Waiter(), None, begin)
        except RuntimeError:
            if not future.done():
                # There was nobody any more to end it.
                return
            raise
    if not future.cancelled() and (error := future.exception()) is not None:
        raise error


def _refuse_in_coroutine(name: str) -> None:
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(f"aio.{name}() cannot be called from a running event loop; a coroutine says await")


class TaskGreenlet(Greenlet):
    """The greenlet that `spawn` gives: ends as its `task` does."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Future[Any]) -> None:
        super().__init__(_follow, task)
        self.task = task
        """The task of asyncio."""

    def _die_before_start(self, exception: Any) -> bool:
        self.task.cancel()
        return super()._die_before_start(exception)


def _follow(task: asyncio.Future[Any]) -> Any:
    try:
        return _outcome(task)
    except CancelledError as error:
        raise GreenletExit(*error.args) from error


def spawn(awaitable: Awaitable[Any]) -> TaskGreenlet:
    """Run a coroutine as a task of `get_loop()` in this thread, in a copy of the current context, when the
    caller waits next. A greenlet that has the coroutine's result, or its failure. Killing it cancels the
    task, and its end waits for the task's; if the task is cancelled, it ends as if killed. Does not block."""
    task = asyncio.ensure_future(awaitable, loop=get_loop())
    spawned = TaskGreenlet(task)
    spawned.start()
    return spawned


# A coroutine that awaits a greenlet


async def greenlet(awaited: Greenlet) -> Any:
    """Await a greenlet of any thread: its result, or what it failed with. CancelledError if it was killed.

    If the task that awaits it is cancelled, the greenlet is killed, and this waits for its end. Who does not
    want that uses `asyncio.shield`.
    """
    if not awaited.ready():
        try:
            await _end_of(awaited)
        except CancelledError:
            awaited.kill(block=False)
            if not awaited.ready():
                await _end_of(awaited)
            if awaited.exception is not None:
                awaited.get(block=False)
            raise
    value = awaited.get(block=False)
    if isinstance(value, GreenletExit):
        raise CancelledError(*value.args)
    return value


async def _end_of(awaited: Greenlet) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    thread = get_ident()

    def settle() -> None:
        if not ended.done() and not loop.is_closed():
            ended.set_result(None)

    def tell(_: object) -> None:
        if get_ident() == thread:
            settle()
        else:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:
                # The loop was closed: nobody awaits any more.
                pass

    awaited.rawlink(tell)
    try:
        await ended
    finally:
        awaited.unlink(tell)


atexit.register(_end_host)
os.register_at_fork(after_in_child=_forget_host)
