"""The standard `os` module with descriptors and child processes that are waited for in the hub.

What belongs here: reading and writing descriptors, making processes and waiting for them. What never does:
file objects (`fileobject`), what a hub does after a fork (`hub.reinit`, which every fork calls, also the
system's own).

The system keeps the status of a child that has ended until somebody asks for it, and it stays there:
`waitpid` asks the system, waits until that may have changed, and asks again. So the functions of `os` that
are not here find what they expect, and nothing is lost where the loop does not run. Only a child of
`fork_and_watch` is reaped by the loop, whose watcher's callback wants its status; `waitpid` knows of those.

A child is waited for by a descriptor of its own (pidfd). Where the system has none, and for any child, stops
and continuations, it is SIGCHLD that says when to ask again.
"""

from __future__ import annotations

import os as _stdlib
import warnings as _warnings
from collections.abc import Callable
from errno import EBADF
from signal import SIGCHLD
from typing import TYPE_CHECKING, Any, TypeVar

from ._original import (
    monotonic,
    os_close,
    os_fork,
    os_forkpty,
    os_read,
    os_set_blocking,
    os_waitpid,
    os_write,
    pidfd_open,
)
from .hub import Hub, Waiter, get_hub, get_hub_if_any
from .loop import READ, WRITE, WatcherLoop, signals
from .loop.watchers import child

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


_T = TypeVar("_T")

_LONGEST_SILENCE = 0.5
"""Seconds after which whoever waits for SIGCHLD asks all the same: another handler may have taken its
place."""
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


class cancel_wait_ex(OSError):
    """In the greenlet that waits for a descriptor which another greenlet closes. `errno` is EBADF."""

    def __init__(self) -> None:
        super().__init__(EBADF, "File descriptor was closed in another greenlet")


# Descriptors


def close(fd: int) -> None:
    """Close the descriptor `fd`. Greenlets of this thread that wait for it get OSError (EBADF). Does not
    block."""
    hub = get_hub_if_any()
    if hub is not None:
        hub.give_up_fd(fd, cancel_wait_ex())
    os_close(fd)


def make_nonblocking(fd: int) -> bool:
    """Have the system never block on `fd`. False if that was so before."""
    if not _stdlib.get_blocking(fd):
        return False
    os_set_blocking(fd, False)
    return True


def nb_read(fd: int, n: int) -> bytes:
    """Up to `n` bytes from `fd`, which must not block (`make_nonblocking`); b"" at the end. Waits in the hub
    until there is something."""
    while True:
        try:
            return os_read(fd, n)
        except BlockingIOError:
            get_hub().wait_fd(fd, READ)


def nb_write(fd: int, buf: ReadableBuffer) -> int:
    """Write `buf` to `fd`, which must not block: how many bytes were taken. Waits in the hub until there is
    room for one."""
    while True:
        try:
            return os_write(fd, buf)
        except BlockingIOError:
            get_hub().wait_fd(fd, WRITE)


def tp_read(fd: int, n: int) -> bytes:
    """Up to `n` bytes from `fd`, read in a thread of the hub's pool; b"" at the end."""
    data: bytes = get_hub().threadpool.apply(os_read, (fd, n))
    return data


def tp_write(fd: int, buf: ReadableBuffer) -> int:
    """Write `buf` to `fd` in a thread of the hub's pool: how many bytes were taken."""
    taken: int = get_hub().threadpool.apply(os_write, (fd, buf))
    return taken


# Waiting for children


def wait_until(ask: Callable[[], _T | None], pid: int, traced: bool, timeout: float | None) -> _T | None:
    """Call `ask` until it gives something, whenever the child `pid` may have ended: what it gave, or None
    after `timeout` seconds. A `pid` that is not positive stands for any child; with `traced` also stops and
    continuations count."""
    found = ask()
    if found is not None or (timeout is not None and timeout <= 0):
        return found
    hub = get_hub()
    deadline = None if timeout is None else monotonic() + timeout
    if pid > 0 and not traced and pidfd_open is not None:
        try:
            fd = pidfd_open(pid)
        except OSError:
            # An old kernel, no descriptor left; or just reaped by somebody else, as asking will show.
            pass
        else:
            try:
                return _ask_again(ask, hub, deadline, _wait_for_end(hub, fd))
            finally:
                os_close(fd)
    return _ask_at_signals(ask, hub, deadline)


