"""The event loop: time, callbacks, timers, descriptors, signals, children. It knows nothing of greenlets.

What belongs here: the loop (`core`), the interface to the system's poller (`poller`), one file per poller,
and what only libraries ask a loop for, above these (`api`, `watchers`, with `signals` and `children`).
What never does: a switch, a hub, an import of `greenswitch._core`.
"""

from __future__ import annotations

from .api import WatcherLoop
from .core import Borrowed, Callback, Descriptor, Loop, Timer
from .poller import HANGUP, READ, URGENT, WRITE, Poller

__all__ = [
    "HANGUP",
    "READ",
    "URGENT",
    "WRITE",
    "Borrowed",
    "Callback",
    "Descriptor",
    "Loop",
    "Poller",
    "Timer",
    "WatcherLoop",
]
