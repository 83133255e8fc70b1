"""The standard `_thread` module with greenlets in the place of threads.

What belongs here: starting a thread, knowing which one this is, its end; the locks. What never does: `Thread`
and what is built on locks, which the standard `threading` makes of these names by itself.

A thread is a `Greenlet`. The main greenlet of a native thread has the identifier of that thread, so that what
was noted down about native threads before patching - who they are, which locks they own - stays true; every
other greenlet has its own. Locks may be used between native threads.

Not every CPython has all names: up to 3.12 the end of a thread is told by a lock (`_set_sentinel`), from 3.13
on by a handle.
"""

from __future__ import annotations

import _thread as _stdlib
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from . import _original
from ._asyncio import apart, put_back, set_aside
from ._core import GreenletExit, getcurrent, greenlet
from .event import Event
from .greenlets import Greenlet
from .hub import get_hub, get_hub_if_any, helper_threads, sleep
from .local import local
from .lock import RLock as _RLock
from .lock import Semaphore

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


_NEVER = -1
"""The timeout of one who waits for as long as it takes."""


# Locks


def _checked_timeout(blocking: bool, timeout: float) -> float | None:
    """What a lock's timeout is for our own locks. ValueError or OverflowError, as the standard lock."""
    if timeout == _NEVER:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if not timeout >= 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > _stdlib.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


def _failed_to_take() -> bool:
    """Somebody tried to take a lock that is not free, and does not wait for it. He may be going to try until
    it is, and then whoever holds it has to run. False."""
    hub = get_hub_if_any()
    if hub is None:
        _original.time_sleep(0)
    elif getcurrent() is not hub:
        apart(hub.wait_turn)
    return False