_Wait = Callable[["float | None"], object]
"""Waits, at most so many seconds, until it is time to ask again."""


def _ask_again(ask: Callable[[], _T | None], hub: Hub, deadline: float | None, wait: _Wait) -> _T | None:
    process = _stdlib.getpid()
    while True:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return None
        wait(left)
        if _stdlib.getpid() != process:
            # Another greenlet has forked, and this one goes on in the child, who is not told of its parent's
            # children: asking would say that there is none, and Popen take that for an end.
            wait = Waiter(hub).wait
            continue
        found = ask()
        if found is not None:
            return found


def _wait_for_end(hub: Hub, fd: int) -> _Wait:
    ended = False
    pause = _pauses(hub)

    def wait(left: float | None) -> None:
        nonlocal ended
        if ended:
            # Another thread is about to reap it.
            pause(left)
        elif hub.wait_fd(fd, READ, left):
            ended = True

    return wait


def _pauses(hub: Hub) -> _Wait:
    pause = _FIRST_PAUSE

    def wait(left: float | None) -> None:
        nonlocal pause
        hub.wait_seconds(pause if left is None else min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)

    return wait


def _ask_at_signals(ask: Callable[[], _T | None], hub: Hub, deadline: float | None) -> _T | None:
    heard = Waiter(hub)
    listener: signals.Listener = (hub.loop, lambda: heard.wake())
    try:
        signals.listen(SIGCHLD, listener)
    except ValueError:
        # Not the main thread.
        return _ask_again(ask, hub, deadline, _pauses(hub))

    def wait(left: float | None) -> None:
        nonlocal heard
        heard.wait(_LONGEST_SILENCE if left is None else min(left, _LONGEST_SILENCE))
        heard = Waiter(hub)

    try:
        found = ask()
        return _ask_again(ask, hub, deadline, wait) if found is None else found
    finally:
        signals.unlisten(SIGCHLD, listener)


_watched: dict[int, _Watched] = {}
"""The children of `fork_and_watch` that neither the loop nor `waitpid` has reaped."""
_ended: dict[int, int] = {}
"""The status of those that the loop has reaped and `waitpid` was not asked for, the oldest first."""
_MOST_ENDED = 10_000


class _Watched:
    """A child that the loop is to reap."""

    def __init__(
        self, pid: int, loop: WatcherLoop, callback: Callable[[child], object] | None, ref: bool
    ) -> None:
        self.status: int | None = None
        """As `waitpid` had it, if that was first."""
        self._callback = callback
        self._watcher = loop.child(pid, ref=ref)
        self._watcher.start(self._told)
        _ended.pop(pid, None)
        _watched[pid] = self

    def take(self) -> tuple[int, int] | None:
        """Number and status for `waitpid`, if the loop has reaped it and is about to tell."""
        coming = self._watcher.coming
        if coming is not None:
            self.status = coming[1]
            del _watched[coming[0]]
        return coming

    def _told(self) -> None:
        watcher = self._watcher
        watcher.stop()
        if self.status is None:
            del _watched[watcher.pid]
            _ended[watcher.pid] = watcher.rstatus
            if len(_ended) > _MOST_ENDED:
                del _ended[next(iter(_ended))]
        else:
            watcher.rpid, watcher.rstatus = watcher.pid, self.status
        if self._callback is not None:
            self._callback(watcher)


def _take(pid: int) -> tuple[int, int] | None:
    """What `waitpid` is to give of a child that the loop has reaped."""
    if pid == -1:
        for number in _ended:
            return number, _ended.pop(number)
        for watched in _watched.values():
            taken = watched.take()
            if taken is not None:
                return taken
    elif pid in _ended:
        return pid, _ended.pop(pid)
    elif pid in _watched:
        return _watched[pid].take()
    return None


