"""The poller of Linux.

What belongs here: epoll's constants and their translation. What never does: who waits for what.

Why edge-triggered for the descriptors that we own: one `epoll_ctl` in the life of a connection instead of one
or two per wait. Why one-shot for those that we borrow: a descriptor may be closed behind our back while a
duplicate keeps its open file alive; a level-triggered registration could then neither be removed nor
silenced.
"""

from __future__ import annotations

import select as _select
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._original import select_epoll
from .poller import HANGUP, READ, URGENT, WRITE

__all__ = ["EpollPoller"]

_IN = _select.EPOLLIN
_OUT = _select.EPOLLOUT
_PRI = _select.EPOLLPRI
_HUP = _select.EPOLLHUP
_ERR = _select.EPOLLERR
_RDHUP = _select.EPOLLRDHUP
_ONESHOT = _select.EPOLLONESHOT
_BOTH_EDGES = _IN | _OUT | _PRI | _RDHUP | _select.EPOLLET


class _Flags(dict[int, int]):
    """epoll's mask to ours; each of the few masks that occur is worked out once."""

    def __missing__(self, mask: int) -> int:
        flags = 0
        if mask & _IN:
            flags |= READ
        if mask & _OUT:
            flags |= WRITE
        if mask & _PRI:
            flags |= URGENT
        if mask & (_HUP | _ERR | _RDHUP):
            flags |= HANGUP
        self[mask] = flags
        return flags


class EpollPoller:
    """`Poller` by epoll(7)."""

    __slots__ = ("_epoll", "flags", "poll")

    flags: Mapping[int, int]
    poll: Callable[[float], Sequence[tuple[int, int]]]
    arm: None = None

    def __init__(self) -> None:
        self._epoll: Any = select_epoll()
        self.flags = _Flags()
        # The system call's own method: no Python frame between the loop and the kernel.
        self.poll = self._epoll.poll

    def fileno(self) -> int:
        return int(self._epoll.fileno())

    def _set(self, fd: int, mask: int) -> bool:
        try:
            self._epoll.register(fd, mask)
        except FileExistsError:
            # Modifying looks at the present state, as adding does.
            self._epoll.modify(fd, mask)
        except PermissionError:
            return False
        return True

    def add_edge(self, fd: int) -> bool:
        return self._set(fd, _BOTH_EDGES)

    @staticmethod
    def _once(events: int) -> int:
        mask = _ONESHOT
        if events & READ:
            mask |= _IN | _RDHUP
        if events & WRITE:
            mask |= _OUT
        if events & URGENT:
            mask |= _PRI
        return mask

    def add_once(self, fd: int, events: int) -> bool:
        return self._set(fd, self._once(events))

    def rearm(self, fd: int, events: int) -> bool:
        mask = self._once(events)
        try:
            self._epoll.modify(fd, mask)
        except FileNotFoundError:
            return self._set(fd, mask)
        return True

    def add_level(self, fd: int) -> None:
        self._epoll.register(fd, _IN)

    def remove(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):
            # Closed, or never known: nothing is left to forget.
            pass

    def close(self) -> None:
        self._epoll.close()
