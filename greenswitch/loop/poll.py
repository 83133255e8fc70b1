"""The poller of POSIX systems that have neither epoll nor kqueue.

What belongs here: poll's constants and their translation. What never does: who waits for what, and what is
asked when (`level`).
"""

from __future__ import annotations

import select as _select
from collections.abc import Sequence
from typing import Any

from .._original import select_poll
from .level import LevelPoller
from .poller import HANGUP, READ, URGENT, WRITE

__all__ = ["PollPoller"]

_RDHUP = int(getattr(_select, "POLLRDHUP", 0))
_GONE = _select.POLLHUP | _select.POLLERR | _select.POLLNVAL | _RDHUP


def _mask(events: int) -> int:
    mask = 0
    if events & READ:
        mask |= _select.POLLIN
    if events & (READ | HANGUP):
        mask |= _RDHUP
    if events & WRITE:
        mask |= _select.POLLOUT
    if events & URGENT:
        mask |= _select.POLLPRI
    return mask


_MASKS = [_mask(events) for events in range(16)]


class _Flags(dict[int, int]):
    """poll's mask to ours; each of the few masks that occur is worked out once."""

    def __missing__(self, mask: int) -> int:
        flags = 0
        if mask & _select.POLLIN:
            flags |= READ
        if mask & _select.POLLOUT:
            flags |= WRITE
        if mask & _select.POLLPRI:
            flags |= URGENT
        if mask & _GONE:
            # A number that is not open (POLLNVAL) is among it: he who waits shall find out.
            flags |= HANGUP
        self[mask] = flags
        return flags


class PollPoller(LevelPoller):
    """`Poller` by poll(2). The system looks at every descriptor that somebody waits for at each asking."""

    __slots__ = ("_poll",)

    def __init__(self) -> None:
        super().__init__()
        self.flags = _Flags()
        self._poll: Any = select_poll()

    def _watch(self, fd: int, before: int, events: int) -> None:
        if events:
            self._poll.register(fd, _MASKS[events])
        else:
            # Hang-ups are told of whatever is registered, also for nothing.
            self._poll.unregister(fd)

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        found: list[tuple[int, int]] = self._poll.poll(timeout * 1000.0)
        flags = self.flags
        for fd, mask in found:
            self._told(fd, flags[mask])
        return found
