"""Which pollers there are, and which one a loop gets.

What belongs here: the tables, and the choice. What never does: a system call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import _original
from .._config import config
from .poller import Poller
from .select import SelectPoller

__all__ = ["BACKENDS", "BEST", "POLLERS", "backend_of"]

BACKENDS = {"select": 1, "poll": 2, "epoll": 4, "kqueue": 8, "devpoll": 16, "port": 32}
"""The names of pollers and the bits that stand for them."""

POLLERS: dict[str, Callable[[], Poller]] = {}
"""The pollers that there are here, the best one first."""

if _original.select_epoll is not None:
    from .epoll import EpollPoller

    POLLERS["epoll"] = EpollPoller
if _original.select_kqueue is not None:
    from .kqueue import KqueuePoller

    POLLERS["kqueue"] = KqueuePoller
if _original.select_poll is not None:
    from .poll import PollPoller

    POLLERS["poll"] = PollPoller
POLLERS["select"] = SelectPoller

BEST = next(iter(POLLERS.values()))
"""The best of them."""


def backend_of(flags: str | int | Sequence[str] | None) -> str:
    """The name of the best poller among those that are asked for; if none are, the one that `config.poller`
    names. ValueError if there is none."""
    wanted: list[str] = []
    if isinstance(flags, int):
        wanted = [name for name, bit in BACKENDS.items() if flags & bit]
    elif isinstance(flags, str):
        wanted = [name.strip().lower() for name in flags.split(",")]
    elif isinstance(flags, (list, tuple)):
        wanted = [name.strip().lower() for name in flags]
    elif flags is not None:
        raise TypeError(f"flags must be a name, a list of names or a number, not {flags!r}")
    if flags is None or not (wanted or flags):
        if config.poller == "auto":
            return next(iter(POLLERS))
        wanted = [config.poller]
    elif isinstance(flags, int) and not wanted:
        return next(iter(POLLERS))
    for name in wanted:
        if name not in BACKENDS:
            raise ValueError(f"Invalid backend or flag: {name}; possible are {', '.join(sorted(BACKENDS))}")
    for name in POLLERS:
        if name in wanted:
            return name
    raise ValueError(f"none of {', '.join(wanted)} is available here, only {', '.join(POLLERS)}")
