"""The loop: take what is ready, call it; take what is due, call it; ask the poller; again.

What belongs here: the order in which callbacks run, the timers, the descriptors and who waits for them, the
wake-up from other threads and from signals. What never does: greenlets, nor the watchers that libraries use
(`watchers`, on top of this). A callback is anything that can be
called; that most of them are some greenlet's `switch` is the hub's affair.

Two rules shape the code of `Loop.run`.

*Nothing that was taken out is lost.* A signal handler of Python may raise between almost any two steps of the
main thread. So a callback leaves its queue by steps between which the interpreter does not look for signals
(an index, a `del`), a timer is marked as called only at the call, and where an answer of the poller may have
been lost on its way (edges are told once) all waiters are asked to look for themselves.

*Nobody starves.* One turn runs a bounded number of callbacks, then a bounded number of timers, then asks the
poller, without waiting if something is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import repeat
from opcode import opmap
from os import getpid
from types import TracebackType
from typing import Any

from .._original import (
    RLock,
    monotonic,
    os_close,
    os_pipe,
    os_read,
    os_set_blocking,
    os_write,
    set_wakeup_fd,
)
from .poller import HANGUP, READ, URGENT, WRITE, Poller
from .pollers import BEST

__all__ = [
    "Borrowed",
    "Callback",
    "Descriptor",
    "ErrorHandler",
    "Loop",
    "Timer",
    "close_orphans",
    "last_look",
]

Timer = list[Any]
"""[when, number, callback]: seconds on the loop's clock, order of making, and what to call; None once it was
called or cancelled."""

ErrorHandler = Callable[[object, type[BaseException], BaseException, "TracebackType | None"], object]

_RARE = HANGUP | URGENT
_ALL = READ | WRITE | HANGUP | URGENT

_CHUNK = 64
"""Callbacks that run before the clock is looked at, and at least those of one turn."""
_SLICE = 0.005
"""Seconds after which a turn goes on to its next part although more is ready."""
_LONGEST_POLL = 86400.0

last_look = [monotonic()]
"""When a loop of this process looked at its clock last, which every loop does before it waits and whenever
it has timers. Whoever begins to wait and wants to know later since when takes it from here: that costs a
tenth of a look of his own.

A loop with another clock than the process's leaves it alone."""
_FOREVER = float("inf")
_COMPACT_FROM = 256
"""Cancelled timers that are left in the heap without asking."""
_RESUME = opmap.get("RESUME")
"""From 3.11 on, the first instruction of a function that does anything: it looks for signals."""


class Descriptor:
    """One of our own descriptors: registered once, for both directions, edge-triggered, until
    `Loop.unregister`.

    Try first: `readable` and `writable` begin True. Whoever was told "would block" sets the one to False,
    puts a callback into `reader` or `writer`, and is called when that has changed. Being called is a hint,
    not a promise.
    """

    __slots__ = (
        "always_ready",
        "borrowers",
        "closed",
        "fd",
        "hangup",
        "loop",
        "readable",
        "reader",
        "ref",
        "urgent",
        "writable",
        "writer",
    )

    def __init__(self, loop: Loop, fd: int) -> None:
        self.fd = fd
        self.loop = loop
        self.readable = True
        self.writable = True
        self.hangup = False
        """The peer closed its half, or the descriptor is in error. Once seen, it stays."""
        self.urgent = False
        """There was out-of-band data. Once seen, it stays."""
        self.reader: Callable[[], object] | None = None
        self.writer: Callable[[], object] | None = None
        self.closed = False
        self.ref = True
        """Does whoever waits on it keep the loop alive? See `Loop.set_ref`."""
        self.always_ready = False
        """A kind of file that pollers do not take and that never blocks. There is nothing to wait for."""
        self.borrowers: list[Borrowed] | None = None
        """Those who borrowed the number of this descriptor of ours; None while there are none."""

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        waiting = "".join(
            f" {name}={callback!r}"
            for name, callback in (("reader", self.reader), ("writer", self.writer))
            if callback is not None
        )
        return f"<Descriptor {self.fd}{state}{waiting}>"


