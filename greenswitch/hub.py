"""The hub: one greenlet per thread that runs the loop, and the only place where waiting meets switching.

What belongs here: how a greenlet stops until something happens, and how that is undone when it is killed.
What never does: locks, queues, sockets; they say *for what* one waits, and use the primitives of this module
to do it.

The abort contract, of every primitive: an exception that is thrown into the waiter (a kill, a timeout, a
signal) takes the registration back - the timer, the place in the ready queue, the reader of a descriptor -
and then goes on to the caller. Nothing is left behind that could wake the greenlet at another time.
"""

from __future__ import annotations

import os
import sys
import time as _time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from importlib import import_module
from itertools import repeat, starmap
from types import TracebackType
from typing import Any, ClassVar, Protocol, TextIO, cast
from weakref import ReferenceType, ref

from ._config import config
from ._core import GreenletExit, get_turn, getcurrent, greenlet, set_turn
from ._original import get_ident, local, thread_count
from ._original import time as wall_clock
from ._waits import waits_of
from .exceptions import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    InvalidSwitchError,
    LoopExit,
)
from .loop import HANGUP, READ, WRITE, Borrowed, Descriptor, Loop, Timer, WatcherLoop
from .loop.core import close_orphans, last_look
from .loop.watchers import Watcher

__all__ = [
    "Entry",
    "GreenletExit",
    "Hub",
    "Row",
    "RowOwner",
    "Turn",
    "Waiter",
    "fail",
    "get_hub",
    "get_hub_if_any",
    "getcurrent",
    "helper_threads",
    "idle",
    "kill",
    "raise_in_main",
    "reinit",
    "signal",
    "signal_handler",
    "sleep",
    "spawn_raw",
    "stand_in_row",
    "this_thread",
    "wake",
    "wake_now",
]

this_thread = local()
"""What the package keeps per thread beside the hub, which is in `get_turn()`: `end`, whose going tells the
hub that the thread ends; `spare`, the loop of a hub that was destroyed without its loop, for the next hub."""

helper_threads: set[int] = set()
"""Identifiers of native threads of the package's own that wake a hub only while one of its `loop.refs` says
so. They are not counted when a hub asks itself whether another thread may still wake it."""

_LISTEN_FOR_THREADS = 0.2
_LISTEN_FOR_NEW_THREADS = 0.01
_IN_CALLBACK = "Impossible to call blocking function in the event loop callback"


_SHORT_ROW = 32
"""Up to this length of a row, leaving it is a search."""


class _ThreadEnd:
    """Lives in the thread's local storage and dies with it."""

    __slots__ = ("hub",)

    def __init__(self, hub: Hub) -> None:
        self.hub: Hub | None = hub
        """Whom to tell."""

    def __del__(self) -> None:
        if self.hub is not None:
            self.hub._close()


Turn = tuple["Hub", Callable[[Callable[[], object]], object], Callable[[], Any], WatcherLoop]
"""What a greenlet needs to wait: the hub, its loop's `ready.append`, its `suspend`, its loop. `get_turn()` is
that of the thread, None until a hub is made."""


