"""The event loop's module by gevent's name: `loop`, and which pollers there are.

What belongs here: names. What never does: code that does something; that is in `greenswitch.loop`.
"""

from __future__ import annotations

import sys

from ._original import time
from .loop.api import BACKENDS, POLLERS, WatcherLoop
from .loop.core import Callback as callback
from .loop.poller import READ, WRITE
from .loop.watchers import Watcher as watcher
from .loop.watchers import async_, check, child, fork, idle, io, prepare, signal, stat, timer

__all__ = [
    "BACKENDS",
    "READ",
    "WRITE",
    "async_",
    "callback",
    "check",
    "child",
    "embeddable_backends",
    "fork",
    "get_header_version",
    "get_version",
    "idle",
    "io",
    "loop",
    "prepare",
    "recommended_backends",
    "signal",
    "stat",
    "supported_backends",
    "time",
    "timer",
    "watcher",
]

loop = WatcherLoop


def supported_backends() -> list[str]:
    """The names of the pollers that there are on this system, the best one first."""
    return list(POLLERS)


def recommended_backends() -> list[str]:
    """The names of the pollers that are worth using, the best one first."""
    return list(POLLERS)


def embeddable_backends() -> list[str]:
    """The names of the pollers whose own descriptor can be waited for by another poller."""
    return [name for name in POLLERS if name in ("epoll", "kqueue")]


def get_version() -> str:
    """Whose loop this is, and its version."""
    return f"greenswitch-{sys.modules[__name__.rpartition('.')[0]].__version__}"


def get_header_version() -> str:
    """The same; there is no header that could be of another version."""
    return get_version()
