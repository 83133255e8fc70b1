"""What libraries ask of `hub.loop`: objects that call somebody whenever something happens, by gevent's names.

What belongs here: the watchers, one class for each kind of happening. What never does: the package's own
waits, which go to the `Loop` below without an object between, and the loop's own numbers and switches
(`api`).

A watcher is *active* between `start` and `stop`, *pending* from when its event was noticed until its
callback is called. Events of one turn are collected first and then called by priority, those of the same
priority in the order in which they were noticed. `stop` and `close` take a pending event back. After a
callback of a watcher that is no longer active, callback and arguments are forgotten.
"""

from __future__ import annotations

import os
import signal as _signal
from collections import deque
from collections.abc import Callable
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .._original import os_stat
from . import signals
from .core import Borrowed, Timer
from .poller import HANGUP, READ, WRITE

if TYPE_CHECKING:
    from .api import WatcherLoop

__all__ = [
    "Watcher",
    "async_",
    "check",
    "child",
    "fork",
    "idle",
    "io",
    "prepare",
    "signal",
    "stat",
    "timer",
]

_W = TypeVar("_W", bound="Watcher")

TIMER = 256
SIGNAL = 1024
CHILD = 2048
STAT = 4096
IDLE = 8192
PREPARE = 16384
CHECK = 32768
FORK = 131072
ASYNC = 524288

Pending = list[Any]
"""[watcher, events]: an event that was noticed. The watcher is None once it was taken back."""


def _callable(callback: object) -> None:
    if not callable(callback):
        raise TypeError(f"Expected callable, not {callback!r}")


