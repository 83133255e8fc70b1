"""The standard `select` module with the waits going through the hub.

What belongs here: `select`, `poll` and `epoll`. What never does: waiting for descriptors of our own sockets
(`socket`), and `kqueue` and its like, which are the loop's own tools.

All ask the system first, with a timeout of zero, and again after every wake-up: the results and the errors
are the system's own, and a descriptor is borrowed from the loop only where one has to wait. What the loop
tells is only a hint to ask again. An `epoll` is a descriptor itself, which is ready to be read when one of
its own is: that one is borrowed, however many there are behind it.
"""

from __future__ import annotations

import os as _os
import select as _stdlib
import sys
from collections.abc import Callable, Iterable
from errno import EBADF
from operator import index as _index
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from ._asyncio import apart
from ._core import getcurrent
from ._original import monotonic
from ._original import select_epoll as _original_epoll
from ._original import select_poll as _original_poll
from ._original import select_select as _original_select
from .hub import Waiter, get_hub, get_hub_if_any
from .loop import READ, URGENT, WRITE, Borrowed

if TYPE_CHECKING:

    class _HasFileno(Protocol):
        def fileno(self) -> int: ...

    _Fd = int | _HasFileno

    def __getattr__(name: str) -> Any:
        """The standard module's constants, see the end of the file."""


_T = TypeVar("_T")

_POLLRDHUP = int(getattr(_stdlib, "POLLRDHUP", 0))
_ANY_REAL = sys.version_info >= (3, 15)
"""Whether timeouts may be fractions and decimal numbers too."""

_EPOLL_DEFAULT = int(
    getattr(_stdlib, "EPOLLIN", 1) | getattr(_stdlib, "EPOLLPRI", 2) | getattr(_stdlib, "EPOLLOUT", 4)
)

_ALONE = 0.001
"""Seconds for which one who always finds something may keep the loop from running."""

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Those of the three collections of descriptors (numbers, or objects with `fileno()`) that are ready: to
    be read, to be written to, with urgent data. Blocks until there is one, `timeout` seconds at most (None:
    for ever); three empty lists then.

    TypeError, ValueError and OSError as the standard `select`; OSError (EBADF) as well when one of them is
    closed meanwhile by another greenlet.
    """
    if timeout is not None:
        timeout = _number(timeout, "timeout must be a float or None")
        if timeout < 0.0:
            raise ValueError("timeout must be non-negative")
    try:
        # The system is asked more than once.
        readers, writers, urgent = list(rlist), list(wlist), list(xlist)
    except TypeError:
        raise TypeError("arguments 1-3 must be sequences") from None

    def ready() -> tuple[list[Any], list[Any], list[Any]] | None:
        found = _original_select(readers, writers, urgent, 0)
        return found if any(found) else None

    def closed(_: list[int]) -> NoReturn:
        raise OSError(EBADF, _os.strerror(EBADF))

    def still_ready() -> tuple[list[Any], list[Any], list[Any]] | None:
        try:
            return ready()
        except ValueError:
            # One that had a number has none any more: it was closed in another thread, say.
            closed([])

    events: dict[int, int] = {}
    _let_others_run()
    if (found := ready()) is not None or timeout == 0.0:
        return found or ([], [], [])
    for sources, flag in ((readers, READ), (writers, WRITE), (urgent, URGENT)):
        for source in sources:
            fd = _fileno(source)
            events[fd] = events.get(fd, 0) | flag
    return _wait(events, timeout, still_ready, closed) or ([], [], [])


class poll:
    """The standard `poll` object: descriptors are registered once and asked for often. Only `poll()`
    blocks."""

    def __init__(self) -> None:
        self._poll = _original_poll()
        self._events: dict[int, int] = {}

    def register(self, fd: _Fd, eventmask: int = _stdlib.POLLIN | _stdlib.POLLPRI | _stdlib.POLLOUT) -> None:
        """Ask for the POLL* events of `eventmask` on `fd` from now on, in place of those asked for before."""
        self._poll.register(fd, eventmask)
        self._events[_fileno(fd)] = _flags(eventmask)

    def modify(self, fd: _Fd, eventmask: int) -> None:
        """`register` for a descriptor that is registered. OSError (ENOENT) if it is not."""
        self._poll.modify(fd, eventmask)
        self._events[_fileno(fd)] = _flags(eventmask)

    def unregister(self, fd: _Fd) -> None:
        """Do not ask for `fd` any more. KeyError if it is not registered."""
        self._poll.unregister(fd)
        del self._events[_fileno(fd)]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """The (descriptor, events) pairs that are ready. Blocks until there is one, `timeout` milliseconds at
        most (None or negative: for ever); an empty list then."""
        seconds = None
        if timeout is not None:
            seconds = _number(timeout, "timeout must be an integer or None") / 1000.0
            if seconds < 0.0:
                seconds = None

        def ready() -> list[tuple[int, int]] | None:
            return self._poll.poll(0) or None

        _let_others_run()
        if (found := ready()) is not None or seconds == 0.0:
            return found or []

        def closed(numbers: list[int]) -> list[tuple[int, int]]:
            others = [pair for pair in ready() or () if pair[0] not in numbers]
            return [(fd, _stdlib.POLLNVAL) for fd in numbers] + others

        return _wait(dict(self._events), seconds, ready, closed) or []


class epoll:
    """The standard `epoll` object: a descriptor of its own that tells of others. Only `poll()` blocks."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._epoll = _original_epoll(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: int, /) -> epoll:
        """The object for the epoll descriptor `fd`."""
        made = cls.__new__(cls)
        made._epoll = _original_epoll.fromfd(fd)
        return made

    @property
    def closed(self) -> bool:
        return bool(self._epoll.closed)

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        self._epoll.close()

    def fileno(self) -> int:
        return int(self._epoll.fileno())

    def __enter__(self) -> epoll:
        self._epoll.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def register(self, fd: _Fd, eventmask: int = _EPOLL_DEFAULT) -> None:
        """Tell of the EPOLL* events of `eventmask` on `fd` from now on. OSError (EEXIST) if it is
        registered."""
        self._epoll.register(fd, eventmask)

    def modify(self, fd: _Fd, eventmask: int) -> None:
        """`register` for a descriptor that is registered. OSError (ENOENT) if it is not."""
        self._epoll.modify(fd, eventmask)

    def unregister(self, fd: _Fd) -> None:
        """Do not tell of `fd` any more. OSError (ENOENT) if it is not registered."""
        self._epoll.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """The (descriptor, events) pairs that are ready, `maxevents` at most (-1: any number). Blocks until
        there is one, `timeout` seconds at most (None or negative: for ever); an empty list then."""
        if timeout is not None:
            timeout = _number(timeout, "timeout must be an integer or None")
            if timeout < 0.0:
                timeout = None

        def ready() -> list[tuple[int, int]] | None:
            return self._epoll.poll(0, maxevents) or None

        _let_others_run()
        if (found := ready()) is not None or timeout == 0.0:
            return found or []
        return _wait({self.fileno(): READ}, timeout, ready) or []


