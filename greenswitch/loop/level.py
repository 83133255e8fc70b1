"""What the pollers share whose system call tells what *is* and knows no edges.

What belongs here: what is asked for each descriptor, and when it is asked no more. What never does: a system
call (one module for each).

**Edges without edges.** An edge is told once, so what was told is asked for no more. It is asked for again
when there is proof that it is gone: whoever is told "would block" says so by setting `readable` or `writable`
of the descriptor to False, and here that reaches `arm`. Nothing can be missed in between, because these
pollers look at the present state: what came after the proof is found at the next look, whenever that is.
"""

from __future__ import annotations

import os as _os
import stat as _stat
from collections.abc import Mapping
from typing import ClassVar

from .poller import HANGUP, READ, URGENT, WRITE

__all__ = ["LevelPoller"]


class LevelPoller:
    """`Poller` but for `poll`. A subclass says in `_watch` what to ask the system for, and hands
    what that told to `_told`."""

    __slots__ = ("_lasting", "_once", "_wanted", "flags")

    EDGES: ClassVar[int] = READ | WRITE | URGENT | HANGUP
    """What is asked for a descriptor in edge mode that nobody has been told anything about."""

    flags: Mapping[int, int]

    def __init__(self) -> None:
        self.flags = {bits: bits for bits in range(16)}
        self._wanted: dict[int, int] = {}
        """What is asked for each descriptor that is known; 0 while nothing is. HANGUP alone is for who wants
        to know of nothing else; beside others it is told anyway."""
        self._once: set[int] = set()
        self._lasting = -1

    def _watch(self, fd: int, before: int, events: int) -> None:
        """Ask the system for `events` of `fd` in place of `before`; 0 is nothing."""
        raise NotImplementedError

    def _add(self, fd: int, events: int) -> bool:
        kind = _os.fstat(fd).st_mode
        if _stat.S_ISREG(kind) or _stat.S_ISDIR(kind):
            return False
        # The number may have been closed and opened again: what the system knows of it is not known.
        self._forget(fd)
        self._watch(fd, 0, events)
        self._wanted[fd] = events
        return True

    def _forget(self, fd: int) -> None:
        before = self._wanted.pop(fd, 0)
        if before:
            self._watch(fd, before, 0)

    def fileno(self) -> int:
        return -1

    def add_edge(self, fd: int) -> bool:
        self._once.discard(fd)
        return self._add(fd, self.EDGES)

    def arm(self, fd: int, events: int) -> None:
        before = self._wanted.get(fd)
        if before is not None and events & ~before:
            self._wanted[fd] = before | events
            self._watch(fd, before, before | events)

    def add_once(self, fd: int, events: int) -> bool:
        self._once.add(fd)
        return self._add(fd, events or HANGUP)

    rearm = add_once

    def add_level(self, fd: int) -> None:
        self._lasting = fd
        self._wanted[fd] = READ
        self._watch(fd, 0, READ)

    def remove(self, fd: int) -> None:
        if fd == self._lasting:
            self._lasting = -1
        self._once.discard(fd)
        self._forget(fd)

    def close(self) -> None:
        self._wanted.clear()
        self._once.clear()

    def _told(self, fd: int, flags: int) -> None:
        """`flags` are going to be told of `fd`."""
        if fd == self._lasting:
            return
        before = self._wanted.get(fd, 0)
        # A hang-up makes both directions ready, and some systems tell it again and again, unasked.
        rest = 0 if flags & HANGUP or fd in self._once else before & ~flags
        if rest != before:
            self._wanted[fd] = rest
            self._watch(fd, before, rest)
