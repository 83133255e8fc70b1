"""The child processes that a loop waits for.

What belongs here: how the end of a child is noticed, and its reaping. What never does: the making of
processes; whom it is told (`watchers.child`).

A child whose number is known is waited for by a descriptor of its own (pidfd), where the system has them: the
end of another child costs nothing, and nobody's SIGCHLD handler is replaced. Any child, stops and
continuations, and children without such a descriptor are found by asking after every SIGCHLD.
"""

from __future__ import annotations

import os
from signal import SIGCHLD
from typing import TYPE_CHECKING

from .._original import os_close, os_waitpid, pidfd_open
from . import signals
from .core import Borrowed
from .poller import READ

if TYPE_CHECKING:
    from .api import WatcherLoop
    from .watchers import child

__all__ = ["Children"]

_UNKNOWN_STATUS = 255 << 8
_TRACED = os.WNOHANG | os.WUNTRACED | os.WCONTINUED


class Children:
    """Who waits for which child, in one loop."""

    def __init__(self, loop: WatcherLoop) -> None:
        self._loop = loop
        self._watchers: dict[int, list[child]] = {}
        self._asked: set[child] = set()
        """Those of them that are found by asking."""
        self._descriptors: dict[int, Borrowed] = {}
        """By the child's number."""
        self._listener: signals.Listener = (loop, self._ask)
        self._listens = False
        self._installed = False

    def add(self, watcher: child) -> None:
        """Tell `watcher` when its child ends. Raises ValueError where that takes a SIGCHLD handler and the
        thread is not the main thread."""
        pid = watcher.pid
        if not (pid > 0 and not watcher._trace and self._open(pid)):
            self._listen()
            self._asked.add(watcher)
            # It may have ended already.
            self._loop.ready.append(self._ask)
        self._watchers.setdefault(pid, []).append(watcher)

    def remove(self, watcher: child) -> None:
        """Undo `add`."""
        watchers = self._watchers.get(watcher.pid)
        if watchers is None or watcher not in watchers:
            return
        watchers.remove(watcher)
        self._asked.discard(watcher)
        if not watchers:
            del self._watchers[watcher.pid]
            self._close_descriptor(watcher.pid)
        self._unlisten()

    def install(self) -> None:
        """Have the SIGCHLD handler now, and until `reset`."""
        self._installed = True
        self._listen()

    def reset(self) -> None:
        """Undo `install`."""
        self._installed = False
        self._unlisten()

    def leave_behind(self) -> None:
        """This is another process after a fork, whose children they are not: nothing will be told."""
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.stop()
        self.forget()

    def forget(self) -> None:
        """Let go of everything: the loop ends."""
        for pid in list(self._descriptors):
            self._close_descriptor(pid)
        self._watchers.clear()
        self._asked.clear()
        self.reset()

    # By descriptor

    def _open(self, pid: int) -> bool:
        if pid in self._descriptors:
            return True
        if pidfd_open is None:
            return False
        try:
            descriptor = pidfd_open(pid)
        except OSError:
            # No such process, an old kernel, no descriptor left.
            return False
        self._descriptors[pid] = self._loop.borrow(descriptor, READ, lambda _: self._ended(pid), ref=False)
        return True

    def _close_descriptor(self, pid: int) -> None:
        borrowed = self._descriptors.pop(pid, None)
        if borrowed is not None:
            self._loop.release(borrowed)
            os_close(borrowed.fd)

    def _ended(self, pid: int) -> None:
        self._close_descriptor(pid)
        try:
            reaped, status = os_waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            reaped, status = pid, _UNKNOWN_STATUS
        if reaped:
            self._tell(reaped, status)

    # By asking

    def _listen(self) -> None:
        if not self._listens:
            signals.listen(SIGCHLD, self._listener)
            self._listens = True

    def _unlisten(self) -> None:
        if self._listens and not self._asked and not self._installed:
            self._listens = False
            signals.unlisten(SIGCHLD, self._listener)

    def _ask(self) -> None:
        """Reap those who have ended among those that are asked for."""
        asked = {watcher.pid for watcher in self._asked}
        for pid in (-1,) if 0 in asked else asked:
            traced = any(watcher._trace for watcher in self._asked if pid in (-1, watcher.pid))
            while True:
                try:
                    reaped, status = os_waitpid(pid, _TRACED if traced else os.WNOHANG)
                except ChildProcessError:
                    break
                if not reaped:
                    break
                self._tell(reaped, status)

    def _tell(self, pid: int, status: int) -> None:
        ended = os.WIFEXITED(status) or os.WIFSIGNALED(status)
        if ended:
            self._close_descriptor(pid)
        for watcher in [*self._watchers.get(pid, ()), *self._watchers.get(0, ())]:
            if ended or watcher._trace:
                watcher._ended(pid, status)
