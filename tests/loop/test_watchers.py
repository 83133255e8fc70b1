"""The watchers that libraries make by `hub.loop`, and the loop's own numbers and switches.

What belongs here: what one watcher does, and in which order several are called. What never does: the same by
comparison with gevent (`tests/differential`), greenlets that wait for a watcher (`tests/test_hub.py`).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch.loop import READ, WRITE, Loop, WatcherLoop
from greenswitch.loop import children as children_module

if TYPE_CHECKING:
    from conftest import RunPython


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakePoller:
    """Lets time pass instead of waiting; says what stands in `answers`."""

    def __init__(self, clock: Clock) -> None:
        self.flags = {bits: bits for bits in range(16)}
        self.clock = clock
        self.answers: deque[Sequence[tuple[int, int]]] = deque()
        self.asked: list[float] = []
        self.watched: dict[int, int] = {}

    def fileno(self) -> int:
        return 77

    def add_edge(self, fd: int) -> bool:
        return True

    def add_once(self, fd: int, events: int) -> bool:
        self.watched[fd] = events
        return True

    rearm = add_once

    def add_level(self, fd: int) -> None:
        pass

    def remove(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def poll(self, timeout: float) -> Sequence[tuple[int, int]]:
        self.asked.append(timeout)
        if self.answers:
            return self.answers.popleft()
        assert timeout >= 0, "would wait for ever"
        self.clock.now += timeout
        return ()

    def close(self) -> None:
        pass


class Bench:
    """A loop with its fakes, and a list of what happened."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.poller = FakePoller(self.clock)
        self.loop = WatcherLoop(default=False, clock=self.clock, poller=lambda: self.poller)
        self.log: list[Any] = []
        self.errors: list[tuple[object, BaseException]] = []
        self.loop.error_handler = self.failed

    def failed(self, context: object, type: type[BaseException], value: BaseException, tb: Any) -> None:
        self.errors.append((context, value))
        self.log.append((type.__name__, tb.tb_frame.f_code.co_name))

    def note(self, what: object) -> Callable[..., object]:
        return lambda *args: self.log.append((what, *args) if args else what)

    def timed(self, *_: object) -> None:
        self.log.append(round(self.clock.now - 1000.0, 6))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


@pytest.fixture
def loop() -> Iterator[WatcherLoop]:
    """A loop that waits for real things, for the main thread."""
    made = WatcherLoop(default=True)
    yield made
    made.destroy()


def kinds(loop: WatcherLoop) -> list[Any]:
    """One watcher of each kind that any loop makes."""
    return [
        loop.io(0, 1),
        loop.timer(100),
        loop.async_(),
        loop.signal(signal.SIGUSR2),
        loop.idle(),
        loop.prepare(),
        loop.check(),
        loop.fork(),
        loop.stat("/"),
    ]


every_kind = pytest.mark.parametrize("number", range(9))


# What all kinds have in common


@every_kind
def test_the_life_of_a_watcher(bench: Bench, number: int) -> None:
    watcher = kinds(bench.loop)[number]
    assert not watcher.active and not watcher.pending and watcher.ref and watcher.priority == 0
    assert watcher.callback is None and watcher.args is None and watcher.loop is bench.loop
    callback = bench.note("called")
    watcher.start(callback, 1, 2)
    assert watcher.active and watcher.callback is callback and watcher.args == (1, 2)
    assert "active" in repr(watcher) and "args=(1, 2)" in repr(watcher)
    # A second start changes who is called.
    other = bench.note("other")
    watcher.start(other)
    assert watcher.active and watcher.callback is other and watcher.args == ()
    with pytest.raises(AttributeError, match="Cannot set priority of an active watcher"):
        watcher.priority = 1
    watcher.stop()
    watcher.stop()
    assert not watcher.active and watcher.callback is None and watcher.args is None
    watcher.priority = 1
    watcher.close()
    watcher.close()
    # It can be used again.
    watcher.start(callback)
    assert watcher.active and watcher.priority == 1
    with watcher as entered:
        assert entered is watcher
    assert not watcher.active and bench.loop.activecnt == 0
    bench.loop.run()
    assert bench.log == []


