"""Groups and pools: many greenlets as one.

What belongs here: who is in, how many may be, and calling a function over many arguments. What never does:
how a greenlet runs, and threads; the pool of native threads is in `threadpool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import Full
from typing import Any

from ._core import GreenletExit, getcurrent
from .event import Event
from .greenlets import Greenlet, joinall, wait
from .hub import kill
from .lock import DummySemaphore, Semaphore
from .queue import SimpleQueue
from .timeout import Timeout

__all__ = ["Group", "Pool", "PoolFull"]

_Exception = type[BaseException] | BaseException
_Callback = Callable[[Any], object]


class PoolFull(Full):
    """No place in the pool became free in time."""


class _Failure:
    """An exception among results."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


_END: Any = object()


class _Work:
    """What stands behind an iterator of results: feeds arguments to greenlets, and collects what comes of
    them.

    The iterator itself is apart, so that it can go while the work is still under way; the work then ends
    early.
    """

    __slots__ = (
        "_arguments",
        "_feeder",
        "_func",
        "_last",
        "_number",
        "_position",
        "_spawn",
        "_under_way",
        "begun",
        "results",
        "room",
    )

    def __init__(
        self,
        spawn: Callable[..., Greenlet],
        func: Callable[..., Any],
        arguments: Iterator[tuple[Any, ...]],
        maxsize: int | None,
    ) -> None:
        self._spawn = spawn
        self._func = func
        self._arguments = arguments
        self.room = Semaphore(maxsize) if maxsize else None
        """One permit for each result that may be under way or waiting to be taken: whoever has given a result
        out, gives one back."""
        self._under_way = 1
        """Greenlets whose result is not in yet, and 1 for the arguments while there are more."""
        self._position: dict[Greenlet, int] = {}
        """Where the result of each greenlet belongs."""
        self.results: SimpleQueue[Any] = SimpleQueue()
        """(position, value or _Failure) in the order of the ends, then _END."""
        self._number = 0
        """How many results there will be."""
        self._last: _Failure | None = None
        """What the arguments failed with."""
        self.begun = False
        """Was a result asked for?"""
        self._feeder = Greenlet.spawn(self._feed)

    def _feed(self) -> None:
        """Runs in a greenlet of its own. Waits for places in the pool and for room."""
        room = self.room
        try:
            for args in self._arguments:
                if room is not None:
                    room.acquire()
                worker = self._spawn(self._func, *args)
                self._under_way += 1
                self._position[worker] = self._number
                self._number += 1
                worker.rawlink(self._collect)
        except GreenletExit:
            raise
        except BaseException as error:
            self._last = _Failure(error)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._end()

    def _collect(self, worker: Greenlet) -> None:
        error = worker.exception
        outcome = worker.value if error is None else _Failure(error)
        self.results.put((self._position.pop(worker), outcome))
        self._under_way -= 1
        if not self._under_way:
            self._end()

    def _end(self) -> None:
        """All results are in."""
        if self._last is not None:
            self.results.put((self._number, self._last))
        self.results.put(_END)

    def take(self) -> tuple[int, Any]:
        """The next result, by the order of ends. Waits for it. StopIteration if there are no more."""
        self.begun = True
        entry = self.results.get()
        if entry is _END:
            # For whoever asks again.
            self.results.put(_END)
            raise StopIteration
        position: tuple[int, Any] = entry
        return position

    def abandon(self) -> None:
        """The iterator is gone. If it was used, nobody wants the rest, and no more of it is begun; nor if
        there is no room without somebody who takes results. If nobody ever asked for a result, the work was
        the purpose, and all of it is done. Does not block."""
        if (self.begun or self.room is not None) and not self._feeder.ready():
            self._feeder.kill(block=False)


class IMapUnordered(Iterator[Any]):
    """Results in the order in which they come. A failure is raised where it comes, and the iteration may go
    on."""

    __slots__ = ("_work",)

    def __init__(self, work: _Work) -> None:
        self._work = work

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        work = self._work
        _, value = work.take()
        if work.room is not None:
            work.room.release()
        if isinstance(value, _Failure):
            raise value.error
        return value

    next = __next__

    def __del__(self) -> None:
        self._work.abandon()


class IMap(IMapUnordered):
    """Results in the order of the arguments."""

    __slots__ = ("_early", "_next")

    def __init__(self, work: _Work) -> None:
        super().__init__(work)
        self._next = 0
        self._early: dict[int, Any] = {}
        """Results whose turn has not come."""

    def __next__(self) -> Any:
        early = self._early
        wanted = self._next
        work = self._work
        while wanted not in early:
            position, value = work.take()
            early[position] = value
        self._next = wanted + 1
        value = early.pop(wanted)
        if work.room is not None:
            work.room.release()
        if isinstance(value, _Failure):
            raise value.error
        return value

    next = __next__


