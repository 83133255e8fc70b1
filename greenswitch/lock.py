"""Locks and semaphores.

What belongs here: things of which there is a number, and the order in which they are given out. What never
does: things with a content (queues), things that hold for everybody at once (events).

Who waits is served in the order of coming. A permit that is released is offered to the longest waiting
greenlet when the loop comes to it; until then whoever asks may take it, so that a greenlet that takes the
same lock again and again need not switch each time. He who waits keeps his place, and after _PATIENCE such
overtakings the permit is handed to him in the release itself: nobody starves. Who was handed a permit and is
killed before he runs hands it on.

All may be used between threads; then permits are always handed over in the release. Each step on a permit or
on the row of waiters is a single one (a `pop`, an `append`), and whoever has put a permit back looks at the
row afterwards, whoever has entered the row looks for permits afterwards.
"""

from __future__ import annotations

import os as _os
from collections.abc import Iterator
from itertools import repeat
from operator import index, length_hint
from types import TracebackType
from typing import Any

from ._core import get_turn, getcurrent, greenlet
from ._linkable import Linkable
from .hub import Entry, Hub, Row, get_hub, stand_in_row, wake, wake_now

__all__ = ["BoundedSemaphore", "DummySemaphore", "RLock", "Semaphore"]


_process = object()
"""Another one in the child of a fork, where the loop may be told to forget what the parent had put in."""

_FEW = 64
_PATIENCE = 16
"""How often the first of a row is overtaken before a permit is kept for him."""


class _Owing(list[None]):
    """The free permits of a semaphore that has given out more than it may: those that come back are not free
    as long as it owes any."""

    __slots__ = ("owed",)

    def __init__(self, owed: int) -> None:
        self.owed: list[None] = [None] * owed

    def append(self, permit: None) -> None:
        try:
            self.owed.pop()
        except IndexError:
            super().append(permit)


class Semaphore(Linkable):
    """`value` permits. `hub` is taken for compatibility. Raises ValueError if `value` is negative.

    In a `with` block it holds one permit.
    """

    __slots__ = ("_free", "_home", "_more", "_offering", "_overtaken", "_waiters")

    def __init__(self, value: int = 1, hub: Hub | None = None) -> None:
        value = index(value)
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._links = None
        self._free: list[None] = [None] * min(value, _FEW)
        """Free permits; taking one and giving it back are single steps."""
        self._more: Iterator[None] | None = repeat(None, value - _FEW) if value > _FEW else None
        """Free permits of a semaphore that has very many, which were never taken yet. Taking one is a single
        step."""
        self._waiters = Row()
        """Tagged True: wants a permit; False: only wants to know that there is one."""
        self._home: list[Hub] = []
        """The first is the hub of all who ever waited; `_ABROAD` if there were several."""
        self._offering: object = None
        """While `_offer` stands in the loop, the `_process` in which it was put there."""
        self._overtaken = 0

    @property
    def counter(self) -> int:
        """How many permits are free. May be set, while no other thread uses the semaphore; below zero it
        takes so many releases more until one is free."""
        free = self._free
        owed = len(free.owed) if type(free) is _Owing else 0
        return len(free) - owed + (length_hint(self._more) if self._more else 0)

    @counter.setter
    def counter(self, value: int) -> None:
        self._free = _Owing(-value) if value < 0 else [None] * min(value, _FEW)
        self._more = repeat(None, value - _FEW) if value > _FEW else None
        if value > 0:
            self._serve()
            if self._links:
                self._notify_links()

    def ready(self) -> bool:
        """Is a permit free?"""
        return self.counter > 0

    def locked(self) -> bool:
        """Is no permit free?"""
        return not self.ready()

    def _waiter_count(self) -> int:
        return self._waiters.waiting()

    # Giving

    def release(self) -> int:
        """Give a permit back. The number of free ones. Does not block."""
        self._free.append(None)
        if self._waiters:
            self._hear_release()
        if self._links:
            self._notify_links()
        return len(self._free) if self._more is None else self.counter

    def _hear_release(self) -> None:
        """A permit came back while somebody waits."""
        if self._overtaken < _PATIENCE:
            turn = get_turn()
            if turn is not None and turn[0] is self._home[0]:
                if self._offering is not _process:
                    self._offering = _process
                    turn[1](self._offer)
                return
        self._overtaken = 0
        self._serve()

    def _offer(self) -> None:
        """Called by the loop some time after a release."""
        self._offering = None
        free = self._free
        if not free and not self._more:
            self._overtaken += 1
            return
        self._overtaken = 0
        waiters = self._waiters
        if waiters and len(free) == 1:
            # One permit, and somebody who waits for it: what happens most, with no call that can be spared.
            try:
                free.pop()
            except IndexError:
                # Another thread was quicker.
                return
            try:
                entry = waiters.popleft()
            except IndexError:
                free.append(None)
            else:
                if entry[2] and wake_now(entry):
                    return
                # Gave up, or only looks: he is told and the others have their turn.
                free.append(None)
                if not entry[2]:
                    wake(entry, self.counter)
        try:
            self._serve(now=True)
        except BaseException:
            # Out of a bare greenlet that was served. The others have their turn all the same.
            if waiters:
                self._hear_release()
            raise

    def _serve(self, now: bool = False) -> None:
        """Hand free permits to those who wait. `now`: this is the loop, let them run at once."""
        waiters = self._waiters
        while waiters and self._take():
            try:
                entry = waiters.popleft()
            except IndexError:
                # Gone meanwhile. Look again: another may have come while the permit was not to be seen.
                self._free.append(None)
                continue
            if entry[2]:
                if not (wake_now(entry) if now else wake(entry)):
                    self._free.append(None)
            else:
                self._free.append(None)
                wake(entry, self.counter)

    # Taking

    def _take(self) -> bool:
        """Take a free permit, if there is one."""
        if self._free:
            try:
                self._free.pop()
                return True
            except IndexError:
                # Another thread was quicker.
                pass
        return self._more is not None and next(self._more, self) is None

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; wait for one, `timeout` seconds at most, if `blocking`. Was one taken?"""
        if self._free:
            try:
                self._free.pop()
                return True
            except IndexError:
                pass
        if self._more is not None and next(self._more, self) is None:
            return True
        if not blocking:
            return False
        # Not `_stand_in_row`: those who wait here are often at the end of a long chain of calls, and one call
        # more may be the one for which the interpreter has to make room.
        turn = get_turn()
        hub: Hub = get_hub() if turn is None else turn[0]
        home = self._home
        if not home or home[0] is not hub:
            self._remember(hub)
        return stand_in_row(self._waiters, self, True, timeout) is not None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until a permit is free, without taking it, `timeout` seconds at most. How many are free."""
        if self.ready():
            return self.counter
        entry = self._stand_in_row(False, timeout)
        return 0 if entry is None else int(entry[3][0])

    def _stand_in_row(self, wants: bool, timeout: float | None) -> Entry | None:
        self._remember(get_hub())
        return stand_in_row(self._waiters, self, wants, timeout)

    def _remember(self, hub: Hub) -> None:
        """Somebody of this hub is about to wait."""
        home = self._home
        if not home:
            home.append(hub)
        if home[0] is not hub and home[0] is not _ABROAD:
            home.insert(0, _ABROAD)
            # A hub is not to outlive its thread for this.
            del home[1:]

    def _look_again(self) -> None:
        if self._free or self._more:
            self._serve()

    def _take_back(self, entry: Entry) -> None:
        if entry[2]:
            self._free.append(None)
            self._serve()

    # A `with` block on a free permit is what happens most: no call that can be spared.

    def __enter__(self) -> None:
        if self._free:
            try:
                self._free.pop()
                return
            except IndexError:
                pass
        if self._more is None or next(self._more, self) is not None:
            self._stand_in_row(True, None)

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._free.append(None)
        if self._waiters:
            self._hear_release()
        if self._links:
            self._notify_links()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """What a subclass does in `acquire` and `release` it also does in a `with` block."""
        super().__init_subclass__(**kwargs)
        if "acquire" in cls.__dict__ and "__enter__" not in cls.__dict__:
            cls.__enter__ = _enter_by_acquire  # type: ignore[method-assign]
        if "release" in cls.__dict__ and "__exit__" not in cls.__dict__:
            cls.__exit__ = _exit_by_release  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} counter={self.counter} _links[{self.linkcount()}]>"