@every_kind
def test_what_cannot_be_called_is_refused(bench: Bench, number: int) -> None:
    watcher = kinds(bench.loop)[number]
    for wrong in (None, 5):
        with pytest.raises(TypeError, match=f"Expected callable, not {wrong}"):
            watcher.start(wrong)
        with pytest.raises(TypeError, match="Expected callable"):
            watcher.feed(1, wrong)
    with pytest.raises(TypeError, match="Expected callable, not 5"):
        watcher.callback = 5
    with pytest.raises(TypeError, match="Expected tuple, got list"):
        watcher.args = [1]
    watcher.start(bench.note("x"))
    watcher.args = (3,)
    watcher.callback = None
    assert watcher.active and watcher.args == (3,)


@every_kind
def test_feed_calls_once_whether_active_or_not(bench: Bench, number: int) -> None:
    watcher = kinds(bench.loop)[number]
    watcher.feed(1, bench.note("fed"), 5)
    assert watcher.pending and not watcher.active and bench.loop.pendingcnt == 1
    assert "pending" in repr(watcher)
    watcher.feed(1, bench.note("fed"), 6)
    bench.loop.run()
    assert bench.log == [("fed", 6)] and not watcher.pending and watcher.callback is None
    watcher.feed(1, bench.note("never"))
    watcher.stop()
    assert not watcher.pending and bench.loop.pendingcnt == 0
    bench.loop.run()
    assert len(bench.log) == 1


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 6, 7, 8])
def test_ref_says_whether_the_loop_is_kept(bench: Bench, number: int) -> None:
    """With ref false an active watcher does not keep `run` from returning; it may be changed at any time."""
    watcher = kinds(bench.loop)[number]
    watcher.ref = False
    watcher.start(bench.note("called"))
    assert bench.loop.activecnt == 0
    bench.loop.run()
    watcher.ref = True
    assert watcher.ref and bench.loop.activecnt == 1
    watcher.ref = False
    watcher.ref = False
    assert bench.loop.activecnt == 0
    bench.loop.run()
    watcher.ref = True
    watcher.stop()
    assert bench.loop.activecnt == 0


@every_kind
def test_an_active_watcher_lives_without_its_maker_and_a_stopped_one_does_not(number: int) -> None:
    bench = Bench()
    watcher = kinds(bench.loop)[number]
    watcher.start(print)
    alive = weakref.ref(watcher)
    watcher.stop()
    if number == 4:
        bench.loop.run()
    del watcher
    bench.loop._timers.clear()
    gc.collect()
    assert alive() is None
    bench.loop.close()


def test_watchers_of_one_turn_are_called_by_priority(bench: Bench) -> None:
    loop = bench.loop
    for priority in (-2, 0, 2, None, 1, -1, 9, -9):
        loop.timer(1, priority=priority).start(bench.note(("timer", priority)))
    loop.io(5, 1, priority=1).start(bench.note(("io", 1)))
    bench.clock.now += 1
    bench.poller.answers.append([(5, READ)])
    loop.run(nowait=True)
    assert bench.log == [
        ("timer", 2), ("timer", 9), ("timer", 1), ("io", 1), ("timer", 0), ("timer", None),
        ("timer", -1), ("timer", -2), ("timer", -9),
    ]  # fmt: skip


def test_a_callback_may_stop_another_watcher_of_its_turn(bench: Bench) -> None:
    loop = bench.loop
    first, second = loop.timer(1), loop.timer(1)

    def callback() -> None:
        bench.log.append("first")
        assert second.pending
        second.stop()

    first.start(callback)
    second.start(bench.note("second"))
    loop.run()
    assert bench.log == ["first"]


def test_a_failure_is_reported_with_its_watcher_and_the_others_go_on(bench: Bench) -> None:
    loop = bench.loop

    def fail() -> None:
        raise ValueError(1)

    failing, healthy = loop.timer(1), loop.timer(1)
    failing.start(fail)
    healthy.start(bench.note("healthy"))
    loop.run()
    ((context, error),) = bench.errors
    assert context is failing and isinstance(error, ValueError)
    assert bench.log == [("ValueError", "fail"), "healthy"]
    assert not failing.active and failing.callback is None


# Timers