class LockType(Semaphore):
    """A lock. Anybody may release it, in any thread. It cannot be subclassed."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise TypeError("type 'greenswitch.thread.LockType' is not an acceptable base type")

    def acquire(self, blocking: bool = True, timeout: float = _NEVER) -> bool:  # type: ignore[override]
        """Take it; if `blocking`, wait for it, at most `timeout` seconds unless that is -1. Is it taken?
        ValueError for a timeout without waiting or below 0, OverflowError for one that is too long."""
        limit = None if timeout == _NEVER else _checked_timeout(blocking, timeout)
        if self._free:
            try:
                self._free.pop()
                return True
            except IndexError:
                # Another thread was quicker.
                pass
        return self._wait(limit) if blocking else _failed_to_take()

    def _wait(self, timeout: float | None) -> bool:
        """Wait until it can be taken. Whoever else runs meanwhile is in no loop of asyncio."""
        return apart(super().acquire, True, timeout)

    def release(self) -> None:  # type: ignore[override]
        """Give it back. RuntimeError if nobody has it. Does not block."""
        if self._free:
            raise RuntimeError("release unlocked lock")
        self._free.append(None)
        if self._waiters:
            self._hear_release()
        if self._links:
            self._notify_links()

    acquire_lock = acquire
    release_lock = release

    def locked_lock(self) -> bool:
        """Does somebody have it?"""
        return not self._free

    locked = _is_owned = locked_lock

    def __enter__(self) -> bool:  # type: ignore[override]
        if self._free:
            try:
                self._free.pop()
                return True
            except IndexError:
                pass
        return self._wait(None)

    def __exit__(self, t: object, v: object, tb: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        """Be as new."""
        super().__init__(1)

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}>"


allocate = allocate_lock = lock = LockType


class RLock(_RLock):
    """A lock that its owner, a thread, may take several times. Arguments are ignored."""

    __slots__ = ()

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def acquire(self, blocking: bool = True, timeout: float = _NEVER) -> bool:  # type: ignore[override]
        """Take it; otherwise as with a lock."""
        limit = None if timeout == _NEVER else _checked_timeout(blocking, timeout)
        if super().acquire(False):
            return True
        if not blocking:
            return _failed_to_take()
        return apart(super().acquire, True, limit)

    def release(self) -> None:
        """Give it back; it is free when that was done as often as it was taken. RuntimeError if the current
        thread does not own it. Does not block."""
        try:
            me = getcurrent()
        except RuntimeError:
            # The interpreter is at its end, and `acquire` took nothing.
            return
        if self._owner is not me:
            raise RuntimeError("cannot release un-acquired lock")
        super().release()

    def _release_save(self) -> tuple[int, greenlet | None]:
        if self._owner is None:
            raise RuntimeError("cannot release un-acquired lock")
        return super()._release_save()

    def _recursion_count(self) -> int:
        return self._count if self._owner is getcurrent() else 0

    def _at_fork_reinit(self) -> None:
        """Be as new."""
        super().__init__()

    def __repr__(self) -> str:
        owner = self._owner
        state = "unlocked" if owner is None else "locked"
        number = 0 if owner is None else get_ident(owner)
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{state} {kind} object owner={number} count={self._count} at {id(self):#x}>"


# Which thread is this?


def get_ident(gr: greenlet | None = None) -> int:
    """The number of the current thread, or of the greenlet `gr`. A later thread may have it again."""
    current = getcurrent()
    if gr is None or gr is current:
        return _original.get_ident() if current.parent is None else id(current)
    while current.parent is not None:
        current = current.parent
    return _original.get_ident() if gr is current else id(gr)


_ends: dict[int, ReferenceType[greenlet]] = {}
"""References that call something when what they refer to is gone, by their own `id`."""


def when_over(current: greenlet, callback: Callable[[], object]) -> None:
    """Call `callback` when `current`, which runs, is done; if it is of the plain kind, or a native thread's
    main greenlet, when it is gone."""
    rawlink = getattr(current, "rawlink", None)
    if rawlink is not None:
        rawlink(lambda _: callback())
        return

    def gone(reference: object) -> None:
        _ends.pop(id(reference), None)
        callback()

    reference = ref(current, gone)
    _ends[id(reference)] = reference


# Starting and ending


class _ThreadExit(GreenletExit, SystemExit):
    """Ends the greenlet that it is raised in, and in the main greenlet the program; silently."""


def exit() -> None:
    """End the current thread; in the main greenlet, the program."""
    raise _ThreadExit


exit_thread = exit

_threads: dict[int, LockType | None] = {}
"""Who runs as a thread, and what is to be released at its end."""

_forks = 0
"""How many forks lie between this process and the one that imported this."""


def _run(
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    handle: _ThreadHandle | None = None,
) -> None:
    """What the greenlet of a thread runs."""
    number = id(getcurrent())
    forks = _forks
    _threads[number] = None
    try:
        function(*args, **kwargs)
    except (SystemExit, GreenletExit):
        pass
    except KeyboardInterrupt:
        # The signal was the main thread's, and only found this greenlet running.
        raise
    except BaseException as error:
        # In the child of a fork this is no thread any more, and nobody is to hear of its end.
        if forks == _forks:
            _report(error, function)
    finally:
        sentinel = _threads.pop(number, None)
        if sentinel is not None:
            _release(sentinel)
        if handle is not None:
            handle._finish()


class _Unraisable:
    """What a program's own `sys.unraisablehook` is called with: the interpreter's type for it cannot be made
    here."""

    def __init__(self, error: BaseException, message: str) -> None:
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__
        self.err_msg = message
        self.object = None


def _report(error: BaseException, function: object) -> None:
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next
    message = f"Exception ignored in thread started by {function!r}"
    hook: Callable[[Any], object] = sys.unraisablehook
    if hook is not sys.__unraisablehook__:
        hook(_Unraisable(error, message))
    elif sys.stderr is not None:
        sys.stderr.write(f"{message}:\n{''.join(traceback.format_exception(error))}")


def _release(sentinel: LockType) -> None:
    if sentinel.locked():
        sentinel.release()


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> int:
    """Have a new thread call `function(*args, **kwargs)`: its number. What the function raises is reported by
    `sys.unraisablehook`. Does not block. TypeError if an argument is of the wrong kind."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is None:
        kwargs = {}
    elif not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    started = Greenlet.spawn(_run, function, args, kwargs)
    _let_begin()
    return id(started)


