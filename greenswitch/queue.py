"""Queues between greenlets, also of different threads.

What belongs here: containers into which one puts and from which one takes, and the row of those who wait for
that. What never does: what is put in.

An item that is put while somebody waits is handed to him who waits longest. Who was handed one and is killed
before he runs gives it back to the front. Each step on the items or on the row of waiters is a single one,
and whoever has put an item in looks at the row afterwards, whoever has entered the row looks for items
afterwards; so nothing is lost, and no lock is needed, between threads either. A bounded queue keeps its free
places as a semaphore.
"""

from __future__ import annotations

import queue as _stdlib
from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from operator import index
from queue import Empty, Full
from typing import Any, ClassVar, Generic, TypeVar

from ._core import getcurrent, greenlet
from ._original import RLock
from .exceptions import BlockingSwitchOutError
from .hub import Entry, Hub, Row, fail, get_hub, get_hub_if_any, stand_in_row, wake
from .lock import Semaphore

__all__ = [
    "Channel",
    "Empty",
    "Full",
    "JoinableQueue",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]

_T = TypeVar("_T")

if hasattr(_stdlib, "ShutDown"):
    ShutDown: type[Exception] = _stdlib.ShutDown
else:

    class _ShutDown(Exception):
        """Raised when a queue that is shut down is put into, or is empty and taken from."""

    _ShutDown.__name__ = _ShutDown.__qualname__ = "ShutDown"
    ShutDown = _ShutDown

_TAKE = True
_LOOK = False


def _refuse_negative(timeout: Any) -> None:
    """ValueError, as from the standard queues. It may be a `Timeout`, too."""
    if isinstance(timeout, (int, float)) and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


def _in_hub() -> bool:
    """Is this a callback of the loop, where nobody may wait?"""
    hub = get_hub_if_any()
    return hub is not None and hub is getcurrent()