def test_a_timer_calls_once(bench: Bench) -> None:
    timer = bench.loop.timer(0.5)
    timer.start(bench.timed)
    assert timer.at == 1000.5
    bench.loop.run()
    assert bench.log == [0.5] and not timer.active and timer.callback is None and timer.at == 0.5


def test_a_repeating_timer_does_not_drift_and_makes_up_for_one_that_it_missed(bench: Bench) -> None:
    def callback() -> None:
        bench.timed()
        bench.clock.now += 0.05 if len(bench.log) != 3 else 2.5
        if len(bench.log) == 6:
            timer.stop()

    timer = bench.loop.timer(1, 0.5)
    timer.start(callback)
    bench.loop.run()
    assert bench.log == [1.0, 1.5, 2.0, 4.5, 4.55, 5.0]


def test_a_second_start_keeps_the_time_and_again_begins_anew(bench: Bench) -> None:
    timer = bench.loop.timer(1, 2)
    timer.start(bench.note("former"))
    bench.clock.now += 0.5
    timer.start(bench.timed)
    bench.loop.run(once=True)
    assert bench.log == [1.0]
    bench.clock.now += 0.5
    timer.again(bench.timed, "argument")
    assert timer.active and timer.args == ("argument",) and timer.at == bench.clock.now + 2
    bench.loop.run(once=True)
    assert bench.log == [1.0, 3.5]
    timer.stop()
    inactive = bench.loop.timer(7, 3)
    inactive.again(bench.timed)
    bench.loop.run(once=True)
    assert bench.log[-1] == 6.5


def test_again_without_a_repeat_stops(bench: Bench) -> None:
    timer = bench.loop.timer(1)
    timer.again(bench.timed)
    assert not timer.active
    timer.start(bench.timed)
    timer.again(bench.timed)
    assert not timer.active
    bench.loop.run()
    assert bench.log == []


def test_from_when_a_timer_counts(bench: Bench) -> None:
    bench.loop.update_now()
    bench.clock.now += 1
    late, early = bench.loop.timer(5), bench.loop.timer(5)
    early.start(bench.note("early"), update=False)
    assert early.at == 1005.0
    late.start(bench.note("late"))
    assert late.at == 1006.0
    bench.loop.run()
    assert bench.log == ["early", "late"]


def test_timers_that_cannot_be(bench: Bench) -> None:
    with pytest.raises(ValueError, match="repeat must be positive or zero: -1"):
        bench.loop.timer(1, -1)
    with pytest.raises(TypeError, match="must be real number, not str"):
        bench.loop.timer("1")  # type: ignore[arg-type]
    # A time that has passed is now.
    bench.loop.timer(-5).start(bench.timed)
    bench.loop.run()
    assert bench.log == [0.0]


# Descriptors


def test_io_calls_in_every_turn_while_it_is_ready(loop: WatcherLoop) -> None:
    left, right = socket.socketpair()
    log: list[Any] = []

    def read(events: int, what: str) -> None:
        log.append((events, what, left.recv(1)))
        if len(log) == 3:
            watcher.stop()

    watcher = loop.io(left.fileno(), READ)
    assert (watcher.fd, watcher.events, watcher.events_str) == (left.fileno(), 1, "READ")
    watcher.start(read, "x", pass_events=True)
    right.send(b"abcd")
    loop.run()
    assert log == [(1, "x", b"a"), (1, "x", b"b"), (1, "x", b"c")]
    left.close()
    right.close()


def test_io_waits_for_what_is_asked(loop: WatcherLoop) -> None:
    left, right = socket.socketpair()
    log: list[Any] = []
    both, reader, writer = (loop.io(left.fileno(), events) for events in (3, 1, 2))
    for watcher, name in ((both, "both"), (reader, "reader"), (writer, "writer")):
        watcher.start(lambda events, name: log.append((name, events)), name, pass_events=True)
    loop.run(nowait=True)
    assert log == [("both", 2), ("writer", 2)]
    log.clear()
    right.send(b"x")
    loop.run(nowait=True)
    assert sorted(log) == [("both", 3), ("reader", 1), ("writer", 2)]
    log.clear()
    # The end of the peer is both.
    right.close()
    left.recv(10)
    loop.run(nowait=True)
    assert sorted(log) == [("both", 3), ("reader", 1), ("writer", 2)]
    for watcher in (both, reader, writer):
        watcher.stop()
    assert loop._borrowed == {}
    left.close()


