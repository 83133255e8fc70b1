"""A native thread that watches a hub, and says so when something is wrong with it.

What belongs here: the thread, the note of every switch that it needs, its two questions: does a greenlet
keep the others from running, does the process use too much memory. What never does: anything that runs while
no monitor is on.

It is on where `config.monitor_thread` is, from the making of a hub. Then every switch of the hub's thread is
traced, which makes it several times as dear: enough for finding out, too much for a benchmark.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from warnings import warn
from weakref import ReferenceType, ref

from ._config import config
from ._core import gettrace, greenlet, settrace
from ._original import get_ident, monotonic, start_new_thread
from ._original import time_sleep as thread_sleep
from ._waits import left_at, short_repr
from .events import (
    EventLoopBlocked,
    IPeriodicMonitorThread,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    PeriodicMonitorThreadStartedEvent,
    notify,
)
from .hub import Hub, helper_threads

__all__ = ["GreenletTracer", "MonitorWarning", "PeriodicMonitoringThread"]

_MonitoringFunction = Callable[[Any], object]


class MonitorWarning(RuntimeWarning):
    """Something cannot be watched here."""


class GreenletTracer:
    """The trace function of the hub's thread: who runs, since when. Calls the one that was there before."""

    def __init__(self) -> None:
        self.greenlet_switch_counter = 0
        """How often anything was switched to."""
        self.active_greenlet: Any = None
        """Who runs; None if that is not known."""
        self.since = monotonic()
        """When it was switched to."""
        self.late: deque[tuple[str, float]] = deque(maxlen=10)
        """Greenlets that kept the others waiting too long and were not seen doing it, and for how many
        seconds: while they held the interpreter's lock no other thread could look."""
        self.reported = 0
        """At which count of switches somebody was reported."""
        self.ignored: ReferenceType[greenlet] | None = None
        """The hub, whose waiting is no blocking."""
        self.previous_trace_function = settrace(self)

    def __call__(self, event: str, args: Any) -> None:
        now = monotonic()
        active = self.active_greenlet
        if active is not None:
            hub = None if self.ignored is None else self.ignored()
            if active is not hub:
                if now - self.since > config.max_blocking_time and (
                    self.reported != self.greenlet_switch_counter
                ):
                    self.late.append((short_repr(active), now - self.since))
                if isinstance(active, greenlet):
                    left_at[active] = now
        self.greenlet_switch_counter += 1
        self.since = now
        self.active_greenlet = args[1] if event in ("switch", "throw") else None
        previous = self.previous_trace_function
        if previous is not None:
            previous(event, args)

    def kill(self) -> None:
        """Put the former trace function back. In the thread that made this."""
        if gettrace() is self:
            settrace(self.previous_trace_function)
        self.active_greenlet = None


@dataclass
class _Entry:
    """A function that is to be called every `period` seconds."""

    function: _MonitoringFunction
    period: float
    last_run_time: float = 0.0