def _telling_poller(name: str, event: int) -> property:
    """The flag `name` of a `Descriptor`; that it becomes False is told to the poller."""
    flag = vars(Descriptor)[name]

    def set_flag(descriptor: Descriptor, value: bool) -> None:
        flag.__set__(descriptor, value)
        if not value and not descriptor.closed:
            arm = descriptor.loop._poller.arm
            if arm is not None:
                arm(descriptor.fd, event)

    return property(flag.__get__, set_flag)


class _ArmedDescriptor(Descriptor):
    """A `Descriptor` for a poller that has to be told when to look for the next edge."""

    __slots__ = ()

    readable = _telling_poller("readable", READ)
    writable = _telling_poller("writable", WRITE)


class Borrowed:
    """One wait for somebody else's descriptor, or a lasting watch over it. See `Loop.borrow`."""

    __slots__ = ("callback", "events", "fd", "lasting", "ref")

    def __init__(
        self, fd: int, events: int, callback: Callable[[int], object], lasting: bool, ref: bool
    ) -> None:
        self.fd = fd
        """-1 once its owner has said that he closes it: the number may be somebody else's."""
        self.events = events
        self.callback: Callable[[int], object] | None = callback
        """None once it was called for the last time or released."""
        self.lasting = lasting
        """Is it told again and again, as long as it holds?"""
        self.ref = ref
        """Does it keep the loop alive?"""


