"""asyncio and greenlets in one thread.

What belongs here: the names of this package. What never does: code that does something.
"""

from __future__ import annotations

from .bridge import TaskGreenlet, get_loop, greenlet, run, spawn, wait
from .loop import EventLoop, EventLoopPolicy, install

__all__ = [
    "EventLoop",
    "EventLoopPolicy",
    "TaskGreenlet",
    "get_loop",
    "greenlet",
    "install",
    "run",
    "spawn",
    "wait",
]