class PeriodicMonitoringThread(IPeriodicMonitorThread):
    """Watches `hub` from a native thread, which is started with it. Made in the hub's thread.

    Its reports go to the hub's `exception_stream` and as events to `greenswitch.events.subscribers`. It ends
    with the hub, or by `kill`.
    """

    min_sleep_time = 0.005
    """Seconds. It does not look more often than that."""
    inactive_sleep_time = 2.0
    """Seconds between two looks at whether there is something to do by now."""

    def __init__(self, hub: Any) -> None:
        self._hub_ref: ReferenceType[Any] = ref(hub, self._hub_is_gone)
        self._hub_thread = get_ident()
        self.should_run = True
        self._greenlet_tracer = GreenletTracer()
        if isinstance(hub, Hub):
            self._greenlet_tracer.ignored = ref(hub)
        self._entries = [_Entry(self.monitor_blocking, config.max_blocking_time)]
        self._seen = -1
        """The count of switches at the last look."""
        self._ignored: Any = None
        self._told_at = 0.0
        """For how many seconds the present greenlet blocked when it was last reported."""
        self._most_memory = 0
        self.pid = os.getpid()
        self.monitor_thread_ident = start_new_thread(self, ())

    # What it watches

    @property
    def hub(self) -> Any:
        """The hub, or None if it is gone or not watched any more."""
        return self._hub_ref() if self.should_run else None

    def monitoring_functions(self) -> list[_Entry]:
        """What is called, each with its `period` in seconds: a list that is the monitor's own. The first is
        `monitor_blocking`, whose period is that of the settings."""
        for entry in self._entries:
            if entry.function == self.monitor_blocking:
                entry.period = config.max_blocking_time
        return self._entries

    def add_monitoring_function(self, function: _MonitoringFunction, period: float | None) -> None:
        """Call `function(hub)` in the monitor's thread every `period` seconds; with None do not call it any
        more. One that is there already gets the new period. What it raises ends the thread. ValueError for
        what cannot be called, and for a negative period."""
        if not callable(function):
            raise ValueError(f"function must be callable, not {function!r}")
        if period is not None and period <= 0:
            raise ValueError(f"period must be positive, not {period}")
        others = [entry for entry in self._entries if entry.function != function]
        if period is None:
            self._entries = others
        elif len(others) == len(self._entries):
            self._entries = [*self._entries, _Entry(function, period)]
        else:
            for entry in self._entries:
                if entry.function == function:
                    entry.period = period

    def calculate_sleep_time(self) -> float:
        """For how many seconds it sleeps between two looks."""
        periods = [entry.period for entry in self.monitoring_functions()]
        if not periods:
            return self.inactive_sleep_time
        return max(min(periods), self.min_sleep_time)

    # Life

    def started(self) -> None:
        """Watch memory, too, where the settings ask for it, and tell the subscribers that this is here."""
        if config.max_memory_usage is not None:
            self.install_monitor_memory_usage()
        notify(PeriodicMonitorThreadStartedEvent(self))

    def forked(self) -> None:
        """In the child of a fork, which has no such thread: start one."""
        if self.should_run and self.pid != os.getpid():
            self.pid = os.getpid()
            self.monitor_thread_ident = start_new_thread(self, ())

    def retire(self) -> None:
        """Watch no more. The thread ends at its next look; the trace function stays, and does nothing."""
        self.should_run = False
        self._entries = []
        self._greenlet_tracer.active_greenlet = None

    def kill(self) -> None:
        """`retire`, and put the former trace function back, if this is the hub's thread. Idempotent."""
        if self.should_run:
            self.retire()
            if get_ident() == self._hub_thread:
                self._greenlet_tracer.kill()

    def _hub_is_gone(self, _: object) -> None:
        self.kill()

    def __call__(self) -> None:
        """What the thread runs."""
        me = get_ident()
        helper_threads.add(me)
        pid = self.pid
        try:
            while self.should_run and self.pid == pid:
                thread_sleep(self.calculate_sleep_time())
                self._look()
        except SystemExit:
            pass
        finally:
            helper_threads.discard(me)

    def _look(self) -> None:
        """Call whatever is due."""
        hub = self.hub
        if hub is None or getattr(hub, "dead", False):
            self.kill()
            return
        now = monotonic()
        for entry in self.monitoring_functions():
            if entry.period > 0 and entry.last_run_time + entry.period <= now:
                entry.last_run_time = now
                entry.function(hub)

    # Greenlets that do not give way

    def ignore_current_greenlet_blocking(self) -> None:
        """The greenlet that runs may take its time. In the hub's thread."""
        self._ignored = self._greenlet_tracer.active_greenlet

    def monitor_current_greenlet_blocking(self) -> None:
        """It may not, after all."""
        self._ignored = None

    def monitor_blocking(self, hub: Any) -> tuple[Any, list[str]] | None:
        """Look once: has a greenlet run since the last look? Reports it, and again whenever that has lasted
        twice as long. The greenlet and the report's lines, or None."""
        tracer = self._greenlet_tracer
        self._report_late(hub)
        count, active, since = tracer.greenlet_switch_counter, tracer.active_greenlet, tracer.since
        if count != self._seen:
            self._seen = count
            self._told_at = 0.0
            return None
        if active is None or active is hub or active is self._ignored:
            return None
        seconds = monotonic() - since
        tracer.reported = count
        frame = sys._current_frames().get(hub.thread_ident)
        stack = traceback.format_stack(frame) if frame is not None else ["  (its thread is gone)\n"]
        report = [
            f"{self!r}: {short_repr(active)} appears to be blocked: it has not let others run for"
            f" {seconds:.3f} s, in {short_repr(hub)}\n",
            *stack,
        ]
        if seconds >= 2 * self._told_at:
            self._told_at = seconds
            self._tell(hub, active, seconds, report)
        return active, report

    def _report_late(self, hub: Any) -> None:
        late = self._greenlet_tracer.late
        while late:
            who, seconds = late.popleft()
            report = [
                f"{self!r}: {who} appears to be blocked: it had not let others run for {seconds:.3f} s,"
                f" nor this thread; where is not known\n"
            ]
            self._tell(hub, who, seconds, report)

    def _tell(self, hub: Any, who: Any, seconds: float, report: list[str]) -> None:
        if config.print_blocking_reports:
            self._print(hub, report)
        notify(EventLoopBlocked(who, seconds, report, hub=hub))

    def _print(self, hub: Any, lines: list[str]) -> None:
        stream = hub.exception_stream
        if stream is not None:
            try:
                stream.write("".join(lines))
            except (OSError, ValueError):
                # A closed stream, a full disk.
                pass

    # Memory

    def can_monitor_memory_usage(self) -> bool:
        """Does the system tell how much memory the process uses?"""
        return self._resident() is not None

    def install_monitor_memory_usage(self) -> None:
        """Look at the process's memory every `config.memory_monitor_period` seconds. MonitorWarning where
        that cannot be told."""
        if not self.can_monitor_memory_usage():
            text = "memory usage cannot be monitored: there is no /proc/self/statm"
            warn(text, MonitorWarning, stacklevel=2)
            return
        self.add_monitoring_function(self.monitor_memory_usage, config.memory_monitor_period)

    def _resident(self) -> int | None:
        """How many bytes of the process are in memory; None if nobody tells."""
        try:
            with open("/proc/self/statm", "rb") as file:
                pages = int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def monitor_memory_usage(
        self, _hub: Any
    ) -> int | MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold | None:
        """Look once. The event that was published: that the process uses more than `config.max_memory_usage`
        bytes and more than it did when that was last told, or that it uses less again; None without one; -1
        where no limit is set."""
        allowed = config.max_memory_usage
        if not allowed:
            return -1
        used = self._resident()
        if used is None:
            return None
        event: MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold
        if used > allowed:
            if used <= self._most_memory:
                return None
            self._most_memory = used
            event = MemoryUsageThresholdExceeded(used, allowed, {"rss": used})
        elif self._most_memory:
            event = MemoryUsageUnderThreshold(used, allowed, {"rss": used}, self._most_memory)
            self._most_memory = 0
        else:
            return None
        notify(event)
        return event

    def __repr__(self) -> str:
        state = "" if self.should_run else " ended"
        return f"<{type(self).__name__} at {id(self):#x}{state} in thread {self.monitor_thread_ident:#x}>"
