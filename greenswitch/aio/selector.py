"""What an asyncio loop waits with: a selector whose waiting is the hub's.

What belongs here: the books of who watches which descriptor for asyncio, and the one wait, which lets other
greenlets run. What never does: asyncio.

The descriptors of an asyncio loop are watched by an epoll of its own, level-triggered as asyncio expects it,
and the hub watches that epoll by its one descriptor, edge-triggered. The other way - asyncio's descriptors in
the hub's own poller - would make every event of them a system call dearer, and a descriptor that greenlets
use as well an affair of both.

No event is lost: the loop waits only after the epoll has just said that it has nothing. Whatever comes from
then on makes it have something, which is an edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from select import EPOLLIN, EPOLLOUT
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import Any

from .._core import getcurrent, greenlet
from .._original import get_ident, monotonic, select_epoll
from ..hub import Hub, Waiter, get_hub
from ..loop import Descriptor, Loop

__all__ = ["Selector"]

_ALONE = 0.001
"""Seconds after which the hub looks at its timers and its poller although the loop has something to do."""

_NOT_READ = ~EPOLLIN
_NOT_WRITE = ~EPOLLOUT


def _mask(events: int) -> int:
    if not events or events & ~(EVENT_READ | EVENT_WRITE):
        raise ValueError(f"Invalid events: {events!r}")
    return (EPOLLIN if events & EVENT_READ else 0) | (EPOLLOUT if events & EVENT_WRITE else 0)


def _number(file: Any) -> int:
    """The descriptor of a file object, or the number itself."""
    try:
        fd = file if isinstance(file, int) else int(file.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {file!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


class _Map(Mapping[Any, SelectorKey]):
    """From files, or their numbers, to what they are registered with."""

    __slots__ = ("_keys",)

    def __init__(self, keys: dict[int, SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, file: Any) -> SelectorKey:
        try:
            return self._keys[_number(file)]
        except (KeyError, ValueError):
            # A file that was closed meanwhile has no number any more.
            for key in self._keys.values():
                if key.fileobj is file:
                    return key
            raise KeyError(f"{file!r} is not registered") from None

    def get(self, file: Any, default: Any = None) -> Any:
        key = self._keys.get(file) if isinstance(file, int) else None
        return super().get(file, default) if key is None else key

    def __iter__(self) -> Iterator[Any]:
        return iter([key.fileobj for key in self._keys.values()])

    def __len__(self) -> int:
        return len(self._keys)


class Selector(BaseSelector):
    """A selector for one asyncio loop. `select` lets other greenlets run, in every call."""

    def __init__(self) -> None:
        self._epoll = select_epoll()
        self._keys: dict[int, SelectorKey] = {}
        self._map = _Map(self._keys)
        self._descriptor: Descriptor | None = None
        """The epoll's, in the loop of the hub that waits for it."""
        self.hub: Hub | None = None
        """That hub, and its loop; None while there is none."""
        self._loop: Loop | None = None
        self._greenlet: greenlet | None = None
        """Who waits, and runs the loop."""
        self._waiter: Waiter | None = None
        self._found = False
        """Did the last `select` find something?"""
        self._alone_until = 0.0
        """When to let the hub look for others who have something to do."""
        self._stopped = False
        """Is it the one of a forked process's parent?"""
        self._called = False
        """Was there a `wake` since `away` was set?"""
        self.away = False
        """Do other greenlets run while `select` is under way? Then whoever brings something to do calls
        `wake`."""
        self.thread = 0
        """The native thread whose hub this waits in; 0 while there is none."""
        self.minor = 0
        """So many of the registered files are the loop's own, for which alone nobody waits."""
        self.expected = 0
        """How many other things will be told by those. With none of all these, only time and `wake` end a
        wait, and it does not keep the hub from saying that nothing can happen any more."""

    # The books

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        fd = _number(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (descriptor {fd}) is already registered")
        self._epoll.register(fd, _mask(events))
        key = self._keys[fd] = SelectorKey(fileobj, fd, events, data)
        if self.away:
            # Now there is something to wait for.
            self.wake()
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        key = self._keys.pop(self._map[fileobj].fd)
        try:
            self._epoll.unregister(key.fd)
        except OSError:
            # Closed before: nothing is left to forget.
            pass
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = self._map[fileobj]
        if events != key.events:
            self._epoll.modify(key.fd, _mask(events))
        key = self._keys[key.fd] = SelectorKey(key.fileobj, key.fd, events, data)
        return key

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._map

    def close(self) -> None:
        self.leave()
        self._epoll.close()
        self._keys.clear()

    # Waiting

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """The files that are ready, each with its events. Waits in the hub until there is one, or for
        `timeout` seconds, or until `wake`."""
        hub = get_hub()
        at_once = timeout is not None and timeout <= 0
        if (at_once or self._found) and (hub.loop.ready or monotonic() > self._alone_until):
            # A loop that always has something to do must not be alone.
            self._called = False
            self.away = True
            try:
                hub.wait_turn()
            finally:
                self.away = False
            self._alone_until = monotonic() + _ALONE
            at_once = at_once or self._called
        found = self._look()
        if not found and not at_once:
            self._wait(hub, timeout)
            found = self._look()
        self._found = bool(found)
        while self._stopped:
            Waiter(hub).wait()
        return found

    def _look(self) -> list[tuple[SelectorKey, int]]:
        """What is ready now."""
        keys = self._keys
        found = []
        for fd, mask in self._epoll.poll(0, len(keys) or 1):
            key = keys.get(fd)
            if key is not None:
                # Errors and hang-ups are told to whoever reads and to whoever writes.
                events = key.events & (
                    (EVENT_WRITE if mask & _NOT_READ else 0) | (EVENT_READ if mask & _NOT_WRITE else 0)
                )
                if events:
                    found.append((key, events))
        return found

    def _wait(self, hub: Hub, timeout: float | None) -> None:
        """Wait until the epoll may have something."""
        self.away = True
        try:
            if len(self._keys) > self.minor or self.expected:
                loop = hub.loop
                descriptor = self._descriptor
                if descriptor is None or descriptor.closed or descriptor.loop is not loop:
                    descriptor = self._descriptor = loop.register(self._epoll.fileno())
                descriptor.readable = False
                hub.wait_readable(descriptor, timeout)
            else:
                # Only time and `wake` can end this.
                self._waiter = Waiter(hub)
                self._waiter.wait(timeout)
        finally:
            self._waiter = None
            self.away = False

    def wake_threadsafe(self) -> None:
        """Have the `select` that is under way or comes next return, from any thread."""
        loop = self._loop
        if loop is not None:
            # Always, and not only while `away`: that may become so between a look at it and what comes of it.
            loop.call_threadsafe(self.wake)

    def wake(self) -> None:
        """Have a `select` that is under way return. Does nothing in another thread than that of the wait."""
        if self.thread != get_ident():
            return
        self._called = True
        if self._waiter is not None:
            self._waiter.wake()
            return
        descriptor = self._descriptor
        if descriptor is not None and descriptor.reader is not None:
            switch = descriptor.reader
            descriptor.reader = None
            descriptor.loop.ready.append(switch)

    # Moving

    def enter(self, hub: Hub) -> None:
        """The current greenlet is going to wait in `hub`, which is that of its thread."""
        self.thread = get_ident()
        self._greenlet = getcurrent()
        self.hub = hub
        self._loop = hub.loop

    def leave(self) -> None:
        """It does not wait any more."""
        self.thread = 0
        self.hub = self._loop = self._greenlet = None
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            descriptor.loop.unregister(descriptor)

    def forked(self) -> bool:
        """In the child of a fork: have an epoll of its own. False if the loop is the parent's alone: it runs,
        and it was not a callback of it that forked. Then it stops where it stands, for what it watches is the
        parent's as well, and would be taken from it."""
        descriptor = self._descriptor
        if descriptor is not None:
            descriptor.loop.unregister(descriptor)
        self._epoll = select_epoll()
        if self._greenlet is not None:
            current: greenlet | None = getcurrent()
            while current is not self._greenlet and current is not None:
                current = None if isinstance(current, Hub) else current.parent
            self._stopped = current is None
        if not self._stopped:
            for key in list(self._keys.values()):
                try:
                    self._epoll.register(key.fd, _mask(key.events))
                except OSError:
                    del self._keys[key.fd]
        return not self._stopped
