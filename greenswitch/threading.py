"""The standard `threading` module's parts that have to know of greenlets.

What belongs here: what `greenswitch.monkey` puts in place of names of `threading`, the thread objects of
those who were not started as threads. What never does: `Thread`, `Condition`, `Timer` and the others, which
are the standard ones and work on these by themselves.
"""

from __future__ import annotations

import threading as _stdlib
from functools import partial
from typing import TYPE_CHECKING, Any

from . import thread as _thread
from ._core import GreenletExit, getcurrent
from .hub import get_hub

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


_private: Any = _stdlib
"""Its names that are not for everybody."""

HANDLE = next((name for name in ("_os_thread_handle", "_handle") if hasattr(_stdlib.main_thread(), name)), "")
"""Where a thread keeps its handle; empty where there are none."""


def main_native_thread() -> _stdlib.Thread:
    """The thread object of the main thread."""
    return _stdlib.main_thread()


class _DummyThread(_private._DummyThread):  # type: ignore[misc]
    """The thread object of a greenlet, or a native thread, that was not started as a thread. It goes when
    that is over."""

    def __init__(self) -> None:
        # Not the base class's own: that has one of them go when the next one comes in its native thread.
        _stdlib.Thread.__init__(self, name=_private._newname("Dummy-%d"), daemon=True)
        self._started.set()
        self._set_ident()
        self._set_native_id()
        ident: int = self._ident
        if HANDLE:
            setattr(self, HANDLE, _thread._make_thread_handle(ident))
        _private._active[ident] = self
        _thread.when_over(getcurrent(), partial(_private._active.pop, ident, None))


def excepthook(args: Any, /) -> None:
    """Report what a thread failed with. What ends a greenlet silently is none; Ctrl-C is the main thread's,
    whose signal only found this greenlet running."""
    if issubclass(args.exc_type, (GreenletExit, SystemExit)):
        return
    if issubclass(args.exc_type, KeyboardInterrupt):
        get_hub().handle_system_error(args.exc_type, args.exc_value, args.exc_traceback)
        return
    _native_excepthook(args)


_native_excepthook = _stdlib.__excepthook__

Lock = _allocate_lock = _LockType = _thread.LockType
RLock = _CRLock = _thread.RLock
get_ident = _thread.get_ident
local = _thread._local
stack_size = _thread.stack_size
_start_new_thread = _thread.start_new_thread
_start_joinable_thread = _thread.start_joinable_thread
_ThreadHandle = _thread._ThreadHandle
_make_thread_handle = _thread._make_thread_handle
_set_sentinel = _thread._set_sentinel
# Asked when a main thread's object is made in the child of a fork: for the thread that forked.
_get_main_thread_ident = get_ident
_thread_shutdown = _thread._shutdown

__implements__ = [
    "Lock",
    "_CRLock",
    "_DummyThread",
    "_LockType",
    "_ThreadHandle",
    "_allocate_lock",
    "_get_main_thread_ident",
    "_make_thread_handle",
    "_set_sentinel",
    "_start_joinable_thread",
    "_start_new_thread",
    "_thread_shutdown",
    "get_ident",
    "local",
    "stack_size",
]
__implements__ = [name for name in __implements__ if hasattr(_stdlib, name)]
__imports__ = [name for name in _stdlib.__all__ if name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = [name for name in (*__implements__, *__imports__) if name[0] != "_"]