class SimpleQueue(Generic[_T]):
    """A queue, first in first out, of at most `maxsize` items (None, 0 or less: any number), that holds
    `items` to begin with. TypeError if `maxsize` is not a number.

    A subclass may keep its items in another way: it defines `_init`, which gets `maxsize` and sets `queue`,
    or `_create_queue`, and `_put`, `_get`, `_peek` and `_give_back`, each of which is to be one step as far
    as other threads are concerned.
    """

    __slots__ = ("__weakref__", "_getters", "_maxsize", "_places", "_surplus", "is_shutdown", "queue")

    queue: Any
    """What holds the items; false when there are none."""

    def __init__(self, maxsize: int | None = None, items: Iterable[_T] = ()) -> None:
        self._maxsize: int | None = None
        self._places: Semaphore | None = None
        self._surplus: list[None] = []
        """One entry for each item that is there beyond `maxsize`: from the beginning, or given back."""
        if type(self)._init is SimpleQueue._init:
            self.queue = self._create_queue(items)
        else:
            self._init(0 if maxsize is None else maxsize)
            for item in items:
                self._put(item)
        self._getters = Row()
        """Tagged _TAKE: wants an item; _LOOK: wants to see one."""
        if maxsize is not None:
            self.maxsize = maxsize
        self.is_shutdown = False
        """Was `shutdown` called?"""

    # How the items are kept

    def _init(self, maxsize: int) -> None:
        """Make `queue`, by the name that the standard library's queues have for it."""
        self.queue = self._create_queue(())

    def _create_queue(self, items: Iterable[_T]) -> Any:
        return deque(items)

    def _put(self, item: _T) -> None:
        self.queue.append(item)

    def _get(self) -> _T:
        """Take the next item; IndexError if there is none."""
        item: _T = self.queue.popleft()
        return item

    def _peek(self) -> _T:
        """The next item; IndexError if there is none."""
        item: _T = self.queue[0]
        return item

    def _give_back(self, item: _T) -> None:
        """Put an item that was taken back to where it was."""
        self.queue.appendleft(item)

    # State

    @property
    def hub(self) -> Hub | None:
        """The hub of the current thread, if it has one. The queue itself belongs to no thread."""
        return get_hub_if_any()

    @property
    def maxsize(self) -> int | None:
        """How many items it holds; None for any number. May be set, while no other thread uses the queue;
        whoever waits for a place that there is now gets it, and what is beyond the new number stays."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value: int | None) -> None:
        former, places = self._maxsize, self._places
        self._maxsize = maxsize = None if value is None or value <= 0 else index(value)
        if maxsize is None:
            self._places = None
            self._surplus = []
            if places is not None:
                for _ in range(places.linkcount()):
                    places.release()
        elif former is None or places is None:
            free = maxsize - self.qsize()
            self._surplus = [None] * -free
            self._places = Semaphore(max(free, 0))
        else:
            more = maxsize - former
            taken = max(0, min(more, len(self._surplus)))
            del self._surplus[:taken]
            places.counter += more - taken

    def qsize(self) -> int:
        """How many items it holds now."""
        return len(self.queue)

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        """True: an empty queue is a queue."""
        return True

    def empty(self) -> bool:
        return not self.qsize()

    def full(self) -> bool:
        """Does it hold `maxsize` items?"""
        return self._maxsize is not None and self.qsize() >= self._maxsize

    def copy(self) -> Any:
        """A queue of the same kind with the same items."""
        return type(self)(self._maxsize, self.queue)

    # Putting

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` in. Where the queue is full, wait for a place, `timeout` seconds at most, if `block`;
        raise Full if there is none. Raises ShutDown if it is shut down. In a callback of the loop it does not
        wait."""
        if self.is_shutdown:
            raise ShutDown
        if self._getters and not self.queue and self._hand_over(item):
            return
        if self._places is not None:
            self._take_place(self._places, block, timeout)
        try:
            self._put(item)
        except BaseException:
            self._not_put(item)
            raise
        if self._getters:
            self._deliver()

    def put_nowait(self, item: _T) -> None:
        """`put` without waiting."""
        self.put(item, False)

    def _hand_over(self, item: _T) -> bool:
        """Where nothing is in: hand `item` directly to him who waits longest, if he wants to take one."""
        getters = self._getters
        try:
            entry = getters.popleft()
        except IndexError:
            return False
        if entry[2] is _TAKE:
            return wake(entry, item)
        # Wants to see one: he keeps his place, and `_deliver` shows it to him.
        getters.appendleft(entry)
        return False

    def _take_place(self, places: Semaphore, block: bool, timeout: float | None) -> None:
        try:
            taken = places.acquire(block, timeout)
        except BlockingSwitchOutError:
            # In a callback of the loop.
            taken = False
        if not taken:
            raise Full
        if self.is_shutdown:
            places.release()
            raise ShutDown

    def _not_put(self, item: _T) -> None:
        """`_put` failed. What cannot be compared with the others stays in a heap all the same."""
        if not any(each is item for each in list(self.queue)):
            self._free_place()

    def _free_place(self) -> None:
        """An item left the queue."""
        if self._surplus:
            try:
                self._surplus.pop()
                return
            except IndexError:
                pass
        if self._places is not None:
            self._places.release()

    # Taking

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take the next item out. Where there is none, wait for one, `timeout` seconds at most, if `block`;
        raise Empty if there is none. Raises ShutDown if it is empty and shut down, ValueError where it has
        to wait for less than 0 seconds. In a callback of the loop it does not wait."""
        if self.queue and not self._getters:
            try:
                item = self._get()
            except IndexError:
                # Another thread was quicker.
                pass
            else:
                if self._places is not None:
                    self._free_place()
                return item
        entry = None
        if block:
            if timeout is not None:
                _refuse_negative(timeout)
            try:
                entry = stand_in_row(self._getters, self, _TAKE, timeout)
            except BlockingSwitchOutError:
                # In a callback of the loop.
                pass
        if entry is None:
            raise self._nothing()
        item, error = entry[3]
        if error is not None:
            raise error
        return item

    def get_nowait(self) -> _T:
        """`get` without waiting."""
        return self.get(False)

    def peek(self, block: bool = True, timeout: float | None = None) -> _T:
        """The next item, which stays in; otherwise as `get`."""
        if self.queue and not self._getters:
            try:
                return self._peek()
            except IndexError:
                # Another thread was quicker.
                pass
        entry = None
        if block:
            if timeout is not None:
                _refuse_negative(timeout)
            try:
                entry = stand_in_row(self._getters, self, _LOOK, timeout)
            except BlockingSwitchOutError:
                pass
        if entry is None:
            raise self._nothing()
        item: _T
        item, error = entry[3]
        if error is not None:
            raise error
        return item

    def peek_nowait(self) -> _T:
        """`peek` without waiting."""
        return self.peek(False)

    def _nothing(self) -> Exception:
        return ShutDown() if self.is_shutdown and self.empty() else Empty()

    def _look_again(self) -> None:
        if self.queue or self.is_shutdown:
            self._deliver()

    def _take_back(self, entry: Entry) -> None:
        item, error = entry[3]
        if entry[2] is _TAKE and error is None:
            if self._places is not None and not self._places.acquire(False):
                self._surplus.append(None)
            self._give_back(item)
            if self._getters:
                self._deliver()

    def _deliver(self) -> None:
        """Hand items to those who wait."""
        getters = self._getters
        while getters:
            try:
                item = self._get()
            except IndexError:
                if self.is_shutdown:
                    self._dismiss_getters()
                return
            try:
                entry = getters.popleft()
            except IndexError:
                # Gone meanwhile. Look again: another may have come while the item was not to be seen.
                self._give_back(item)
                continue
            if entry[2] is _LOOK:
                self._give_back(item)
                wake(entry, item)
            elif not wake(entry, item):
                self._give_back(item)
            elif self._places is not None:
                self._free_place()

    def _dismiss_getters(self) -> None:
        while self._getters:
            try:
                entry = self._getters.popleft()
            except IndexError:
                return
            fail(entry, ShutDown())

    def __iter__(self) -> SimpleQueue[_T]:
        return self

    def __next__(self) -> _T:
        """`get`; the class StopIteration as an item ends the iteration."""
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__

    # Repr

    def _describe(self) -> str:
        parts = []
        if self._maxsize is not None:
            parts.append(f" maxsize={self._maxsize}")
        if self.qsize():
            parts.append(f" queue={self.queue!r}")
        if self._getters:
            parts.append(f" getters[{self._getters.waiting()}]")
        if self._places is not None and self._places.linkcount():
            parts.append(f" putters[{self._places.linkcount()}]")
        return "".join(parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._describe()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__}{self._describe()}>"


class Queue(SimpleQueue[_T]):
    """A queue that knows how many of the items that were put in are still being worked on; see `task_done`,
    `join`."""

    __slots__ = ("_joiners", "_tasks")

    def __init__(
        self, maxsize: int | None = None, items: Iterable[_T] = (), unfinished_tasks: int | None = None
    ) -> None:
        super().__init__(maxsize, items)
        self._tasks: list[None] = [None] * (self.qsize() if unfinished_tasks is None else unfinished_tasks)
        """One entry for each unfinished task."""
        self._joiners = Row()

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put in for which `task_done` was not called yet."""
        return len(self._tasks)

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` in, as one more unfinished task. Where the queue is full, wait for a place, `timeout`
        seconds at most, if `block`; raise Full if there is none. Raises ShutDown if it is shut down. In a
        callback of the loop it does not wait."""
        if self.is_shutdown:
            raise ShutDown
        if self._getters and not self.queue:
            # Before the hand-over, so that `task_done` cannot come first.
            self._tasks.append(None)
            if self._hand_over(item):
                return
            self._tasks.pop()
        if self._places is not None:
            self._take_place(self._places, block, timeout)
        self._tasks.append(None)
        try:
            self._put(item)
        except BaseException:
            self._tasks.pop()
            self._not_put(item)
            raise
        if self._getters:
            self._deliver()

    def task_done(self) -> None:
        """Say that the work on an item is done. ValueError if it was called for all of them already."""
        try:
            self._tasks.pop()
        except IndexError:
            raise ValueError("task_done() called too many times") from None
        if not self._tasks:
            self._wake_joiners()

    def _wake_joiners(self) -> None:
        for _ in range(len(self._joiners)):
            try:
                wake(self._joiners.popleft())
            except IndexError:
                return

    def join(self, timeout: float | None = None) -> bool:
        """Wait until there are no unfinished tasks, `timeout` seconds at most. Is it so?"""
        if not self._tasks:
            return True
        return stand_in_row(self._joiners, _Joining(self), None, timeout) is not None

    def copy(self) -> Any:
        return type(self)(self._maxsize, self.queue, self.unfinished_tasks)

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more in: `put` raises ShutDown, and so does `get` when the queue is empty, also in
        those who wait. With `immediate` everything that is in it is dropped and counts as done. Does not
        block."""
        self.is_shutdown = True
        if immediate:
            while True:
                try:
                    self._get()
                except IndexError:
                    break
                if self._tasks:
                    self._tasks.pop()
            if not self._tasks:
                self._wake_joiners()
        self._deliver()
        if self._places is not None:
            # Whoever waits for a place gets one, and sees then.
            for _ in range(self._places.linkcount()):
                self._places.release()

    def _describe(self) -> str:
        tasks = f" tasks={len(self._tasks)}" if self._tasks else ""
        return super()._describe() + tasks


JoinableQueue = Queue


class _Joining:
    """The side of a queue that those see who wait in `join`."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Queue[Any]) -> None:
        self._queue = queue

    def _look_again(self) -> None:
        if not self._queue._tasks:
            self._queue._wake_joiners()

    def _take_back(self, entry: Entry) -> None:
        """Nothing was handed over."""


class LifoQueue(Queue[_T]):
    """A queue that gives out what was put in last."""

    __slots__ = ()

    def _create_queue(self, items: Iterable[_T]) -> list[_T]:
        return list(items)

    def _get(self) -> _T:
        item: _T = self.queue.pop()
        return item

    def _peek(self) -> _T:
        item: _T = self.queue[-1]
        return item

    def _give_back(self, item: _T) -> None:
        self.queue.append(item)


class PriorityQueue(Queue[_T]):
    """A queue that gives out the smallest item first. Items are usually tuples (priority, what)."""

    __slots__ = ("_heap_lock",)

    def _create_queue(self, items: Iterable[_T]) -> list[_T]:
        # Comparing items may run their own code, in the middle of a step on the heap.
        self._heap_lock = RLock()
        heap = list(items)
        heapify(heap)  # type: ignore[type-var]
        return heap

    def _put(self, item: _T) -> None:
        with self._heap_lock:
            heappush(self.queue, item)

    _give_back = _put

    def _get(self) -> _T:
        with self._heap_lock:
            item: _T = heappop(self.queue)
            return item


def _waits(entry: Entry) -> bool:
    return len(entry) == 3 and entry[0] is not None


def _greenlet_of(entry: Entry) -> greenlet:
    who: greenlet = entry[0].__self__
    return who


class Channel(Generic[_T]):
    """A queue that holds nothing: `put` waits until a `get` takes the item, `get` until a `put` brings
    one."""

    __slots__ = ("__weakref__", "_getters", "_putters")

    maxsize: ClassVar[int] = 0

    def __init__(self, maxsize: int = 1) -> None:
        if maxsize != 1:
            # What gevent's Channel accepts so that it can be made like a queue.
            raise ValueError("Channel does not take a maxsize")
        self._getters = Row()
        self._putters = Row()
        """Tagged with the item, in a tuple."""

    @property
    def hub(self) -> Hub | None:
        """The hub of the current thread, if it has one. The channel itself belongs to no thread."""
        return get_hub_if_any()

    @property
    def getters(self) -> list[greenlet]:
        """The greenlets that wait to get, in the order of their coming."""
        return [_greenlet_of(entry) for entry in list(self._getters) if _waits(entry)]

    @property
    def putters(self) -> list[tuple[_T, greenlet]]:
        """(item, greenlet) of those that wait to put, in the order of their coming."""
        return [(entry[2][0], _greenlet_of(entry)) for entry in list(self._putters) if _waits(entry)]

    @property
    def balance(self) -> int:
        """How many wait to put, less those who wait to get."""
        return self._putters.waiting() - self._getters.waiting()

    def qsize(self) -> int:
        return 0

    def empty(self) -> bool:
        return True

    def full(self) -> bool:
        return True

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Give `item` to a `get`; where none waits, wait for one, `timeout` seconds at most, if `block`;
        raise Full if none comes. In a callback of the loop it does not wait. The taker runs before the giver
        goes on."""
        may_wait = block and not _in_hub()
        if self._hand_over(item):
            if may_wait:
                get_hub().wait_turn()
            return
        if not may_wait:
            raise Full
        if stand_in_row(self._putters, self, (item,), timeout) is None:
            raise Full

    def put_nowait(self, item: _T) -> None:
        """`put` without waiting."""
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item from a `put`; where none waits, wait for one, `timeout` seconds at most, if `block`;
        raise Empty if none comes. In a callback of the loop it does not wait."""
        if not self._getters:
            while self._putters:
                try:
                    putter = self._putters.popleft()
                except IndexError:
                    break
                if wake(putter):
                    brought: _T = putter[2][0]
                    return brought
        if not block or _in_hub():
            raise Empty
        getter = stand_in_row(self._getters, self, _TAKE, timeout)
        if getter is None:
            raise Empty
        received: _T = getter[3][0]
        return received

    def get_nowait(self) -> _T:
        """`get` without waiting."""
        return self.get(False)

    def _hand_over(self, item: _T) -> bool:
        """Give `item` to him who waits longest, if anybody does."""
        while self._getters:
            try:
                getter = self._getters.popleft()
            except IndexError:
                return False
            if wake(getter, item):
                return True
        return False

    def _look_again(self) -> None:
        if self._getters and self._putters:
            self._pair()

    def _take_back(self, entry: Entry) -> None:
        if entry[2] is _TAKE:
            # Whoever gave it has gone on: it goes to the next, or is kept for him.
            self._keep(entry[3][0])

    def _pair(self) -> None:
        """Bring those together who wait on both sides."""
        while self._getters and self._putters:
            try:
                putter = self._putters.popleft()
            except IndexError:
                return
            if wake(putter) and not self._hand_over(putter[2][0]):
                self._keep(putter[2][0])

    def _keep(self, item: _T) -> None:
        """An item whose giver has gone on and whose taker was killed: for the next who comes."""
        if not self._hand_over(item):
            keeper: Entry = [None, get_hub().turn, (item,)]
            self._putters.appendleft(keeper)
            if self._getters:
                self._pair()

    def __iter__(self) -> Channel[_T]:
        return self

    def __next__(self) -> _T:
        """`get`; the class StopIteration as an item ends the iteration."""
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._describe()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__}{self._describe()}>"

    def _describe(self) -> str:
        parts = ""
        if self._getters:
            parts += f" getters[{self._getters.waiting()}]"
        if self._putters:
            parts += f" putters[{self._putters.waiting()}]"
        return parts
