"""Native threads for calls that block, while the hub goes on.

What belongs here: the threads, how a call gets to one of them and its outcome back. What never does: which
calls need a thread (resolvers, file objects), pools of greenlets (`pool`).

Two layers. `Workers` is native: a queue, a lock, threads made when nobody is free and ended when idle; it
knows no hub. `ThreadPool` is used in one hub's thread only and counts there what is under way; outcomes come
back through `loop.call_threadsafe`. The threads never keep the interpreter from exiting. `ThreadPoolExecutor`
stands on `Workers` too, in a module of its own, because the standard library's futures take their time to
import.
"""

from __future__ import annotations

import os as _os
from _queue import Empty
from collections import deque
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ._original import RLock, SimpleQueue, get_ident, start_new_thread
from .event import AsyncResult
from .exceptions import InvalidThreadUseError
from .hub import Hub, Waiter, get_hub, get_hub_if_any, helper_threads
from .pool import GroupMappingMixin

if TYPE_CHECKING:
    from ._executor import ThreadPoolExecutor

__all__ = ["ThreadPool", "ThreadPoolExecutor", "ThreadResult"]

_T = TypeVar("_T")

_Report = Callable[[], object]
"""What a worker calls when it counts as free again; tells the outcome of the call."""
_Outcome = Callable[[Any, "BaseException | None"], object]
"""Called in the hub's thread with (value, None) or (None, error)."""


_tokens = count(-1, -1)