def test_io_on_a_descriptor_of_ours_goes_on_as_long_as_it_holds(loop: WatcherLoop) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    descriptor = loop.register(left.fileno())
    log: list[bytes] = []
    watcher = loop.io(left.fileno(), READ)
    watcher.start(lambda: log.append(left.recv(1)))
    right.send(b"abc")
    for _ in range(5):
        loop.run(nowait=True)
    assert log == [b"a", b"b", b"c"]
    watcher.stop()
    loop.unregister(descriptor)
    left.close()
    right.close()


@pytest.mark.parametrize("registered_again", [False, True])
def test_io_goes_on_when_a_descriptor_is_not_ours_any_more(loop: WatcherLoop, registered_again: bool) -> None:
    """As after `detach`: the number stays open, and its watcher is told as before."""
    left, right = socket.socketpair()
    left.setblocking(False)
    descriptor = loop.register(left.fileno())
    log: list[bytes] = []
    watcher, other = loop.io(left.fileno(), READ), loop.io(left.fileno(), READ)
    watcher.start(lambda: log.append(left.recv(1)))
    other.start(print)
    right.send(b"a")
    loop.unregister(descriptor)
    other.stop()
    if registered_again:
        descriptor = loop.register(left.fileno())
    for _ in range(3):
        loop.run(nowait=True)
    right.send(b"bc")
    for _ in range(4):
        loop.run(nowait=True)
    assert log == [b"a", b"b", b"c"]
    watcher.stop()
    if registered_again:
        loop.unregister(descriptor)
    loop.run(nowait=True)
    assert loop._borrowed == {} and not loop.active_count
    left.close()
    right.close()


def test_io_stops_after_a_failure(bench: Bench) -> None:
    def fail() -> None:
        raise OSError("bad")

    watcher = bench.loop.io(5, READ)
    watcher.start(fail)
    bench.poller.answers.append([(5, READ)])
    bench.loop.run()
    assert [context for context, _ in bench.errors] == [watcher] and not watcher.active
    assert bench.poller.watched == {}


def test_io_that_cannot_be(loop: WatcherLoop) -> None:
    with pytest.raises(ValueError, match="fd must be non-negative: -1"):
        loop.io(-1, 1)
    with pytest.raises(ValueError, match="illegal event mask: 64"):
        loop.io(0, 64)
    with pytest.raises(TypeError):
        loop.io("0", 1)  # type: ignore[arg-type]
    left, right = socket.socketpair()
    number = left.fileno()
    left.close()
    right.close()
    watcher = loop.io(number, READ)
    with pytest.raises(OSError, match="Bad file descriptor"):
        watcher.start(print)
    assert not watcher.active and watcher.callback is None


def test_io_may_change_while_it_is_not_active(bench: Bench) -> None:
    watcher = bench.loop.io(5, READ)
    watcher.fd = 6
    watcher.events = WRITE
    assert watcher.events_str == "WRITE"
    watcher.start(print)
    assert bench.poller.watched == {6: WRITE}
    for name in ("fd", "events"):
        with pytest.raises(AttributeError, match=f"'{name}' is read-only while the watcher is active"):
            setattr(watcher, name, 1)


def test_closing_fd_calls_its_watchers_once_more(bench: Bench) -> None:
    watcher = bench.loop.io(5, READ)
    watcher.start(bench.note("look"))
    assert bench.loop.closing_fd(5) is True and bench.loop.closing_fd(6) is False
    bench.loop.run()
    assert bench.log == ["look"] and bench.poller.watched == {}


# Callbacks of every turn


def test_prepare_and_check_stand_around_the_asking(bench: Bench) -> None:
    loop = bench.loop
    prepare, check = loop.prepare(), loop.check()
    prepare.start(bench.note("prepare"))
    check.start(bench.note("check"))
    loop.io(5, READ).start(bench.note("io"))
    loop.run_callback(bench.note("callback"))
    bench.poller.answers.append([(5, READ)])
    loop.run(nowait=True)
    assert bench.log == ["callback", "prepare", "check", "io"]
    bench.log.clear()
    loop.timer(1).start(bench.note("timer"))
    loop.run(once=True)
    assert bench.log == ["prepare", "check", "timer"] and bench.poller.asked[-1] == 1.0
    # What prepare makes ready is not waited for.
    prepare.start(loop.run_callback, bench.note("made ready"))
    loop.run(once=True)
    assert bench.poller.asked[-1] == 0.0 and "made ready" in bench.log
    prepare.stop()
    check.stop()
    assert loop._poll == bench.poller.poll


