"""Which loops hear which signals.

What belongs here: the one handler that the process has for a signal while a loop listens to it, and the
handler that it had before. What never does: what a loop does when it hears one; who waits for a child.

Python runs handlers in the main thread, between any two of its steps. So the handler does no more than the
one thing that is safe there and from where any loop hears it: `Loop.call_threadsafe`.
"""

from __future__ import annotations

from collections.abc import Callable
from signal import SIG_DFL, SIG_IGN, SIGCHLD
from types import FrameType
from typing import Any

from .._original import get_signal, set_signal
from .core import Loop

__all__ = ["Listener", "handler_behind", "listen", "set_handler_behind", "unlisten"]

Listener = tuple[Loop, Callable[[], object]]
"""A loop, and what it is to call."""

_listeners: dict[int, tuple[Listener, ...]] = {}
_former: dict[int, Any] = {}


def _heard(signum: int, frame: FrameType | None) -> None:
    for loop, callback in _listeners.get(signum, ()):
        loop.call_threadsafe(callback)
    if signum == SIGCHLD:
        # Who waits for children of his own must not take them from those who have a handler for theirs.
        former = _former.get(signum)
        if callable(former):
            former(signum, frame)


def handler_behind(signum: int) -> Any:
    """The handler that is to be back after the last `unlisten`; that of the process if nobody listens."""
    present = get_signal(signum)
    return _former.get(signum, SIG_DFL) if present is _heard else present


def set_handler_behind(signum: int, handler: Any) -> Any:
    """`signal.signal` that leaves those who listen alone. Returns and raises the same."""
    if get_signal(signum) is not _heard:
        return set_signal(signum, handler)
    if not callable(handler) and handler not in (SIG_DFL, SIG_IGN):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    # Changes nothing and raises what is to be raised in other threads.
    set_signal(signum, _heard)
    former = _former.get(signum, SIG_DFL)
    _former[signum] = handler
    return former


def listen(signum: int, listener: Listener) -> None:
    """Have the loop call whenever the process receives the signal. Raises ValueError where this is the first
    one for the signal and the thread is not the main thread, OSError for a signal that cannot be caught."""
    present = _listeners.get(signum, ())
    if not present or get_signal(signum) is not _heard:
        former = set_signal(signum, _heard)
        if former is not _heard:
            _former[signum] = former
    _listeners[signum] = (*present, listener)


def unlisten(signum: int, listener: Listener) -> None:
    """Undo one `listen`. After the last one the handler of before is back, unless somebody has set another
    meanwhile. Does nothing if there is none."""
    present = list(_listeners.get(signum, ()))
    if listener not in present:
        return
    present.remove(listener)
    _listeners[signum] = tuple(present)
    if present:
        return
    del _listeners[signum]
    former = _former.pop(signum, SIG_DFL)
    if get_signal(signum) is not _heard:
        return
    try:
        # None: a handler of C code, which Python cannot put back.
        set_signal(signum, SIG_DFL if former is None else former)
    except ValueError:
        # Another thread closes its loop. Nobody hears the handler, which stays until the next `listen`.
        _former[signum] = former