class Watcher:
    """Calls `callback(*args)` whenever its event happens. Made by the loop's methods, used in its thread.

    With `ref` false an active watcher does not keep the loop running. `priority` is cut to what lies between
    the loop's MINPRI and MAXPRI when it is started.
    """

    __slots__ = ("__weakref__", "_active", "_args", "_callback", "_pending", "_priority", "_ref", "loop")

    def __init__(self, loop: WatcherLoop, ref: bool = True, priority: int | None = None) -> None:
        self.loop = loop
        self._ref = bool(ref)
        self._priority = 0
        self._active = False
        self._callback: Callable[..., object] | None = None
        self._args: tuple[Any, ...] | None = None
        self._pending: Pending | None = None
        if priority is not None:
            self.priority = priority

    # What the kinds differ in

    def _begin(self) -> None:
        """Begin to listen."""
        self._hold(self._ref)

    def _end(self) -> None:
        """Undo `_begin`."""
        self._hold(False)

    def _hold(self, ref: bool) -> None:
        """Keep the loop running, or let it go."""
        raise NotImplementedError

    def _failed(self) -> None:
        """The callback raised an exception."""

    # State

    @property
    def active(self) -> bool:
        """Was it started, and neither stopped nor, if it is of a kind that happens once, called?"""
        return self._active

    @property
    def pending(self) -> bool:
        """Was its event noticed and the callback not called yet?"""
        return self._pending is not None

    @property
    def ref(self) -> bool:
        """Does it keep the loop running while it is active? May be set at any time."""
        return self._ref

    @ref.setter
    def ref(self, value: bool) -> None:
        value = bool(value)
        if value != self._ref:
            self._ref = value
            if self._active:
                self._hold(value)

    @property
    def priority(self) -> int:
        """Which watcher of one turn is called first. AttributeError if it is set while the watcher is
        active."""
        return self._priority

    @priority.setter
    def priority(self, value: int) -> None:
        if self._active:
            raise AttributeError("Cannot set priority of an active watcher")
        self._priority = index(value)

    @property
    def callback(self) -> Callable[..., object] | None:
        """What is called; None while there is nothing. TypeError if what is set cannot be called."""
        return self._callback

    @callback.setter
    def callback(self, value: Callable[..., object] | None) -> None:
        if value is not None:
            _callable(value)
        self._callback = value

    @property
    def args(self) -> tuple[Any, ...] | None:
        """What it is called with. TypeError if what is set is neither a tuple nor None."""
        return self._args

    @args.setter
    def args(self, value: tuple[Any, ...] | None) -> None:
        if value is not None and not isinstance(value, tuple):
            raise TypeError(f"Expected tuple, got {type(value).__name__}")
        self._args = value

    # Life

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` from now on. An active watcher goes on with the new callback. TypeError if
        it cannot be called."""
        _callable(callback)
        self._callback = callback
        self._args = args
        if not self._active:
            self._priority = max(self.loop.MINPRI, min(self.loop.MAXPRI, self._priority))
            try:
                self._begin()
            except BaseException:
                self._callback = None
                self._args = None
                raise
            self._active = True

    def stop(self) -> None:
        """Do not call any more. It may be started again. Does nothing if it is not active."""
        self._forget_event()
        if self._active:
            self._active = False
            self._end()
        self._callback = None
        self._args = None

    def close(self) -> None:
        """`stop`, and give back what the watcher holds."""
        self.stop()

    def feed(self, revents: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` once in the next turn, as if `revents` had happened, whether it is active or
        not. TypeError if it cannot be called."""
        _callable(callback)
        self._callback = callback
        self._args = args
        self.loop._feed(self, revents)

    def __enter__(self: _W) -> _W:
        return self

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    # Happening

    def _forget_event(self) -> None:
        pending = self._pending
        if pending is not None:
            self._pending = pending[0] = None

    def _arguments(self, revents: int) -> tuple[Any, ...]:
        """What to call the callback with."""
        return self._args or ()

    def _after_call(self) -> None:
        if not self._active and self._pending is None:
            self._callback = None
            self._args = None

    def _format(self) -> str:
        """What a kind has to say in the repr."""
        return ""

    def __repr__(self) -> str:
        text = f"<{type(self).__name__} at {id(self):#x}{self._format()}"
        if self._active:
            text += " active"
        if self._pending is not None:
            text += " pending"
        if self._callback is not None:
            text += f" callback={self._callback!r}"
        if self._args is not None:
            text += f" args={self._args!r}"
        return text + ">"


class _Counted(Watcher):
    """A watcher of which the loop only knows that it holds it."""

    __slots__ = ("_holds",)

    def __init__(self, loop: WatcherLoop, ref: bool = True, priority: int | None = None) -> None:
        self._holds = False
        super().__init__(loop, ref, priority)

    def _hold(self, ref: bool) -> None:
        if ref != self._holds:
            self._holds = ref
            self.loop.refs += 1 if ref else -1


class io(Watcher):
    """Calls while `fd` is ready for one of `events` (1: to read, 2: to write), in every turn of the loop in
    which it is.

    Its descriptor must be stopped before it is closed. After an exception from the callback it stops, or it
    would fail in every turn.
    """

    __slots__ = ("_borrowed", "_events", "_fd", "_pass_events")

    def __init__(
        self, loop: WatcherLoop, fd: int, events: int, ref: bool = True, priority: int | None = None
    ) -> None:
        self._borrowed: Borrowed | None = None
        self._pass_events = False
        super().__init__(loop, ref, priority)
        self.fd = fd
        self.events = events

    @property
    def fd(self) -> int:
        """The descriptor. To be set only while the watcher is not active (AttributeError); ValueError for a
        negative one."""
        return self._fd

    @fd.setter
    def fd(self, value: int) -> None:
        self._only_inactive("fd")
        value = index(value)
        if value < 0:
            raise ValueError(f"fd must be non-negative: {value}")
        self._fd = value

    @property
    def events(self) -> int:
        """What is waited for. To be set only while the watcher is not active (AttributeError); ValueError for
        anything but 0 to 3."""
        return self._events

    @events.setter
    def events(self, value: int) -> None:
        self._only_inactive("events")
        value = index(value)
        if value & ~(READ | WRITE):
            raise ValueError(f"illegal event mask: {value}")
        self._events = value

    @property
    def events_str(self) -> str:
        """`events` in words."""
        return "|".join(name for bit, name in ((READ, "READ"), (WRITE, "WRITE")) if self._events & bit)

    def _only_inactive(self, name: str) -> None:
        if self._active:
            raise AttributeError(f"{name!r} is read-only while the watcher is active")

    def start(self, callback: Callable[..., object], *args: Any, pass_events: bool = False) -> None:
        """Call `callback(*args)` while the descriptor is ready; with `pass_events` `callback(events, *args)`,
        where events says for what. Raises TypeError if it cannot be called, OSError (EBADF) if the descriptor
        is not open."""
        super().start(callback, *args)
        self._pass_events = pass_events

    def _begin(self) -> None:
        self._borrowed = self.loop.borrow(self._fd, self._events, self._event, True, self._ref)

    def _end(self) -> None:
        borrowed, self._borrowed = self._borrowed, None
        if borrowed is not None:
            self.loop.release(borrowed)

    def _hold(self, ref: bool) -> None:
        if self._borrowed is not None:
            self._borrowed.ref = ref

    def _event(self, flags: int) -> None:
        happened = self._events if flags & HANGUP or not self._events else flags & self._events
        self.loop._feed(self, happened)

    def _failed(self) -> None:
        self.stop()

    def _arguments(self, revents: int) -> tuple[Any, ...]:
        args = self._args or ()
        return (revents, *args) if self._pass_events else args

    def _format(self) -> str:
        return f" fd={self._fd} events={self.events_str}"


class timer(Watcher):
    """Calls `after` seconds from its start, and then, if `repeat` is not 0, every `repeat` seconds.

    Repeats are counted from when the call before was due, so they do not drift; one call makes up for all
    that were missed. Raises TypeError if one of them is no number, ValueError for a negative `repeat`.
    """

    __slots__ = ("_after", "_repeat", "_timer")

    def __init__(
        self,
        loop: WatcherLoop,
        after: float = 0.0,
        repeat: float = 0.0,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        for value in (after, repeat):
            if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
                raise TypeError(f"must be real number, not {type(value).__name__}")
        self._after = float(after)
        self._repeat = float(repeat)
        if self._repeat < 0:
            raise ValueError(f"repeat must be positive or zero: {self._repeat}")
        super().__init__(loop, ref, priority)
        self._timer: Timer | None = None

    @property
    def at(self) -> float:
        """When it calls next, on the loop's clock; while it is not active the seconds from its start to the
        first call."""
        return self._after if self._timer is None else float(self._timer[0])

    def start(self, callback: Callable[..., object], *args: Any, update: bool | None = None) -> None:
        """Call `callback(*args)` when the time has come. The time counts from now, or with `update` false
        from the loop's last look at its clock. An active timer keeps its time."""
        if update is not False and not self._active:
            self.loop.update_now()
        super().start(callback, *args)

    def again(self, callback: Callable[..., object], *args: Any, update: bool = True) -> None:
        """Call `callback(*args)` `repeat` seconds from now and from then on every `repeat` seconds, active or
        not. Without a `repeat` an active timer stops, and another one does not start."""
        _callable(callback)
        self._forget_event()
        if self._active:
            self._active = False
            self._end()
        self._callback = callback
        self._args = args
        if self._repeat:
            if update:
                self.loop.update_now()
            self._set(self.loop.now() + self._repeat)
            self._active = True

    def _set(self, when: float) -> None:
        self._timer = self.loop.call_at(when, self._fire, self._ref)

    def _begin(self) -> None:
        self._set(self.loop.now() + self._after)

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            self.loop.cancel_timer(timer)

    def _hold(self, ref: bool) -> None:
        if self._timer is not None:
            self.loop.set_timer_ref(self._timer, ref)

    def _fire(self) -> None:
        timer, self._timer = self._timer, None
        if self._repeat and timer is not None:
            self._set(max(timer[0] + self._repeat, self.loop.now()))
        else:
            self._active = False
        self.loop._feed(self, TIMER)