def test_idle_calls_while_there_is_nothing_to_do(bench: Bench) -> None:
    loop = bench.loop
    idle = loop.idle()

    def callback() -> None:
        bench.log.append("idle")
        if bench.log.count("idle") == 3:
            idle.stop()

    idle.start(callback)
    for number in range(3):
        loop.run_callback(bench.log.append, number)
    loop.timer(1).start(bench.note("timer"))
    loop.run()
    assert bench.log == [0, 1, 2, "idle", "idle", "idle", "timer"]


def test_idle_is_not_held_up_by_check_and_prepare(bench: Bench) -> None:
    check, prepare, idle = bench.loop.check(), bench.loop.prepare(), bench.loop.idle()
    check.start(bench.note("check"))
    prepare.start(bench.note("prepare"))
    idle.start(lambda: (bench.log.append("idle"), idle.stop(), bench.loop.break_()))
    bench.loop.run()
    assert "idle" in bench.log


# Threads, signals, children, files


def test_async_is_called_once_for_all_that_is_sent(loop: WatcherLoop) -> None:
    log: list[object] = []
    watcher = loop.async_()
    watcher.start(lambda: (log.append(threading.get_ident()), watcher.stop() if len(log) == 2 else None))
    watcher.send()
    watcher.send_ignoring_arg("ignored")
    assert watcher.pending
    loop.run(nowait=True)
    assert len(log) == 1 and not watcher.pending
    thread = threading.Thread(target=lambda: (time.sleep(0.05), watcher.send()))
    thread.start()
    loop.run()
    thread.join()
    assert log == [threading.get_ident()] * 2
    watcher.send()
    loop.run(nowait=True)
    assert len(log) == 2
    assert getattr(loop, "async")().loop is loop


def test_what_was_sent_before_a_stop_does_not_come_after_it(loop: WatcherLoop) -> None:
    log: list[int] = []
    watcher = loop.async_()
    watcher.start(log.append, 1)
    watcher.send()
    watcher.stop()
    watcher.start(log.append, 2)
    loop.run(nowait=True)
    assert log == []
    watcher.send()
    loop.run(nowait=True)
    assert log == [2]


def test_a_signal_is_called_from_the_loop(loop: WatcherLoop) -> None:
    """L1: signals."""
    log: list[object] = []
    former = signal.getsignal(signal.SIGUSR1)
    one, two = loop.signal(signal.SIGUSR1), loop.signal(signal.SIGUSR1)
    one.start(log.append, "one")
    two.start(log.append, "two")
    os.kill(os.getpid(), signal.SIGUSR1)
    assert log == []
    loop.run(once=True)
    assert log == ["one", "two"]
    one.stop()
    assert signal.getsignal(signal.SIGUSR1) is not former
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run(once=True)
    assert log == ["one", "two", "two"]
    two.stop()
    assert signal.getsignal(signal.SIGUSR1) is former


def test_a_signal_wakes_a_loop_that_sleeps(loop: WatcherLoop) -> None:
    log: list[float] = []
    watcher = loop.signal(signal.SIGALRM)
    watcher.start(lambda: (log.append(time.monotonic()), watcher.stop()))
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    loop.run()
    assert log and 0.05 <= log[0] - began < 20


def test_a_handler_that_somebody_set_meanwhile_is_left(loop: WatcherLoop) -> None:
    watcher = loop.signal(signal.SIGUSR1)
    watcher.start(print)
    mine: Callable[..., None] = lambda *_: None  # noqa: E731
    former = signal.signal(signal.SIGUSR1, mine)
    watcher.stop()
    assert signal.getsignal(signal.SIGUSR1) is mine
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert former is not mine