class _PassValue:
    """A link that hands on the value alone."""

    __slots__ = ("callback",)

    def __init__(self, callback: _Callback) -> None:
        self.callback = callback

    def __call__(self, source: Any) -> None:
        if source.successful():
            self.callback(source.value)

    def __eq__(self, other: object) -> bool:
        return self.callback == (other.callback if isinstance(other, _PassValue) else other)

    def __hash__(self) -> int:
        return hash(self.callback)


class GroupMappingMixin:
    """Calling a function in greenlets of a group, for one or for many arguments. Needs `spawn`."""

    __slots__ = ()

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _apply_immediately(self) -> bool:
        """Would waiting for a new greenlet of the group be waiting for oneself?"""
        return False

    def _apply_async_use_greenlet(self) -> bool:
        """Would `spawn` wait?"""
        return False

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] | None = None, kwds: dict[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwds)` in the group. Waits for the result and returns it, or raises what it failed
        with."""
        if self._apply_immediately():
            return func(*(args or ()), **(kwds or {}))
        return self.spawn(func, *(args or ()), **(kwds or {})).get()

    def apply_cb(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: _Callback | None = None,
    ) -> Any:
        """`apply`, and then `callback(result)` in a new greenlet."""
        result = self.apply(func, args, kwds)
        if callback is not None:
            Greenlet.spawn(callback, result)
        return result

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: _Callback | None = None,
    ) -> Any:
        """`apply` without waiting: a greenlet whose `get` gives the result. `callback(result)` is called in a
        new greenlet when it is there."""
        if self._apply_async_use_greenlet():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        worker = self.spawn(func, *(args or ()), **(kwds or {}))
        if callback is not None:
            worker.link(_PassValue(callback))
        return worker

    def map(self, func: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        """`func` of each item, in the group. Waits for all results; the list of them, in the order of the
        items, or the first failure in this order."""
        return [worker.get() for worker in [self.spawn(func, item) for item in iterable]]

    def map_cb(
        self, func: Callable[..., Any], iterable: Iterable[Any], callback: _Callback | None = None
    ) -> list[Any]:
        """`map`, and then `callback(results)`."""
        result = self.map(func, iterable)
        if callback is not None:
            callback(result)
        return result

    def map_async(
        self, func: Callable[..., Any], iterable: Iterable[Any], callback: _Callback | None = None
    ) -> Greenlet:
        """`map` without waiting: a greenlet whose `get` gives the list."""
        return Greenlet.spawn(self.map_cb, func, iterable, callback)

    def imap(self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None) -> IMap:
        """An iterator over `func` of the items, like `map` of the builtins, in the order of the items. The
        work is begun at once; with `maxsize`, if it is not 0, no more than that many results are under way or
        waiting to be taken."""
        return IMap(_Work(self.spawn, func, zip(*iterables, strict=False), maxsize))

    def imap_unordered(
        self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None
    ) -> IMapUnordered:
        """`imap`, but in the order in which the results come."""
        return IMapUnordered(_Work(self.spawn, func, zip(*iterables, strict=False), maxsize))


class Group(GroupMappingMixin):
    """A set of greenlets; those that end leave it. Holds the greenlets of one iterable to begin with."""

    greenlet_class: type[Greenlet] = Greenlet
    """What `spawn` makes."""

    def __init__(self, *args: Iterable[Greenlet]) -> None:
        self.greenlets: set[Greenlet] = set()
        self.dying: set[Greenlet] = set()
        """Those that `kill` reached already."""
        self._empty_event = Event()
        self._empty_event.set()
        for greenlets in args:
            for item in greenlets:
                Group.add(self, item)

    def __len__(self) -> int:
        return len(self.greenlets)

    def __contains__(self, item: object) -> bool:
        return item in self.greenlets

    def __iter__(self) -> Iterator[Greenlet]:
        return iter(self.greenlets)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self.greenlets!r}>"

    def _apply_immediately(self) -> bool:
        return getcurrent() in self.greenlets

    def add(self, greenlet: Greenlet) -> None:
        """Take in a greenlet, started or not. Does nothing if it is in. A bare one, whose end nobody is told
        of, stays in until `discard`."""
        greenlets = self.greenlets
        if greenlet in greenlets:
            return
        if not greenlets:
            self._empty_event.clear()
        greenlets.add(greenlet)
        rawlink = getattr(greenlet, "rawlink", None)
        if rawlink is not None:
            rawlink(self._discard)

    def _discard(self, greenlet: Greenlet) -> None:
        greenlets = self.greenlets
        greenlets.discard(greenlet)
        if self.dying:
            self.dying.discard(greenlet)
        if not greenlets:
            self._empty_event.set()

    def discard(self, greenlet: Greenlet) -> None:
        """Let a greenlet leave, which goes on by itself. Does nothing if it is not in."""
        if greenlet in self.greenlets:
            unlink = getattr(greenlet, "unlink", None)
            if unlink is not None:
                unlink(self._discard)
            self._discard(greenlet)

    def start(self, greenlet: Greenlet) -> None:
        """Take in a greenlet and start it."""
        self.add(greenlet)
        greenlet.start()

    def spawn(self, *args: Any, **kwargs: Any) -> Greenlet:
        """Make a greenlet of these arguments, take it in and start it."""
        new = self.greenlet_class(*args, **kwargs)
        self.start(new)
        return new

    def join(self, timeout: float | None = None, raise_error: bool = False) -> bool:
        """Wait until nobody is in, `timeout` seconds at most. Is it so? With `raise_error` a failure of one
        of those who were in is raised then."""
        members = list(self.greenlets)
        empty = self._empty_event.wait(timeout)
        if raise_error:
            for item in members:
                if item.exception is not None:
                    raise item.exception
        return empty

    def kill(
        self, exception: _Exception = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Kill all who are in. With `block` wait until nobody is, also of those who come meanwhile, `timeout`
        seconds at most; there must be no bare ones then."""
        with Timeout(timeout, False):
            while self.greenlets:
                for item in list(self.greenlets):
                    if item not in self.dying:
                        self.dying.add(item)
                        kill(item, exception)
                if not block:
                    break
                joinall(list(self.greenlets))
                # They leave by the loop.
                self._empty_event.wait(0)

    def killone(
        self,
        greenlet: Greenlet,
        exception: _Exception = GreenletExit,
        block: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Kill one of those who are in. With `block` wait until it is done, `timeout` seconds at most. Does
        nothing if it is not in, or was killed before."""
        if greenlet in self.dying or greenlet not in self.greenlets:
            return
        self.dying.add(greenlet)
        kill(greenlet, exception)
        if block:
            wait([greenlet], timeout)

    def full(self) -> bool:
        """False: there is always a place."""
        return False

    def wait_available(self, timeout: float | None = None) -> int | None:
        """Return: there is always a place."""
        return None


class Pool(Group):
    """A group of at most `size` greenlets (None: any number), made from `greenlet_class`. Raises ValueError
    if `size` is negative. `spawn` and the rest wait for a place when it is full."""

    def __init__(self, size: int | None = None, greenlet_class: type[Greenlet] | None = None) -> None:
        if size is not None and size < 0:
            raise ValueError(f"size must not be negative: {size!r}")
        super().__init__()
        self.size = size
        if greenlet_class is not None:
            self.greenlet_class = greenlet_class
        self._semaphore: Semaphore | DummySemaphore = DummySemaphore() if size is None else Semaphore(size)

    def wait_available(self, timeout: float | None = None) -> int | None:
        """Wait until there is a place, `timeout` seconds at most. How many there are."""
        return self._semaphore.wait(timeout)

    def full(self) -> bool:
        """Is there no place?"""
        return self.free_count() <= 0

    def free_count(self) -> int:
        """How many places there are; 1 in a pool for any number."""
        if self.size is None:
            return 1
        return max(0, self.size - len(self.greenlets))

    def _apply_async_use_greenlet(self) -> bool:
        return self.full()

    def add(self, greenlet: Greenlet, blocking: bool = True, timeout: float | None = None) -> None:
        """Take in a greenlet, started or not, as a group does. Where the pool is full, wait for a place,
        `timeout` seconds at most, if `blocking`; raise PoolFull if there is none."""
        if greenlet in self.greenlets:
            return
        if not self._semaphore.acquire(blocking, timeout):
            raise PoolFull
        try:
            Group.add(self, greenlet)
        except BaseException:
            self._semaphore.release()
            raise

    def start(self, greenlet: Greenlet, blocking: bool = True, timeout: float | None = None) -> None:
        """Take in a greenlet, as `add`, and start it."""
        self.add(greenlet, blocking, timeout)
        greenlet.start()

    def spawn(self, *args: Any, **kwargs: Any) -> Greenlet:
        """Make a greenlet of these arguments, take it in, waiting for a place, and start it."""
        if type(self).start is not Pool.start:
            return super().spawn(*args, **kwargs)
        # `start` is left out because who waits for a place here is at the end of a long chain of calls: with
        # one more the interpreter has to make room, each time (docs/design.md, the data stack).
        new = self.greenlet_class(*args, **kwargs)
        self.add(new)
        new.start()
        return new

    def _discard(self, greenlet: Greenlet) -> None:
        if greenlet in self.greenlets:
            Group._discard(self, greenlet)
            self._semaphore.release()
