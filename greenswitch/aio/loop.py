"""The asyncio loop that waits in the hub.

What belongs here: the loop, what makes it the one that asyncio takes, and what of a running loop stays with
the greenlet that runs it. What never does: greenlets that wait for coroutines or the other way (`bridge`).

It is the standard loop, in all but its selector. Its callbacks run in the greenlet that called `run_forever`,
and while that one waits in the selector, others run. So one thing is new: who calls the loop may be another
greenlet of the same thread, while the loop waits. Everything that gives a loop something to do therefore
wakes it.

Python keeps for each native thread which loop runs there and which task, and what to do with asynchronous
generators. A greenlet that runs a loop takes these off when it suspends and puts them on again when it goes
on (`_apart`). So several greenlets of a thread can run a loop each, as threads would - in a program whose
threads have become greenlets that is what they do - and whoever does not run one is not taken for a
coroutine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import events
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from .._asyncio import put_back, set_aside
from .._original import get_ident, local
from ..exceptions import LoopExit
from ..hub import Hub, Waiter, get_hub, get_hub_if_any
from .selector import Selector

__all__ = ["EventLoop", "EventLoopPolicy", "install", "on_own_chunk", "running_loops", "tell_tasks"]

_Wait = Callable[[], Any]
_F = TypeVar("_F", bound=Callable[..., Any])

_running_loop = events._get_running_loop
_call_soon: Callable[..., Any] = getattr(asyncio.SelectorEventLoop, "_call_soon")  # noqa: B009

_here = local()
"""`loops`: those that run in this thread, the latest last. `hub`: the one whose waits are surrounded."""

_selectors: WeakSet[Selector] = WeakSet()


def on_own_chunk(function: _F) -> _F:
    """Give `function` a frame that is too large for the chunk of data stack that a greenlet has. What it
    calls is deeper than that chunk; so CPython adds one for as long as `function` runs, and not again and
    again for each call that crosses the edge."""
    changed: Any = function
    changed.__code__ = changed.__code__.replace(co_stacksize=200)
    return function


class EventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that shares its thread with greenlets.

    All that asyncio's own loop can do, it does in the same way. While it waits for something, and once in
    every turn, greenlets run. Its methods may be called by all greenlets of the thread in which it runs.
    Running it blocks the greenlet that does so; several of them may run a loop each.

    Where nothing can ever happen any more - no timer, no descriptor, no signal handler of the loop, no other
    native thread, and no greenlet that could run - the main greenlet gets LoopExit.
    """

    def __init__(self) -> None:
        self._waits = waits = Selector()
        super().__init__(waits)
        waits.minor = len(waits.get_map())
        _selectors.add(waits)
        self.waiters: set[Waiter] = set()
        """Greenlets, of any thread, that wait for something of this loop. Woken when it is closed."""

    @on_own_chunk
    def run_forever(self) -> None:
        """Run until `stop` is called."""
        # Asked here as well: some CPythons refuse, and stop the loop that runs.
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if _running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")
        hub = get_hub()
        _begin(self, hub)
        try:
            super().run_forever()
        except LoopExit as error:
            tell_tasks(error)
            raise
        finally:
            _end(self, hub)

    def close(self) -> None:
        """As asyncio's. Greenlets that still wait for something of the loop get RuntimeError."""
        super().close()
        while self.waiters:
            self.waiters.pop().wake()

    def waits_in(self, hub: Hub) -> bool:
        """Is it `hub` that it runs in?"""
        return self._waits.hub is hub

    def is_here(self) -> bool:
        """Does it run in this thread, or not at all?"""
        return self._waits.thread in (0, get_ident())

    # What gives it something to do

    def _call_soon(self, callback: Any, args: Any, context: Any) -> Any:
        # Not `call_soon`, whose arguments would be packed and unpacked once more for every callback.
        waits = self._waits
        if waits.away:
            waits.wake()
        handle = _call_soon(self, callback, args, context)
        if handle._source_traceback:
            # In debug mode: the stack that it was made by, without the frames that make it.
            del handle._source_traceback[-1]
        return handle

    def _write_to_self(self) -> None:
        # From any thread and from signal handlers, after something was added. Not by the pipe that asyncio
        # has for it, which is left to the system's signals: the hub, before it says that nothing can happen
        # any more, looks at what was called in, but not for something to read.
        self._waits.wake_threadsafe()

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer: Any = super().call_at(when, callback, *args, context=context)
        if self._waits.away:
            self._waits.wake()
        if timer._source_traceback:
            del timer._source_traceback[-1]
        return timer  # type: ignore[no-any-return]

    def stop(self) -> None:
        super().stop()
        if self._waits.away:
            self._waits.wake()

    def _check_thread(self) -> None:
        # Asked in debug mode. Where threads are greenlets, each has an identifier of its own.
        if not self.is_here():
            super()._check_thread()  # type: ignore[misc]

    # Signals

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Any, *args: Any
    ) -> None:
        try:
            super().add_signal_handler(sig, callback, *args)
        finally:
            self._count_signals()

    def remove_signal_handler(self, sig: int) -> bool:
        try:
            return super().remove_signal_handler(sig)
        finally:
            self._count_signals()

    def _count_signals(self) -> None:
        handlers: Any = getattr(self, "_signal_handlers")  # noqa: B009
        self._waits.expected = len(handlers)
        if not handlers:
            # The system told this loop of signals, and now tells nobody.
            get_hub().loop.hear_signals()
        elif self._waits.away:
            self._waits.wake()