class _Configured:
    """An attribute that is a setting of `config`, until it is assigned to - on a hub or a class of hubs."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, hub: Hub | None, owner: type[Hub]) -> Any:
        return getattr(config, self._name)


class Hub(greenlet):
    """The greenlet that runs a thread's loop. Made by `get_hub`, never by hand.

    It is the parent of every greenlet that `spawn` makes, and its own parent is the main greenlet of the
    thread. It runs `loop`, or one that it makes; `default` is handed to that one.
    """

    SYSTEM_ERROR: ClassVar[tuple[type[BaseException], ...]] = (KeyboardInterrupt, SystemExit, SystemError)
    """Exceptions that end the program: thrown into the main greenlet, whoever raised them."""
    NOT_ERROR: ClassVar[tuple[type[BaseException], ...]] = (GreenletExit, SystemExit)
    """Exceptions that are never printed."""

    threadpool_class: Any = _Configured("threadpool")
    """What makes `threadpool`, called with (threadpool_size, hub=hub, idle_task_timeout=...)."""
    threadpool_size: Any = _Configured("threadpool_size")
    resolver_class: Any = _Configured("resolver")
    """What makes `resolver`, called with (hub=hub)."""

    loop_class: Any = _Configured("loop")
    """What makes `loop`, called with (default=default)."""
    monitor_class: ClassVar[Callable[..., Any] | str] = "greenswitch._monitor:PeriodicMonitoringThread"
    """What makes `periodic_monitoring_thread`, called with the hub; or its name."""

    name: str = ""
    periodic_monitoring_thread: Any = None
    """The native thread that watches this hub, or None."""

    loop: WatcherLoop = cast(WatcherLoop, None)
    thread_ident: int = 0
    turn: Turn
    """What `get_turn()` is in the hub's thread."""
    suspend: Callable[[], Any]
    """Switch to the hub, unchecked. Only for primitives that have made sure of being woken."""

    def __init__(self, loop: WatcherLoop | None = None, default: bool | None = None) -> None:
        main = getcurrent()
        while main.parent is not None:
            main = main.parent
        self.loop = self.loop_class(default=default) if loop is None else loop
        self.loop.attend(self._listen, self._loop_error)
        starter = [getcurrent().switch]
        self._program = partial(_run_hub, self.loop, starter)
        super().__init__(None, main)
        self.thread_ident = get_ident()
        self.surround_waits(None)
        self._joining = False
        self._certain = False
        self._destroyed = False
        self.idents = Idents()
        self._stream: list[TextIO | None] = []
        """What was set to be `exception_stream`, if anything was."""
        self._threadpool: Any = None
        self._resolver: Any = None
        self.suspend()

    # Running

    @property
    def run(self) -> Callable[[], None]:  # type: ignore[override]
        """What the switcher calls when it starts the hub; nobody else may."""
        # Not a method: nothing on the hub's stack may hold the hub, or it would outlive its thread.
        program: Callable[[], None] = self.__dict__.pop("_program", _only_once)
        return program

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """Suspend the current greenlet and let the hub run, until somebody switches back. For those who have
        put the current greenlet's `switch` where it will be called; everybody else wants `Waiter`."""
        if getcurrent() is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        return self.suspend()

    def switch_out(self) -> None:
        """What a greenlet is asked to do before it waits; the hub must not wait: BlockingSwitchOutError."""
        raise BlockingSwitchOutError(_IN_CALLBACK)

    def _listen(self) -> float:
        """For how long to wait for other native threads to wake this hub, when nobody else can. Seconds."""
        if self._joining:
            return 0.0
        # For a helper, there is always the thread that it helps.
        if thread_count() > len(helper_threads) or self.thread_ident in helper_threads:
            self._certain = False
            return _LISTEN_FOR_THREADS
        # A thread that was started a moment ago is counted only when it runs.
        self._certain = not self._certain
        return _LISTEN_FOR_NEW_THREADS if self._certain else 0.0

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do in this thread: no greenlet that could still run, no timer, nobody
        who waits for a descriptor. True then, False after `timeout` seconds. Only for the main greenlet."""
        if getcurrent() is not self.parent:
            raise AssertionError("only possible from the MAIN greenlet")
        if self.dead or self.loop.closed:
            return True
        timer = None if timeout is None else self.loop.call_later(timeout, self.parent.switch, False)
        self._joining = True
        try:
            self.suspend()
        except LoopExit:
            return True
        finally:
            self._joining = False
            if timer is not None:
                self.loop.cancel_timer(timer)
        if timer is None or timer[2] is not None:
            raise InvalidSwitchError(f"Invalid switch into {self.parent!r}")
        return False

    def destroy(self, destroy_loop: bool | None = None) -> None:
        """Forget everybody who waits in the loop, and close it, unless `destroy_loop` is false or, by
        default, it is the loop of the main thread: then the next hub goes on with it. The next `get_hub` of
        this thread makes a new hub. Idempotent."""
        loop = self.loop
        if self._destroyed:
            if destroy_loop and getattr(this_thread, "spare", None) is loop:
                loop.close()
            return
        self._destroyed = True
        ours = get_hub_if_any() is self
        if ours:
            this_thread.end.hub = None
            del this_thread.end
            set_turn(None)
        monitor, self.periodic_monitoring_thread = self.periodic_monitoring_thread, None
        if monitor is not None:
            monitor.kill()
        threadpool, self._threadpool = self._threadpool, None
        if threadpool is not None:
            threadpool.kill()
        if ours and not loop.closed and not (not loop.default if destroy_loop is None else destroy_loop):
            this_thread.spare = loop
            self._end(loop.vacate)
        else:
            self._end(loop.close)
        if getcurrent() is self.parent:
            # It stands in the loop, which another hub may be going to run; and the collector does not see
            # what a suspended stack holds, which would keep the hub for ever where it leads back to it.
            self.throw(GreenletExit)

    def _close(
        self, get_turn: Callable[[], Turn | None] = get_turn, set_turn: Callable[[None], None] = set_turn
    ) -> None:
        """The thread ends."""
        # At the program's end the names of this module have gone before the hub: hence the defaults. In the
        # child of a fork it is not the calling thread that ends.
        turn = get_turn()
        if turn is not None and turn[0] is self:
            set_turn(None)
        if self.periodic_monitoring_thread is not None:
            self.periodic_monitoring_thread.retire()
        self._end(self.loop.close)

    def _end(self, leave_loop: Callable[[], object]) -> None:
        """Leave the loop, and let go of what holds the hub."""
        self._resolver = None
        leave_loop()
        self.__dict__.pop("suspend", None)
        self.__dict__.pop("turn", None)

    def start_periodic_monitoring_thread(self) -> Any:
        """Have a native thread watch this hub, if there is none yet and `config.monitor_thread` says so: the
        thread's object, or None. Called whenever a hub is made."""
        if self.periodic_monitoring_thread is None and config.monitor_thread:
            self.periodic_monitoring_thread = monitor = _resolve(self.monitor_class)(self)
            monitor.started()
        return self.periodic_monitoring_thread

    # Waiting

    def surround_waits(self, around: Callable[[Callable[[], Any]], Callable[[], Any]] | None) -> None:
        """Have whoever waits in this hub from now on call `around(suspend)` in place of `suspend`, until this
        is called with None. For what Python keeps per thread and a greenlet that waits has to leave behind;
        it costs every wait a call more. Only in the hub's thread."""
        suspend: Callable[[], Any] = super().switch
        self.suspend = suspend if around is None else around(suspend)
        self.turn = (self, self.loop.ready.append, self.suspend, self.loop)
        if get_hub_if_any() is self:
            set_turn(self.turn)

    def wait_turn(self) -> None:
        """Let everybody run who is ready by now. This is `sleep(0)`."""
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        turn = current.switch
        loop = self.loop
        try:
            loop.ready.append(turn)
            self.suspend()
        except BaseException:
            loop.cancel_ready(turn)
            raise

    def wait_idle(self) -> None:
        """Wait until nothing else is to be done at the moment: nobody ready, no timer due, no event of a
        descriptor.
        """
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        switch = current.switch
        loop = self.loop
        try:
            loop.idlers.append(switch)
            self.suspend()
        except BaseException:
            if switch in loop.idlers:
                loop.idlers.remove(switch)
            else:
                loop.cancel_ready(switch)
            raise

    def wait_seconds(self, seconds: float, ref: bool = True) -> None:
        """Wait `seconds`. With `ref` false this wait does not keep the loop alive."""
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        loop = self.loop
        timer = loop.call_later(seconds, current.switch, ref)
        try:
            self.suspend()
        except BaseException:
            loop.cancel_timer(timer)
            raise
        if timer[2] is not None:
            loop.cancel_timer(timer)
            raise _invalid_switch(current)

    def wait_readable(self, descriptor: Descriptor, timeout: float | None = None) -> bool:
        """Wait until `descriptor` may be read. At once if it is marked readable. False after `timeout`
        seconds.

        Raises ConcurrentObjectUseError if another greenlet waits to read from it.
        """
        if descriptor.readable or descriptor.always_ready:
            return True
        if descriptor.reader is not None:
            raise _in_use(descriptor, descriptor.reader, "read from")
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        switch = current.switch
        loop = self.loop
        _since = last_look[0]  # For `_waits`.
        timer = None if timeout is None else loop.call_later(timeout, switch)
        try:
            descriptor.reader = switch
            self.suspend()
        except BaseException:
            if timer is not None:
                loop.cancel_timer(timer)
            if descriptor.reader is switch:
                descriptor.reader = None
            else:
                loop.cancel_ready(switch)
            raise
        if descriptor.reader is switch:
            descriptor.reader = None
            return self._timed_out(current, timer)
        if timer is not None:
            self._woken(timer, switch)
        return True

    def wait_writable(self, descriptor: Descriptor, timeout: float | None = None) -> bool:
        """Wait until `descriptor` may be written to; otherwise as `wait_readable`."""
        if descriptor.writable or descriptor.always_ready:
            return True
        if descriptor.writer is not None:
            raise _in_use(descriptor, descriptor.writer, "write to")
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        switch = current.switch
        loop = self.loop
        _since = last_look[0]  # For `_waits`.
        timer = None if timeout is None else loop.call_later(timeout, switch)
        try:
            descriptor.writer = switch
            self.suspend()
        except BaseException:
            if timer is not None:
                loop.cancel_timer(timer)
            if descriptor.writer is switch:
                descriptor.writer = None
            else:
                loop.cancel_ready(switch)
            raise
        if descriptor.writer is switch:
            descriptor.writer = None
            return self._timed_out(current, timer)
        if timer is not None:
            self._woken(timer, switch)
        return True

    def _timed_out(self, current: greenlet, timer: Timer | None) -> bool:
        """Nobody took the waiter out: it was the timer, or somebody who should not have switched."""
        if timer is None or timer[2] is not None:
            if timer is not None:
                self.loop.cancel_timer(timer)
            raise _invalid_switch(current)
        return False

    def _woken(self, timer: Timer, switch: Callable[[], object]) -> None:
        """The waiter was taken out. Undo the timer; where the timer came first all the same, the other way
        in."""
        if timer[2] is None:
            self.loop.cancel_ready(switch)
        else:
            self.loop.cancel_timer(timer)

    def wait_fd(self, fd: int, events: int, timeout: float | None = None) -> int:
        """Wait until one of `events` (READ, WRITE, URGENT of `greenswitch.loop`) holds on `fd`, which may be
        anybody's descriptor. What holds, with HANGUP if so; 0 after `timeout` seconds. OSError if `fd` is not
        open."""
        current = getcurrent()
        if current is self:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        switch = current.switch
        loop = self.loop
        _since = last_look[0]  # For `_waits`.
        timer = None if timeout is None else loop.call_later(timeout, switch)
        borrowed = None
        try:
            borrowed = loop.borrow(fd, events, switch)
            flags = self.suspend()
            if borrowed.callback is None:
                return int(flags)
            return int(self._timed_out(current, timer))
        finally:
            if timer is not None:
                loop.cancel_timer(timer)
            if borrowed is not None:
                loop.release(borrowed)

    def cancel_waits(self, descriptor: Descriptor, error: BaseException) -> None:
        """Throw `error`, from the loop, into whoever waits for `descriptor` by then. Does not block."""
        if descriptor.reader is not None or descriptor.writer is not None:
            self.loop.ready.append(partial(_throw_into_waiters, descriptor, error))

    def give_up_fd(self, fd: int, error: BaseException) -> None:
        """`fd` is about to be closed, and its number may be in use again at once: throw `error`, from the
        loop, into those who wait for it now. Does not block."""
        evicted = self.loop.evict(fd)
        if evicted:
            self.loop.ready.append(partial(_throw_into_borrowers, self.loop, evicted, error))

    # Waiting for watchers

    def wait(self, watcher: Watcher) -> None:
        """Start `watcher`, wait until it calls, and stop it. Raises what somebody cancels the wait with."""
        waiter = Waiter(self)
        watcher.start(waiter.wake_now, waiter)
        try:
            result = waiter.get()
            if result is not waiter:
                raise InvalidSwitchError(f"Invalid switch into {getcurrent()!r}: {result!r}")
        finally:
            watcher.stop()

    def cancel_wait(
        self, watcher: Watcher, error: type[BaseException] | BaseException, close_watcher: bool = False
    ) -> None:
        """Throw `error`, from the loop, into the greenlet that waits for `watcher` by then, if any does; with
        `close_watcher` close it too. Does not block."""
        if watcher.callback is not None:
            self.loop.run_callback(self._cancel_wait, watcher, error, close_watcher)
        elif close_watcher:
            watcher.close()

    def _cancel_wait(
        self, watcher: Watcher, error: type[BaseException] | BaseException, close_watcher: bool
    ) -> None:
        active = watcher.active
        waiter = getattr(watcher.callback, "__self__", None)
        if close_watcher:
            watcher.close()
        if active and waiter is not None:
            waiter.throw(error)

    def cancel_waits_close_and_then(
        self,
        watchers: Iterable[Watcher],
        exc_kind: type[BaseException] | BaseException,
        then: Callable[..., object],
        *then_args: Any,
    ) -> None:
        """Throw `exc_kind`, from the loop, into the greenlets that wait for any of `watchers`, close these,
        and call `then(*then_args)`. Does not block."""
        self.loop.run_callback(self._cancel_waits, list(watchers), exc_kind, then, then_args)

    def _cancel_waits(
        self,
        watchers: list[Watcher],
        exc_kind: type[BaseException] | BaseException,
        then: Callable[..., object],
        then_args: tuple[Any, ...],
    ) -> None:
        for watcher in watchers:
            self._cancel_wait(watcher, exc_kind, True)
        then(*then_args)

    # Failures

    @property
    def exception_stream(self) -> Any:
        """Where failures are printed: what was set, or `sys.stderr` of this moment. None: nowhere."""
        return self._stream[0] if self._stream else sys.stderr

    @exception_stream.setter
    def exception_stream(self, value: TextIO | None) -> None:
        self._stream = [value]

    @exception_stream.deleter
    def exception_stream(self) -> None:
        self._stream = []

    def handle_error(
        self,
        context: object,
        type: type[BaseException] | None,
        value: BaseException | str | None,
        tb: TracebackType | None,
    ) -> None:
        """Called with every failure that nobody is there to catch: prints it once, with `context` (the
        greenlet, the callback) that failed. What is to end the program, and what a signal handler raised in
        the hub itself (`context` is None then), is thrown into the main greenlet instead, which may want to
        handle it."""
        if type is None:
            return
        if isinstance(value, str):
            # Only an interpreter that is going down hands out half an exception.
            value = type(value)
        ends = context is None or issubclass(type, self.SYSTEM_ERROR)
        if not issubclass(type, self.NOT_ERROR) and (not ends or issubclass(type, SystemError)):
            self.print_exception(context, type, value, tb)
        if ends:
            self.handle_system_error(type, value, tb)

    def handle_system_error(
        self, type: type[BaseException], value: BaseException | None, tb: TracebackType | None = None
    ) -> None:
        """Throw the exception into the main greenlet, now."""
        current = getcurrent()
        main = self.parent
        assert main is not None
        if current is self or current is main:
            main.throw(type, value, tb)
            return
        # A greenlet that reports its failure must be able to go on afterwards.
        turn = current.switch
        try:
            self.loop.ready.append(turn)
            main.throw(type, value, tb)
        except BaseException:
            self.loop.cancel_ready(turn)
            raise

    def _loop_error(
        self, context: object, type: type[BaseException], value: BaseException, tb: TracebackType | None
    ) -> None:
        """The loop's error handler. GreenletExit in the hub's own greenlet means that the hub is to end."""
        if issubclass(type, GreenletExit):
            raise value
        self.handle_error(context, type, value, tb)

    def print_exception(
        self,
        context: object,
        t: type[BaseException] | None,
        v: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Print a traceback, and a line that says when and what failed, to `exception_stream`."""
        stream = self.exception_stream
        if stream is None:
            return
        lines = traceback.format_exception(t, v, tb)
        if context is not None:
            stamp = _time.strftime("%Y-%m-%dT%H:%M:%SZ", _time.gmtime(wall_clock()))
            try:
                who = context if isinstance(context, str) else repr(context)
            except BaseException as error:
                who = f"<{type(context).__name__} whose repr failed with {type(error).__name__}>"
            lines.append(f"{stamp} {who} failed with {getattr(t, '__name__', 'exception')}\n\n")
        try:
            # One write, so that the output of two threads does not mix.
            stream.write("".join(lines))
        except (OSError, ValueError):
            # A closed stream, a full disk: no reason to stop everybody else.
            pass

    # What the upper modules hang in

    @property
    def threadpool(self) -> Any:
        """The pool of native threads of this hub, made when it is first asked for."""
        if self._threadpool is None:
            self._threadpool = self.threadpool_class(
                self.threadpool_size, hub=self, idle_task_timeout=config.threadpool_idle_task_timeout
            )
        return self._threadpool

    @threadpool.setter
    def threadpool(self, value: Any) -> None:
        self._threadpool = value

    @threadpool.deleter
    def threadpool(self) -> None:
        self._threadpool = None

    @property
    def resolver(self) -> Any:
        """What looks names up for this hub, made when it is first asked for."""
        if self._resolver is None:
            self._resolver = self.resolver_class(hub=self)
        return self._resolver

    @resolver.setter
    def resolver(self, value: Any) -> None:
        self._resolver = value

    @property
    def main_hub(self) -> bool:
        """Is this the hub of the process's main thread?"""
        return self.loop.default

    @property
    def backend(self) -> str:
        """The name of the loop's poller."""
        return self.loop.backend

    @property
    def ident_registry(self) -> Idents:
        """Where the numbers of greenlets come from."""
        return self.idents

    def __repr__(self) -> str:
        where = f"{id(self):#x} {self.loop._format()} thread_ident={self.thread_ident:#x}"
        return f"<{type(self).__name__} {self.name!r} at {where}>"


def _resolve(factory: Callable[..., Any] | str) -> Callable[..., Any]:
    if isinstance(factory, str):
        module, _, name = factory.partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    return factory


def _only_once() -> None:
    raise AssertionError("a hub is run by the switcher alone")


def _run_hub(loop: WatcherLoop, starter: list[Callable[[], object]]) -> None:
    """What a hub runs: the loop, for ever. Whenever nothing can happen any more, LoopExit is thrown into the
    main greenlet.

    A signal handler of Python may raise wherever this function starts or jumps back, and a hub must not die
    of that: those who wait in it would wait for ever. So it is started once when it is made, where an
    exception is still the maker's, and from then on no step lies outside of the `try`.
    """
    error: BaseException | None = None
    while True:
        try:
            while starter:
                starter.pop()()
            while not loop.closed:
                if error is None:
                    # Not what libraries call: a frame less on the hub's stack.
                    Loop.run(loop)
                thrown, error = error, None
                if not loop.closed:
                    # If the main greenlet waits again after this, it switches back to here.
                    _throw_into_main(thrown)
            return
        except GreenletExit:
            raise
        except BaseException as raised:
            # From a signal handler, or out of `handle_error`, which somebody has replaced.
            error = raised


def _throw_into_main(error: BaseException | None) -> None:
    hub = getcurrent()
    main = hub.parent
    if main is not None:
        if error is None:
            # Whoever joins the hub waits for just this.
            waits = [] if getattr(hub, "_joining", False) else waits_of(main)
            error = LoopExit("This operation would block forever", hub, waits)
        main.throw(error)


class Idents:
    """Small numbers for greenlets: the smallest that is free. A number is free again when its greenlet is
    gone."""

    __slots__ = ("_free", "_holders", "_known", "_next")

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        """By the `id` of those who came by `get_ident`."""
        self._free: list[int] = []
        self._next = 0
        self._holders: dict[int, ReferenceType[Any]] = {}

    def take(self, holder: Any) -> int:
        if self._free:
            number = heappop(self._free)
        else:
            number = self._next
            self._next = number + 1

        def give(_: ReferenceType[Any]) -> None:
            del self._holders[number]
            heappush(self._free, number)

        self._holders[number] = ref(holder, give)
        return number

    def get_ident(self, obj: Any) -> int:
        """The number of `obj`, which is taken when it is first asked for."""
        known = self._known
        number = known.get(id(obj))
        if number is not None:
            holder = self._holders.get(number)
            if holder is not None and holder() is obj:
                return number
        known[id(obj)] = number = self.take(obj)
        return number


def _throw_into_waiters(descriptor: Descriptor, error: BaseException) -> None:
    for side in ("reader", "writer"):
        callback = getattr(descriptor, side)
        if callback is not None:
            setattr(descriptor, side, None)
            try:
                callback.__self__.throw(error)
            except BaseException as failure:
                # A bare greenlet's own; the other one is to be told all the same.
                descriptor.loop.report(callback, failure)


def _throw_into_borrowers(loop: Loop, evicted: list[Borrowed], error: BaseException) -> None:
    for borrowed in evicted:
        callback = borrowed.callback
        if callback is None:
            # Released meanwhile.
            continue
        borrowed.callback = None
        throw = getattr(getattr(callback, "__self__", None), "throw", None)
        try:
            if throw is None:
                # A watcher, which calls somebody who looks for himself.
                callback(READ | WRITE | HANGUP)
            else:
                throw(error)
        except BaseException as failure:
            loop.report(callback, failure)


def _throw(target: greenlet, error: type[BaseException] | BaseException) -> None:
    if not target.dead:
        target.throw(error)


def _in_use(descriptor: Descriptor, callback: Callable[[], object], what: str) -> ConcurrentObjectUseError:
    holder = getattr(callback, "__self__", callback)
    return ConcurrentObjectUseError(
        f"descriptor {descriptor.fd} is already waited for by {holder!r}, which wants to {what} it; only one"
        f" greenlet at a time can {what} it"
    )


def _invalid_switch(current: greenlet) -> InvalidSwitchError:
    return InvalidSwitchError(f"Invalid switch into {current!r}: it was not what the greenlet waits for")


Entry = list[Any]
"""One greenlet that is suspended, or is about to be, until somebody wakes it - from any thread.

A plain list, because one is made for every wait: [switch, turn, tag, outcome...].

0: the `switch` of the greenlet, from when it is going to be suspended until this was put into the ready
queue; None
   before and after that.
1: the `Turn` of its thread.
2: whatever those who keep it in a row want to know of it.
3: (value, None) or (None, exception), what it was told, or `_ABANDONED`; the first one counts. Appending is
one
   step, and so decides, without a lock, between all who want to wake it and the greenlet itself, which may
   want to give up.
"""

_Outcome = tuple[Any, "BaseException | None"]
_ABANDONED: _Outcome = (None, None)


def wake(entry: Entry, value: Any = None) -> bool:
    """Resume the greenlet with `value`, from its own loop; never switches; any thread. False: it was woken
    before, or does not wait any more."""
    if len(entry) > 3:
        return False
    mine = (value, None)
    if get_turn() is not entry[1]:
        return _wake_elsewhere(entry, mine)
    entry.append(mine)
    if entry[3] is not mine:
        return False
    switch = entry[0]
    if switch is not None:
        entry[0] = None
        entry[1][1](switch)
    return True


def wake_now(entry: Entry, value: Any = None) -> bool:
    """`wake`, but a greenlet of this hub is switched to at once. Only for callbacks of the loop."""
    if len(entry) > 3:
        return False
    mine = (value, None)
    if get_turn() is not entry[1]:
        return _wake_elsewhere(entry, mine)
    entry.append(mine)
    if entry[3] is not mine:
        return False
    switch = entry[0]
    if switch is not None:
        entry[0] = None
        switch()
    return True


def _wake_elsewhere(entry: Entry, mine: _Outcome) -> bool:
    hub = entry[1][0]
    if hub._destroyed or hub.loop.closed:
        # Its thread has ended, or was left behind by a fork: what it was handed would be lost.
        return False
    entry.append(mine)
    if entry[3] is not mine:
        return False
    hub.loop.call_threadsafe(partial(_resume, entry))
    return True


def fail(entry: Entry, error: BaseException) -> bool:
    """`wake`, but with an exception as the outcome."""
    return _settle(entry, (None, error), _resume_later)


def _settle(entry: Entry, mine: _Outcome, resume: Callable[[Entry], object]) -> bool:
    if len(entry) > 3:
        return False
    if get_hub_if_any() is not entry[1][0]:
        return _wake_elsewhere(entry, mine)
    entry.append(mine)
    if entry[3] is not mine:
        return False
    resume(entry)
    return True


def _resume(entry: Entry) -> None:
    """In the greenlet's own hub: switch to it, unless it has gone on meanwhile."""
    switch = entry[0]
    if switch is not None:
        entry[0] = None
        switch()


def _resume_later(entry: Entry) -> None:
    switch = entry[0]
    if switch is not None:
        entry[0] = None
        entry[1][1](switch)


def _stay(entry: Entry, switch: Callable[[], object], timer: Timer | None) -> None:
    """Woken before it was suspended: go on."""
    loop = entry[1][0].loop
    if timer is not None:
        loop.cancel_timer(timer)
    if entry[0] is None:
        loop.cancel_ready(switch)
    entry[0] = None


def _give_up(entry: Entry, switch: Callable[[], object], timer: Timer | None) -> bool:
    """An exception ends the wait. Undo what stands in the loop. False: it was woken before that."""
    loop = entry[1][0].loop
    if timer is not None:
        loop.cancel_timer(timer)
    if entry[0] is None:
        # Woken, and not yet resumed.
        loop.cancel_ready(switch)
    entry[0] = None
    entry.append(_ABANDONED)
    return entry[3] is _ABANDONED


def _check(entry: Entry, switch: Callable[[], object], timer: Timer | None) -> bool:
    """The greenlet runs again: who made it so? Was it woken? InvalidSwitchError if it was nobody who may."""
    loop = entry[1][0].loop
    if timer is not None and timer[2] is not None:
        # Not the timer.
        loop.cancel_timer(timer)
        timer = None
    elif entry[0] is None and timer is not None:
        # The timer was called first, the wake-up is on its way.
        loop.cancel_ready(switch)
    entry[0] = None
    if len(entry) == 3 and timer is None:
        entry.append(_ABANDONED)
        raise _invalid_switch(getcurrent())
    entry.append(_ABANDONED)
    return entry[3] is not _ABANDONED


class Waiter(Entry):
    """An entry with methods, for those who wait for something that is no row.

        w = Waiter()
        queue.append(w)
        try:
            woken = w.wait(timeout)
        except BaseException:
            if w.woken: (pass on to the next one what was handed over)
            else: queue.remove(w)
            raise
        if not woken: queue.remove(w)

    and whoever wakes takes waiters out until `wake` says True. Being woken and giving up exclude each other,
    also between threads: after a timeout or a kill `wake` says False.
    """

    __slots__ = ("__weakref__", "exc_info")

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__((None, (get_hub() if hub is None else hub).turn, None))
        self.exc_info: tuple[Any, ...] | None = None
        """What `throw` was called with."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    wake = wake
    wake_now = wake_now
    fail = fail

    @property
    def hub(self) -> Hub:
        hub: Hub = self[1][0]
        return hub

    @property
    def greenlet(self) -> greenlet | None:
        """Who is suspended in `wait` and not woken yet, if anybody is."""
        return getattr(self[0], "__self__", None)

    @property
    def woken(self) -> bool:
        return len(self) > 3 and self[3] is not _ABANDONED

    @property
    def value(self) -> Any:
        """What `wake` was called with."""
        return self[3][0] if len(self) > 3 else None

    def wait(self, timeout: float | None = None) -> bool:
        """Suspend the current greenlet until somebody calls `wake`; at once if that is done. False after
        `timeout` seconds."""
        if len(self) > 3:
            return self.woken
        hub, _, suspend, _ = self[1]
        current = getcurrent()
        if current is hub:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        if self[0] is not None:
            raise ConcurrentObjectUseError(f"This Waiter is already used by {self.greenlet!r}")
        switch = current.switch
        _since = last_look[0]  # For `_waits`.
        timer = None if timeout is None else hub.loop.call_later(timeout, switch)
        try:
            self[0] = switch
            # Looked at again for the sake of signal handlers, which may have called `wake` before that line.
            if len(self) > 3:
                _stay(self, switch, timer)
                return True
            suspend()
        except BaseException:
            _give_up(self, switch, timer)
            raise
        return _check(self, switch, timer)

    # gevent's names

    def get(self) -> Any:
        """Wait, and give what the waiter was woken with; raises what it was failed with."""
        self.wait()
        value, error = self[3]
        if error is not None:
            raise error
        return value

    def switch(self, value: Any = None) -> None:
        """Wake with `value`; in a callback of the loop at once."""
        if getcurrent() is self[1][0]:
            self.wake_now(value)
        else:
            self.wake(value)

    def switch_args(self, *args: Any) -> None:
        """`switch` with the tuple of the arguments."""
        self.switch(args)

    def clear(self) -> None:
        """Be as new: it can be woken and waited for again."""
        del self[3:]
        self[0] = None
        self.exc_info = None

    def throw(self, *args: Any) -> None:
        """Fail with an exception, given as to `raise`: a class or an instance, perhaps with a value. In a
        callback of the loop at once."""
        if len(self) == 3:
            self.exc_info = args
        error = args[0] if args else GreenletExit()
        if isinstance(error, type):
            error = error(*args[1:2]) if len(args) > 1 and args[1] is not None else error()
        _settle(self, (None, error), _resume if getcurrent() is self[1][0] else _resume_later)

    def ready(self) -> bool:
        """Was it woken or failed?"""
        return len(self) > 3

    def successful(self) -> bool:
        """Was it woken, and not failed?"""
        return self.woken and self[3][1] is None

    def __repr__(self) -> str:
        # No greenlet in it: a greenlet's repr may have the waiter's in it.
        return f"<{type(self).__name__} at {id(self):#x}>"

    def __str__(self) -> str:
        text = f"<{type(self).__name__} greenlet={self.greenlet}"
        if self.exc_info is not None:
            text += f" exc_info={self.exc_info!r}"
        elif self.woken:
            text += f" value={self.value!r}"
        return text + ">"


class Row(deque[Entry]):
    """Entries in the order of their coming; of any threads. Whoever serves takes them out on the left.

    One who gives up may stay in for a while; he cannot be woken any more. There are never more of those than
    of others, but for a few, so that leaving costs the same however long the row is.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        super().__init__()
        self._left = 0

    def leave(self, entry: Entry) -> None:
        """The one of `entry` gave up."""
        if len(self) <= _SHORT_ROW:
            try:
                self.remove(entry)
            except ValueError:
                # Taken out, by whoever could not wake it then.
                pass
            return
        self._left = left = self._left + 1
        if left * 2 > len(self):
            self._left = 0
            try:
                for other in starmap(self.popleft, repeat((), len(self))):
                    # No signal handler can come between: who is out and waits goes in again.
                    if len(other) == 3:
                        self.append(other)
            except IndexError:
                # Another thread takes out as well.
                pass

    def waiting(self) -> int:
        """How many wait."""
        return sum(len(entry) == 3 for entry in list(self))


class RowOwner(Protocol):
    """Whatever has a row: says how a wait is begun and how it is undone."""

    def _look_again(self) -> object:
        """Somebody has just entered the row. Wake him if what he waits for is there by now: another thread
        may have brought it after he looked and before he entered."""

    def _take_back(self, entry: Entry) -> object:
        """The one of `entry` was woken and then killed before he ran. What he was handed goes to the next."""


def stand_in_row(row: Row, owner: RowOwner, tag: Any, timeout: float | None) -> Entry | None:
    """Wait in `row`, as `tag`, until somebody takes the entry out and wakes it: the entry, with its outcome.
    None after `timeout` seconds; a Timeout in their place is started and raises itself. Blocks; whatever
    comes out of here, the row is as if nobody had been there."""
    if timeout is not None and hasattr(timeout, "__enter__"):
        own: Any = timeout
        with own:
            return stand_in_row(row, owner, tag, None)
        # A silent one.
        return None
    turn: Turn = get_turn() or _make_hub().turn
    hub, _, suspend, loop = turn
    current = getcurrent()
    if current is hub:
        raise BlockingSwitchOutError(_IN_CALLBACK)
    switch = current.switch
    _since = last_look[0]  # For `_waits`.
    timer = None if timeout is None else loop.call_later(timeout, switch)
    entry: Entry = [None, turn, tag]
    try:
        row.append(entry)
        owner._look_again()
        entry[0] = switch
        if len(entry) > 3:
            _stay(entry, switch, timer)
            return entry
        suspend()
    except BaseException:
        if not _give_up(entry, switch, timer):
            owner._take_back(entry)
        row.leave(entry)
        raise
    if timer is None and entry[0] is None and len(entry) > 3:
        return entry
    try:
        if _check(entry, switch, timer):
            return entry
    except BaseException:
        if entry[3] is not _ABANDONED:
            owner._take_back(entry)
        row.leave(entry)
        raise
    row.leave(entry)
    return None


def get_hub() -> Hub:
    """The hub of this thread; made when it is first asked for. Does not block."""
    turn: Turn | None = get_turn()
    return _make_hub() if turn is None else turn[0]


def get_hub_if_any() -> Hub | None:
    """The hub of this thread, or None if nothing has asked for one yet."""
    turn: Turn | None = get_turn()
    return None if turn is None else turn[0]


def raise_in_main(error: BaseException) -> None:
    """Have `error` thrown into the main greenlet from the loop, if it is one of those that end programs. For
    `guard`: the interpreter prints what comes out of a finalizer and ignores it, also the KeyboardInterrupt
    of a signal handler. All else, and where there is no hub, is raised."""
    turn: Turn | None = get_turn()
    if turn is None or isinstance(error, Exception):
        raise error
    turn[1](partial(turn[0].handle_error, None, type(error), error, error.__traceback__))


def _make_hub() -> Hub:
    spare = this_thread.__dict__.pop("spare", None)
    hub = Hub(None if spare is None or spare.closed else spare)
    this_thread.end = _ThreadEnd(hub)
    set_turn(hub.turn)
    hub.start_periodic_monitoring_thread()
    return hub


def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Let the others run for `seconds`; with 0 or less, once everybody who is ready now.

    With `ref` false the sleep does not keep the loop alive: where everybody else is done, the main greenlet
    gets LoopExit instead of its wait going on. Raises BlockingSwitchOutError in a callback of the loop.
    """
    if seconds <= 0:
        hub, append, suspend, _ = get_turn() or _make_hub().turn
        current = getcurrent()
        if current is hub:
            raise BlockingSwitchOutError(_IN_CALLBACK)
        turn = current.switch
        try:
            append(turn)
            suspend()
        except BaseException:
            hub.loop.cancel_ready(turn)
            raise
    else:
        get_hub().wait_seconds(seconds, ref)


def idle(priority: int = 0) -> None:
    """Wait until the loop has nothing else to do. `priority` is taken for compatibility."""
    get_hub().wait_idle()


def spawn_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> greenlet:
    """Run `function(*args, **kwargs)` in a bare greenlet as soon as the caller waits: no result, no links, no
    join. A failure is printed. Does not block; TypeError if `function` cannot be called."""
    if not callable(function):
        raise TypeError("function must be callable")
    hub = get_hub()
    target = greenlet(function, hub)
    switch = target.switch
    hub.loop.ready.append(partial(switch, *args, **kwargs) if args or kwargs else switch)
    return target


def kill(greenlet: greenlet, exception: type[BaseException] | BaseException = GreenletExit) -> None:
    """Throw `exception` into `greenlet`, which may be of any kind, from the loop. Does not block and does not
    wait for the end. Does nothing if it is dead by then."""
    if not greenlet.dead:
        own = getattr(greenlet, "kill", None)
        if own is not None:
            own(exception, block=False)
        else:
            get_hub().loop.ready.append(partial(_throw, greenlet, exception))


def reinit(hub: Hub | None = None) -> None:
    """Give the hub of this thread a poller and a wake-up of its own. In the child of a fork it is called by
    itself."""
    helper_threads.clear()
    close_orphans()
    spare = getattr(this_thread, "spare", None)
    if spare is not None and not spare.closed:
        spare.reinit()
    hub = get_hub_if_any() if hub is None else hub
    if hub is not None:
        hub.loop.reinit()
        for part in (hub.periodic_monitoring_thread, hub._threadpool):
            # What libraries put in their place need not know.
            forked = getattr(part, "forked", None)
            if forked is not None:
                forked()


class signal_handler:
    """Call `handler(*args, **kwargs)` in a greenlet of its own whenever the process receives the signal
    `signalnum`, until `cancel`. What it raises is thrown into the main greenlet.

    It does not keep the loop alive, unless `ref` is set. Only in the main thread (ValueError). Raises
    TypeError if `handler` cannot be called.
    """

    greenlet_class: ClassVar[type[greenlet]] = greenlet
    """What the handler runs in, called with (run, hub)."""

    def __init__(self, signalnum: int, handler: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        if not callable(handler):
            raise TypeError("signal handler must be callable.")
        self.hub = get_hub()
        self.handler: Callable[..., object] | None = handler
        self.args = args
        self.kwargs = kwargs
        self.watcher = self.hub.loop.signal(signalnum, ref=False)
        self.watcher.start(self._start)

    @property
    def ref(self) -> bool:
        """Does it keep the loop alive?"""
        return self.watcher.ref

    @ref.setter
    def ref(self, value: bool) -> None:
        self.watcher.ref = value

    def cancel(self) -> None:
        """Do not call any more; the handler of before is back. Does nothing if that is so already."""
        self.watcher.stop()
        self.handler = None
        self.args = ()
        self.kwargs = {}

    def _start(self) -> None:
        self.greenlet_class(self.handle, self.hub).switch()

    def handle(self) -> None:
        """Call the handler now."""
        handler = self.handler
        if handler is None:
            return
        try:
            handler(*self.args, **self.kwargs)
        except BaseException as error:
            self.hub.handle_error(None, type(error), error, error.__traceback__)


signal = signal_handler


os.register_at_fork(after_in_child=reinit)