class Callback:
    """A call that the loop will make once. False as soon as it was made or stopped."""

    __slots__ = ("_loop", "args", "callback")

    def __init__(self, loop: Loop, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._loop = loop
        self.callback: Callable[..., object] | None = callback
        self.args: tuple[Any, ...] | None = args

    def stop(self) -> None:
        """Do not make the call. Does nothing after it."""
        self.callback = None
        self.args = None

    close = stop

    @property
    def pending(self) -> bool:
        return self.callback is not None

    def __bool__(self) -> bool:
        return self.callback is not None

    def run(self) -> None:
        """Make the call, unless it was made or stopped. An exception goes to the loop's error handler."""
        callback, args = self.callback, self.args
        if callback is None or args is None:
            return
        self.callback = None
        try:
            callback(*args)
        except BaseException as error:
            self._loop.report(self, error)
        finally:
            self.args = None

    def __repr__(self) -> str:
        what = " stopped" if self.callback is None else f" callback={self.callback!r} args={self.args!r}"
        return f"<callback at {id(self):#x}{what}>"


_orphans: list[tuple[int, int]] = []
"""The pipes of closed loops into which the process's signals may still go."""


def _unset_wakeup_fd(fd: int) -> None:
    former = set_wakeup_fd(-1)
    if former not in (-1, fd):
        set_wakeup_fd(former)


def close_orphans() -> None:
    """In the child after a fork, whose only thread is the main thread now: close what a loop of the parent's
    main thread has left."""
    while _orphans:
        reader, writer = _orphans.pop()
        _unset_wakeup_fd(writer)
        os_close(reader)
        os_close(writer)


def _nobody() -> float:
    return 0.0


def _not_begun(trace: TracebackType) -> bool:
    """Was the function of this traceback entry interrupted before its first step?"""
    where = trace.tb_lasti
    if _RESUME is None or where < 0:
        return where < 0
    code = trace.tb_frame.f_code.co_code
    return code[where] == _RESUME and code[where + 1] == 0


def _keeps(borrowers: list[Borrowed]) -> bool:
    return any(borrowed.ref for borrowed in borrowers)


def _events_of(waiting: list[Borrowed]) -> int:
    events = 0
    for borrowed in waiting:
        events |= borrowed.events
    return events


class Loop:
    """An event loop for one thread.

    `clock` gives seconds and never goes back; `poller` makes one when it is called. `listen` is asked, when
    nothing in the loop can happen any more, for how many seconds to wait for somebody outside to use
    `call_threadsafe`; it is asked again after them, and 0 ends `run`. `signals`: in the main thread, let a
    signal that arrives while the loop waits end the wait, so that what its Python handler made ready runs.

    Only what has `threadsafe` in its name may be used from other threads.
    """

    __slots__ = (
        "__weakref__",
        "_borrowed",
        "_cancelled",
        "_chunk",
        "_clock",
        "_descriptors",
        "_dropped",
        "_ending",
        "_listen",
        "_look",
        "_make_poller",
        "_now",
        "_pending",
        "_pid",
        "_poll",
        "_poller",
        "_sequence",
        "_timers",
        "_unref",
        "_wake_lock",
        "_wake_reader",
        "_wake_sent",
        "_wake_writer",
        "_wants_signals",
        "_witness",
        "closed",
        "era",
        "error_handler",
        "hears_signals",
        "idlers",
        "ready",
        "refs",
    )

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        poller: Callable[[], Poller] = BEST,
        listen: Callable[[], float] = _nobody,
        signals: bool = False,
    ) -> None:
        self.ready: deque[Callable[[], object]] = deque()
        """What to call as soon as possible, in this order. Append to it."""
        self.idlers: deque[Callable[[], object]] = deque()
        """What to call, one by one, when nothing is ready, nothing is due and no descriptor has an event.
        Append to it."""
        self.refs = 0
        """How many things outside of the loop will still wake it. While there are any, `run` waits for
        them."""
        self.era = object()
        """Another one after everything was forgotten. Who notes that a callback stands in the loop notes
        this, and so knows whether it still does."""
        self.error_handler: ErrorHandler | None = None
        """Called with (context, type, value, traceback) for an exception out of a callback. What it raises
        itself comes out of `run`, which may be called again then."""
        self.closed = False
        self._ending = 0
        """Is the `run` under way to return before it asks the poller again? Set by `close`, too."""
        self._clock = clock
        self._look = last_look if clock is monotonic else [0.0]
        self._now = clock()
        self._make_poller = poller
        self._listen = listen
        self._wants_signals = signals
        self.hears_signals = False
        self._chunk: list[deque[Callable[[], object]]] = []
        self._dropped: dict[int, Callable[[], object]] = {}
        self._timers: list[Timer] = []
        self._sequence = 0
        self._cancelled = 0
        self._unref: dict[int, Timer] = {}
        self._descriptors: dict[int, Descriptor] = {}
        self._borrowed: dict[int, list[Borrowed]] = {}
        self._witness: Descriptor | None = None
        self._pending: Iterator[tuple[int, int]] = iter(())
        self._pid = getpid()
        self._wake_lock = RLock()
        self._wake_reader = self._wake_writer = -1
        self._open()

    # Callbacks

    def cancel_ready(self, callback: Callable[[], object]) -> None:
        """Take `callback`, that very object, out of `ready`, in constant time. It must be in there."""
        self._dropped[id(callback)] = callback
        # A running `run` goes through this list: it stops, and goes on with an eye on what is dropped.
        self._chunk.clear()

    def run_callback(self, func: Callable[..., object], *args: Any) -> Callback:
        """Call `func(*args)` as soon as possible. The result's `stop()` takes it back."""
        callback = Callback(self, func, args)
        self.ready.append(callback.run)
        return callback

    def run_callback_threadsafe(self, func: Callable[..., object], *args: Any) -> Callback:
        """`run_callback` from any thread. A closed loop takes the callback and never runs it."""
        callback = Callback(self, func, args)
        self.call_threadsafe(callback.run)
        return callback

    def call_threadsafe(self, callback: Callable[[], object]) -> None:
        """Append `callback` to `ready` from any thread, and wake the loop. Does nothing on a closed loop."""
        if self.closed:
            return
        self.ready.append(callback)
        self._wake()

    # Time

    def now(self) -> float:
        """The time of the last `update_now`, or of the loop's last look at its clock. Seconds."""
        return self._now

    def update_now(self) -> None:
        self._now = self._clock()

    update = update_now

    def call_later(self, seconds: float, callback: Callable[[], object], ref: bool = True) -> Timer:
        """Call `callback` once `seconds` have passed, counted from this moment. Timers due at the same time
        are called in the order of their making. With `ref` false the timer does not keep `run` from
        returning."""
        try:
            when = self._clock() + seconds
            if not when < _FOREVER and when != when:
                # It has no place in an order, and would hide the timers behind it.
                raise ValueError("Invalid value NaN (not a number)")
        except TypeError:
            raise TypeError(f"must be real number, not {type(seconds).__name__}") from None
        self._sequence = number = self._sequence + 1
        timer: Timer = [when, number, callback]
        heappush(self._timers, timer)
        if not ref:
            self._unref[number] = timer
        return timer

    def call_at(self, when: float, callback: Callable[[], object], ref: bool = True) -> Timer:
        """`call_later`, but at the moment `when` of the loop's clock, which may have passed."""
        if when != when:
            raise ValueError("Invalid value NaN (not a number)")
        self._sequence = number = self._sequence + 1
        timer: Timer = [when, number, callback]
        heappush(self._timers, timer)
        if not ref:
            self._unref[number] = timer
        return timer

    def set_timer_ref(self, timer: Timer, ref: bool) -> None:
        """Is `timer` to keep `run` from returning? Does nothing if it was called or cancelled."""
        if ref:
            self._unref.pop(timer[1], None)
        elif timer[2] is not None:
            self._unref[timer[1]] = timer

    def cancel_timer(self, timer: Timer) -> None:
        """Do not make the call. Does nothing if it was made or cancelled. The timer's place in the heap is
        given back at once if it is the last, else when half of the heap is cancelled."""
        if timer[2] is None:
            return
        timer[2] = None
        if self._unref:
            self._unref.pop(timer[1], None)
        timers = self._timers
        if timers and timers[-1] is timer:
            timers.pop()
            return
        self._cancelled = cancelled = self._cancelled + 1
        if cancelled > _COMPACT_FROM and cancelled * 2 > len(timers):
            # In place: `run` holds this very list.
            timers[:] = [timer for timer in timers if timer[2] is not None]
            heapify(timers)
            self._cancelled = 0

    @property
    def timer_count(self) -> int:
        """How many timers are neither called nor cancelled."""
        return len(self._timers) - self._cancelled

    # Descriptors

    def register(self, fd: int) -> Descriptor:
        """Watch `fd`, which must not block, in both directions until `unregister`.

        Raises OSError (EBADF) if it is not open. A file of a kind that is always ready (a regular file) is
        accepted.
        """
        old = self._descriptors.get(fd)
        if old is not None:
            # Closed behind our back, and the number is in use again.
            self.unregister(old)
        descriptor = (Descriptor if self._poller.arm is None else _ArmedDescriptor)(self, fd)
        if not self._poller.add_edge(fd):
            descriptor.always_ready = True
            return descriptor
        borrowers = self._borrowed.pop(fd, None)
        self._descriptors[fd] = descriptor
        descriptor.borrowers = borrowers
        return descriptor

    def unregister(self, descriptor: Descriptor) -> None:
        """Stop watching; call this before the number is closed. Whoever still waits on it is called, to look
        for himself. Idempotent."""
        if descriptor.closed:
            return
        descriptor.closed = True
        descriptor.readable = descriptor.writable = True
        fd = descriptor.fd
        if self._descriptors.get(fd) is descriptor:
            del self._descriptors[fd]
            self._poller.remove(fd)
        if self._witness is descriptor:
            self._witness = None
        if descriptor.reader is not None or descriptor.writer is not None or descriptor.borrowers:
            self.ready.append(lambda: self._tell(descriptor, _ALL))

    def set_ref(self, descriptor: Descriptor, ref: bool) -> None:
        """Is a wait on `descriptor` to keep `run` from returning?"""
        descriptor.ref = ref
        if not ref and self._witness is descriptor:
            self._witness = None

    def borrow(
        self,
        fd: int,
        events: int,
        callback: Callable[[int], object],
        lasting: bool = False,
        ref: bool = True,
    ) -> Borrowed:
        """Call `callback(flags)` once when one of `events` (READ, WRITE, URGENT) holds on `fd`; HANGUP is
        always told. For descriptors that are not ours and may be closed or used anew at any time; several may
        wait for the same one. Undone by `release`. Raises OSError (EBADF) if it is not open, ValueError if it
        is negative.

        `lasting`: call it not once but whenever it holds at an asking of the poller, until `release`, or
        until the descriptor turns out to be closed. With `ref` false it does not keep `run` from
        returning."""
        if fd < 0:
            raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
        borrowed = Borrowed(fd, events, callback, lasting, ref)
        descriptor = self._descriptors.get(fd)
        if descriptor is not None:
            # Edges are told once: have what holds now told again.
            watched = self._poller.add_edge(fd)
            if descriptor.borrowers is None:
                descriptor.borrowers = []
            descriptor.borrowers.append(borrowed)
            if not watched:
                # Not what was registered: closed behind our back, and the number is in use again.
                self.ready.append(lambda: self._tell_borrowers_of(descriptor, events))
            return borrowed
        waiting = self._borrowed.get(fd)
        if waiting is None:
            watched = self._poller.add_once(fd, events)
            waiting = self._borrowed[fd] = []
        else:
            watched = self._poller.rearm(fd, events | _events_of(waiting))
        waiting.append(borrowed)
        if not watched:
            self.ready.append(lambda: self._tell_borrowers(fd, events))
        return borrowed

    def release(self, borrowed: Borrowed) -> None:
        """Undo a `borrow`. Does nothing after its callback was called; never fails, whatever became of the
        descriptor."""
        if borrowed.callback is None:
            return
        borrowed.callback = None
        fd = borrowed.fd
        waiting = self._borrowed.get(fd)
        if waiting is not None and borrowed in waiting:
            waiting.remove(borrowed)
            self._after_telling(fd, waiting)
            return
        descriptor = self._descriptors.get(fd)
        if descriptor is not None and descriptor.borrowers and borrowed in descriptor.borrowers:
            descriptor.borrowers.remove(borrowed)

    def evict(self, fd: int) -> list[Borrowed]:
        """`fd` is about to be closed: stop watching it. Those who borrowed it and were not told yet, whom
        nobody will tell any more; the owner of a descriptor of ours is called, to look for himself."""
        evicted = self._borrowed.pop(fd, None)
        descriptor = self._descriptors.get(fd)
        if evicted is not None:
            self._poller.remove(fd)
        elif descriptor is not None:
            evicted, descriptor.borrowers = descriptor.borrowers, None
            self.unregister(descriptor)
        return evicted or []

    def _after_telling(self, fd: int, waiting: list[Borrowed]) -> None:
        """Some of those who borrowed `fd` left: forget it, or watch for the others."""
        if not waiting:
            del self._borrowed[fd]
            self._poller.remove(fd)
            return
        try:
            watched = self._poller.rearm(fd, _events_of(waiting))
        except OSError:
            # Closed behind our back: the others find out by themselves.
            for borrowed in waiting:
                borrowed.lasting = False
            watched = False
        if not watched:
            self.ready.append(lambda: self._tell_borrowers(fd, _ALL))

    def _tell_borrowers(self, fd: int, flags: int) -> None:
        waiting = self._borrowed.get(fd)
        if waiting is None:
            # Released while the event was on its way; a number that nobody knows must not be told again.
            self._poller.remove(fd)
            return
        told = [borrowed for borrowed in waiting if flags & (borrowed.events | HANGUP)]
        waiting[:] = [
            borrowed for borrowed in waiting if borrowed.lasting or not flags & (borrowed.events | HANGUP)
        ]
        self._after_telling(fd, waiting)
        self._call_borrowers(told, flags)

    def _tell_borrowers_of(self, descriptor: Descriptor, flags: int) -> None:
        waiting = descriptor.borrowers
        if not waiting:
            return
        if descriptor.closed:
            descriptor.borrowers = None
            self._part(descriptor.fd, waiting)
            return
        told = [borrowed for borrowed in waiting if flags & (borrowed.events | HANGUP)]
        others = [
            borrowed for borrowed in waiting if borrowed.lasting or not flags & (borrowed.events | HANGUP)
        ]
        descriptor.borrowers = others or None
        if told and len(told) + len(others) > len(waiting):
            # Edges are told once, to those who last as long as it holds.
            try:
                self._poller.add_edge(descriptor.fd)
            except OSError:
                for borrowed in others:
                    borrowed.lasting = False
        self._call_borrowers(told, flags)

    def _part(self, fd: int, waiting: list[Borrowed]) -> None:
        """Those of `waiting` who borrowed `fd` while it was a descriptor of ours: who waits once looks for
        himself, who watches it goes on, for the number may still be open."""
        lasting = [borrowed for borrowed in waiting if borrowed.lasting and borrowed.callback is not None]
        descriptor = self._descriptors.get(fd)
        if lasting and descriptor is None:
            others = self._borrowed.setdefault(fd, [])
            others += lasting
            self._after_telling(fd, others)
        elif lasting and descriptor is not None:
            # Ours again, and an edge may have been told meanwhile.
            descriptor.borrowers = [*(descriptor.borrowers or ()), *lasting]
            try:
                self._poller.add_edge(fd)
            except OSError:
                # Closed behind our back: whoever uses it finds out by himself.
                pass
        self._call_borrowers([borrowed for borrowed in waiting if not borrowed.lasting], _ALL)

    def _call_borrowers(self, told: list[Borrowed], flags: int) -> None:
        for borrowed in told:
            callback = borrowed.callback
            if callback is None:
                continue
            if not borrowed.lasting:
                borrowed.callback = None
            try:
                callback(flags & (borrowed.events | HANGUP))
            except BaseException as error:
                self.report(callback, error)

    def _tell(self, descriptor: Descriptor, flags: int) -> None:
        """The slow twin of the event part of `run`, for the rare occasions."""
        if flags & (READ | HANGUP):
            descriptor.readable = True
            callback = descriptor.reader
            if callback is not None:
                descriptor.reader = None
                self.ready.append(callback)
        if flags & (WRITE | HANGUP):
            descriptor.writable = True
            callback = descriptor.writer
            if callback is not None:
                descriptor.writer = None
                self.ready.append(callback)
        if descriptor.borrowers:
            self._tell_borrowers_of(descriptor, flags)

    # Running

    def run(self) -> None:
        """Run until nothing can ever happen any more: nothing ready, no timer, nobody waiting for a
        descriptor, no `refs`. Blocks the thread, with the interpreter's lock released, while there is nothing
        to do."""
        self._ending = int(self.closed)
        ready = self.ready
        chunk = self._chunk
        popleft = deque.popleft
        dropped = self._dropped
        idlers = self.idlers
        timers = self._timers
        clock = self._clock
        look = self._look
        descriptor_of = self._descriptors.get
        flags_of = self._poller.flags
        callback: Any = None
        unref = self._unref
        taken: Timer | None = None
        descriptor: Descriptor | None = None
        flags = 0
        asking = telling = failed = False
        while not self.closed:
            try:
                while True:
                    for fd, mask in self._pending:
                        callback = None
                        descriptor = descriptor_of(fd)
                        flags = flags_of[mask]
                        if descriptor is None:
                            self._stray_event(fd, flags)
                            continue
                        if flags & _RARE:
                            if flags & HANGUP:
                                flags |= READ | WRITE
                                descriptor.hangup = True
                            if flags & URGENT:
                                descriptor.urgent = True
                        # Both before either is called: the one who is called may look at the other.
                        if flags & WRITE:
                            descriptor.writable = True
                        if flags & READ:
                            descriptor.readable = True
                            callback = descriptor.reader
                            if callback is not None:
                                descriptor.reader = None
                                callback()
                        if flags & WRITE:
                            callback = descriptor.writer
                            if callback is not None:
                                descriptor.writer = None
                                callback()
                        if descriptor.borrowers is not None:
                            callback = None
                            self._tell_borrowers_of(descriptor, flags)
                    descriptor = None
                    telling = False

                    if ready and not failed:
                        share = len(ready)
                        began = 0.0
                        while True:
                            if not chunk:
                                chunk.extend(repeat(ready, _CHUNK))
                            if not dropped:
                                # `for` takes out and stores in one: no signal handler comes in between, as
                                # one may after a call of `popleft`.
                                for callback in map(popleft, chunk):
                                    callback()
                                    if not ready:
                                        break
                            else:
                                for _ in repeat(None, _CHUNK):
                                    if not ready:
                                        break
                                    # Nor does one between looking at the first and taking it out.
                                    callback = ready[0]
                                    if id(callback) in dropped:
                                        del ready[0]
                                        del dropped[id(callback)]
                                        continue
                                    del ready[0]
                                    callback()
                            share -= _CHUNK
                            if share <= 0 or not ready:
                                break
                            now = clock()
                            if not began:
                                began = now
                            elif now - began > _SLICE:
                                break
                    failed = False
                    callback = None

                    now = 0.0
                    if timers:
                        self._now = look[0] = now = clock()
                        last = self._sequence
                        fired = 0
                        while timers:
                            timer = timers[0]
                            if timer[2] is None:
                                heappop(timers)
                                self._cancelled -= 1
                                continue
                            if timer[0] > now or timer[1] > last:
                                break
                            fired += 1
                            if not fired % _CHUNK and clock() - now > _SLICE:
                                break
                            if unref:
                                unref.pop(timer[1], None)
                            taken = timer
                            heappop(timers)
                            callback = timer[2]
                            # From here to the call no signal handler comes in.
                            timer[2] = taken = None
                            callback()
                        if fired:
                            now = clock()
                            callback = None

                    if self._ending:
                        return
                    if ready:
                        timeout = 0.0
                    else:
                        if dropped:
                            # What is still in here was called before it could be dropped.
                            dropped.clear()
                        if not now:
                            self._now = look[0] = clock()
                        if idlers:
                            timeout = 0.0
                        elif timers and (not unref or self._is_kept_by_timer() or self._is_awaited()):
                            timeout = timers[0][0] - now
                            if timeout < 0.0:
                                timeout = 0.0
                            elif timeout > _LONGEST_POLL:
                                timeout = _LONGEST_POLL
                        elif (
                            # Most likely the one of last time.
                            (witness := self._witness) is not None and (witness.reader or witness.writer)
                        ) or self._is_awaited():
                            timeout = -1.0
                        else:
                            timeout = self._listen()
                            if ready:
                                # Whoever appended is not there any more, perhaps.
                                timeout = 0.0
                            elif not timeout:
                                return
                    asking = telling = True
                    events = self._poll(timeout)
                    if events:
                        self._pending = iter(events)
                    elif idlers and not ready:
                        ready.append(idlers.popleft())
                    asking = False
            except BaseException as error:
                # Not before the timers and the poller had their part again.
                failed = True
                if taken is not None:
                    heappush(timers, taken)
                    taken = None
                trace = error.__traceback__
                inner = None if trace is None else trace.tb_next
                if asking or (telling and inner is None):
                    # Raised by a signal handler, between two steps of this function or in the poller: what
                    # that said may not have arrived, and edges are told only once.
                    asking = False
                    self._ask_again()
                elif callback is not None and inner is not None and _not_begun(inner):
                    # The signal came before the callback's first step.
                    ready.appendleft(callback)
                    callback = None
                if descriptor is not None:
                    self._tell(descriptor, flags)
                    descriptor = None
                self.report(callback, error)

    def report(self, context: object, error: BaseException) -> None:
        """Give an exception that nobody else wants to the error handler; raise it if there is none."""
        handler = self.error_handler
        if handler is None:
            raise error
        trace = error.__traceback__
        if trace is not None and trace.tb_next is not None:
            # The loop's own line in the traceback tells nobody anything.
            trace = trace.tb_next
        handler(context, type(error), error, trace)

    def _is_kept_by_timer(self) -> bool:
        """Is there a timer that is not made with `ref` false?"""
        unref = self._unref
        return any(timer[2] is not None and timer[1] not in unref for timer in self._timers)

    def _is_awaited(self) -> bool:
        """May something other than a timer still happen?"""
        refs = self.refs
        if refs < 0:
            # Somebody took back what an active watcher counts.
            return self.active_count > 0
        if refs or (self._borrowed and any(map(_keeps, self._borrowed.values()))):
            return True
        witness = self._witness
        if witness is not None and (witness.reader or witness.writer):
            return True
        for descriptor in self._descriptors.values():
            if descriptor.ref and (descriptor.reader or descriptor.writer):
                # Most likely it waits at the next time as well, and nobody need be searched.
                self._witness = descriptor
                return True
            if descriptor.borrowers and _keeps(descriptor.borrowers):
                return True
        self._witness = None
        return False

    @property
    def active_count(self) -> int:
        """How many things keep `run` from returning, without those that are ready."""
        borrowed = sum(one.ref for waiting in self._borrowed.values() for one in waiting)
        for one in self._descriptors.values():
            borrowed += one.ref and (one.reader is not None) + (one.writer is not None)
            borrowed += sum(each.ref for each in one.borrowers or ())
        return self.refs + self.timer_count - len(self._unref) + borrowed

    def _stray_event(self, fd: int, flags: int) -> None:
        """An event for something that is not one of our descriptors."""
        if self.closed:
            return
        if fd != self._wake_reader:
            self._tell_borrowers(fd, flags)
            return
        with self._wake_lock:
            try:
                os_read(fd, 4096)
            except BlockingIOError:
                pass
            # After the read and before `ready` is looked at: who comes from now on writes again.
            self._wake_sent = False

    def _ask_again(self) -> None:
        """Have the poller tell again, for all descriptors, what holds."""
        for fd, descriptor in list(self._descriptors.items()):
            try:
                self._poller.add_edge(fd)
            except OSError:
                # Closed behind our back: whoever waits finds out by himself.
                self._tell(descriptor, _ALL)
        for fd, waiting in list(self._borrowed.items()):
            self._after_telling(fd, waiting)

    # Wake-up, fork, end

    def _open(self) -> None:
        self._poller = poller = self._make_poller()
        self._poll = poller.poll
        self._wake_sent = False
        self._wake_reader, self._wake_writer = os_pipe()
        os_set_blocking(self._wake_reader, False)
        os_set_blocking(self._wake_writer, False)
        poller.add_level(self._wake_reader)
        if self._wants_signals:
            try:
                former = set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
            except ValueError:
                # Not the main thread, which it may become by a fork.
                self.hears_signals = False
            else:
                self.hears_signals = True
                if former != -1:
                    # Somebody else (asyncio) listens already.
                    set_wakeup_fd(former)

    def hear_signals(self) -> None:
        """Be again the one whom the system's signals wake, after somebody else was. Does nothing in a loop
        that does not hear signals."""
        if self.hears_signals and not self.closed:
            set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)

    def _wake(self) -> None:
        # A byte in the pipe wakes the loop once for everything that was appended before the byte is read. The
        # lock may be taken again by a signal handler that interrupts its holder, therefore it is reentrant.
        with self._wake_lock:
            if not self.closed and not self._wake_sent:
                self._wake_sent = True
                try:
                    os_write(self._wake_writer, b"\0")
                except BlockingIOError:
                    # Full of signal numbers: it is as readable as can be.
                    pass

    def _shut(self) -> None:
        self._poller.close()
        if self.hears_signals:
            try:
                _unset_wakeup_fd(self._wake_writer)
            except ValueError:
                # Another thread closes it. The signals' bytes still come, and must not go into a file that
                # gets the number next.
                _orphans.append((self._wake_reader, self._wake_writer))
                return
        os_close(self._wake_reader)
        os_close(self._wake_writer)

    def _renew_lock(self) -> None:
        self._pid = getpid()
        self._wake_lock = RLock()

    def reinit(self) -> None:
        """In the child after a fork: a poller and a wake-up pipe of its own, with the same registrations. The
        parent's are left as they are."""
        self._renew_lock()
        self._shut()
        self._open()
        self._ask_again()

    def close(self) -> None:
        """Give the poller and the pipe back and forget everything. A running `run` returns. Idempotent."""
        if self._pid != getpid():
            # The thread was left behind by a fork, and so was whoever held the lock.
            self._renew_lock()
        with self._wake_lock:
            if self.closed:
                return
            self.closed = True
            self._ending = 1
            self._shut()
        self._forget()
        self._listen = _nobody
        self.error_handler = None

    def attend(self, listen: Callable[[], float], error_handler: ErrorHandler) -> None:
        """Take over the loop: `listen` as in its making, and the error handler."""
        self._listen = listen
        self.error_handler = error_handler

    def vacate(self) -> None:
        """Forget everything but the poller and the pipe. A running `run` returns."""
        for fd in [*self._descriptors, *self._borrowed]:
            self._poller.remove(fd)
        self._forget()
        self.refs = 0
        self._listen = _nobody
        self.error_handler = None
        self._ending = 1

    def _forget(self) -> None:
        """Forget all callbacks, all timers and everybody who waits."""
        self.era = object()
        self.ready.clear()
        self.idlers.clear()
        self._timers.clear()
        self._unref.clear()
        self._dropped.clear()
        self._borrowed.clear()
        for descriptor in list(self._descriptors.values()):
            descriptor.closed = True
        self._descriptors.clear()
        self._witness = None
        self._cancelled = 0

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return (
            f"<Loop at {id(self):#x}{state} ready={len(self.ready)} timers={self.timer_count}"
            f" descriptors={len(self._descriptors)} refs={self.refs}>"
        )
