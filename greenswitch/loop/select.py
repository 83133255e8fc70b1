"""The poller that every system has.

What belongs here: the three lists of select(2), and what to do about its limits. What never does: who waits
for what, and what is asked when (`level`).

Its limits: numbers from 1,024 on cannot be watched (OSError, EMFILE, for whoever wants to), and one
descriptor that was closed behind our back makes the whole call fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EBADF, EMFILE

from .._original import select_select
from .level import LevelPoller
from .poller import HANGUP, READ, URGENT, WRITE

__all__ = ["SelectPoller"]


class SelectPoller(LevelPoller):
    """`Poller` by select(2). A hang-up is told as room to write and something to read."""

    __slots__ = ("_readers", "_urgent", "_writers")

    EDGES = READ | WRITE | URGENT

    def __init__(self) -> None:
        super().__init__()
        self._readers: set[int] = set()
        self._writers: set[int] = set()
        self._urgent: set[int] = set()

    def _watch(self, fd: int, before: int, events: int) -> None:
        if events and not before:
            try:
                select_select([fd], (), (), 0)
            except ValueError:
                raise OSError(EMFILE, f"select() cannot watch a descriptor as high as {fd}") from None
        for watched, event in ((self._readers, READ), (self._writers, WRITE), (self._urgent, URGENT)):
            if events & event or (events == HANGUP and event == READ):
                watched.add(fd)
            else:
                watched.discard(fd)

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        seconds = None if timeout < 0.0 else timeout
        found: dict[int, int] = {}
        try:
            readable, writable, urgent = select_select(self._readers, self._writers, self._urgent, seconds)
        except OSError as error:
            if error.errno != EBADF:
                raise
            found = dict.fromkeys(self._closed(), HANGUP)
        else:
            wanted = self._wanted
            # The end of a stream looks as data does: who wants to know of a hang-up alone has to look.
            found = {fd: HANGUP if wanted[fd] == HANGUP else READ for fd in readable}
            for fds, event in ((writable, WRITE), (urgent, URGENT)):
                for fd in fds:
                    found[fd] = found.get(fd, 0) | event
        for fd, flags in found.items():
            self._told(fd, flags)
        return list(found.items())

    def _closed(self) -> list[int]:
        """Which of those that are watched are not open."""
        closed = []
        for fd in self._readers | self._writers | self._urgent:
            try:
                select_select([fd], (), (), 0)
            except OSError:
                closed.append(fd)
        return closed