def test_closing_the_loop_gives_the_signals_back() -> None:
    former = signal.getsignal(signal.SIGUSR1)
    loop = WatcherLoop(default=True)
    loop.signal(signal.SIGUSR1).start(print)
    assert signal.getsignal(signal.SIGUSR1) is not former
    loop.destroy()
    assert signal.getsignal(signal.SIGUSR1) is former


def test_signals_that_cannot_be(loop: WatcherLoop) -> None:
    for number in (0, -1, 1000):
        with pytest.raises(ValueError, match=f"illegal signal number: {number}"):
            loop.signal(number)
    with pytest.raises(OSError):
        loop.signal(signal.SIGKILL).start(print)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            loop.signal(signal.SIGUSR1).start(print)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


WITHOUT_PIDFD = pytest.mark.parametrize("pidfd", [True, False], ids=["pidfd", "SIGCHLD"])


@WITHOUT_PIDFD
def test_children_are_reaped(run_python: RunPython, pidfd: bool) -> None:
    """L1: children, of which several end at once, before and after somebody begins to wait."""
    program = """
import os, signal, sys
from greenswitch.loop import WatcherLoop, children
if sys.argv[1] == "False":
    children.pidfd_open = None
loop = WatcherLoop(default=True)
log = []
def child(code, delay):
    pid = os.fork()
    if not pid:
        import time; time.sleep(delay); os._exit(code)
    return pid
def ended(watcher, code):
    assert watcher.rpid == watcher.pid and os.waitstatus_to_exitcode(watcher.rstatus) == code
    assert watcher.active
    log.append(code)
    watcher.stop()
import time
for code, delay in ((1, 0.2), (2, 0), (3, 0), (4, 0.1)):
    watcher = loop.child(child(code, delay))
    if code == 2:
        time.sleep(0.05)
    watcher.start(ended, watcher, code)
loop.run()
print(sorted(log), signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, loop._children._descriptors)
pid = child(5, 0)
both = [loop.child(pid), loop.child(pid)]
for watcher in both:
    watcher.start(ended, watcher, 5)
loop.run()
print(log[4:])
killed = loop.child(child(0, 60))
killed.start(lambda: (print(os.WTERMSIG(killed.rstatus)), killed.stop()))
os.kill(killed.pid, signal.SIGTERM)
loop.run()
"""
    outcome = run_python(program, str(pidfd)).check()
    assert outcome.stdout == "[1, 2, 3, 4] True {}\n[5, 5]\n15\n"


def test_any_child(run_python: RunPython) -> None:
    program = """
import os, signal
from greenswitch.loop import WatcherLoop
loop = WatcherLoop(default=True)
seen = {}
anybody = loop.child(0)
def ended():
    seen[anybody.rpid] = os.waitstatus_to_exitcode(anybody.rstatus)
    if len(seen) == 4: anybody.stop(); one.stop()
anybody.start(ended)
pids = {}
for code in range(4):
    pid = os.fork()
    if not pid: os._exit(code)
    pids[pid] = code
one = loop.child(pid)
one.start(print, "the last one")
loop.run()
print(seen == pids, signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL)
traced = loop.child(os.fork() or (signal.pause() or os._exit(9)), trace=1)
states = []
def changed():
    status = traced.rstatus
    states.append("stopped" if os.WIFSTOPPED(status) else "continued" if os.WIFCONTINUED(status) else "ended")
    os.kill(traced.pid, {"stopped": signal.SIGCONT, "continued": signal.SIGKILL}.get(states[-1], 0) or 0) \
        if states[-1] != "ended" else traced.stop()
traced.start(changed)
os.kill(traced.pid, signal.SIGSTOP)
loop.run()
print(states)
"""
    outcome = run_python(program).check()
    assert sorted(outcome.stdout.splitlines()) == [
        "True True",
        "['stopped', 'continued', 'ended']",
        "the last one",
    ]


def test_a_child_that_somebody_else_reaped(loop: WatcherLoop) -> None:
    if children_module.pidfd_open is None:
        pytest.skip("no pidfd_open here: nobody could tell")
    pid = os.posix_spawn("/bin/sleep", ["sleep", "0.2"], {})
    watcher = loop.child(pid)
    statuses: list[int] = []
    watcher.start(lambda: (statuses.append(watcher.rstatus), watcher.stop()))
    os.waitpid(pid, 0)
    loop.run()
    assert [os.waitstatus_to_exitcode(status) for status in statuses] == [255]