_ABROAD: Any = object()


def _begin_process() -> None:
    global _process
    _process = object()


_os.register_at_fork(after_in_child=_begin_process)


def _enter_by_acquire(self: Semaphore) -> None:
    self.acquire()


def _exit_by_release(
    self: Semaphore, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
) -> None:
    self.release()


class BoundedSemaphore(Semaphore):
    """A semaphore that raises ValueError when it is released more often than it was acquired."""

    __slots__ = ("_taken",)

    _OVER_RELEASE_ERROR = ValueError

    def __init__(self, value: int = 1, hub: Hub | None = None) -> None:
        super().__init__(value, hub)
        self._taken: list[None] = []
        """One entry for each permit that is out; an entry is taken out in one step."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        if super().acquire(blocking, timeout):
            self._taken.append(None)
            return True
        return False

    def release(self) -> int:
        """Give a permit back. ValueError if none is out. Does not block."""
        try:
            self._taken.pop()
        except IndexError:
            raise self._OVER_RELEASE_ERROR("Semaphore released too many times") from None
        return super().release()


class RLock:
    """A lock that its owner, a greenlet, may take several times. `hub` is taken for compatibility."""

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self, hub: Hub | None = None) -> None:
        self._block = Semaphore(1)
        self._owner: greenlet | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it; wait for it, `timeout` seconds at most, if `blocking`. Is it taken?"""
        try:
            me = getcurrent()
        except RuntimeError:
            # The interpreter is at its end: there is nobody to keep out any more.
            return True
        if self._owner is me:
            self._count += 1
            return True
        if self._block.acquire(blocking, timeout):
            self._owner = me
            self._count = 1
            return True
        return False

    def release(self) -> None:
        """Give it back; it is free when that was done as often as it was taken. RuntimeError if the current
        greenlet does not own it. Does not block."""
        try:
            me = getcurrent()
        except RuntimeError:
            # As above: nothing was taken.
            return
        if self._owner is not me:
            raise RuntimeError(f"cannot release un-acquired lock. Owner: {self._owner!r} Current: {me!r}")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._block.release()

    def locked(self) -> bool:
        """Does somebody own it?"""
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()

    # What threading.Condition asks of a lock.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> tuple[int, greenlet | None]:
        state = (self._count, self._owner)
        self._count = 0
        self._owner = None
        self._block.release()
        return state

    def _acquire_restore(self, state: tuple[int, greenlet | None]) -> None:
        self._block.acquire()
        self._count, self._owner = state

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {id(self):#x} _block={self._block!r} _count={self._count}"
            f" _owner={self._owner!r}>"
        )


class DummySemaphore:
    """A semaphore of which there is always one more; never blocks. `value` is taken for compatibility."""

    __slots__ = ("__weakref__",)

    def __init__(self, value: object = None) -> None:
        pass

    def locked(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    def release(self) -> None:
        pass

    def rawlink(self, callback: object) -> None:
        pass

    def unlink(self, callback: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        return 1

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return True

    def __enter__(self) -> None:
        pass

    def __exit__(self, typ: object, val: object, tb: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