class async_(_Counted):
    """Calls after somebody, perhaps in another thread or a signal handler, used `send`."""

    __slots__ = ("_sent",)

    def __init__(self, loop: WatcherLoop, ref: bool = True, priority: int | None = None) -> None:
        super().__init__(loop, ref, priority)
        self._sent = False

    @property
    def pending(self) -> bool:
        return self._sent or self._pending is not None

    def send(self) -> None:
        """Have the loop call, once for all that is sent until then. From any thread; does not block."""
        if not self._sent:
            self._sent = True
            self.loop.call_threadsafe(self._arrived)

    def send_ignoring_arg(self, _ignored: object) -> None:
        """`send`, for those who call with one argument."""
        self.send()

    def _end(self) -> None:
        super()._end()
        self._sent = False

    def _arrived(self) -> None:
        if self._sent:
            self._sent = False
            if self._active:
                self.loop._feed(self, ASYNC)


class idle(Watcher):
    """Calls in every turn of the loop in which there is nothing else to do. While it is active the loop does
    not sleep, and runs on, whatever its `ref`."""

    __slots__ = ("_stands",)

    def __init__(self, loop: WatcherLoop, ref: bool = True, priority: int | None = None) -> None:
        super().__init__(loop, ref, priority)
        self._stands = False
        """Is `_turn` in the loop's `idle`?"""

    def _stand(self) -> None:
        if not self._stands:
            self._stands = True
            self.loop.idlers.append(self._turn)

    def _begin(self) -> None:
        self._stand()

    def _end(self) -> None:
        """`_turn` finds out."""

    def _hold(self, ref: bool) -> None:
        """It runs on in any case."""

    def _turn(self) -> None:
        self._stands = False
        if self._active:
            self._stand()
            self.loop._feed(self, IDLE)


