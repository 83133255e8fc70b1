"""Native threads for calls that block, while the hub goes on.

What belongs here: the threads, how a call gets to one of them and its outcome back. What never does: which
calls need a thread (resolvers, file objects), pools of greenlets (`pool`).

Two layers. `_Workers` is native: a queue, a lock, threads made when nobody is free and ended when idle; it
knows no hub. `ThreadPool` is used in one hub's thread only and counts there what is under way; outcomes come
back through `loop.call_threadsafe`. The threads never keep the interpreter from exiting.
"""

from __future__ import annotations

import os as _os
from _queue import Empty
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ._original import RLock, SimpleQueue, get_ident, start_new_thread
from .event import AsyncResult
from .exceptions import InvalidThreadUseError
from .hub import Hub, Waiter, get_hub, get_hub_if_any, helper_threads
from .pool import GroupMappingMixin

__all__ = ["ThreadPool"]

_T = TypeVar("_T")

_Report = Callable[[], object]
"""What a worker calls when it counts as free again; tells the outcome of the call."""
_Outcome = Callable[[Any, "BaseException | None"], object]
"""Called in the hub's thread with (value, None) or (None, error)."""


class _Workers:
    """Native threads that take calls from a queue: at most as many as calls are under way, never fewer."""

    def __init__(self, limit: int, idle_seconds: float | None) -> None:
        self.limit = limit
        """Threads beyond this number end as soon as they are free."""
        self.size = 0
        """Threads alive, but for those that were told to end."""
        self._spare = 0
        """Threads that wait for a call and are not promised to one in the queue."""
        self._idle_seconds = idle_seconds
        # Reentrant for the sake of signal handlers.
        self._lock = RLock()
        self._calls: SimpleQueue[Callable[[], _Report] | None] = SimpleQueue()

    def submit(self, call: Callable[[], _Report]) -> None:
        """Have `call`, which must not raise, and then what it returns called in a thread. Raises RuntimeError
        if there is none free and none can be made."""
        with self._lock:
            new = not self._spare
            if new:
                self.size += 1
            else:
                self._spare -= 1
        if new:
            try:
                start_new_thread(self._work, ())
            except BaseException:
                with self._lock:
                    self.size -= 1
                raise
        self._calls.put(call)

    def shrink(self, limit: int) -> None:
        """Let threads beyond `limit` end: those that are free now, the others after their call."""
        with self._lock:
            self.limit = limit
            leaving = max(0, min(self._spare, self.size - limit))
            self._spare -= leaving
            self.size -= leaving
        for _ in range(leaving):
            self._calls.put(None)

    def _work(self) -> None:
        ident = get_ident()
        helper_threads.add(ident)
        try:
            while self._one_call():
                pass
        finally:
            helper_threads.discard(ident)

    def _one_call(self) -> bool:
        """Wait for a call and make it. False: this thread is done."""
        try:
            call = self._calls.get(True, self._idle_seconds)
        except Empty:
            with self._lock:
                if not self._spare:
                    # Promised in this very moment.
                    return True
                self._spare -= 1
                self.size -= 1
            return False
        if call is None:
            return False
        report = call()
        # Free before the outcome is known: who submits the next call on hearing it gets this thread.
        with self._lock:
            stays = self.size <= self.limit
            if stays:
                self._spare += 1
            else:
                self.size -= 1
        report()
        return stays