def test_children_are_for_the_default_loop(bench: Bench, loop: WatcherLoop) -> None:
    with pytest.raises(TypeError, match="child watchers are only available on the default loop"):
        bench.loop.child(1)
    former = signal.getsignal(signal.SIGCHLD)
    loop.install_sigchld()
    loop.install_sigchld()
    assert signal.getsignal(signal.SIGCHLD) is not former
    loop.reset_sigchld()
    assert signal.getsignal(signal.SIGCHLD) is former


def test_fork_watchers_are_called_in_the_child(run_python: RunPython) -> None:
    program = """
import os, greenswitch
loop = greenswitch.get_hub().loop
watcher = loop.fork(ref=False)
watcher.start(lambda: print("forked", os.getpid() != parent, flush=True))
parent = os.getpid()
greenswitch.sleep(0)
pid = os.fork()
greenswitch.sleep(0.01)
if not pid: os._exit(0)
os.waitpid(pid, 0)
print("parent")
"""
    assert run_python(program).check().stdout == "forked True\nparent\n"


def test_stat_tells_of_changes(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    watcher = bench.loop.stat(str(path), -1)
    assert watcher.path == str(path) and watcher.interval == -1
    sizes: list[object] = []

    def changed() -> None:
        sizes.append([each and each.st_size for each in (watcher.prev, watcher.attr)])

    watcher.start(changed)
    assert watcher.interval == 0.1 and watcher.attr is not None and watcher.prev is None

    def turn(seconds: float) -> None:
        bench.loop.timer(seconds).start(bench.loop.break_)
        bench.loop.run()

    turn(1)
    assert sizes == []
    path.write_text("abc")
    turn(1)
    path.unlink()
    turn(1)
    assert sizes == [[1, 3], [3, None]]
    path.write_text("")
    turn(1)
    assert sizes[2:] == [[None, 0]]
    watcher.stop()
    assert bench.loop.activecnt == 0
    with pytest.raises(TypeError):
        bench.loop.stat(b"/")  # type: ignore[arg-type]
    usual = bench.loop.stat(str(path))
    usual.start(print)
    assert usual.interval == 5.0


# The loop's own


def test_run_once_and_nowait(bench: Bench) -> None:
    loop = bench.loop
    for seconds in (1, 2):
        loop.timer(seconds).start(bench.timed)
    loop.run(nowait=True)
    assert bench.log == [] and bench.poller.asked == [0.0]
    loop.run(once=True)
    assert bench.log == [1.0]
    loop.run()
    assert bench.log == [1.0, 2.0]
    loop.run(once=True)
    assert loop._poll == bench.poller.poll


def test_run_inside_of_a_callback(bench: Bench) -> None:
    loop = bench.loop
    depths: list[int] = [loop.depth]

    def callback() -> None:
        depths.append(loop.depth)
        loop.timer(1).start(lambda: depths.append(loop.depth))
        loop.run(once=True)
        bench.log.append("inner")

    loop.run_callback(callback)
    loop.timer(5).start(bench.note("outer"))
    loop.run()
    assert depths == [0, 1, 2] and bench.log == ["inner", "outer"] and loop.depth == 0


def test_break(bench: Bench) -> None:
    loop = bench.loop
    loop.timer(1).start(loop.break_)
    loop.timer(2).start(bench.timed)
    loop.run()
    assert bench.log == []
    loop.run()
    assert bench.log == [2.0]

    def callback(how: int) -> None:
        loop.timer(1).start(loop.break_, how)
        loop.run()
        bench.log.append("inner done")

    loop.timer(10).start(bench.note("late"))
    loop.run_callback(callback, 1)
    loop.run()
    assert bench.log[1:] == ["inner done", "late"]
    loop.timer(10).start(bench.note("never"))
    loop.run_callback(callback, 2)
    loop.run()
    assert bench.log[3:] == ["inner done"]


def test_ref_and_unref(bench: Bench) -> None:
    """`unref` takes back what one active watcher counts."""
    loop = bench.loop
    loop.io(5, READ).start(print)
    assert loop.activecnt == 1
    loop.unref()
    assert loop.activecnt == 0
    loop.run()
    loop.ref()
    loop.ref()
    assert loop.activecnt == 2


def test_turns_are_counted_from_the_first_question_on(bench: Bench) -> None:
    loop = bench.loop
    loop.timer(100).start(print)
    before = loop.iteration
    loop.run(nowait=True)
    loop.run(nowait=True)
    assert (before, loop.iteration) == (0, 2)


def test_the_numbers_of_a_loop() -> None:
    loop = WatcherLoop("epoll", default=False)
    assert (loop.backend, loop.backend_int, loop.origflags, loop.origflags_int) == ("epoll", 4, ["epoll"], 4)
    assert (loop.MINPRI, loop.MAXPRI, loop.sig_pending, loop.pendingcnt, loop.activecnt) == (-2, 2, 0, 0, 0)
    assert not loop.default and loop.ptr and loop.fileno() > 0 and loop.sigfd > 0
    assert 0 < loop.approx_timer_resolution < 0.01 and isinstance(loop.timer(1), loop.WatcherType)
    assert repr(loop).startswith("<loop at 0x") and "epoll pending=0 ref=0" in repr(loop)
    loop.verify()
    timers = [loop.timer(seconds) for seconds in (3, 1, 2)]
    for timer in timers:
        timer.start(print)
    timers[1].stop()
    loop.verify()
    loop.destroy()
    loop.destroy()
    assert (loop.ptr, loop.fileno(), loop.sigfd) == (0, -1, -1) and "destroyed" in repr(loop)
    loop.run()
    for timer in timers:
        timer.stop()


@pytest.mark.parametrize("flags", [None, 0, 4, "epoll", "EPOLL", ["select", "epoll"], "select,epoll", 4 | 1])
def test_flags_name_the_poller(flags: Any) -> None:
    loop = WatcherLoop(flags, default=False)
    assert loop.backend == "epoll"
    loop.destroy()


def test_flags_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="Invalid backend or flag: blabla"):
        WatcherLoop(["port", "blabla"])
    with pytest.raises(ValueError, match="none of port is available here"):
        WatcherLoop("port")
    with pytest.raises(TypeError):
        WatcherLoop(object())  # type: ignore[arg-type]


