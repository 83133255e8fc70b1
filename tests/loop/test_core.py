"""The loop with a clock and a poller that are ours to set: orders and times exactly, no waiting.

What belongs here: what the loop does with what its poller says. What never does: a real poller's own
behaviour, which is tested in `test_pollers`.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from greenswitch.loop import HANGUP, READ, URGENT, WRITE, Loop


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakePoller:
    """Says what was put into `answers`, one entry for each time it is asked. Lets time pass instead of
    waiting."""

    def __init__(self, clock: Clock) -> None:
        self.flags = {bits: bits for bits in range(16)}
        self.clock = clock
        self.answers: deque[Sequence[tuple[int, int]] | BaseException] = deque()
        self.asked: list[float] = []
        self.calls: list[tuple[str, int]] = []
        self.closed = False
        self.arm: None = None

    def fileno(self) -> int:
        return -1

    def add_edge(self, fd: int) -> bool:
        self.calls.append(("edge", fd))
        return True

    def add_once(self, fd: int, events: int) -> bool:
        self.calls.append(("once", fd))
        return True

    def rearm(self, fd: int, events: int) -> bool:
        self.calls.append(("rearm", fd))
        return True

    def add_level(self, fd: int) -> None:
        pass

    def remove(self, fd: int) -> None:
        self.calls.append(("remove", fd))

    def poll(self, timeout: float) -> Sequence[tuple[int, int]]:
        self.asked.append(timeout)
        if self.answers:
            answer = self.answers.popleft()
            if isinstance(answer, BaseException):
                raise answer
            return answer
        assert timeout >= 0, "would wait for ever"
        self.clock.now += timeout
        return ()

    def close(self) -> None:
        self.closed = True


class Bench:
    """A loop with its fakes, and a list of what happened."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.poller = FakePoller(self.clock)
        self.loop = Loop(clock=self.clock, poller=lambda: self.poller, **options)
        self.log: list[Any] = []
        self.errors: list[tuple[object, BaseException]] = []
        self.loop.error_handler = self.failed

    def failed(self, context: object, type: type[BaseException], value: BaseException, tb: object) -> None:
        assert type is value.__class__
        if type is AssertionError:
            raise value
        self.errors.append((context, value))

    def note(self, what: object) -> Callable[[], object]:
        return lambda: self.log.append(what)

    def timed(self, what: object) -> Callable[[], object]:
        return lambda: self.log.append((what, round(self.clock.now - 1000.0, 6)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


# Callbacks


def test_callbacks_run_first_in_first_out(bench: Bench) -> None:
    """L1: callbacks as soon as possible, in their order; those that come meanwhile behind them."""
    loop, log = bench.loop, bench.log

    def first() -> None:
        log.append("first")
        loop.ready.append(bench.note("later"))

    loop.ready.append(first)
    loop.ready.append(bench.note("second"))
    loop.run_callback(log.append, "third")
    loop.run()
    assert log == ["first", "second", "third", "later"]


def test_a_stopped_callback_does_not_run(bench: Bench) -> None:
    log = bench.log
    kept = bench.loop.run_callback(log.append, "kept")
    stopped = bench.loop.run_callback(log.append, "stopped")
    assert kept.pending and kept and kept.args == ("kept",) and kept.callback == log.append
    stopped.stop()
    assert not stopped.pending and not stopped
    bench.loop.run()
    assert log == ["kept"] and not kept.pending
    kept.stop()
    assert "stopped" in repr(stopped)


def test_cancel_ready_takes_out_that_very_object(bench: Bench) -> None:
    """Two equal callbacks are two: only the one that was cancelled is not called."""
    log: list[str] = []
    first, second = partial(log.append, "x"), partial(log.append, "x")
    add = log.append
    loop = bench.loop
    for callback in (first, second, partial(add, "y")):
        loop.ready.append(callback)
    loop.cancel_ready(second)
    loop.run()
    assert log == ["x", "y"]
    # What was cancelled is forgotten: the same object may be used again.
    loop.ready.append(second)
    loop.run()
    assert log == ["x", "y", "x"]


def test_cancel_ready_from_a_callback(bench: Bench) -> None:
    loop, log = bench.loop, bench.log
    doomed = [bench.note(("doomed", number)) for number in range(200)]

    def cancel() -> None:
        for callback in doomed[::2]:
            loop.cancel_ready(callback)

    loop.ready.append(cancel)
    loop.ready.extend(doomed)
    loop.ready.append(bench.note("end"))
    loop.run()
    assert log == [*(("doomed", number) for number in range(1, 200, 2)), "end"]


def test_endless_callbacks_starve_neither_timers_nor_descriptors(bench: Bench) -> None:
    """A greenlet that sleeps 0 for ever lets timers and descriptors have their part."""
    loop, log = bench.loop, bench.log
    descriptor = loop.register(7)
    descriptor.readable = False
    descriptor.reader = bench.note("read")
    calls = 0

    def again() -> None:
        nonlocal calls
        calls += 1
        bench.clock.now += 0.00001
        if len(log) < 2:
            loop.ready.append(again)

    loop.call_later(0.0001, bench.note("timer"))
    loop.ready.append(again)
    bench.poller.answers.extend([(), [(7, READ)]])
    loop.run()
    assert log == ["timer", "read"]
    assert calls < 500
    # Nobody waited while somebody was ready.
    assert set(bench.poller.asked) == {0.0}


def test_slow_callbacks_do_not_hold_up_descriptors(bench: Bench) -> None:
    """However many are ready, the poller is asked after some milliseconds."""
    loop = bench.loop
    seen: list[int] = []

    def slow() -> None:
        bench.clock.now += 0.001

    def watch() -> None:
        seen.append(len(bench.poller.asked))

    for _ in range(100):
        loop.ready.extend([slow] * 50)
        loop.ready.append(watch)
    loop.run()
    assert all(later - earlier <= 1 for earlier, later in pairwise(seen))
    assert seen[-1] > 20


def test_all_who_are_ready_run_before_the_poller_is_asked_again(bench: Bench) -> None:
    """Quick callbacks go on for a while: 10,000 of them do not take 10,000 / 64 system calls."""
    loop = bench.loop
    loop.ready.extend([int] * 10_000)
    loop.run()
    assert len(bench.poller.asked) <= 2


def test_idle_callbacks_run_when_nothing_else_does(bench: Bench) -> None:
    loop, log = bench.loop, bench.log
    left = 3

    def busy() -> None:
        nonlocal left
        log.append("busy")
        left -= 1
        if left:
            loop.ready.append(busy)

    loop.idlers.append(bench.note("idle 1"))
    loop.idlers.append(bench.note("idle 2"))
    loop.ready.append(busy)
    loop.call_later(5, bench.note("timer"))
    loop.run()
    assert log == ["busy", "busy", "busy", "idle 1", "idle 2", "timer"]


# Time


def test_timers_are_called_when_they_are_due_in_their_order(bench: Bench) -> None:
    """L1: callbacks later. The same moment: in the order of making."""
    loop = bench.loop
    for what, seconds in (("c", 3), ("a", 1), ("b", 2), ("b2", 2), ("z", 0), ("n", -1)):
        loop.call_later(seconds, bench.timed(what))
    loop.run()
    assert bench.log == [("n", 0), ("z", 0), ("a", 1), ("b", 2), ("b2", 2), ("c", 3)]
    assert bench.poller.asked == [1, 1, 1]


def test_callbacks_come_before_timers_and_these_before_descriptors(bench: Bench) -> None:
    loop = bench.loop
    descriptor = loop.register(7)
    descriptor.readable = False
    descriptor.reader = bench.note("descriptor")
    bench.poller.answers.append([(7, READ)])
    loop.call_later(0, bench.note("timer"))
    loop.ready.append(bench.note("callback"))
    loop.run()
    assert bench.log == ["callback", "timer", "descriptor"]


def test_a_timer_counts_from_the_moment_of_its_making(bench: Bench) -> None:
    """Not from the loop's last look at the clock: computing does not shorten a sleep."""
    loop, clock = bench.loop, bench.clock

    def compute() -> None:
        clock.now += 5
        loop.call_later(1, bench.timed("woke"))

    loop.ready.append(compute)
    loop.run()
    assert bench.log == [("woke", 6)]


def test_timers_made_by_timers_do_not_starve_the_rest(bench: Bench) -> None:
    loop, log = bench.loop, bench.log
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        if "callback" not in log:
            loop.call_later(0, again)
            if count == 3:
                loop.ready.append(bench.note("callback"))

    loop.call_later(0, again)
    loop.run()
    assert count == 4


def test_a_timer_can_be_cancelled_at_any_time(bench: Bench) -> None:
    loop, log = bench.loop, bench.log
    before = loop.call_later(1, bench.note("before"))
    fired = loop.call_later(2, bench.note("fired"))
    by_another = loop.call_later(3, bench.note("by another"))
    loop.call_later(2.5, lambda: loop.cancel_timer(by_another))
    loop.cancel_timer(before)
    loop.cancel_timer(before)
    assert loop.timer_count == 3
    loop.run()
    assert log == ["fired"]
    loop.cancel_timer(fired)
    assert loop.timer_count == 0
    assert bench.clock.now == 1002.5


def test_a_million_cancelled_timers_leave_nothing_behind(bench: Bench) -> None:
    loop = bench.loop
    for number in range(1000):
        loop.call_later(100 + number, int)
    batch = []
    for number in range(1_000_000):
        # Many alive at once, cancelled in another order than made.
        batch.append(loop.call_later(50 + number % 7, int))
        if len(batch) == 500:
            for timer in batch[::-2] + batch[::2]:
                loop.cancel_timer(timer)
            batch.clear()
    assert loop.timer_count == 1000
    assert len(loop._timers) < 3000
    bench.poller.asked.clear()
    loop.run()
    assert bench.poller.asked[0] == 100
    assert loop.timer_count == len(loop._timers) == 0


def test_what_is_no_time_is_refused_and_harms_no_timer(bench: Bench) -> None:
    loop = bench.loop
    loop.call_later(1, bench.timed("one"))
    with pytest.raises(TypeError, match="must be real number, not str"):
        loop.call_later("1", int)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be real number, not complex"):
        loop.call_later(1j, int)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        loop.call_later(float("nan"), int)
    never = loop.call_later(float("inf"), int)
    loop.call_later(1e300, int, ref=False)
    loop.call_later(2, lambda: loop.cancel_timer(never))
    loop.run()
    assert bench.log == [("one", 1)]


def test_now_is_the_time_of_the_last_look(bench: Bench) -> None:
    loop = bench.loop
    assert loop.now() == 1000
    bench.clock.now = 1234.5
    assert loop.now() == 1000
    loop.update_now()
    assert loop.now() == 1234.5


# What keeps the loop running


def test_run_returns_when_nothing_can_happen(bench: Bench) -> None:
    bench.loop.run()
    assert bench.poller.asked == []


def test_a_timer_without_ref_does_not_keep_the_loop(bench: Bench) -> None:
    loop = bench.loop
    loop.call_later(10, bench.timed("unref"), ref=False)
    loop.run()
    assert bench.log == []
    loop.call_later(20, bench.timed("ref"))
    loop.run()
    assert bench.log == [("unref", 10), ("ref", 20)]
    cancelled = loop.call_later(10, int, ref=False)
    loop.cancel_timer(cancelled)
    loop.call_later(1, bench.timed("last"))
    loop.run()
    assert bench.log[-1] == ("last", 21)


def test_refs_waiters_and_borrowers_keep_the_loop(bench: Bench) -> None:
    loop, poller = bench.loop, bench.poller
    # Somebody outside will call: the loop waits for him without an end.
    loop.refs = 1
    poller.answers.append(())

    def poll(timeout: float) -> Sequence[tuple[int, int]]:
        poller.asked.append(timeout)
        loop.refs = 0
        loop.ready.append(bench.note("from outside"))
        return ()

    loop._poll = poll
    loop.run()
    assert poller.asked == [-1.0] and bench.log == ["from outside"]
    loop._poll = poller.poll
    poller.answers.clear()

    descriptor = loop.register(7)
    loop.run()
    descriptor.writable = False
    descriptor.writer = bench.note("written")
    poller.answers.append([(7, WRITE)])
    loop.run()
    assert bench.log[-1] == "written"

    loop.borrow(8, READ, lambda flags: bench.log.append(("borrowed", flags)))
    poller.answers.append([(8, READ)])
    loop.run()
    assert bench.log[-1] == ("borrowed", READ)
    assert poller.asked == [-1.0] * 3


def test_listening_for_others() -> None:
    """As long as somebody outside may call, the loop looks again and again; when he is gone, once more at
    `ready`."""
    answers = deque([0.25, 0.25, 0.0])
    bench = Bench(listen=lambda: answers.popleft())
    bench.loop.run()
    assert bench.poller.asked == [0.25, 0.25]

    def last_words() -> float:
        if not bench.log:
            bench.loop.ready.append(bench.note("called, then gone"))
        return 0.0

    bench.loop._listen = last_words
    bench.loop.run()
    assert bench.log == ["called, then gone"]
    bench.loop.close()


# Descriptors


def test_an_event_marks_the_descriptor_and_calls_who_waits_once(bench: Bench) -> None:
    loop, log, poller = bench.loop, bench.log, bench.poller
    descriptor = loop.register(7)
    assert poller.calls == [("edge", 7)]
    assert descriptor.readable and descriptor.writable and not descriptor.hangup and not descriptor.urgent
    descriptor.readable = descriptor.writable = False
    states: list[tuple[bool, bool]] = []

    def read() -> None:
        states.append((descriptor.readable, descriptor.writable))
        log.append("read")

    descriptor.reader = read
    poller.answers.append([(7, READ | WRITE), (7, READ)])
    loop.run()
    assert log == ["read"] and states == [(True, True)]
    assert descriptor.reader is None and descriptor.writable and not descriptor.hangup

    descriptor.readable = descriptor.writable = False
    descriptor.reader, descriptor.writer = bench.note("reader"), bench.note("writer")
    poller.answers.append([(7, HANGUP | URGENT)])
    loop.run()
    assert log[1:] == ["reader", "writer"]
    assert descriptor.hangup and descriptor.urgent and descriptor.readable and descriptor.writable


def test_a_reader_that_fails_does_not_cost_the_writer_his_event(bench: Bench) -> None:
    loop = bench.loop
    descriptor = loop.register(7)
    descriptor.readable = descriptor.writable = False
    descriptor.reader = partial(int, "no number")
    descriptor.writer = bench.note("writer")
    other = loop.register(8)
    other.readable = False
    other.reader = bench.note("other")
    bench.poller.answers.append([(7, READ | WRITE), (8, READ)])
    loop.run()
    assert sorted(bench.log) == ["other", "writer"]
    ((context, error),) = bench.errors
    assert isinstance(error, ValueError) and isinstance(context, partial)


def test_unregister_lets_waiters_look_for_themselves(bench: Bench) -> None:
    loop = bench.loop
    descriptor = loop.register(7)
    descriptor.readable = descriptor.writable = False
    descriptor.reader, descriptor.writer = bench.note("reader"), bench.note("writer")
    loop.unregister(descriptor)
    loop.unregister(descriptor)
    assert descriptor.closed and descriptor.readable and descriptor.writable
    assert bench.poller.calls == [("edge", 7), ("remove", 7)]
    loop.run()
    assert bench.log == ["reader", "writer"]
    # An event that was on its way for the number does no harm.
    bench.poller.answers.append([(7, READ)])
    loop.call_later(1, int)
    loop.run()
    assert bench.errors == []


def test_a_number_that_is_in_use_again_belongs_to_the_new_descriptor(bench: Bench) -> None:
    loop = bench.loop
    old = loop.register(7)
    old.readable = False
    old.reader = bench.note("old")
    new = loop.register(7)
    new.readable = False
    new.reader = bench.note("new")
    bench.poller.answers.append([(7, READ)])
    loop.run()
    assert old.closed and not new.closed
    assert bench.log == ["old", "new"]


def test_several_borrow_the_same_number(bench: Bench) -> None:
    loop, log, poller = bench.loop, bench.log, bench.poller
    loop.borrow(9, READ, lambda flags: log.append(("r1", flags)))
    loop.borrow(9, READ | WRITE, lambda flags: log.append(("rw", flags)))
    released = loop.borrow(9, WRITE, lambda flags: log.append(("never", flags)))
    loop.borrow(9, WRITE, lambda flags: log.append(("w", flags)))
    loop.release(released)
    loop.release(released)
    poller.answers.extend([[(9, READ)], [(9, HANGUP | WRITE)]])
    loop.run()
    assert log == [("r1", READ), ("rw", READ), ("w", HANGUP | WRITE)]
    assert poller.calls[0] == ("once", 9) and poller.calls[-1] == ("remove", 9)


def test_borrowing_our_own_descriptor_hears_with_it(bench: Bench) -> None:
    loop, poller = bench.loop, bench.poller
    descriptor = loop.register(7)
    descriptor.readable = False
    descriptor.reader = bench.note("owner")
    borrowed = loop.borrow(7, READ, lambda flags: bench.log.append(flags))
    gone = loop.borrow(7, WRITE, lambda flags: bench.log.append("never"))
    loop.release(gone)
    # Edges are told once, so the poller was made to tell again.
    assert poller.calls == [("edge", 7)] * 3
    poller.answers.append([(7, READ | WRITE)])
    loop.run()
    assert bench.log == ["owner", READ]
    loop.release(borrowed)


def test_borrowers_go_over_to_a_new_owner(bench: Bench) -> None:
    loop = bench.loop
    loop.borrow(7, READ, lambda flags: bench.log.append(flags))
    loop.register(7)
    bench.poller.answers.append([(7, READ | WRITE)])
    loop.run()
    assert bench.log == [READ]


# Errors


def test_an_exception_goes_to_the_handler_and_the_loop_goes_on(bench: Bench) -> None:
    loop = bench.loop
    bad = partial(int, "no number")
    loop.ready.extend([bench.note(1), bad, bench.note(2)])
    loop.call_later(1, bad)
    loop.call_later(1, bench.note("timer"))
    called = loop.run_callback(int, "nor this")
    loop.run()
    assert bench.log == [1, 2, "timer"]
    assert [context for context, _ in bench.errors] == [bad, called, bad]


def test_failing_callbacks_do_not_starve_timers(bench: Bench) -> None:
    loop = bench.loop

    def bad() -> None:
        if not bench.log:
            loop.ready.append(bad)
        raise ValueError

    loop.ready.append(bad)
    loop.call_later(0, bench.note("timer"))
    loop.run()
    assert bench.log == ["timer"] and len(bench.errors) < 5


def test_a_handler_that_raises_ends_run_and_nothing_is_lost(bench: Bench) -> None:
    loop = bench.loop

    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    loop.error_handler = stop
    loop.ready.extend([bench.note(1), partial(int, "x"), bench.note(2)])
    loop.call_later(1, bench.note("timer"))
    with pytest.raises(Stop):
        loop.run()
    assert bench.log == [1]
    loop.run()
    assert bench.log == [1, 2, "timer"]


def test_an_interrupted_poll_loses_no_edge(bench: Bench) -> None:
    """A KeyboardInterrupt out of the poller may have eaten its answer: the poller is made to tell all
    again."""
    loop, poller = bench.loop, bench.poller
    descriptor = loop.register(7)
    descriptor.readable = False
    descriptor.reader = bench.note("read")
    loop.borrow(8, READ, lambda flags: bench.log.append(flags))
    poller.calls.clear()
    poller.answers.extend([KeyboardInterrupt(), [(7, READ)], [(8, READ)]])
    loop.run()
    assert bench.log == ["read", READ]
    ((context, error),) = bench.errors
    assert context is None and isinstance(error, KeyboardInterrupt)
    assert poller.calls[:2] == [("edge", 7), ("rearm", 8)]


class Interrupt(Exception):
    pass


def not_begun(frame: FrameType) -> bool:
    """Is this frame before its first step? On 3.11 and later that is its first line, the `def`."""
    begun_at = frame.f_code.co_firstlineno
    return frame.f_lasti < 0 or (sys.version_info >= (3, 11) and frame.f_lineno == begun_at)


def test_signals_between_any_two_steps_lose_no_callback_and_no_timer() -> None:
    """A signal handler raises all the time, inside the loop's own function or before a callback's first step:
    all are called, once each, in their order."""
    loop = Loop()
    called: list[int] = []
    timers: list[int] = []
    interrupts = 0
    storm = True

    def callback() -> None:
        called.append(len(called))

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        if not storm or frame is None:
            return
        if frame.f_code is Loop.run.__code__ or (frame.f_code is callback.__code__ and not_begun(frame)):
            interrupts += 1
            raise Interrupt

    def handle(context: object, type: type[BaseException], value: BaseException, tb: object) -> None:
        if type is not Interrupt:
            raise value

    loop.error_handler = handle
    rounds = 20_000
    expected: list[int] = []

    def fill() -> None:
        nonlocal storm
        if len(expected) < rounds:
            for _ in range(50):
                loop.ready.append(callback)
                number = len(expected)
                expected.append(number)
                loop.call_later(0, partial(timers.append, number))
            loop.ready.append(fill)
        else:
            storm = False

    before = signal.signal(signal.SIGALRM, handler)
    try:
        loop.ready.append(fill)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        while len(timers) < rounds or len(called) < rounds:
            try:
                loop.run()
            except Interrupt:
                # Inside the handling of another one.
                continue
            break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    loop.run()
    loop.close()
    assert called == expected
    # A timer that is put back keeps its number, and with it its place.
    assert timers == expected
    assert interrupts > 10


# Threads, end


def test_a_call_from_another_thread_wakes_the_loop() -> None:
    loop = Loop()
    done: list[str] = []
    loop.refs = 1

    def call() -> None:
        for number in range(1000):
            loop.call_threadsafe(partial(done.append, str(number)))

        def last() -> None:
            loop.refs = 0

        loop.run_callback_threadsafe(last)

    thread = threading.Timer(0.05, call)
    thread.start()
    loop.run()
    thread.join()
    assert done == [str(number) for number in range(1000)]
    loop.close()


def test_a_closed_loop_takes_calls_and_ignores_them(bench: Bench) -> None:
    loop = bench.loop
    descriptor = loop.register(7)
    timer = loop.call_later(1, int)
    loop.ready.append(bench.note("never"))
    loop.close()
    loop.close()
    assert bench.poller.closed and descriptor.closed and loop.closed
    loop.call_threadsafe(bench.note("never"))
    loop.run_callback_threadsafe(bench.log.append, "never")
    loop.cancel_timer(timer)
    loop.unregister(descriptor)
    loop.run()
    assert bench.log == []
    assert "closed" in repr(loop)


def test_closing_in_a_callback_ends_run(bench: Bench) -> None:
    loop = bench.loop
    loop.ready.extend([bench.note(1), loop.close, bench.note("never")])
    loop.call_later(0, bench.note("never"))
    loop.run()
    assert bench.log == [1] and bench.errors == []


def test_a_signal_handler_that_makes_something_ready_ends_the_wait() -> None:
    """The poller goes on after a signal whose handler does not raise; the wake-up pipe ends its wait."""
    # Who listens already, the hub of other tests, would be told in place of this loop.
    listener = signal.set_wakeup_fd(-1)
    loop = Loop(signals=True)
    began = time.monotonic()
    log: list[str] = []
    guard = loop.call_later(30, partial(log.append, "late"))

    def handler(*_: object) -> None:
        loop.ready.append(partial(log.append, "ready"))
        loop.ready.append(lambda: loop.cancel_timer(guard))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        loop.call_later(0, lambda: signal.setitimer(signal.ITIMER_REAL, 0.05))
        loop.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        loop.close()
        signal.set_wakeup_fd(listener, warn_on_full_buffer=False)
    assert log == ["ready"] and time.monotonic() - began < 20