start_new = start_new_thread


def _let_begin() -> None:
    """Where a loop of asyncio runs, let the thread begin: whoever starts threads waits for that anyhow, and
    only here is it known that the loop has to be set aside."""
    hub = get_hub()
    asyncio_loop = set_aside() if getcurrent() is not hub else None
    if asyncio_loop is not None:
        try:
            hub.wait_turn()
        finally:
            put_back(asyncio_loop)


def stack_size(size: int | None = None) -> int:
    """The size of the stacks of native threads in bytes, 0 for the system's own; if `size` is given, it is
    that from now on. Greenlets have no stack of a given size. ValueError if it cannot be."""
    return _native_stack_size() if size is None else _native_stack_size(size)


_native_stack_size = _stdlib.stack_size


def _count() -> int:
    """How many threads run besides the main one, native ones too, but for those of this package."""
    return len(_threads) + max(_original.thread_count() - len(helper_threads), 0)


# The end of a thread, up to 3.12


def _set_sentinel() -> LockType:
    """A lock that is released at the end of the current thread, if somebody has taken it by then."""
    current = getcurrent()
    sentinel = LockType()
    if id(current) in _threads:
        _threads[id(current)] = sentinel
    else:
        when_over(current, partial(_release, sentinel))
    return sentinel


# The end of a thread, from 3.13 on


