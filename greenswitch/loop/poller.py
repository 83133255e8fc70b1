"""What the loop asks of a system poller: the event bits and one small interface.

What belongs here: words that every poller shares. What never does: a system call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__all__ = ["HANGUP", "READ", "URGENT", "WRITE", "Poller"]

READ = 1
"""There is something to read, or the end of it."""
WRITE = 2
"""There is room to write."""
HANGUP = 4
"""The peer went, closed its writing half, or the descriptor is in error."""
URGENT = 8
"""Out-of-band data."""


class Poller(Protocol):
    """Which descriptors are ready? Descriptors are plain numbers here.

    A descriptor is in one of two modes. *Edge*: for both directions and for as long as it is open; every
    change is told once. *Once*: for the named events; told once as soon as one of them holds, then silent
    until `rearm`.
    """

    flags: Mapping[int, int]
    """From the number that `poll` gives to READ, WRITE, HANGUP and URGENT bits."""

    @property
    def arm(self) -> Callable[[int, int], object] | None:
        """None if edge mode sees every change by itself. Else it is to be called with (fd, READ or WRITE)
        whenever there is proof that nothing is there to read, or no room, and that is what is told next."""

    def fileno(self) -> int:
        """The poller's own descriptor; -1 if it has none."""

    def add_edge(self, fd: int) -> bool:
        """Watch `fd` in edge mode; takes it over from once mode. What holds now is told, also if it was told
        before. False: this kind of file is always ready and cannot be watched. OSError (EBADF) for a number
        that is not open."""

    def add_once(self, fd: int, events: int) -> bool:
        """Watch `fd` for `events`, once. False and OSError as `add_edge`."""

    def rearm(self, fd: int, events: int) -> bool:
        """Watch again, after it was told or for other events. Tells at once if one of them holds now. False
        and OSError as `add_edge`; works as well where the number was closed and opened again in between."""

    def add_level(self, fd: int) -> None:
        """Tell READ again and again while there is something to read. For the loop's own wake-up pipe."""

    def remove(self, fd: int) -> None:
        """Forget `fd`. Nothing happens if it is closed or unknown."""

    def poll(self, timeout: float, /) -> Sequence[tuple[int, int]]:
        """Wait until something is ready, `timeout` seconds at most (negative: for ever), with the
        interpreter's lock released. The result: (fd, number for `flags`) pairs."""

    def close(self) -> None:
        """Give the poller's descriptor back. Idempotent."""