def _let_others_run() -> None:
    """Called before the system is asked, so that what it says then is still true. He who asks may be waiting
    for others to take what he finds."""
    hub = get_hub_if_any()
    if hub is None or monotonic() - hub.loop.now() < _ALONE or getcurrent() is hub:
        return
    apart(hub.wait_turn)


def _wait(
    events: dict[int, int],
    timeout: float | None,
    ready: Callable[[], _T | None],
    closed: Callable[[list[int]], _T] | None = None,
) -> _T | None:
    """Wait for one of `events` (loop's flags by descriptor) until `ready` finds something; None after
    `timeout` seconds. If other greenlets close some of the descriptors meanwhile, `closed` is asked in place
    of the system, to which these numbers may be others by then."""
    return apart(_wait_in_hub, events, timeout, ready, closed)


def _wait_in_hub(
    events: dict[int, int],
    timeout: float | None,
    ready: Callable[[], _T | None],
    closed: Callable[[list[int]], _T] | None,
) -> _T | None:
    hub = get_hub()
    loop = hub.loop
    deadline = None if timeout is None else monotonic() + timeout
    pause = 0.0
    while True:
        waiter = Waiter(hub)
        borrowed: dict[int, Borrowed] = {}
        try:
            for fd, flags in events.items():
                try:
                    borrowed[fd] = loop.borrow(fd, flags, waiter.wake)
                except OSError:
                    # Closed since it was asked for: the system will say so.
                    waiter.wake()
            woken = waiter.wait(timeout)
        finally:
            for one in borrowed.values():
                loop.release(one)
        if closed is not None and (gone := [fd for fd, one in borrowed.items() if one.fd < 0]):
            return closed(gone)
        found = ready()
        if found is not None or not woken:
            return found
        if deadline is not None:
            timeout = deadline - monotonic()
            if timeout <= 0.0:
                return None
        if pause:
            # The loop tells what was not asked for (a half-closed stream to one who wants to write): a hint
            # that stays false must not become a busy loop.
            hub.wait_seconds(pause if timeout is None else min(pause, timeout))
        pause = min(pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)


def _flags(eventmask: int) -> int:
    flags = 0
    if eventmask & (_stdlib.POLLIN | _stdlib.POLLRDNORM | _stdlib.POLLRDBAND | _POLLRDHUP):
        flags |= READ
    if eventmask & (_stdlib.POLLOUT | _stdlib.POLLWRNORM | _stdlib.POLLWRBAND):
        flags |= WRITE
    if eventmask & _stdlib.POLLPRI:
        flags |= URGENT
    return flags


def _fileno(source: Any) -> int:
    return source if isinstance(source, int) else int(source.fileno())


def _number(timeout: Any, complaint: str) -> float:
    if isinstance(timeout, float) or (_ANY_REAL and hasattr(timeout, "__float__")):
        return float(timeout)
    try:
        return float(_index(timeout))
    except TypeError:
        raise TypeError(complaint) from None


# What the system does not have is not here either.
if _original_epoll is None:
    del epoll
if _original_poll is None:
    del poll

__implements__ = [name for name in ("epoll", "poll", "select") if name in globals()]

# Constants and `error` are the standard library's own; `kqueue` and `devpoll` would stop the hub.
_BLOCKING = ("devpoll", "kevent", "kqueue")
__imports__ = [
    name for name in vars(_stdlib) if name[0] != "_" and name not in globals() and name not in _BLOCKING
]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __imports__  # noqa: PLE0605