class _Listed(_Counted):
    """A watcher that the loop has in one of its lists."""

    __slots__ = ()

    def _list(self) -> list[Any]:
        raise NotImplementedError

    def _begin(self) -> None:
        super()._begin()
        self._list().append(self)
        self.loop._hook()

    def _end(self) -> None:
        super()._end()
        if self in self._list():
            self._list().remove(self)
        self.loop._hook()


class prepare(_Listed):
    """Calls in every turn before the loop asks the system what has happened."""

    __slots__ = ()

    def _list(self) -> list[prepare]:
        return self.loop._prepares


class check(_Listed):
    """Calls in every turn after the loop has asked the system what has happened."""

    __slots__ = ()

    def _list(self) -> list[check]:
        return self.loop._checks


class fork(_Listed):
    """Calls in the child after a fork."""

    __slots__ = ()

    def _list(self) -> list[fork]:
        return self.loop._forks


class signal(_Counted):
    """Calls in the loop after the process received signal `signum`, by which nothing is interrupted.

    While it is active it stands in the place of the handler of `signal.signal`, which is back after `stop`.
    Raises ValueError for what is no signal's number; its `start`, where no other watcher has the signal
    already, outside of the main thread.
    """

    __slots__ = ("_listener", "_signum")

    def __init__(self, loop: WatcherLoop, signum: int, ref: bool = True, priority: int | None = None) -> None:
        signum = index(signum)
        if not 1 <= signum < _signal.NSIG:
            raise ValueError(f"illegal signal number: {signum}")
        super().__init__(loop, ref, priority)
        self._signum = signum
        self._listener: signals.Listener = (loop, self._heard)

    def _begin(self) -> None:
        signals.listen(self._signum, self._listener)
        super()._begin()
        self.loop._signals.append(self)

    def _end(self) -> None:
        self.loop._signals.remove(self)
        super()._end()
        signals.unlisten(self._signum, self._listener)

    def _heard(self) -> None:
        if self._active:
            self.loop._feed(self, SIGNAL)


