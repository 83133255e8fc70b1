"""What `multiprocessing` waits for, waited for in the hub.

What belongs here: the locks that processes share, and reading and writing of their pipes, which the standard
library does on descriptors that block. What never does: waiting for several of them at once
(`multiprocessing.connection.wait`, which goes by `selectors`), the making of processes (`os.fork`).

Nobody tells a process when a lock that it shares with others is free: it has to look again and again.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]
import os as _os
import select as _select
from collections.abc import Callable
from functools import partialmethod
from multiprocessing import reduction
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from ._core import getcurrent
from ._original import monotonic, os_read, os_write, select_poll
from .hub import Hub, get_hub_if_any
from .loop import READ, WRITE
from .socket import socket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["SemLock", "bootstrap", "recv_defaults", "send_defaults"]

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


def _hub_to_wait_in() -> Hub | None:
    """None where nobody else could run meanwhile: in a thread without a hub, and in the hub itself."""
    hub = get_hub_if_any()
    return None if hub is None or getcurrent() is hub else hub


class SemLock(_multiprocessing.SemLock):  # type: ignore[misc]
    """The standard `_multiprocessing.SemLock`; whoever waits for it lets other greenlets run."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it. False at once if it is not free and `block` is false, otherwise after `timeout`
        seconds."""
        if super().acquire(False):
            return True
        hub = _hub_to_wait_in()
        if hub is None or not block:
            return bool(super().acquire(block, timeout))
        deadline = None if timeout is None else monotonic() + timeout
        pause = _FIRST_PAUSE
        while deadline is None or (left := deadline - monotonic()) > 0:
            hub.wait_seconds(pause if deadline is None else min(pause, left))
            if super().acquire(False):
                return True
            pause = min(pause * 2, _LONGEST_PAUSE)
        return False

    def __enter__(self) -> bool:
        return self.acquire()


def _await(fd: int, events: int, poll_events: int) -> None:
    poll = select_poll()
    poll.register(fd, poll_events)
    hub = _hub_to_wait_in()
    if hub is None:
        # Some of the descriptors were those of sockets of ours, which do not block.
        poll.poll()
    elif not poll.poll(0):
        hub.wait_fd(fd, events)


def _read(fd: int, size: int) -> bytes:
    while True:
        _await(fd, READ, _select.POLLIN)
        try:
            return os_read(fd, size)
        except BlockingIOError:
            # Somebody else was quicker.
            pass


def _write(fd: int, data: ReadableBuffer) -> int:
    while True:
        _await(fd, WRITE, _select.POLLOUT)
        try:
            # More than that may block although there is room.
            return os_write(fd, memoryview(data)[: _select.PIPE_BUF])
        except BlockingIOError:
            pass


recv_defaults: tuple[Callable[[int, int], bytes]] = (_read,)
"""Of `multiprocessing.connection.Connection._recv`: what it reads with."""
send_defaults: tuple[Callable[[int, Any], int]] = (_write,)
"""Of `multiprocessing.connection.Connection._send`: what it writes with."""


# As the standard library's sockets are sent to other processes.
_reduction: Any = reduction
_reduction.register(socket, _reduction._reduce_socket)

_standard_bootstrap: Callable[..., Any] = BaseProcess._bootstrap  # type: ignore[attr-defined]
_is_fork = False
"""Is this process the child of one that had loaded this module?"""


def _bootstrap(self: BaseProcess, *args: Any, **kwargs: Any) -> Any:
    hub = get_hub_if_any()
    if _is_fork and hub is not None:
        hub.loop.leave_waits()
    return _standard_bootstrap(self, *args, **kwargs)


bootstrap = partialmethod(_bootstrap)
"""`BaseProcess._bootstrap`, what a new process runs. As with threads, only who made the process goes on in
it; the other greenlets are the parent's."""


def _forked() -> None:
    global _is_fork
    _is_fork = True


_os.register_at_fork(after_in_child=_forked)