def running_loops() -> list[EventLoop]:
    """The loops that run in this thread, the one that was started last at the end. One whose hub was
    destroyed is among them."""
    loops: list[EventLoop] | None = getattr(_here, "loops", None)
    if loops is None:
        loops = _here.loops = []
    return loops


def tell_tasks(error: LoopExit) -> None:
    """Add to the report of a deadlock the tasks of this thread's loops, each with its line."""
    if len(error.args) == 3 and isinstance(error.args[2], list):
        told = error.args[2]
        for loop in running_loops():
            told += [text for task in asyncio.all_tasks(loop) if (text := repr(task)) not in told]


def _begin(loop: EventLoop, hub: Hub) -> None:
    loops = running_loops()
    if getattr(_here, "hub", None) is not hub:
        _here.hub = hub
        hub.surround_waits(_apart)
    loops.append(loop)
    loop._waits.enter(hub)


def _end(loop: EventLoop, hub: Hub) -> None:
    loop._waits.leave()
    loops = running_loops()
    if loop in loops:
        loops.remove(loop)
    # Else the thread is ending, and has forgotten.
    if not loops:
        _here.hub = None
        if not hub.loop.closed:
            hub.surround_waits(None)


def _apart(suspend: _Wait) -> _Wait:
    """`suspend`, but without what the thread has of a running loop."""

    def suspend_apart() -> Any:
        taken = set_aside()
        if taken is None:
            return suspend()
        try:
            return suspend()
        finally:
            put_back(taken)

    return suspend_apart


# Being the one that asyncio takes

_Policy: Any = (
    getattr(asyncio.unix_events, "_DefaultEventLoopPolicy")  # noqa: B009
    if sys.version_info >= (3, 14)
    else asyncio.DefaultEventLoopPolicy
)


class EventLoopPolicy(_Policy):  # type: ignore[misc]
    """The standard policy, with our loop. To be given to `asyncio.set_event_loop_policy`, which is deprecated
    from CPython 3.14 on; see `install`, and the argument `loop_factory` of `asyncio.run`."""

    _loop_factory = EventLoop


def install() -> None:
    """Have asyncio take our loop wherever it makes one, such as in `asyncio.run`, in all threads of this
    process; to be called before loops are made. Does not block."""
    set_policy = getattr(events, "_set_event_loop_policy", asyncio.set_event_loop_policy)
    set_policy(EventLoopPolicy())


def _forked() -> None:
    loops = running_loops()
    for waits in list(_selectors):
        if not waits.forked():
            loops[:] = [loop for loop in loops if loop._waits is not waits]
    hub = get_hub_if_any()
    if hub is not None:
        # From CPython 3.12 on asyncio lets go of the signals, whoever was told of them.
        hub.loop.hear_signals()


os.register_at_fork(after_in_child=_forked)
