"""The poller of macOS and the BSDs. Written from their manuals and tried with a stand-in for the system call:
not run on Linux, and so by none of the tests on a real kqueue.

What belongs here: kqueue's filters and their translation. What never does: who waits for what, and what is
asked when (`level`).

Why not by kqueue's own edges (EV_CLEAR), as with epoll: a short read counts as proof that nothing is left
only because epoll tells of urgent data, at which a read stops too; Python's `select` has no name for the
filter that tells it here. So each direction is asked for once (EV_ONESHOT) whenever there is proof that it is
not ready. That costs no system call: changes travel with the next asking.
"""

from __future__ import annotations

import select as _select
from collections.abc import Sequence
from errno import ENOENT
from typing import Any

from .._original import select_kqueue
from .level import LevelPoller
from .poller import HANGUP, READ, URGENT, WRITE

__all__ = ["KqueuePoller"]

_MOST = 256
"""Events that are taken at one asking, besides an answer for each change."""


def _flag(name: str) -> int:
    return int(getattr(_select, name))


def _filters(events: int) -> list[str]:
    """Which filters tell of `events`."""
    if not events:
        return []
    reads = events & (READ | URGENT) or events == HANGUP
    return (["KQ_FILTER_READ"] if reads else []) + (["KQ_FILTER_WRITE"] if events & WRITE else [])


class KqueuePoller(LevelPoller):
    """`Poller` by kqueue(2). Who asks for URGENT is told of anything that there is to read."""

    __slots__ = ("_changes", "_event", "_kqueue")

    EDGES = READ | WRITE

    def __init__(self) -> None:
        super().__init__()
        self._event: Any = getattr(_select, "kevent")  # noqa: B009
        self._kqueue: Any = select_kqueue()
        self._changes: list[Any] = []

    def fileno(self) -> int:
        return int(self._kqueue.fileno())

    def _watch(self, fd: int, before: int, events: int) -> None:
        had, has = _filters(before), _filters(events)
        add = _flag("KQ_EV_ADD") | (0 if fd == self._lasting else _flag("KQ_EV_ONESHOT"))
        self._changes += [self._event(fd, _flag(name), add) for name in has if name not in had]
        delete = _flag("KQ_EV_DELETE")
        self._changes += [self._event(fd, _flag(name), delete) for name in had if name not in has]

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        changes, self._changes = self._changes, []
        try:
            events = self._kqueue.control(changes, _MOST + len(changes), None if timeout < 0.0 else timeout)
        except BaseException:
            # A signal handler that raises: whether the changes were made is not known, and adding twice or
            # deleting what is gone does no harm.
            self._changes[:0] = changes
            raise
        found: dict[int, int] = {}
        for event in events:
            fd = event.ident
            wanted = self._wanted.get(fd, 0)
            if event.flags & _flag("KQ_EV_ERROR"):
                if event.data in (0, ENOENT) or not wanted:
                    continue
                # Closed behind our back: he who waits shall find out.
                flags = HANGUP
            elif event.filter == _flag("KQ_FILTER_READ"):
                flags = HANGUP if wanted == HANGUP else READ | (wanted & URGENT)
                self._spent(fd, wanted & WRITE)
            else:
                flags = WRITE
                self._spent(fd, wanted & ~WRITE)
            if event.flags & _flag("KQ_EV_EOF"):
                flags |= HANGUP
            found[fd] = found.get(fd, 0) | flags
        for fd, flags in found.items():
            self._told(fd, flags)
        return list(found.items())

    def _spent(self, fd: int, rest: int) -> None:
        """What was asked for once was told: the system knows of `rest` only."""
        if fd != self._lasting and fd in self._wanted:
            self._wanted[fd] = rest

    def close(self) -> None:
        super().close()
        self._kqueue.close()