def waitpid(pid: int, options: int) -> tuple[int, int]:
    """Number and status of the child `pid` when it has ended; of any child for -1, of one of a process group
    for other numbers that are not positive. `options` are the W* constants of `os`: with WNOHANG it does not
    wait and gives (0, 0). ChildProcessError if there is no such child."""

    def ask() -> tuple[int, int] | None:
        taken = _take(pid)
        if taken is not None:
            return taken
        reaped, status = os_waitpid(pid, options | _stdlib.WNOHANG)
        if not reaped:
            return None
        watched = _watched.get(reaped)
        if watched is not None and (_stdlib.WIFEXITED(status) or _stdlib.WIFSIGNALED(status)):
            watched.status = status
            del _watched[reaped]
        return reaped, status

    if options & _stdlib.WNOHANG:
        return ask() or (0, 0)
    ended = wait_until(ask, pid, bool(options & ~_stdlib.WNOHANG), None)
    assert ended is not None
    return ended


def wait() -> tuple[int, int]:
    """Number and status of the child that ends next. ChildProcessError if there is none."""
    return waitpid(-1, 0)


# Making children


def fork_gevent() -> int:
    """Fork the process: the child's number, 0 in the child, where the hub goes on by itself with all
    greenlets of this thread. Does not block."""
    # The hub's own threads are no reason for the warning of 3.12: none of them holds a lock for long.
    with _warnings.catch_warnings():
        _warnings.simplefilter("ignore", DeprecationWarning)
        return os_fork()


def forkpty_gevent() -> tuple[int, int]:
    """`fork_gevent` with a new terminal for the child: its number and the descriptor of the terminal's other
    end, which blocks."""
    with _warnings.catch_warnings():
        _warnings.simplefilter("ignore", DeprecationWarning)
        return os_forkpty()


def fork_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: WatcherLoop | None = None,
    ref: bool = False,
    fork: Callable[[], int] = fork_gevent,
) -> int:
    """`fork`, and have `loop`, that of this thread by default, reap the child when it ends and call
    `callback(watcher)`, whose `rpid` and `rstatus` say how. `waitpid` knows its status all the same. With
    `ref` the loop is kept alive until then. Only in the main thread (TypeError)."""
    if loop is None:
        loop = get_hub().loop
    if not loop.default:
        raise TypeError("children can only be watched by the loop of the main thread")
    pid = fork()
    if pid:
        _Watched(pid, loop, callback, ref)
    return pid


def forkpty_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: WatcherLoop | None = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = forkpty_gevent,
) -> tuple[int, int]:
    """`fork_and_watch` for `forkpty`."""
    made: list[tuple[int, int]] = []

    def fork() -> int:
        made.append(forkpty())
        return made[0][0]

    fork_and_watch(callback, loop, ref, fork)
    return made[0]


def fork(*args: Any, **kwargs: Any) -> int:
    """`fork_gevent`; with arguments `fork_and_watch`."""
    return fork_and_watch(*args, **kwargs) if args or kwargs else fork_gevent()


def forkpty(*args: Any, **kwargs: Any) -> tuple[int, int]:
    """`forkpty_gevent`; with arguments `forkpty_and_watch`."""
    return forkpty_and_watch(*args, **kwargs) if args or kwargs else forkpty_gevent()


def _forget_children() -> None:
    """This is another process, whose children they are not."""
    _watched.clear()
    _ended.clear()


_stdlib.register_at_fork(after_in_child=_forget_children)

__implements__ = ["close", "fork", "forkpty", "wait", "waitpid"]
__extensions__ = [
    "fork_and_watch",
    "fork_gevent",
    "forkpty_and_watch",
    "forkpty_gevent",
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "tp_read",
    "tp_write",
]
__imports__ = [name for name in vars(_stdlib) if name[0] != "_" and name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __extensions__  # noqa: PLE0605