class child(_Counted):
    """Calls when the child process `pid` has ended, or with `pid` 0 any child; with `trace` also when it was
    stopped or continued. Then `rpid` is its number and `rstatus` its status as `os.waitpid` gives it: the
    child is reaped. It stays active.

    Where somebody else reaped the child, `rstatus` is that of an exit with code 255. A process that was gone
    before the start, or is nobody's child, is never told. Only for the loop of the main thread: TypeError.
    """

    __slots__ = ("_pid", "_statuses", "_trace", "rpid", "rstatus")

    def __init__(self, loop: WatcherLoop, pid: int, trace: int = 0, ref: bool = True) -> None:
        if not loop.default:
            raise TypeError("child watchers are only available on the default loop")
        super().__init__(loop, ref)
        self._pid = index(pid)
        self._trace = bool(trace)
        self._statuses: deque[tuple[int, int]] = deque()
        """Of whom it is to be called next."""
        self.rpid = 0
        self.rstatus = 0

    @property
    def pid(self) -> int:
        """Whom it waits for."""
        return self._pid

    @property
    def coming(self) -> tuple[int, int] | None:
        """Number and status of the child of which it is to be called next, None if there is none by now."""
        return self._statuses[0] if self._statuses else None

    def _begin(self) -> None:
        self.loop._children.add(self)
        super()._begin()

    def _end(self) -> None:
        super()._end()
        self.loop._children.remove(self)
        self._statuses.clear()

    def _ended(self, pid: int, status: int) -> None:
        self._statuses.append((pid, status))
        self.loop._feed(self, CHILD)

    def _arguments(self, revents: int) -> tuple[Any, ...]:
        if self._statuses:
            self.rpid, self.rstatus = self._statuses.popleft()
        return super()._arguments(revents)

    def _after_call(self) -> None:
        if self._statuses:
            self.loop._feed(self, CHILD)
        super()._after_call()

    def _format(self) -> str:
        return f" pid={self._pid} rstatus={self.rstatus}"


_SHORTEST_INTERVAL = 0.1
_USUAL_INTERVAL = 5.0
_COMPARED = (
    "st_dev st_ino st_mode st_nlink st_uid st_gid st_rdev st_size st_atime_ns st_mtime_ns st_ctime_ns".split()
)


class stat(Watcher):
    """Calls when what `os.stat(path)` says has changed, which is looked at every `interval` seconds (0: a
    usual one of 5; at least 0.1)."""

    __slots__ = ("_timer", "attr", "interval", "path", "prev")

    def __init__(
        self,
        loop: WatcherLoop,
        path: str,
        interval: float = 0.0,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        if not isinstance(path, str):
            raise TypeError(f"path must be str, not {type(path).__name__}")
        super().__init__(loop, ref, priority)
        self.path = path
        self.interval = float(interval)
        """As given, until it is started; from then on as used."""
        self.attr: os.stat_result | None = None
        """What was found last; None for nothing."""
        self.prev: os.stat_result | None = None
        """What was found before that."""
        self._timer: Timer | None = None

    def _look(self) -> os.stat_result | None:
        try:
            return os_stat(self.path)
        except OSError:
            return None

    def _begin(self) -> None:
        wanted = self.interval if self.interval > 0 else _USUAL_INTERVAL if not self.interval else 0.0
        self.interval = max(_SHORTEST_INTERVAL, wanted)
        self.attr = self._look()
        self._timer = self.loop.call_later(self.interval, self._compare, self._ref)

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            self.loop.cancel_timer(timer)

    def _hold(self, ref: bool) -> None:
        if self._timer is not None:
            self.loop.set_timer_ref(self._timer, ref)

    def _compare(self) -> None:
        self._timer = self.loop.call_later(self.interval, self._compare, self._ref)
        before, now = self.attr, self._look()
        if before is now or (
            before is not None
            and now is not None
            and all(getattr(before, name) == getattr(now, name) for name in _COMPARED)
        ):
            return
        self.prev, self.attr = before, now
        self.loop._feed(self, STAT)

    def _format(self) -> str:
        return f" path={self.path!r}"