class ThreadPool(GroupMappingMixin):
    """Runs functions in at most `maxsize` native threads, which are made when they are needed.

    `hub` is that of the current thread if it is not given; only there may the pool be used. A thread that had
    nothing to do for `idle_task_timeout` seconds ends; a negative number keeps it for ever. The length of a
    pool is the number of calls under way.
    """

    def __init__(self, maxsize: int, hub: Hub | None = None, idle_task_timeout: float = 10.0) -> None:
        self.hub = get_hub() if hub is None else hub
        self._maxsize = _checked(maxsize)
        self._idle_seconds = None if idle_task_timeout < 0 else float(idle_task_timeout)
        self._workers = _Workers(maxsize, self._idle_seconds)
        self._pid = _os.getpid()
        self._under_way = 0
        """Calls that were submitted and whose outcome has not come back."""
        self._waiting: deque[Waiter] = deque()
        """Who wants to submit a call and found `maxsize` of them under way."""
        self._joining: list[Waiter] = []

    def __len__(self) -> int:
        return self._under_way

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x} tasks={len(self)} size={self.size}"
            f" maxsize={self.maxsize} hub={self.hub!r}>"
        )

    def __del__(self) -> None:
        workers = getattr(self, "_workers", None)
        if workers is not None:
            workers.shrink(0)

    @property
    def size(self) -> int:
        """The number of threads that work or wait for work."""
        return self._workers.size

    @property
    def maxsize(self) -> int:
        """The greatest number of threads. May be changed; threads that are too many end when they are
        free."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        self._maxsize = _checked(value)
        self._workers.shrink(value)
        self._admit()

    def spawn(self, func: Callable[..., _T], *args: Any, **kwargs: Any) -> AsyncResult[_T]:
        """Have `func(*args, **kwargs)` called in a thread. The result is an AsyncResult, which gets the value
        or the exception; an exception is also reported, as a greenlet's is. Blocks while `maxsize` calls are
        under way.

        Raises InvalidThreadUseError in another thread than the hub's, RuntimeError if no thread can be made.
        """
        if self._apply_immediately():
            raise InvalidThreadUseError("a ThreadPool can only be used in the thread of its hub")
        result: AsyncResult[_T] = AsyncResult()

        def outcome(value: Any, error: BaseException | None) -> None:
            if error is None:
                result.set(value)
            else:
                result.set_exception(error, (type(error), error, error.__traceback__))
                self._report(func, error)

        self._submit(func, args, kwargs, outcome)
        return result

    def apply(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
    ) -> _T:
        """The value of `func(*args, **kwds)`, called in a thread; its exception is raised here. Blocks until
        it is done. A greenlet that is killed meanwhile leaves the call running.

        In another thread than the hub's the function is called on the spot.
        """
        args = tuple(args or ())
        kwds = kwds or {}
        if self._apply_immediately():
            return func(*args, **kwds)
        waiter = Waiter(self.hub)

        def outcome(value: Any, error: BaseException | None) -> None:
            if not (waiter.wake(value) if error is None else waiter.fail(error)) and error is not None:
                self._report(func, error)

        self._submit(func, args, kwds, outcome)
        return waiter.get()  # type: ignore[no-any-return]

    def _apply_immediately(self) -> bool:
        return get_hub_if_any() is not self.hub

    def _apply_async_use_greenlet(self) -> bool:
        return True

    def join(self) -> None:
        """Wait until no call is under way."""
        while self._under_way:
            waiter = Waiter(self.hub)
            self._joining.append(waiter)
            try:
                waiter.wait()
            finally:
                if waiter in self._joining:
                    self._joining.remove(waiter)

    def kill(self) -> None:
        """Let all threads end: those that are free now, the others after their call. Does not block; calls
        under way still bring their outcome, and the pool can be used again."""
        self._workers.shrink(0)
        self._workers = _Workers(self._maxsize, self._idle_seconds)

    # In the hub's thread

    def _submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], outcome: _Outcome
    ) -> None:
        if self._pid != _os.getpid():
            self._after_fork()
        self._wait_for_place()
        loop = self.hub.loop

        def call() -> _Report:
            value = error = None
            try:
                value = func(*args, **kwargs)
            except BaseException as raised:
                error = raised
            return lambda: loop.call_threadsafe(lambda: self._done(outcome, value, error))

        loop.refs += 1
        self._under_way += 1
        try:
            self._workers.submit(call)
        except BaseException:
            loop.refs -= 1
            self._under_way -= 1
            self._admit()
            raise

    def _done(self, outcome: _Outcome, value: Any, error: BaseException | None) -> None:
        self.hub.loop.refs -= 1
        self._under_way -= 1
        self._admit()
        if not self._under_way:
            for waiter in self._joining:
                waiter.wake()
        outcome(value, error)

    def _wait_for_place(self) -> None:
        while self._under_way >= self._maxsize or self._waiting:
            waiter = Waiter(self.hub)
            self._waiting.append(waiter)
            try:
                waiter.wait()
            except BaseException:
                if waiter.woken:
                    self._admit()
                else:
                    self._waiting.remove(waiter)
                raise
            if self._under_way < self._maxsize:
                return

    def _admit(self) -> None:
        """Wake as many of those who wait for a place as there are places."""
        for _ in range(min(len(self._waiting), self._maxsize - self._under_way)):
            self._waiting.popleft().wake()

    def _report(self, func: Callable[..., Any], error: BaseException) -> None:
        self.hub.handle_error((self, func), type(error), error, error.__traceback__)

    def _after_fork(self) -> None:
        """This is a child process: the threads stayed behind, and what they were doing will never be told
        here."""
        self._pid = _os.getpid()
        self._workers = _Workers(self._maxsize, self._idle_seconds)
        self.hub.loop.refs -= self._under_way
        self._under_way = 0
        self._admit()


def _checked(maxsize: int) -> int:
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be integer: {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize must not be negative: {maxsize!r}")
    return maxsize