class _ThreadHandle:
    """One thread, from its start to its end."""

    __slots__ = ("__weakref__", "_daemon", "_over", "ident")

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.ident = 0
        """The thread's number; 0 as long as it was not started."""
        self._daemon = True
        self._over = Event()

    def _begin(self, ident: int, daemon: bool) -> None:
        if self.ident:
            raise RuntimeError("thread already started")
        self.ident = ident
        self._daemon = daemon
        _handles[ident] = self

    def _finish(self) -> None:
        if _handles.get(self.ident) is self:
            del _handles[self.ident]
        self._over.set()

    def is_done(self) -> bool:
        """Has it ended?"""
        return self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds if that is a number and not below 0. RuntimeError in
        the thread itself, and if it was not started."""
        if not self.ident:
            raise RuntimeError("thread not started")
        if not self._over.is_set():
            if self.ident == get_ident():
                raise RuntimeError("Cannot join current thread")
            self._over.wait(None if timeout is None or timeout < 0 else timeout)

    def _set_done(self) -> None:
        """Take it for ended. RuntimeError if it was not started."""
        if not self.ident:
            raise RuntimeError("thread not started")
        self._finish()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} object: ident={self.ident}>"


_handles: dict[int, _ThreadHandle] = {}
"""The threads that run, by their numbers."""


def start_joinable_thread(
    function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
) -> _ThreadHandle:
    """Have a new thread call `function`; its handle, which is `handle` if that is given. At the end of the
    program it is waited for unless it is a `daemon`. Does not block. TypeError for an argument of the wrong
    kind, RuntimeError for a handle that has its thread already."""
    if not callable(function):
        raise TypeError("thread function must be callable")
    if handle is None:
        handle = _ThreadHandle()
    elif not isinstance(handle, _ThreadHandle):
        raise TypeError("'handle' must be a _ThreadHandle")
    started = Greenlet(_run, function, (), {}, handle)
    handle._begin(id(started), daemon)
    started.start()
    _let_begin()
    return handle


def _make_thread_handle(ident: int) -> _ThreadHandle:
    """A handle of the current thread, whose number is `ident`; for threads that were not started by one."""
    handle = _ThreadHandle()
    handle._begin(ident, True)
    if ident == get_ident():
        when_over(getcurrent(), handle._finish)
    return handle


def _shutdown() -> None:
    """Wait until all threads have ended that are no daemons, but for the current one."""
    me = get_ident()
    while waited_for := [each for each in _handles.values() if not each._daemon and each.ident != me]:
        for handle in waited_for:
            handle.join()
    _stdlib._shutdown()  # type: ignore[attr-defined]


def _after_fork_in_child() -> None:
    """Only the thread that forked goes on."""
    global _forks
    _forks += 1
    me = get_ident()
    for handle in list(_handles.values()):
        if handle.ident != me:
            handle._finish()


os.register_at_fork(after_in_child=_after_fork_in_child)


# Native threads


_PAUSE = 0.01
"""Seconds between two looks where nothing tells the end of a wait."""


def _wait_elsewhere(wait: Callable[[float], bool], timeout: float) -> bool:
    """Have a native thread of its own do `wait(timeout)`, which cannot be done in a loop, and return its
    result."""
    result: list[bool] = []
    over = Event()

    def work() -> None:
        try:
            result.append(wait(timeout))
        finally:
            over.set()

    deadline = None if timeout == _NEVER else _original.monotonic() + timeout
    try:
        _original.start_new_thread(work, ())
    except RuntimeError:
        # There are too many; or the program ends, when CPython 3.12 starts none and waits for those that are.
        while not wait(0):
            if deadline is not None and _original.monotonic() >= deadline:
                return False
            sleep(_PAUSE)
        return True
    over.wait()
    return bool(result and result[0])


class NativeLock:
    """The lock by which the end of a native thread is known that was started before patching; up to 3.12. To
    take it is to wait for that end; only the thread itself ever has it."""

    __slots__ = ("_ident", "_native")

    def __init__(self, native: Any, ident: int | None) -> None:
        self._native = native
        self._ident = ident

    def locked(self) -> bool:
        """Does the thread run?"""
        return self._native.locked()  # type: ignore[no-any-return]

    def acquire(self, blocking: bool = True, timeout: float = _NEVER) -> bool:
        """Wait, if `blocking`, for the end of the thread, at most `timeout` seconds unless that is -1. Has it
        ended?"""
        if self._native.acquire(False):
            if _original.get_ident() != self._ident:
                self._native.release()
            return True
        return blocking and _wait_elsewhere(self._wait, timeout)

    def _wait(self, timeout: float) -> bool:
        if self._native.acquire(True, timeout):
            self._native.release()
            return True
        return False

    def release(self) -> None:
        """Nothing is to be given back."""

    def _at_fork_reinit(self) -> None:
        self._native._at_fork_reinit()


class NativeHandle:
    """The handle of a native thread that was started before patching; from 3.13 on."""

    __slots__ = ("_native",)

    def __init__(self, native: Any) -> None:
        self._native = native

    @property
    def ident(self) -> int:
        """The thread's number."""
        return self._native.ident  # type: ignore[no-any-return]

    def is_done(self) -> bool:
        """Has it ended?"""
        return self._native.is_done()  # type: ignore[no-any-return]

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds if that is a number and not below 0."""
        if self.ident == _original.get_ident() or self.is_done():
            self._native.join(timeout)
        else:
            _wait_elsewhere(self._wait, _NEVER if timeout is None else timeout)

    def _wait(self, timeout: float) -> bool:
        self._native.join(timeout)
        return self.is_done()

    def _set_done(self) -> None:
        self._native._set_done()


_local = local

_ENDS_BY_HANDLES = hasattr(_stdlib, "start_joinable_thread")

__implements__ = [
    "LockType",
    "_count",
    "_local",
    "allocate",
    "allocate_lock",
    "exit",
    "exit_thread",
    "get_ident",
    "lock",
    "stack_size",
    "start_new",
    "start_new_thread",
    *(
        ["_ThreadHandle", "_make_thread_handle", "start_joinable_thread"]
        if _ENDS_BY_HANDLES
        else ["_set_sentinel"]
    ),
]
__implements__ = [name for name in __implements__ if hasattr(_stdlib, name)]
__imports__ = [name for name in vars(_stdlib) if name[0] != "_" and name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = [name for name in (*__implements__, *__imports__) if name[0] != "_"]