def test_a_loop_of_its_own_prints_failures(capsys: pytest.CaptureFixture[str]) -> None:
    loop = WatcherLoop(default=False)
    loop.run_callback(int, "x")
    loop.run()
    assert "invalid literal" in capsys.readouterr().err
    loop.run_callback(exit)
    with pytest.raises(SystemExit):
        loop.run()

    class Handler:
        def handle_error(self, *args: object) -> None:
            seen.append(args[1])

    seen: list[object] = []
    loop.error_handler = Handler()  # type: ignore[assignment]
    loop.run_callback(int, "x")
    loop.run()
    loop.handle_error(None, KeyError, KeyError(1), None)
    assert seen == [ValueError, KeyError]
    loop.destroy()


def test_signals_between_any_two_steps_lose_no_event() -> None:
    """A signal handler raises all the time, where an event is taken out and called: every watcher is called,
    once."""
    loop = WatcherLoop(default=True)
    called: list[int] = []
    interrupts = 0
    codes = {WatcherLoop._call_next.__code__, WatcherLoop.run.__code__, Loop.run.__code__}

    class Interrupt(Exception):
        pass

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        if frame is not None and frame.f_code in codes:
            interrupts += 1
            raise Interrupt

    def handle(context: object, type: type[BaseException], value: BaseException, tb: object) -> None:
        if type is not Interrupt:
            raise value

    loop.error_handler = handle
    rounds = 20_000
    expected: list[int] = []

    def fill() -> None:
        if len(expected) < rounds:
            for _ in range(50):
                expected.append(len(expected))
                loop.timer(0).feed(1, called.append, expected[-1])
            loop.ready.append(fill)
        else:
            codes.clear()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        loop.ready.append(fill)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        while len(called) < rounds:
            try:
                loop.run()
            except Interrupt:
                # Outside of the loop's own try.
                continue
            break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    loop.run()
    loop.destroy()
    assert sorted(called) == expected
    assert interrupts > 10