def __getattr__(name: str) -> Any:
    if name == "ThreadPoolExecutor":
        return import_module("._executor", __package__).ThreadPoolExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Workers:
    """Native threads that take calls from a queue: at most as many as calls are under way, never fewer.

    `heard`: a call may wake whoever waits in a hub without that hub's knowing of it, so the threads count as
    helpers only while they have nothing to do.
    """

    def __init__(self, limit: int, idle_seconds: float | None, heard: bool = False) -> None:
        self.limit = limit
        """Threads beyond this number end as soon as they are free."""
        self.size = 0
        """Threads alive, but for those that were told to end."""
        self._spare = 0
        """Threads that wait for a call and are not promised to one in the queue."""
        self._idle_seconds = idle_seconds
        self._heard = heard
        self._idle_tokens: list[int] = []
        """Where `heard`: what stands in `helper_threads` for the threads of `_spare`."""
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
                self._take_spare(1)
        if new:
            self._start_thread()
        self._calls.put(call)

    def grow(self, size: int) -> None:
        """Make threads, which wait for calls, until there are `size`. Raises RuntimeError if none can be
        made."""
        while True:
            with self._lock:
                if self.size >= size:
                    return
                self.size += 1
            self._start_thread()
            with self._lock:
                self._add_spare()

    def _start_thread(self) -> None:
        try:
            start_new_thread(self._work, ())
        except BaseException:
            with self._lock:
                self.size -= 1
            raise

    def _add_spare(self) -> None:
        self._spare += 1
        if self._heard:
            token = next(_tokens)
            self._idle_tokens.append(token)
            helper_threads.add(token)

    def _take_spare(self, number: int) -> None:
        self._spare -= number
        if self._heard:
            for _ in range(number):
                helper_threads.discard(self._idle_tokens.pop())

    def shrink(self, limit: int) -> None:
        """Let threads beyond `limit` end: those that are free now, the others after their call."""
        with self._lock:
            self.limit = limit
            leaving = max(0, min(self._spare, self.size - limit))
            self._take_spare(leaving)
            self.size -= leaving
        for _ in range(leaving):
            self._calls.put(None)

    def _work(self) -> None:
        ident = get_ident()
        if not self._heard:
            helper_threads.add(ident)
        try:
            while self._one_call():
                pass
        finally:
            if not self._heard:
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
                self._take_spare(1)
                self.size -= 1
            return False
        if call is None:
            return False
        report = call()
        # Free before the outcome is known: who submits the next call on hearing it gets this thread.
        with self._lock:
            stays = self.size <= self.limit
            if stays:
                self._add_spare()
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
        self._pid = _os.getpid()
        self._workers = Workers(maxsize, self._idle_seconds)
        self._under_way = 0
        """Calls that were submitted and whose outcome has not come back."""
        self._waiting: deque[Waiter] = deque()
        """Who wants to submit a call and found `maxsize` of them under way."""
        self._promised = 0
        """Places kept for those who were woken to take them and have not run since."""
        self._joining: list[Waiter] = []
        self._era = self.hub.loop.era
        """The loop's, to which all of this belongs."""

    def __len__(self) -> int:
        return self._under_way

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x} tasks={len(self)} size={self.size}"
            f" maxsize={self.maxsize} hub={self.hub!r}>"
        )

    def __del__(self, getpid: Callable[[], int] = _os.getpid) -> None:
        workers = getattr(self, "_workers", None)
        # In the child of a fork there are no threads to be ended, and one of them may have held the lock.
        if workers is not None and self._pid == getpid():
            workers.shrink(0)

    @property
    def pid(self) -> int:
        """The process that the threads belong to."""
        return self._pid

    @property
    def size(self) -> int:
        """The number of threads that work or wait for work. May be changed, up to `maxsize`: threads are made
        in advance, or those that are free end. ValueError if it is negative or greater than that."""
        return self._workers.size

    @size.setter
    def size(self, value: int) -> None:
        if not 0 <= value <= self._maxsize:
            raise ValueError(f"size must be between 0 and maxsize, which is {self._maxsize}: {value!r}")
        workers = self._current_workers()
        workers.shrink(value)
        workers.limit = self._maxsize
        workers.grow(value)

    @property
    def maxsize(self) -> int:
        """The greatest number of threads. May be changed; threads that are too many end when they are
        free."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        self._maxsize = _checked(value)
        self.adjust()

    def adjust(self) -> None:
        """Let threads end that are more than `maxsize` and free. Happens by itself."""
        self._current_workers().shrink(self._maxsize)
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

    def forked(self) -> None:
        """In the child of a fork, which has none of the threads: be as new."""
        self._current_workers()

    def kill(self) -> None:
        """Let all threads end: those that are free now, the others after their call. Does not block; calls
        under way still bring their outcome, and the pool can be used again."""
        self._workers.shrink(0)
        self._workers = Workers(self._maxsize, self._idle_seconds)

    # In the hub's thread

    def _submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], outcome: _Outcome
    ) -> None:
        self._current_workers()
        self._wait_for_place()
        loop = self.hub.loop
        era = loop.era

        def call() -> _Report:
            value = error = None
            try:
                value = func(*args, **kwargs)
            except BaseException as raised:
                error = raised
            return lambda: loop.call_threadsafe(lambda: self._done(era, outcome, value, error))

        loop.refs += 1
        self._under_way += 1
        try:
            self._workers.submit(call)
        except BaseException:
            loop.refs -= 1
            self._under_way -= 1
            self._admit()
            raise

    def _done(self, era: object, outcome: _Outcome, value: Any, error: BaseException | None) -> None:
        if era is not self.hub.loop.era:
            # The hub was destroyed meanwhile, and another one goes on with its loop.
            return
        self.hub.loop.refs -= 1
        self._under_way -= 1
        self._admit()
        if not self._under_way:
            for waiter in self._joining:
                waiter.wake()
        outcome(value, error)

    def _wait_for_place(self) -> None:
        if self._under_way + self._promised < self._maxsize and not self._waiting:
            return
        waiter = Waiter(self.hub)
        self._waiting.append(waiter)
        try:
            waiter.wait()
        except BaseException:
            if waiter.woken:
                self._promised -= 1
                self._admit()
            else:
                self._waiting.remove(waiter)
            raise
        self._promised -= 1

    def _admit(self) -> None:
        """Promise the places that there are to those who wait for one, and wake them."""
        for _ in range(min(len(self._waiting), self._maxsize - self._under_way - self._promised)):
            self._promised += 1
            self._waiting.popleft().wake()

    def _report(self, func: Callable[..., Any], error: BaseException) -> None:
        self.hub.handle_error((self, func), type(error), error, error.__traceback__)

    def _current_workers(self) -> Workers:
        loop = self.hub.loop
        if self._era is not loop.era:
            # The loop has forgotten them all, and has counted its `refs` anew.
            self._era = loop.era
            self._waiting.clear()
            self._promised = 0
            self._joining.clear()
            self._under_way = 0
        if self._pid != _os.getpid():
            # This is a child process: the threads stayed behind, and what they were doing will never be told
            # here.
            self._pid = _os.getpid()
            self._workers = Workers(self._maxsize, self._idle_seconds)
            loop.refs -= self._under_way
            self._under_way = 0
            self._admit()
        return self._workers


class ThreadResult:
    """Brings one outcome from any thread into the thread of `hub`, where `call_when_ready()` and then
    `receiver(result)` are called by the loop.

    The loop waits for it from the beginning. Call one of `set` and `handle_error`, once, in any thread.
    """

    def __init__(
        self,
        receiver: Callable[[ThreadResult], object],
        hub: Hub,
        call_when_ready: Callable[[], object],
    ) -> None:
        self.receiver = receiver
        self.hub = hub
        self.value: Any = None
        """What was given to `set`."""
        self.context: object = None
        """What was given to `handle_error`."""
        self.exc_info: tuple[Any, ...] = ()
        """What was given to `handle_error`: class, exception, traceback."""
        self._call_when_ready = call_when_ready
        self._era = hub.loop.era
        hub.loop.refs += 1

    @property
    def exception(self) -> BaseException | None:
        """The exception that was given to `handle_error`, or None."""
        return self.exc_info[1] if self.exc_info else None

    def successful(self) -> bool:
        """Has it not failed?"""
        return self.exception is None

    def set(self, value: Any) -> None:
        """Bring `value`. Does not block; any thread."""
        self.value = value
        self.hub.loop.call_threadsafe(self._arrive)

    def handle_error(
        self,
        context: object,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
    ) -> None:
        """Bring a failure, which the hub reports as that of `context`. Does not block; any thread."""
        self.context = context
        self.exc_info = exc_info
        self.hub.loop.call_threadsafe(self._arrive)

    def _arrive(self) -> None:
        if self._era is not self.hub.loop.era:
            return
        self.hub.loop.refs -= 1
        self._call_when_ready()
        if self.exc_info:
            self.hub.handle_error(self.context, *self.exc_info)
        self.receiver(self)


def _checked(maxsize: int) -> int:
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be integer: {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize must not be negative: {maxsize!r}")
    return maxsize
