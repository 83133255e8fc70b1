"""What it takes, besides replacing names, to have greenlets for threads: what there was before goes on.

What belongs here: thread objects and locks that were made before patching. What never does: names (`table`),
and threads themselves (`greenswitch.thread`).

What is left alone: the import system's locks, which are made anew for each import, and the two with which
`threading` guards its lists: nobody ever waits with one of those in his hands, and a native lock may be taken
in the hub as well.
"""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import Any

from greenswitch import _original
from greenswitch import thread as green
from greenswitch.threading import HANDLE, excepthook

from .api import patch_item

__all__ = ["adopt_threads", "other_threads", "replace_lock_of_logging", "replace_locks_of_modules"]

_threading: Any = threading
"""Its names that are not for everybody."""

_NATIVE_LOCKS = (type(_original.allocate_lock()), type(_original.RLock()))
_NATIVE_FOR_GOOD = ("greenswitch", "importlib", "_frozen_importlib", "_thread", "threading", "zipimport")


def other_threads() -> list[threading.Thread]:
    """The native threads that run besides this one."""
    current = _threading._active.get(_original.get_ident())
    return [thread for thread in threading.enumerate() if thread is not current and thread.is_alive()]


def adopt_threads() -> None:
    """Have the threads that there are told apart, waited for and reported as those to come. Called once."""
    for thread in list(_threading._active.values()):
        if thread is threading.main_thread():
            _adopt_main(thread)
        elif HANDLE:
            setattr(thread, HANDLE, green.NativeHandle(getattr(thread, HANDLE)))
        elif thread._tstate_lock is not None:
            _replace_end(thread, green.NativeLock(thread._tstate_lock, thread.ident))
    for thread in list(_threading._dangling):
        if thread.ident is None:
            # Made, and not started yet: it becomes a greenlet.
            thread._started = threading.Event()
            if HANDLE:
                setattr(thread, HANDLE, green._ThreadHandle())
    if threading.excepthook is threading.__excepthook__:
        patch_item(threading, "excepthook", excepthook)
    patch_item(threading, "__excepthook__", excepthook)
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _adopt_main(thread: Any) -> None:
    """Greenlets can wait for the end of the main thread, which is when `threading._shutdown` is called."""
    if HANDLE:
        handle = green._ThreadHandle()
        handle._begin(thread.ident, True)
        setattr(thread, HANDLE, handle)
    elif thread._tstate_lock is not None:
        end = green.LockType()
        end.acquire()
        _replace_end(thread, end)


def _replace_end(thread: Any, end: Any) -> None:
    waited_for = _threading._shutdown_locks
    if thread._tstate_lock in waited_for:
        waited_for.discard(thread._tstate_lock)
        waited_for.add(end)
    thread._tstate_lock = end


def _after_fork_in_child() -> None:
    """`threading` has made the thread that forked the main one. It may be one that has no end of its own."""
    main = threading.main_thread()
    if isinstance(main, _threading._DummyThread):
        del _threading._active[main.ident]
        _threading._main_thread = _threading._MainThread()


def replace_lock_of_logging() -> None:
    """The locks of `logging` and of its handlers, if it was imported."""
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return
    if not _is_taken(logging._lock):
        patch_item(logging, "_lock", green.RLock())
    for reference in logging._handlerList:
        handler = reference()
        if handler is not None and isinstance(handler.lock, _NATIVE_LOCKS) and not _is_taken(handler.lock):
            handler.lock = green.RLock()


def replace_locks_of_modules() -> None:
    """Locks that nobody but a module knows, under one of its names, and that nobody has at the moment.

    Where somebody else refers to a lock - a condition, a default argument - there would be two then.
    """
    known = _references({"lock": _original.allocate_lock()}, "lock")
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType) or module.__name__.partition(".")[0] in _NATIVE_FOR_GOOD:
            continue
        namespace = vars(module)
        for name in list(namespace):
            if isinstance(namespace[name], _NATIVE_LOCKS) and not _is_taken(namespace[name]):
                # This one is known to `os.fork` as well, which goes on to use the old one, all alone.
                registered = (module.__name__, name) == ("concurrent.futures.thread", "_global_shutdown_lock")
                if registered or _references(namespace, name) == known:
                    mutual = isinstance(namespace[name], _NATIVE_LOCKS[0])
                    patch_item(module, name, green.LockType() if mutual else green.RLock())


def _references(namespace: dict[str, Any], name: str) -> int:
    return sys.getrefcount(namespace[name])


def _is_taken(lock: Any) -> bool:
    if getattr(lock, "_is_owned", bool)() or not lock.acquire(False):
        return True
    lock.release()
    return False
