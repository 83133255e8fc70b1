"""kqueue(2) as its manuals tell it, made of poll(2): so that `loop/kqueue.py` can be run on Linux.

What belongs here: what that module uses - two filters, one-shot or level-triggered, changes whose errors come
back as events, registrations that go when the open file goes. What never does: a claim that a real one does
the same.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from errno import EBADF, ENOENT
from typing import NamedTuple

FILTER_READ, FILTER_WRITE = -1, -2
EV_ADD, EV_DELETE, EV_ONESHOT, EV_ERROR, EV_EOF = 1, 2, 16, 0x4000, 0x8000

NAMES = {
    "KQ_FILTER_READ": FILTER_READ,
    "KQ_FILTER_WRITE": FILTER_WRITE,
    "KQ_EV_ADD": EV_ADD,
    "KQ_EV_DELETE": EV_DELETE,
    "KQ_EV_ONESHOT": EV_ONESHOT,
    "KQ_EV_ERROR": EV_ERROR,
    "KQ_EV_EOF": EV_EOF,
}
"""What the `select` module has where there is a kqueue, besides the two classes."""


class kevent(NamedTuple):
    ident: int
    filter: int
    flags: int
    fflags: int = 0
    data: int = 0


def _file(fd: int) -> tuple[int, int] | None:
    """Which open file stands behind a number; None if there is none."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class kqueue:
    def __init__(self) -> None:
        self._fd = os.open(os.devnull, os.O_RDONLY)
        self._known: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = {}

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _change(self, change: kevent) -> int:
        """The error's number."""
        key = (change.ident, change.filter)
        file = _file(change.ident)
        if file is None:
            self._known.pop(key, None)
            return EBADF
        if change.flags & EV_DELETE:
            known = self._known.pop(key, None)
            return 0 if known is not None and known[1] == file else ENOENT
        self._known[key] = (change.flags, file)
        return 0

    def control(
        self, changes: Sequence[kevent] | None, most: int, timeout: float | None = None
    ) -> list[kevent]:
        found = []
        for change in changes or ():
            error = self._change(change)
            if error:
                found.append(change._replace(flags=EV_ERROR, data=error))
        if found:
            timeout = 0
        for key in [key for key, (_, file) in self._known.items() if _file(key[0]) != file]:
            del self._known[key]
        masks: dict[int, int] = {}
        for fd, which in self._known:
            mask = select.POLLIN | select.POLLRDHUP if which == FILTER_READ else select.POLLOUT
            masks[fd] = masks.get(fd, 0) | mask
        poll = select.poll()
        for fd, mask in masks.items():
            poll.register(fd, mask)
        for fd, mask in poll.poll(None if timeout is None else timeout * 1000):
            gone = mask & (select.POLLHUP | select.POLLERR)
            ready = {
                FILTER_READ: (mask & select.POLLIN or gone, gone or mask & select.POLLRDHUP),
                FILTER_WRITE: (mask & select.POLLOUT or gone, gone),
            }
            for which, (holds, end) in ready.items():
                if not holds or (fd, which) not in self._known or len(found) >= most:
                    continue
                found.append(kevent(fd, which, EV_EOF if end else 0))
                if self._known[fd, which][0] & EV_ONESHOT:
                    del self._known[fd, which]
        return found
