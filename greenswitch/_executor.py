"""The standard library's thread pool executor, whose futures greenlets can wait for.

What belongs here: `ThreadPoolExecutor` and its futures, in place of the parts of `concurrent.futures` that
would stop a whole thread. What never does: the threads; they are those of `threadpool`.

A future is the standard one with another condition in it, so `result`, `exception`, callbacks, cancelling,
`concurrent.futures.wait` and `as_completed` are the standard library's own code, patched or not.
"""

from __future__ import annotations

import os as _os
from collections import deque
from collections.abc import Callable
from concurrent import futures
from concurrent.futures.thread import BrokenThreadPool
from logging import getLogger
from typing import Any, TypeVar

from ._original import RLock, local
from .event import Event
from .hub import Waiter
from .threadpool import Workers

__all__ = ["ThreadPoolExecutor"]

_T = TypeVar("_T")


class _Condition:
    """What a future needs of a condition. The lock is native, and never held while a greenlet waits."""

    __slots__ = ("_lock", "_waiting")

    def __init__(self) -> None:
        # All greenlets of a thread own it together; none of them switches with it.
        self._lock = RLock()
        self._waiting: deque[Waiter] = deque()

    def acquire(self) -> bool:
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        waiter = Waiter()
        self._waiting.append(waiter)
        self._lock.release()
        try:
            return waiter.wait(timeout)
        finally:
            self._lock.acquire()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def notify_all(self) -> None:
        while self._waiting:
            self._waiting.popleft().wake()


class _Observers(list[Any]):
    """Those that `concurrent.futures.wait` and `as_completed` leave with a future: each waits for an event,
    which becomes one of ours."""

    __slots__ = ()

    def append(self, observer: Any) -> None:
        if not isinstance(observer.event, Event):
            observer.event = Event()
        super().append(observer)


class _Future(futures.Future[_T]):
    def __init__(self) -> None:
        super().__init__()
        self._condition: Any = _Condition()
        self._waiters: Any = _Observers()


class ThreadPoolExecutor(futures.ThreadPoolExecutor):
    """An executor with at most `max_workers` native threads, which are made when they are needed; the default
    number, `initializer` and `initargs` are as in the standard library, `thread_name_prefix` is taken for
    compatibility.

    It may be used from any thread and belongs to no hub. Waiting for its futures, for its end and in `map`
    lets other greenlets run. Callbacks of futures are called in the threads. The threads do not keep the
    interpreter from exiting. In the child of a fork it has new threads, and knows nothing of the calls of the
    parent.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)
        self._limit: int = self._max_workers
        self._begin = initializer
        self._begin_arguments = initargs
        self._failed = False
        """Did the initializer fail?"""
        self._ended = False
        self._start_over()

    def _start_over(self) -> None:
        self._pid = _os.getpid()
        self._native = Workers(self._limit, None, heard=True)
        self._own_lock = RLock()
        self._calls: deque[tuple[_Future[Any], Callable[[], Any]]] = deque()
        self._busy = 0
        """Threads that take from `_calls`."""
        self._none_busy = Event()
        self._none_busy.set()
        self._begun = local()
        """Has the attribute `done` in threads in which the initializer was called."""

    def __del__(self, getpid: Callable[[], int] = _os.getpid) -> None:
        native = getattr(self, "_native", None)
        # In the child of a fork there are no threads to be ended, and one of them may have held the lock.
        if native is not None and self._pid == getpid():
            native.shrink(0)

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> futures.Future[_T]:
        """Have `fn(*args, **kwargs)` called in a thread. The future of its result. Does not block.

        Raises RuntimeError after `shutdown`, BrokenThreadPool if the initializer has failed.
        """
        if self._pid != _os.getpid():
            self._start_over()
        future: _Future[_T] = _Future()
        with self._own_lock:
            if self._failed:
                raise BrokenThreadPool("the initializer failed, the thread pool is not usable anymore")
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            entry = (future, lambda: fn(*args, **kwargs))
            self._calls.append(entry)
            if self._busy < self._limit:
                self._busy += 1
                self._none_busy.clear()
                try:
                    self._native.submit(self._work)
                except BaseException:
                    self._leave()
                    self._calls.remove(entry)
                    raise
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. With `cancel_futures` those that are not begun are cancelled. With `wait` wait
        until all others are done; the threads end then."""
        with self._own_lock:
            self._ended = True
            dropped = []
            if cancel_futures:
                dropped = [future for future, _ in self._calls]
                self._calls.clear()
        for future in dropped:
            future.cancel()
        if self._pid != _os.getpid():
            return
        if self._none_busy.is_set():
            self._native.shrink(0)
        elif wait:
            self._none_busy.wait()

    def kill(self, wait: bool = True, **kwargs: Any) -> None:
        """`shutdown`."""
        self.shutdown(wait, **kwargs)

    # In the threads

    def _work(self) -> Callable[[], object]:
        """Make calls until there are none left."""
        initialized = self._initialized()
        while True:
            with self._own_lock:
                if not self._calls or not initialized:
                    self._leave()
                    return _nothing
                future, call = self._calls.popleft()
            _make(future, call)
            del future, call

    def _leave(self) -> None:
        """A thread is not busy any more. With the lock held."""
        self._busy -= 1
        if not self._busy:
            if self._ended:
                self._native.shrink(0)
            self._none_busy.set()

    def _initialized(self) -> bool:
        if self._begin is None or hasattr(self._begun, "done"):
            return True
        try:
            self._begin(*self._begin_arguments)
        except BaseException:
            getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            with self._own_lock:
                self._failed = True
                dropped = list(self._calls)
                self._calls.clear()
            for future, _ in dropped:
                if future.set_running_or_notify_cancel():
                    future.set_exception(BrokenThreadPool("the initializer failed"))
            return False
        self._begun.done = True
        return True


def _make(future: _Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:
        future.set_exception(error)
        # The traceback holds this frame, and this frame would hold the future.
        del future
    else:
        future.set_result(value)


def _nothing() -> None:
    pass
