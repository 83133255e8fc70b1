"""The loop as libraries know it: gevent's names, on top of `Loop`.

What belongs here: making watchers, the order in which their events are called, the loop's numbers, running it
for one turn. What never does: anything that the package's own waits go through.

What only libraries use costs nothing where they do not: it stands in the place of the poller's `poll`, or of
nothing, while it is wanted.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from .._original import monotonic
from . import watchers
from .children import Children
from .core import ErrorHandler, Loop, _nobody, _not_begun
from .poller import Poller
from .pollers import BACKENDS, POLLERS, backend_of
from .watchers import FORK, Pending, Watcher

__all__ = ["BACKENDS", "POLLERS", "WatcherLoop"]


class WatcherLoop(Loop):
    """A `Loop` with gevent's methods.

    `flags` names the poller, as a text, a list of texts or a number of `BACKENDS`; None is the one of
    `config.poller`. With
    `default` it is the loop of the main thread, which hears signals and waits for children; None asks whether
    this is the main thread. The rest is as for `Loop`.

    Raises ValueError for a poller that is unknown or not available, TypeError for what is no flag.
    """

    MAXPRI = 2
    MINPRI = -2
    WatcherType = Watcher
    approx_timer_resolution = 0.001
    """Seconds. Shorter waits are rounded up to it."""

    __slots__ = (
        "_checks",
        "_children",
        "_depth",
        "_forks",
        "_iteration",
        "_prepares",
        "_signals",
        "_single",
        "_waiting_events",
        "backend",
        "default",
    )

    def __init__(
        self,
        flags: str | int | Sequence[str] | None = None,
        default: bool | None = None,
        ptr: int = 0,
        *,
        clock: Callable[[], float] = monotonic,
        poller: Callable[[], Poller] | None = None,
        listen: Callable[[], float] = _nobody,
    ) -> None:
        self.backend = backend_of(flags)
        """The name of the poller."""
        self._prepares: list[watchers.prepare] = []
        self._checks: list[watchers.check] = []
        self._forks: list[watchers.fork] = []
        self._signals: list[watchers.signal] = []
        self._waiting_events: list[deque[Pending]] = [deque() for _ in range(self.MINPRI, self.MAXPRI + 1)]
        """The events that were noticed, by priority, the lowest first."""
        self._depth = 0
        self._iteration = -1
        self._single: int | None = None
        """Is only one turn to be run? 1: one that waits; 0: one that does not; None: as many as it takes."""
        super().__init__(clock, poller or POLLERS[self.backend], listen, signals=default is not False)
        self.default = self.hears_signals
        """Is this the loop of the main thread?"""
        self._children = Children(self)

    # Making watchers

    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> watchers.io:
        """A watcher of the descriptor `fd`: `events` is 1 (to read), 2 (to write) or 3. ValueError for a
        negative descriptor and for other events."""
        return watchers.io(self, fd, events, ref, priority)

    def timer(
        self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> watchers.timer:
        """A watcher of time: calls `after` seconds from its start, and every `repeat` seconds then.
        ValueError for a negative `repeat`."""
        return watchers.timer(self, after, repeat, ref, priority)

    def signal(self, signum: int, ref: bool = True, priority: int | None = None) -> watchers.signal:
        """A watcher of a signal. ValueError for what is no signal's number."""
        return watchers.signal(self, signum, ref, priority)

    def idle(self, ref: bool = True, priority: int | None = None) -> watchers.idle:
        """A watcher that calls in every turn in which there is nothing else to do."""
        return watchers.idle(self, ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> watchers.prepare:
        """A watcher that calls before the loop asks for events."""
        return watchers.prepare(self, ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> watchers.check:
        """A watcher that calls after the loop has asked for events."""
        return watchers.check(self, ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> watchers.fork:
        """A watcher that calls in the child after a fork."""
        return watchers.fork(self, ref, priority)

    def async_(self, ref: bool = True, priority: int | None = None) -> watchers.async_:
        """A watcher that calls after somebody used its `send`, from any thread."""
        return watchers.async_(self, ref, priority)

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> watchers.child:
        """A watcher of the child process `pid`, or of all with 0. TypeError if the loop is not the
        default one."""
        return watchers.child(self, pid, trace, ref)

    def stat(
        self, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> watchers.stat:
        """A watcher of the file `path`, looked at every `interval` seconds."""
        return watchers.stat(self, path, interval, ref, priority)

    def install_sigchld(self) -> None:
        """Handle SIGCHLD from now on, not only while a child watcher needs it. Only in the main thread
        (ValueError)."""
        self._children.install()

    def reset_sigchld(self) -> None:
        """Put the former SIGCHLD handler back, unless a child watcher needs ours."""
        self._children.reset()

    def closing_fd(self, fd: int) -> bool:
        """Tell that `fd` is going to be closed: whoever watches it is called once more, from the loop, to
        look for himself. Was there anybody?"""
        evicted = self._borrowed.pop(fd, None)
        if evicted is not None:
            self._poller.remove(fd)
        else:
            descriptor = self._descriptors.get(fd)
            if descriptor is None or not descriptor.borrowers:
                return False
            evicted, descriptor.borrowers = descriptor.borrowers, None
        # Its number may be in use again before they are called.
        for borrowed in evicted:
            borrowed.lasting = False
            borrowed.fd = -1
        self.ready.append(partial(self._call_borrowers, evicted, -1))
        return True

    # Calling their callbacks

    def _feed(self, watcher: Watcher, revents: int) -> None:
        """An event of `watcher` was noticed: call it in its turn."""
        if watcher._pending is None:
            # One for each event, so that a call that fails takes no other with it.
            self.ready.append(self._call_next)
        self._note(watcher, revents)

    def _note(self, watcher: Watcher, revents: int) -> None:
        """Make `watcher` pending. Somebody must `_call_next`."""
        pending = watcher._pending
        if pending is not None:
            pending[1] |= revents
            return
        watcher._pending = pending = [watcher, revents]
        priority = max(self.MINPRI, min(self.MAXPRI, watcher._priority))
        self._waiting_events[priority - self.MINPRI].append(pending)

    def _call_next(self) -> None:
        """Call the watcher that comes first, unless its event was taken back."""
        watcher: Watcher | None = None
        # No loop in here: CPython may look for signals where it jumps back, outside of the `try`.
        try:
            waiting = next(filter(None, reversed(self._waiting_events)), None)
            if waiting is None:
                return
            pending = waiting[0]
            if pending[0] is None:
                del waiting[0]
                return
            callback = pending[0]._callback
            arguments = pending[0]._arguments(pending[1])
            # No signal handler can come between these steps and the call.
            watcher = pending[0]
            del waiting[0]
            watcher._pending = None
            if callback is not None:
                callback(*arguments)
            watcher._after_call()
        except BaseException as error:
            if watcher is None:
                # From a signal handler, before anything was taken out.
                self.ready.append(self._call_next)
                raise
            inner = error.__traceback__ and error.__traceback__.tb_next
            if inner is not None and _not_begun(inner):
                # From a signal handler, before the callback's first step.
                self._feed(watcher, pending[1])
            else:
                watcher._failed()
            watcher._after_call()
            self.report(watcher, error)

    def handle_error(
        self,
        context: object,
        type: type[BaseException],
        value: BaseException,
        tb: TracebackType | None,
    ) -> None:
        """Give a failure to `error_handler`, which is called with the same arguments or has such a method.
        Without one it is printed; what is to end the program or `run` is raised."""
        handler: Any = self.error_handler
        if handler is not None:
            getattr(handler, "handle_error", handler)(context, type, value, tb)
        elif self.closed or not issubclass(type, Exception) or issubclass(type, SystemError):
            raise value
        elif sys.stderr is not None:
            lines = traceback.format_exception(type, value, tb)
            sys.stderr.write("".join([*lines, f"{context!r} failed with {type.__name__}\n"]))

    def report(self, context: object, error: BaseException) -> None:
        trace = error.__traceback__
        if trace is not None and trace.tb_next is not None:
            # The loop's own line in the traceback tells nobody anything.
            trace = trace.tb_next
        self.handle_error(context, type(error), error, trace)

    # Running

    def run(self, nowait: bool = False, once: bool = False) -> None:
        """Run until nothing can happen any more, or `break_`. With `once` for one turn, which waits until
        something happens; with `nowait` for one that does not wait. May be called inside of a callback."""
        self._depth += 1
        before = self._single
        try:
            if nowait or once:
                self._single = 0 if nowait else 1
                self._hook()
            elif before is not None:
                self._single = None
                self._hook()
            super().run()
            if nowait or once:
                # What the timers of the turn were.
                for _ in range(sum(map(len, self._waiting_events))):
                    self._call_next()
        finally:
            self._depth -= 1
            if self._single is not before:
                self._single = before
                self._hook()
            if self._ending == 1 or not self._depth:
                self._ending = self.closed

    def break_(self, how: int = 1) -> None:
        """Have `run` return before it asks for events again: with 1 the innermost one, with 2 all of them,
        and with 0 none: the break is taken back."""
        self._ending = self.closed or how

    def _hook(self) -> None:
        """Stand in the place of the poller's `poll`, or leave it."""
        if self.closed:
            return
        wanted = self._prepares or self._checks or self._single is not None or self._iteration >= 0
        self._poll = self._poll_for_watchers if wanted else self._poller.poll

    def _poll_for_watchers(self, timeout: float) -> Sequence[tuple[int, int]]:
        """`Poller.poll` with what comes before and after it."""
        for prepare in list(self._prepares):
            if prepare._pending is None:
                self._note(prepare, watchers.PREPARE)
                self._call_next()
        single = self._single
        if self.ready or self._ending or single == 0:
            timeout = 0.0
        if self._iteration >= 0:
            self._iteration += 1
        if self.closed:
            return ()
        events = self._poller.poll(timeout)
        if self._checks:
            idle = not events and not self.ready and self.idlers
            for check in list(self._checks):
                self._feed(check, watchers.CHECK)
            if idle:
                # To be called at every turn is not to be busy.
                self.ready.append(self.idlers.popleft())
        if single is not None:
            self._ending = self._ending or 1
        return events

    # Numbers

    @property
    def activecnt(self) -> int:
        """How many things keep `run` from returning."""
        return self.active_count

    @property
    def pendingcnt(self) -> int:
        """How many watchers are pending."""
        return sum(pending[0] is not None for waiting in self._waiting_events for pending in waiting)

    @property
    def iteration(self) -> int:
        """How many turns were run. They are counted from the first time that this is asked for."""
        if self._iteration < 0:
            self._iteration = 0
            self._hook()
        return self._iteration

    @property
    def depth(self) -> int:
        """How many calls of `run` are under way, one inside the other."""
        return self._depth

    @property
    def backend_int(self) -> int:
        """The number that stands for the poller."""
        return BACKENDS[self.backend]

    @property
    def origflags(self) -> list[str]:
        """What the loop was made for: the name of its poller."""
        return [self.backend]

    @property
    def origflags_int(self) -> int:
        return BACKENDS[self.backend]

    @property
    def ptr(self) -> int:
        """A number for this loop among those that live; 0 for a closed one."""
        return 0 if self.closed else id(self)

    @property
    def sigfd(self) -> int:
        """The descriptor by which signals and other threads wake the loop; -1 for a closed one."""
        return -1 if self.closed else self._wake_reader

    @property
    def sig_pending(self) -> int:
        """How many signals were received and not told: none, Python's handlers run at once."""
        return 0

    def fileno(self) -> int:
        """The poller's descriptor; -1 for a closed loop."""
        return -1 if self.closed else self._poller.fileno()

    def ref(self) -> None:
        """Keep `run` from returning, until `unref`."""
        self.refs += 1

    def unref(self) -> None:
        """Take back one `ref`, or what one active watcher counts."""
        self.refs -= 1

    def verify(self) -> None:
        """Raise AssertionError if the order of the timers or the count of the cancelled ones is wrong."""
        timers = self._timers
        assert all(timers[(index - 1) >> 1] <= timers[index] for index in range(1, len(timers)))
        assert sum(timer[2] is None for timer in timers) == self._cancelled

    # Fork and end

    def _open(self) -> None:
        super()._open()
        self._hook()

    def reinit(self) -> None:
        super().reinit()
        self.default = self.hears_signals
        self._children.leave_behind()
        for watcher in list(self._forks):
            self._feed(watcher, FORK)

    def attend(self, listen: Callable[[], float], error_handler: ErrorHandler) -> None:
        super().attend(listen, error_handler)
        # A hub runs it without `run`.
        self._depth = 1

    def vacate(self) -> None:
        self._depth = 0
        self._let_go()
        super().vacate()
        self._hook()

    def leave_waits(self) -> None:
        """In the child after a fork, where nobody is to go on whom the loop would wake: forget everything but
        the fork watchers, who are to be called."""
        forks = list(self._forks)
        self._let_go()
        for fd in [*self._descriptors, *self._borrowed]:
            self._poller.remove(fd)
        self._forget()
        self.refs = sum(watcher.ref for watcher in forks)
        for watcher in forks:
            self._forks.append(watcher)
            watcher._pending = None
            self._feed(watcher, FORK)

    def destroy(self) -> None:
        """Close the loop. Idempotent."""
        self.close()

    def close(self) -> None:
        if not self.closed:
            self._let_go()
        super().close()
        self.default = False
        # What stands in its place holds the loop.
        self._poll = self._poller.poll

    def _let_go(self) -> None:
        """Listen to no signal and to no child any more."""
        self._children.forget()
        for watcher in list(self._signals):
            watcher.stop()

    def _forget(self) -> None:
        super()._forget()
        for waiting in self._waiting_events:
            waiting.clear()
        self._prepares.clear()
        self._checks.clear()
        self._forks.clear()

    def _format(self) -> str:
        """What the repr says besides class and address."""
        if self.closed:
            return "destroyed"
        default = " default" if self.default else ""
        counts = f"pending={self.pendingcnt} ref={self.activecnt}"
        return f"{self.backend}{default} {counts} fileno={self.fileno()}"

    def __repr__(self) -> str:
        return f"<loop at {id(self):#x} {self._format()}>"


setattr(WatcherLoop, "async", WatcherLoop.async_)
