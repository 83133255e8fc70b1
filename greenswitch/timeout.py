"""Timeouts: an exception that the loop throws into the greenlet that started it, unless it is cancelled
first.

What belongs here: `Timeout` and `with_timeout`. What never does: how a wait is undone when the exception
arrives; that is the affair of the primitives in `hub`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from ._core import get_turn, getcurrent, greenlet
from .hub import get_hub
from .loop import Loop, Timer

__all__ = ["Timeout", "with_timeout"]


class Timeout(BaseException):
    """Raise `exception` (by default the Timeout itself) in the current greenlet after `seconds`.

        with Timeout(2):
            ...

    `seconds` is a number, or None for a timeout that never comes. `exception` may be an exception class or
    instance; None or a text, which is added to the message, means the Timeout itself; and with False a `with`
    block ends silently when its own timeout comes. With `ref` false the timeout does not keep the loop alive.
    `priority` is taken for compatibility.

    Starting and cancelling do not block. Raises TypeError if `seconds` is not a number.
    """

    # Almost every timeout is made, started and cancelled, and nothing more: what it takes is counted in
    # nanoseconds.
    __slots__ = ("__weakref__", "_greenlet", "_loop", "_ref", "_timer", "exception", "seconds")

    seconds: float | None
    exception: Any

    def __init__(
        self,
        seconds: float | None = None,
        exception: Any = None,
        ref: bool = True,
        priority: int = -1,
        _one_shot: bool = False,
    ) -> None:
        self.seconds = seconds
        self.exception = exception
        self._ref = ref
        self._timer: Timer | None = None
        self._greenlet: greenlet | None
        self._loop: Loop

    def start(self) -> None:
        """Start to count. AssertionError if that is so already."""
        if self.pending:
            raise AssertionError(f"{self!r} is already started; to restart it, cancel it first")
        self.__enter__()

    def __enter__(self) -> Timeout:
        timer = self._timer
        if timer is None or timer[2] is None:
            seconds = self.seconds
            if seconds is not None:
                self._greenlet = getcurrent()
                turn = get_turn()
                self._loop = loop = get_hub().loop if turn is None else turn[3]
                self._timer = loop.call_later(seconds, self._expire, self._ref)
        return self

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> bool:
        timer = self._timer
        if timer is not None:
            self._loop.cancel_timer(timer)
            self._greenlet = None
        return value is self and self.exception is False

    def _expire(self) -> None:
        target, self._greenlet = self._greenlet, None
        exception = self.exception
        if exception is None or exception is False or isinstance(exception, str):
            exception = self
        # A greenlet that ended without cancelling its timeout is past caring.
        if target is not None and not target.dead:
            target.throw(exception)

    @classmethod
    def start_new(
        cls,
        timeout: Timeout | float | None = None,
        exception: Any = None,
        ref: bool = True,
        _one_shot: bool = False,
    ) -> Timeout:
        """A started timeout: a new one of `timeout` seconds, or `timeout` itself, started if it is not
        yet."""
        if isinstance(timeout, Timeout):
            if not timeout.pending:
                timeout.start()
            return timeout
        new = cls(timeout, exception, ref)
        new.start()
        return new

    @property
    def pending(self) -> bool:
        """Is it started, and neither come nor cancelled?"""
        timer = self._timer
        return timer is not None and timer[2] is not None

    def cancel(self) -> None:
        """Do not raise. It may be started again. Does nothing if it is not pending."""
        timer = self._timer
        if timer is not None:
            self._loop.cancel_timer(timer)
            self._greenlet = None

    close = cancel

    def __str__(self) -> str:
        seconds = self.seconds
        if seconds is None:
            return ""
        text = f"{seconds} second" if seconds == 1 else f"{seconds} seconds"
        if self.exception is None:
            return text
        if self.exception is False:
            return f"{text} (silent)"
        return f"{text}: {self.exception}"

    def __repr__(self) -> str:
        pending = " pending" if self.pending else ""
        exception = "" if self.exception is None else f" exception={self.exception!r}"
        return f"<{type(self).__name__} at {id(self):#x} seconds={self.seconds}{exception}{pending}>"


def with_timeout(seconds: float | None, function: Callable[..., Any], *args: Any, **kwds: Any) -> Any:
    """`function(*args, **kwds)`, but `Timeout` after `seconds`, or the keyword `timeout_value` as the result
    if that is given. Blocks as `function` does. A timeout of another origin passes through."""
    timeout_value = kwds.pop("timeout_value", _RAISE)
    timeout = Timeout.start_new(seconds)
    try:
        return function(*args, **kwds)
    except Timeout as error:
        if error is timeout and timeout_value is not _RAISE:
            return timeout_value
        raise
    finally:
        timeout.cancel()


_RAISE = object()
