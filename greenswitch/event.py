"""Events and results: things that happen, for which any number of greenlets can wait.

What belongs here: `Event` and `AsyncResult`. What never does: anything of which there is not enough for all
who wait; that is a lock or a queue.

Both may be used between threads. There is no lock in them: who waits enters himself first and looks at the
state then; who changes the state changes it first and looks for waiters then. One of the two sees the other.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from ._linkable import Linkable
from .hub import Entry, Row, stand_in_row, wake
from .timeout import Timeout

__all__ = ["AsyncResult", "Event"]

_T = TypeVar("_T")


class _Happening(Linkable):
    """Something that is or is not so, and the greenlets that wait for it."""

    __slots__ = ("_happened", "_waiters")

    def __init__(self) -> None:
        self._links = None
        self._happened = False
        self._waiters = Row()

    def ready(self) -> bool:
        """Did it happen?"""
        return self._happened

    def _waiter_count(self) -> int:
        return self._waiters.waiting()

    def _happens(self) -> None:
        self._happened = True
        # Links first: whoever waits may end the program, or undo what they were to see.
        if self._links:
            self._notify_links()
        if self._waiters:
            self._wake_all()

    def _wake_all(self) -> None:
        waiters = self._waiters
        # Only those who are in now: who comes because of this looks by himself.
        for _ in range(len(waiters)):
            try:
                wake(waiters.popleft())
            except IndexError:
                # Another thread is at the same work.
                return

    def _look_again(self) -> None:
        if self._happened:
            self._wake_all()

    def _take_back(self, entry: Entry) -> None:
        """It holds for everybody: nothing was handed over."""


class Event(_Happening):
    """A flag that greenlets can wait for. May be used between threads."""

    __slots__ = ()

    def is_set(self) -> bool:
        return self._happened

    isSet = is_set

    def set(self) -> None:
        """Set the flag and wake everybody who waits, in the order in which they came. Does not block."""
        self._happens()

    def clear(self) -> None:
        """Clear the flag. Whoever was woken by a `set` before returns from his wait all the same."""
        self._happened = False

    def _at_fork_reinit(self) -> None:
        """What `threading` calls in the child of a fork, where no lock could be left held by another
        thread."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; at once if it is. False after `timeout` seconds."""
        return self._happened or stand_in_row(self._waiters, self, None, timeout) is not None

    def __str__(self) -> str:
        state = "set" if self._happened else "clear"
        return f"<{type(self).__name__} at {id(self):#x} {state} _links[{self.linkcount()}]>"


_NO_VALUE: Any = object()


class AsyncResult(_Happening, Generic[_T]):
    """A value or an exception that comes later. May be used between threads, and as a link of a `Greenlet`.

    It is pending until `set` or `set_exception` is called, and done from then on. It cannot be cancelled. Of
    what is set again the last counts, but an exception never in the place of a value.
    """

    __slots__ = ("_error", "_trace", "_value")

    def __init__(self) -> None:
        super().__init__()
        self._value: Any = _NO_VALUE
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None

    @property
    def value(self) -> _T | None:
        """What was `set`, or None."""
        value = self._value
        return None if value is _NO_VALUE else value

    @property
    def exception(self) -> BaseException | None:
        """What was given to `set_exception` last, or None."""
        return self._error

    @property
    def exc_info(self) -> tuple[()] | tuple[type[BaseException], BaseException, TracebackType | None]:
        """Class, exception and traceback, or an empty tuple."""
        error = self._error
        return () if error is None else (type(error), error, self._trace)

    def successful(self) -> bool:
        """Is it done, with a value?"""
        return self._value is not _NO_VALUE

    def set(self, value: _T | None = None) -> None:
        """Keep `value` and wake everybody who waits, in the order in which they came. Does not block."""
        self._value = value
        self._happens()

    set_result = set

    def set_exception(
        self,
        exception: BaseException,
        exc_info: tuple[Any, Any, TracebackType | None] | None = None,
    ) -> None:
        """Keep `exception`, with the traceback of `exc_info`, and wake everybody who waits. Does not
        block."""
        self._trace = exc_info[2] if exc_info else exception.__traceback__
        self._error = exception
        self._happens()

    def _raise_exception(self) -> None:
        if self._error is not None:
            # As it was set: raised again and again, it would gather the frames of everybody who asked.
            raise self._error.with_traceback(self._trace)

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Wait for the value and return it, or raise the exception. Raises Timeout after `timeout` seconds,
        or at once if it is not there and `block` is false."""
        if not self._happened and not (
            block and stand_in_row(self._waiters, self, None, timeout) is not None
        ):
            raise Timeout(timeout if block else None)
        value = self._value
        if value is _NO_VALUE:
            self._raise_exception()
            value = None
        return cast(_T, value)

    def get_nowait(self) -> _T:
        """`get` without waiting."""
        return self.get(block=False)

    def result(self, timeout: float | None = None) -> _T:
        """`get`, by the name that futures have."""
        return self.get(timeout=timeout)

    def wait(self, timeout: float | None = None) -> _T | None:
        """Wait until it is done, `timeout` seconds at most. The value; None if there is none. Does not raise
        the exception."""
        if not self._happened:
            stand_in_row(self._waiters, self, None, timeout)
        return self.value

    def done(self) -> bool:
        """Is it done?"""
        return self._happened

    def cancel(self) -> bool:
        """False: it cannot be cancelled."""
        return False

    def cancelled(self) -> bool:
        """False: it cannot be cancelled."""
        return False

    def __call__(self, source: Any) -> None:
        """Be a link: take over the value or the exception of a greenlet or another result that is done."""
        if source.successful():
            self.set(source.value)
        else:
            self.set_exception(source.exception, getattr(source, "exc_info", None))

    def __str__(self) -> str:
        if self._value is not _NO_VALUE:
            state = f"value={self._value!r}"
        elif self._error is not None:
            state = f"exception={self._error!r}"
        else:
            state = "unset"
        return f"<{type(self).__name__} {state} _links[{self.linkcount()}]>"
