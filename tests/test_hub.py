"""The hub: waiting, waking, and how a wait is undone.

What belongs here: the primitives of `greenswitch.hub`, hubs in threads, forks and at the end of the process.
What never does: the order in which the loop calls things (`tests/loop`), locks, queues and events (tests of
their own).
"""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import (
    GreenletExit,
    Timeout,
    config,
    get_hub,
    getcurrent,
    greenlet,
    idle,
    kill,
    sleep,
    spawn,
    spawn_raw,
)
from greenswitch.exceptions import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    InvalidSwitchError,
    LoopExit,
)
from greenswitch.hub import Entry, Hub, Row, Waiter, get_hub_if_any, stand_in_row, wake
from greenswitch.loop import HANGUP, READ, WRITE, Descriptor, WatcherLoop
from greenswitch.loop.pollers import POLLERS
from greenswitch.resolver.thread import Resolver
from greenswitch.threadpool import ThreadPool

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def descriptor() -> Iterator[tuple[Descriptor, socket.socket]]:
    """A descriptor with nothing to read and no room to write, and its peer, who does not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            left.send(b"x" * 65536)
    loop = get_hub().loop
    made = loop.register(left.fileno())
    sleep(0.001)
    made.readable = made.writable = False
    with left, right:
        yield made, right
        loop.unregister(made)


def waits() -> list[tuple[str, Callable[[Hub, Descriptor], object]]]:
    """Every way to wait for something that does not come, by its name."""
    return [
        ("seconds", lambda hub, d: hub.wait_seconds(100)),
        ("readable", lambda hub, d: hub.wait_readable(d)),
        ("readable, timeout", lambda hub, d: hub.wait_readable(d, 100)),
        ("writable", lambda hub, d: hub.wait_writable(d)),
        ("writable, timeout", lambda hub, d: hub.wait_writable(d, 100)),
        ("fd", lambda hub, d: hub.wait_fd(d.fd, READ)),
        ("fd, timeout", lambda hub, d: hub.wait_fd(d.fd, READ, 100)),
        ("waiter", lambda hub, d: Waiter().wait()),
        ("waiter, timeout", lambda hub, d: Waiter().wait(100)),
        ("row", lambda hub, d: stand_in_row(Row(), Nothing(), None, None)),
        ("row, timeout", lambda hub, d: stand_in_row(Row(), Nothing(), None, 100)),
    ]


def make_room(peer: socket.socket) -> None:
    """Read all that was sent to the peer."""
    with pytest.raises(BlockingIOError):
        while peer.recv(1 << 20):
            pass


def throw(victim: greenlet) -> None:
    """A kill at once. Only from the loop: whoever does it is not among those who run afterwards."""
    victim.throw(GreenletExit)


class Nothing:
    """An owner of a row to which nothing ever comes."""

    def _look_again(self) -> None:
        pass

    def _take_back(self, entry: Entry) -> None:
        raise AssertionError("nothing was handed over")


every_wait = pytest.mark.parametrize("wait", [wait for _, wait in waits()], ids=[name for name, _ in waits()])


# sleep


def test_sleep_lets_everybody_run_once_in_turn() -> None:
    """G2: the rounds interleave, in the order of the spawns."""
    log: list[tuple[str, int]] = []

    def run(name: str) -> None:
        for number in range(3):
            log.append((name, number))
            sleep(0)

    for name in "abc":
        spawn_raw(run, name)
    get_hub().join()
    assert log == [(name, number) for number in range(3) for name in "abc"]


def test_sleep_takes_its_time() -> None:
    order: list[float] = []

    def run(seconds: float) -> None:
        sleep(seconds)
        order.append(seconds)

    start = time.monotonic()
    for seconds in (0.2, 0.05, 0.1):
        spawn_raw(run, seconds)
    get_hub().join()
    assert order == [0.05, 0.1, 0.2]
    assert 0.2 <= time.monotonic() - start < 0.35


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -0.5])
def test_sleep_of_nothing_or_less_is_a_turn(seconds: float) -> None:
    """gevent's: a negative sleep is no error, and lets others run."""
    ran: list[int] = []
    spawn_raw(ran.append, 1)
    sleep(seconds)
    assert ran == [1]


def test_sleep_of_what_is_no_number() -> None:
    with pytest.raises(TypeError):
        sleep("1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        sleep(float("nan"))
    sleep(0)


def test_sleep_without_ref_does_not_keep_the_loop() -> None:
    with pytest.raises(LoopExit):
        sleep(1000, ref=False)


def test_idle_waits_until_nothing_else_is_to_be_done() -> None:
    log: list[object] = []

    def run() -> None:
        for number in range(5):
            log.append(number)
            sleep(0)

    def idler(name: str) -> None:
        idle()
        log.append(name)

    spawn_raw(run)
    spawn_raw(idler, "one")
    spawn_raw(idler, "two")
    get_hub().join()
    assert log == [0, 1, 2, 3, 4, "one", "two"]


# The abort contract


@every_wait
def test_a_kill_undoes_the_wait(
    wait: Callable[[Hub, Descriptor], object], descriptor: tuple[Descriptor, socket.socket]
) -> None:
    """G14: a kill reaches a greenlet wherever it waits, and leaves nothing behind that could wake it
    later."""
    made, peer = descriptor
    hub = get_hub()
    before = hub.loop.timer_count
    seen: list[type[BaseException]] = []

    def run() -> None:
        try:
            wait(hub, made)
        except BaseException as error:
            seen.append(type(error))
            raise

    victim = spawn(run)
    sleep(0)
    victim.kill()
    assert seen == [GreenletExit]
    assert hub.loop.timer_count == before
    assert made.reader is None and made.writer is None and not made.borrowers
    # What it waited for comes now: nobody is disturbed.
    peer.send(b"x")
    make_room(peer)
    sleep(0.002)
    assert hub.loop._borrowed == {}


@every_wait
def test_a_timeout_reaches_every_wait(
    wait: Callable[[Hub, Descriptor], object], descriptor: tuple[Descriptor, socket.socket]
) -> None:
    """G14: any wait can be bounded."""
    hub = get_hub()
    before = hub.loop.timer_count
    with pytest.raises(Timeout), Timeout(0.01):
        wait(hub, descriptor[0])
    assert hub.loop.timer_count == before
    assert descriptor[0].reader is None and descriptor[0].writer is None


@every_wait
def test_no_wait_in_a_callback_of_the_loop(
    wait: Callable[[Hub, Descriptor], object], descriptor: tuple[Descriptor, socket.socket]
) -> None:
    hub = get_hub()
    errors: list[BaseException] = []

    def callback() -> None:
        try:
            wait(hub, descriptor[0])
        except BaseException as error:
            errors.append(error)

    hub.loop.run_callback(callback)
    sleep(0.001)
    (error,) = errors
    assert isinstance(error, BlockingSwitchOutError)
    assert "Impossible to call blocking function in the event loop callback" in str(error)
    assert hub.loop._borrowed == {}


@every_wait
def test_a_foreign_switch_is_noticed(
    wait: Callable[[Hub, Descriptor], object], descriptor: tuple[Descriptor, socket.socket]
) -> None:
    """Who is switched to by somebody whom he does not wait for gets an error, and waits no more."""
    hub = get_hub()
    before = hub.loop.timer_count
    errors: list[BaseException] = []

    def run() -> None:
        try:
            wait(hub, descriptor[0])
        except BaseException as error:
            errors.append(error)

    victim = spawn_raw(run)
    sleep(0)
    hub.loop.run_callback(victim.switch)
    sleep(0.001)
    (error,) = errors
    assert isinstance(error, InvalidSwitchError)
    assert hub.loop.timer_count == before
    assert descriptor[0].reader is None and descriptor[0].writer is None


def test_killed_in_sleep_0_while_its_turn_is_near() -> None:
    ran: list[str] = []

    def run() -> None:
        try:
            sleep(0)
            ran.append("too far")
        finally:
            ran.append("end")

    victim = spawn_raw(run)
    # The victim's turn comes after this callback.
    get_hub().loop.run_callback(throw, victim)
    sleep(0)
    assert ran == ["end"]
    sleep(0)
    assert ran == ["end"]


def test_thousands_of_kills_at_once() -> None:
    """Undoing costs the same however many wait."""
    victims = [spawn_raw(sleep, 0) for _ in range(20_000)]
    count = 0

    def run() -> None:
        nonlocal count
        try:
            while True:
                sleep(0)
        except GreenletExit:
            count += 1

    victims = [spawn_raw(run) for _ in range(20_000)]
    sleep(0)
    for victim in victims:
        kill(victim)
    sleep(0)
    sleep(0)
    assert count == 20_000
    assert all(victim.dead for victim in victims)


# Descriptors


def test_wait_readable_and_writable(descriptor: tuple[Descriptor, socket.socket]) -> None:
    made, peer = descriptor
    hub = get_hub()
    assert hub.wait_readable(made, 0.01) is False
    spawn_raw(peer.send, b"x")
    assert hub.wait_readable(made, 10) is True
    assert made.readable
    # Marked as ready: does not wait.
    assert hub.wait_readable(made, 0) is True
    assert hub.wait_writable(made, 0.01) is False
    spawn_raw(make_room, peer)
    assert hub.wait_writable(made) is True
    assert made.writable and hub.wait_writable(made, 0) is True


def test_one_reader_and_one_writer_at_a_time(descriptor: tuple[Descriptor, socket.socket]) -> None:
    made, peer = descriptor
    hub = get_hub()
    reader, writer = spawn(hub.wait_readable, made), spawn(hub.wait_writable, made)
    sleep(0)
    for wait in (hub.wait_readable, hub.wait_writable):
        with pytest.raises(ConcurrentObjectUseError, match=f"descriptor {made.fd} "):
            wait(made)
    peer.send(b"x")
    make_room(peer)
    assert reader.get(timeout=5) is True
    assert writer.get(timeout=5) is True


def test_cancel_waits_raises_in_who_waits(descriptor: tuple[Descriptor, socket.socket]) -> None:
    """Closing what another greenlet waits for: an error there, never a hang."""
    made, _ = descriptor
    hub = get_hub()
    hub.cancel_waits(made, OSError("nobody waits: nothing happens"))
    reader, writer = spawn(hub.wait_readable, made), spawn(hub.wait_writable, made, 10)
    survivor = spawn(hub.wait_readable, made)
    survivor.kill()
    sleep(0)
    error = OSError(9, "closed")
    hub.cancel_waits(made, error)
    hub.loop.unregister(made)
    hub.handle_error = lambda *_: None  # type: ignore[method-assign]
    try:
        reader.join()
        writer.join()
    finally:
        del hub.handle_error
    assert reader.exception is error and writer.exception is error
    # Closed: no wait, the attempt tells what is wrong.
    assert hub.wait_readable(made) is True


def test_a_waiter_that_is_killed_before_the_cancellation_arrives(
    descriptor: tuple[Descriptor, socket.socket],
) -> None:
    made, _ = descriptor
    hub = get_hub()
    log: list[object] = []

    def run() -> None:
        try:
            hub.wait_readable(made)
        except GreenletExit:
            sleep(0)
            sleep(0.001)
            log.append("left in peace")

    victim = spawn_raw(run)
    sleep(0)
    hub.loop.ready.append(lambda: victim.throw(GreenletExit))
    hub.cancel_waits(made, OSError("late"))
    hub.join()
    assert log == ["left in peace"]


def test_wait_fd() -> None:
    hub = get_hub()
    left, right = socket.socketpair()
    with left, right:
        assert hub.wait_fd(left.fileno(), WRITE) == WRITE
        assert hub.wait_fd(left.fileno(), READ, 0.01) == 0
        waiting = [spawn(hub.wait_fd, left.fileno(), READ) for _ in range(3)]
        sleep(0)
        right.send(b"x")
        assert [one.get(timeout=5) for one in waiting] == [READ] * 3
        right.close()
        # To select the end of a stream is something to read, no more.
        told = hub.wait_fd(left.fileno(), READ | WRITE)
        assert told == READ | WRITE | (0 if hub.backend == "select" else HANGUP)
    with pytest.raises(OSError):
        hub.wait_fd(left.fileno() if left.fileno() >= 0 else 10_000, READ)


# Waiters


def test_a_waiter_is_woken_with_a_value() -> None:
    waiter = Waiter()
    assert not waiter.woken and not waiter.ready() and waiter.value is None
    get_hub().loop.call_later(0.01, lambda: waiter.wake("value"))
    assert waiter.wait() is True
    assert waiter.woken and waiter.value == "value" and waiter.get() == "value"
    assert waiter.wait() is True


def test_a_waiter_woken_before_does_not_wait() -> None:
    waiter = Waiter()
    assert waiter.wake(1) is True
    assert waiter.wake(2) is False
    assert waiter.wait(0) is True and waiter.value == 1


def test_a_waiter_that_gave_up_is_not_woken() -> None:
    waiter = Waiter()
    assert waiter.wait(0.001) is False
    assert waiter.wake() is False
    assert not waiter.woken and waiter.wait() is False


def test_a_wake_in_the_same_turn_as_the_timeout_counts() -> None:
    """Woken, and the timer comes before the greenlet runs: woken. Nothing is left in the ready queue."""
    hub = get_hub()
    waiter = Waiter()

    def both() -> None:
        # The timer of the wait is due as well by the end of this callback.
        time.sleep(0.03)
        waiter.wake("in time")

    hub.loop.call_later(0.005, both)
    assert waiter.wait(0.02) is True
    assert waiter.value == "in time"
    # A wake-up left behind would end this sleep early.
    start = time.monotonic()
    sleep(0.01)
    assert time.monotonic() - start >= 0.01


def test_woken_and_killed_before_it_runs() -> None:
    waiter = Waiter()
    seen: list[bool] = []

    def run() -> None:
        # A waiter belongs to whoever waits with it.
        try:
            waiter.wait()
        except GreenletExit:
            seen.append(waiter.woken)
            sleep(0.001)
            seen.append(True)

    victim = spawn_raw(run)
    sleep(0)
    assert waiter.greenlet is victim
    waiter.wake("handed over")
    # Before the ready queue comes to the victim.
    get_hub().loop.ready.appendleft(lambda: throw(victim))
    get_hub().join()
    assert seen == [True, True]


def test_gevents_names_of_a_waiter() -> None:
    hub = get_hub()
    switched, failed = Waiter(), Waiter(hub)
    assert failed.hub is hub
    switched.switch("value")
    assert switched.ready() and switched.get() == "value"
    hub.loop.run_callback(failed.throw, ValueError, "text")
    with pytest.raises(ValueError, match="text"):
        failed.get()
    with pytest.raises(GreenletExit):
        waiter = Waiter()
        waiter.throw()
        waiter.get()
    assert str(switched) == "<Waiter greenlet=None value='value'>"
    assert str(Waiter()) == "<Waiter greenlet=None>"


def test_waiters_are_equal_to_themselves_only() -> None:
    one, other = Waiter(), Waiter()
    assert one != other and one == one and len({one, other}) == 2
    row = [other, one]
    row.remove(one)
    assert row[0] is other


def test_wakes_from_other_threads_arrive_all() -> None:
    """S5, G8: each of many waiters is woken, once, by whichever of several threads was first."""
    hub = get_hub()
    waiters: list[Waiter] = []
    results: list[object] = []
    won: list[list[bool]] = [[] for _ in range(3)]
    filled = threading.Event()

    def work(mine: list[bool]) -> None:
        filled.wait()
        for waiter in waiters:
            mine.append(waiter.wake("woken"))

    def run() -> None:
        waiter = Waiter()
        waiters.append(waiter)
        waiter.wait()
        results.append(waiter.value)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in won]
    for thread in threads:
        thread.start()
    greenlets = [spawn(run) for _ in range(2000)]
    sleep(0)
    filled.set()
    for one in greenlets:
        one.join()
    for thread in threads:
        thread.join()
    assert results == ["woken"] * 2000
    assert [sum(flags) for flags in zip(*won, strict=True)] == [1] * 2000
    assert hub.loop.timer_count == 1


def test_timeouts_and_wakes_of_another_thread_exclude_each_other() -> None:
    """Whoever is told "handed over" has handed over: as many successes on the one side as on the other."""
    told: list[bool] = []
    got: list[bool] = []
    waiters: list[Waiter] = []
    stop = threading.Event()

    def work() -> None:
        seen = 0
        while not stop.is_set() or seen < len(waiters):
            if seen < len(waiters):
                time.sleep(0.0005)
                told.append(waiters[seen].wake())
                seen += 1

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(400):
        waiter = Waiter()
        waiters.append(waiter)
        got.append(waiter.wait(0.0001 * (number % 20)))
    stop.set()
    thread.join()
    assert told == got
    assert True in got and False in got


# Rows


class Counter(Nothing):
    def __init__(self) -> None:
        self.row = Row()
        self.taken_back: list[Entry] = []

    def _take_back(self, entry: Entry) -> None:
        self.taken_back.append(entry)


def test_a_row_keeps_the_order_of_coming() -> None:
    owner = Counter()
    log: list[object] = []

    def run(number: int) -> None:
        entry = stand_in_row(owner.row, owner, number, None)
        assert entry is not None
        log.append((number, entry[2], entry[3][0]))

    for number in range(5):
        spawn_raw(run, number)
    sleep(0)
    assert owner.row.waiting() == 5
    while owner.row:
        wake(owner.row.popleft(), "x")
    sleep(0)
    assert log == [(number, number, "x") for number in range(5)]


def test_leaving_a_long_row_leaves_nothing_behind() -> None:
    """Cost and memory of a wait that is given up do not depend on who else waits."""
    owner = Counter()
    stayers = [spawn(stand_in_row, owner.row, owner, number, None) for number in range(500)]
    sleep(0)
    leavers = [spawn(stand_in_row, owner.row, owner, "leaver", None) for _ in range(20_000)]
    sleep(0)
    for leaver in leavers:
        leaver.kill(block=False)
    sleep(0)
    sleep(0)
    assert all(leaver.dead for leaver in leavers)
    assert owner.row.waiting() == 500
    assert len(owner.row) <= 2 * 500 + 64
    order = [owner.row.popleft() for _ in range(len(owner.row))]
    assert [entry[2] for entry in order if wake(entry)] == list(range(500))
    assert [entry[2] for stayer in stayers if (entry := stayer.get(timeout=5))] == list(range(500))
    assert owner.taken_back == []


def test_who_was_handed_something_and_is_killed_gives_it_back() -> None:
    owner = Counter()
    victim = spawn(stand_in_row, owner.row, owner, None, 10)
    sleep(0)
    entry = owner.row.popleft()
    assert wake(entry, "present")
    get_hub().loop.ready.appendleft(lambda: throw(victim))
    sleep(0)
    (back,) = owner.taken_back
    assert back is entry and back[3] == ("present", None)
    sleep(0)


def test_woken_while_entering_does_not_wait() -> None:
    class Generous(Counter):
        def _look_again(self) -> None:
            wake(self.row.popleft(), "at once")

    owner = Generous()
    hub = get_hub()
    before = hub.loop.timer_count
    entry = stand_in_row(owner.row, owner, None, 10)
    assert entry is not None and entry[3][0] == "at once"
    assert hub.loop.timer_count == before and not owner.row
    assert stand_in_row(Row(), Nothing(), None, 0.001) is None


# Failures


def test_a_raw_greenlet_that_fails_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """G7: reported once with its traceback, and does not stop the others."""
    log: list[int] = []

    def bad() -> None:
        raise ValueError("told once")

    spawn_raw(bad)
    spawn_raw(log.append, 1)
    sleep(0)
    err = capsys.readouterr().err
    assert log == [1]
    assert err.count("ValueError: told once") == 1 and "in bad" in err
    last = err.strip().splitlines()[-1]
    stamp, rest = last.split(" ", 1)
    time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")
    assert rest.endswith("failed with ValueError")


def test_bare_greenlets_are_all_told_that_their_descriptor_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """What one of them does not catch is reported, and the others hear of it all the same."""
    hub = get_hub()
    ended: list[str] = []

    def wait(name: str, how: Callable[..., object], *args: Any) -> None:
        try:
            how(*args)
        finally:
            ended.append(name)

    reader, writer = os.pipe()
    for name in ("one", "two"):
        spawn_raw(wait, name, hub.wait_fd, reader, READ)
    sleep(0)
    hub.give_up_fd(reader, LookupError("of the number"))
    os.close(reader)
    os.close(writer)
    left, right = socket.socketpair()
    with left, right:
        descriptor = hub.loop.register(left.fileno())
        descriptor.readable = descriptor.writable = False
        spawn_raw(wait, "reader", hub.wait_readable, descriptor)
        spawn_raw(wait, "writer", hub.wait_writable, descriptor)
        sleep(0)
        hub.cancel_waits(descriptor, LookupError("of the descriptor"))
        hub.loop.unregister(descriptor)
        sleep(0)
        sleep(0)
    assert ended == ["one", "two", "reader", "writer"]
    err = capsys.readouterr().err
    assert err.count("LookupError: of the number\n") == err.count("LookupError: of the descriptor\n") == 2


def test_failures_are_printed_where_it_was_set(capsys: pytest.CaptureFixture[str]) -> None:
    """To None: nowhere, as gevent documents it."""
    hub = get_hub()
    stream = io.StringIO()
    for value in (stream, None):
        hub.exception_stream = value
        assert hub.exception_stream is value
        spawn(int, "x").join()
    assert stream.getvalue().count("ValueError:") == 1 and capsys.readouterr().err == ""
    del hub.exception_stream
    spawn(int, "x").join()
    assert "ValueError:" in capsys.readouterr().err


def test_exit_exceptions_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    hub = get_hub()
    hub.handle_error("context", GreenletExit, GreenletExit(), None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, SystemError])
def test_system_errors_reach_the_main_greenlet(
    error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def bad() -> None:
        raise error("for main")

    failing = spawn(bad)
    with pytest.raises(error, match="for main"):
        sleep(10)
    failing.join()
    assert failing.dead
    assert ("SystemError: for main" in capsys.readouterr().err) == (error is SystemError)
    sleep(0)


def test_an_error_in_the_error_handling_reaches_the_main_greenlet() -> None:
    hub = get_hub()

    def broken(*_: object) -> None:
        raise LookupError("in handle_error")

    hub.handle_error = broken  # type: ignore[method-assign]
    try:
        hub.loop.run_callback(int, "x")
        with pytest.raises(LookupError, match="in handle_error"):
            sleep(10)
    finally:
        del hub.handle_error
    sleep(0.001)


def test_a_closed_stderr_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    hub = get_hub()

    class Closed:
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

    hub.exception_stream = Closed()  # type: ignore[assignment]
    try:
        hub.loop.run_callback(int, "x")
        sleep(0.001)
    finally:
        del hub.exception_stream
    assert capsys.readouterr().err == ""


# LoopExit


def test_a_deadlock_is_an_error() -> None:
    """G12: when nothing can ever wake the main greenlet, the program does not hang."""
    # In a thread of its own the others of this process could still wake it: so in a process of its own,
    # below. Here all threads of earlier tests have ended.
    assert threading.active_count() == 1
    with pytest.raises(LoopExit) as caught:
        Waiter().wait()
    assert str(caught.value).startswith("This operation would block forever\n\tHub: <Hub ")
    assert caught.value.hub is get_hub()
    # The hub goes on to work.
    sleep(0.001)


def test_hub_join_waits_for_everything() -> None:
    hub = get_hub()
    log: list[int] = []
    assert hub.join() is True
    spawn_raw(lambda: (sleep(0.02), log.append(1)))
    assert hub.join(timeout=0.001) is False and log == []
    assert hub.join() is True and log == [1]

    def not_main() -> None:
        with pytest.raises(AssertionError, match="MAIN"):
            hub.join()
        log.append(2)

    spawn_raw(not_main)
    hub.join()
    assert log == [1, 2]


def test_another_thread_may_still_wake_us() -> None:
    """With another thread alive a wait without an end in sight is no deadlock."""
    waiter = Waiter()

    def work() -> None:
        time.sleep(0.3)
        waiter.wake("from the thread")

    thread = threading.Thread(target=work)
    thread.start()
    assert waiter.wait() and waiter.value == "from the thread"
    thread.join()


# Hubs


def test_each_thread_has_its_own_hub() -> None:
    """S5: its own main greenlet, its own hub, its own loop."""
    hubs: list[object] = [get_hub()]
    assert get_hub() is get_hub() and get_hub_if_any() is get_hub()

    def work() -> None:
        hubs.append(get_hub_if_any())
        hub = get_hub()
        hubs.append(hub)
        assert hub.parent is getcurrent() and hub.thread_ident == threading.get_ident()
        assert not hub.main_hub

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert hubs[1] is None and hubs[2] is not hubs[0]
    hub = get_hub()
    assert hub.main_hub and hub.parent is getcurrent()
    assert repr(hub).startswith("<Hub '' at 0x")


def test_a_thread_that_ends_leaves_nothing_behind() -> None:
    get_hub()

    def work() -> None:
        joined = [spawn(sleep, 0.001) for _ in range(3)]
        for one in joined:
            one.join()

    def count() -> int:
        gc.collect()
        return sum(isinstance(thing, (Hub, greenlet)) for thing in gc.get_objects())

    def run() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    run()
    before = count(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run()
    assert (count(), len(os.listdir("/proc/self/fd"))) == before


def test_who_says_that_a_descriptor_will_be_closed_goes_on() -> None:
    """Those who wait for it are told by the loop: switched to at once they would leave him behind."""
    here, there = socket.socketpair()
    told = spawn(get_hub().wait_fd, here.fileno(), READ)
    sleep(0)

    def close() -> str:
        assert get_hub().loop.closing_fd(here.fileno())
        here.close()
        return "went on"

    assert spawn(close).get(timeout=5) == "went on"
    assert told.get(timeout=5) & READ
    there.close()


def test_a_destroyed_hub_is_replaced() -> None:
    result: list[bool] = []

    def work() -> None:
        before = len(os.listdir("/proc/self/fd"))
        old = get_hub()
        sleep(0.001)
        old.destroy()
        old.destroy()
        result.append(len(os.listdir("/proc/self/fd")) == before)
        new = get_hub()
        sleep(0.001)
        result.append(new is not old and old.loop.closed and not new.loop.closed)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert result == [True, True]


def test_a_destroyed_hub_goes_though_its_loop_leads_back_to_it() -> None:
    """The collector does not see what lies on the stack of a hub that stands in its loop."""

    class Clock:
        hub: Hub

        def __call__(self) -> float:
            return time.monotonic()

    def use() -> weakref.ref[Clock]:
        clock = Clock()
        clock.hub = hub = Hub(WatcherLoop(clock=clock, default=False))
        hub.loop.call_later(0, getcurrent().switch)
        hub.switch()
        hub.destroy()
        return weakref.ref(clock)

    clock = use()
    gc.collect()
    assert clock() is None


def test_what_upper_modules_hang_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Pool:
        def __init__(self, size: int, hub: Hub, idle_task_timeout: float) -> None:
            made.append((size, hub, idle_task_timeout))

        def kill(self) -> None:
            made.append("killed")

    class Resolver:
        def __init__(self, hub: Hub) -> None:
            self.hub = hub

    def work() -> None:
        hub = get_hub()
        monkeypatch.setattr(Hub, "threadpool_class", Pool)
        monkeypatch.setattr(Hub, "resolver_class", Resolver)
        monkeypatch.setattr(config, "threadpool_idle_task_timeout", 3)
        pool = hub.threadpool
        assert hub.threadpool is pool
        assert made == [(10, hub, 3.0)]
        assert hub.resolver.hub is hub and hub.resolver is hub.resolver
        hub.destroy()
        assert made[1:] == ["killed"]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(made) == 2


def test_upper_modules_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = get_hub()
    assert (Hub.threadpool_class, hub.resolver_class) == (ThreadPool, Resolver)
    monkeypatch.setattr(config, "threadpool_size", 3)
    assert (Hub.threadpool_size, hub.threadpool_size) == (3, 3)
    monkeypatch.setattr(hub, "threadpool_size", 4, raising=False)
    assert (Hub.threadpool_size, hub.threadpool_size) == (3, 4)


def test_spawn_raw() -> None:
    """G5: it runs when the spawner waits."""
    log: list[object] = []

    def run(*args: object, **kwargs: object) -> None:
        log.append((args, kwargs))

    made = spawn_raw(run, 1, 2, key=3)
    bare = spawn_raw(run)
    assert type(made) is greenlet and made.parent is get_hub() and log == []
    sleep(0)
    assert log == [((1, 2), {"key": 3}), ((), {})] and made.dead and bare.dead
    with pytest.raises(TypeError):
        spawn_raw(5)  # type: ignore[arg-type]


def test_kill_of_a_raw_greenlet() -> None:
    """From the loop, not at once; nothing happens to one that is dead."""
    seen: list[type[BaseException]] = []

    def run() -> None:
        try:
            sleep(100)
        except BaseException as error:
            seen.append(type(error))

    running = [spawn_raw(run) for _ in range(2)]
    sleep(0)
    kill(running[0])
    kill(running[0])
    kill(running[1], ValueError)
    assert seen == []
    sleep(0)
    kill(running[0])
    sleep(0)
    assert seen == [GreenletExit, ValueError]
    assert all(one.dead for one in running)


# Signals, forks, the end: in processes of their own


def test_sigint_reaches_the_main_greenlet_at_once(run_python: RunPython) -> None:
    """A SIGINT while the hub polls, with and without something else to wait for."""
    outcome = run_python(
        """
        import os, signal, threading, time
        import greenswitch
        from greenswitch.event import Event
        for wait in (lambda: greenswitch.sleep(60), Event().wait):
            keep = greenswitch.spawn(greenswitch.sleep, 60)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            start = time.monotonic()
            try:
                wait()
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - start < 10, keep.dead)
        """.replace("\n        ", "\n")
    ).check()
    assert outcome.stdout.splitlines() == ["interrupted True False"] * 2
    assert outcome.stderr == ""


def test_a_signal_handler_may_set_an_event(run_python: RunPython) -> None:
    """Its wake-up is not lost although the poller goes on after a signal."""
    outcome = run_python(
        """
        import signal, time
        import greenswitch
        from greenswitch.event import Event
        stop = Event()
        signal.signal(signal.SIGALRM, lambda *_: stop.set())
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        guard = greenswitch.spawn(greenswitch.sleep, 60)
        start = time.monotonic()
        print(stop.wait(), time.monotonic() - start < 30)
        """.replace("\n        ", "\n")
    ).check()
    assert outcome.stdout == "True True\n"


def test_an_exception_of_a_signal_handler_reaches_the_main_greenlet(run_python: RunPython) -> None:
    outcome = run_python(
        """
        import signal
        import greenswitch
        def handler(*_): raise LookupError("from the handler")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            greenswitch.sleep(60)
        except LookupError as error:
            print(error)
        greenswitch.sleep(0.01)
        """.replace("\n        ", "\n")
    ).check()
    assert outcome.stdout == "from the handler\n"
    assert outcome.stderr == ""


def test_greenlets_go_on_in_the_child_of_a_fork(run_python: RunPython) -> None:
    """G15: the child gets a poller and a wake-up of its own; neither disturbs the other."""
    outcome = run_python(
        """
        import os, sys, threading, time
        import greenswitch
        from greenswitch.event import Event
        from greenswitch.hub import LoopExit, Waiter
        greenswitch.sleep(0)
        before = greenswitch.spawn(greenswitch.sleep, 0.05)
        greenswitch.sleep(0)
        child = os.fork()
        name = "child" if child == 0 else "parent"
        before.join()
        woken = Waiter()
        threading.Timer(0.05, woken.wake).start()
        result = woken.wait()
        if child == 0:
            while threading.active_count() > 1: time.sleep(0.01)
            try: Event().wait()
            except LoopExit: result = result, "LoopExit"
            print(name, before.dead, result, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        greenswitch.sleep(0.01)
        print(name, before.dead, result)
        """.replace("\n        ", "\n")
    ).check()
    assert outcome.stdout.splitlines() == ["child True (True, 'LoopExit')", "parent True True"]


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "import os; os._exit(0)", "sys.exit()"])
def test_the_process_ends_with_greenlets_suspended(run_python: RunPython, end: str) -> None:
    """No hang, no traceback, whatever is still suspended."""
    outcome = run_python(
        """
        import sys, threading
        import greenswitch
        from greenswitch.event import Event
        from greenswitch.queue import Queue
        def waits(wait, *args):
            try: wait(*args)
            finally: pass
        keep = [greenswitch.spawn(waits, greenswitch.sleep, 1000), greenswitch.spawn_raw(waits, Event().wait)]
        keep += [greenswitch.spawn(waits, Queue().get), greenswitch.spawn(waits, greenswitch.sleep, 0)]
        greenswitch.spawn(waits, Event().wait, 1000)
        def thread(): greenswitch.spawn(greenswitch.sleep, 10); greenswitch.sleep(0.01)
        started = threading.Thread(target=thread); started.start(); started.join()
        greenswitch.sleep(0.001)
        keep.append(greenswitch.spawn(print, "never"))
        """.replace("\n        ", "\n")
        + end,
        options=("-X", "dev"),
        timeout=30,
    ).check()
    assert outcome.stdout == ""
    assert outcome.stderr == ""


def test_the_face_alone_loads_no_hub(run_python: RunPython) -> None:
    outcome = run_python(
        "from greenswitch import greenlet, getcurrent\n"
        "import sys\n"
        "print(sorted(name for name in sys.modules if name.startswith('greenswitch')))\n"
    ).check()
    assert outcome.stdout == "['greenswitch', 'greenswitch._core']\n"


def test_signals_are_left_to_whoever_listens_already() -> None:
    """A wake-up descriptor that another loop (asyncio) has set stays."""
    outcome: list[int] = []
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        from greenswitch.loop import Loop

        Loop(signals=True).close()
        outcome.append(signal.set_wakeup_fd(-1))
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
    assert outcome == [write]


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 15) and hasattr(sys, "gettotalrefcount"),
    reason="this CPython, with assertions, insists that tracing does not change while frames are suspended",
)
def test_a_hub_survives_an_exception_at_any_step(run_python: RunPython) -> None:
    """What a signal handler raises in the hub's own function, wherever that is - a trace function stands for
    it, which can raise at each step - reaches main, and main can wait again."""
    outcome = run_python(
        """
import sys
from greenswitch import get_hub, sleep, spawn

class Raised(Exception):
    pass

def tracer(frame, event, argument):
    if frame.f_code.co_name == '_run_hub':
        steps.append(event)
        if len(steps) == chosen:
            raise Raised
        return tracer

seen = []
for chosen in range(1, 40):
    get_hub().destroy()
    steps = []
    sys.settrace(tracer)
    try:
        for _ in range(4):
            sleep(0.0001)
            get_hub().loop.run_callback(get_hub().throw, KeyError)  # out of the loop, and in again
            try:
                sleep(0.001)
            except KeyError:
                pass
    except Raised:
        seen.append(chosen)
    sys.settrace(None)
    done = spawn(lambda: 5)
    sleep(0.0005)
    assert done.value == 5 and not get_hub().dead, (chosen, seen)
print(len(seen))
"""
    ).check()
    assert int(outcome.stdout) >= 5


# Watchers, numbers, the loop that is left


def test_hub_wait_waits_for_a_watcher() -> None:
    hub = get_hub()
    timer = hub.loop.timer(0.01)
    assert hub.wait(timer) is None  # type: ignore[func-returns-value]
    assert not timer.active and timer.callback is None
    asleep = hub.loop.timer(100)
    waiting = spawn(hub.wait, asleep)
    sleep(0)
    assert asleep.active
    waiting.kill()
    assert not asleep.active
    with pytest.raises(Timeout), Timeout(0.01):
        hub.wait(asleep)
    assert not asleep.active


@pytest.mark.parametrize("close", [False, True])
def test_cancel_wait_raises_in_who_waits_for_the_watcher(close: bool) -> None:
    hub = get_hub()
    watcher = hub.loop.timer(100)
    waiting = spawn(hub.wait, watcher)
    sleep(0)
    hub.cancel_wait(watcher, KeyError("gone"), close)
    # From the loop, not at once.
    assert not waiting.ready()
    waiting.join()
    assert isinstance(waiting.exception, KeyError) and not watcher.active
    hub.cancel_wait(watcher, KeyError("nobody"), close)
    sleep(0)


def test_cancel_waits_close_and_then() -> None:
    hub = get_hub()
    watchers = [hub.loop.timer(100), hub.loop.io(0, 1), hub.loop.timer(100)]
    waiting = [spawn(hub.wait, watcher) for watcher in (watchers[0], watchers[2])]
    log: list[object] = []
    sleep(0)
    hub.cancel_waits_close_and_then(watchers, KeyError, log.append, "then")
    assert log == []
    joined = [one.join() for one in waiting]
    assert log == ["then"] and joined == [None, None]
    assert [type(one.exception) for one in waiting] == [KeyError, KeyError]


def test_a_waiter_that_is_cleared_is_as_new() -> None:
    waiter = Waiter()
    waiter.switch_args(1, 2)
    assert waiter.get() == (1, 2) == waiter.value and waiter.successful() and waiter.exc_info is None
    waiter.clear()
    assert not waiter.ready() and waiter.value is None and not waiter.successful()
    waiter.throw(ValueError, "text")
    assert waiter.exc_info == (ValueError, "text") and waiter.ready() and not waiter.successful()
    waiter.clear()
    waiting = spawn(waiter.get)
    sleep(0)
    assert waiter.greenlet is waiting and f"greenlet={waiting}" in str(waiter)
    with pytest.raises(ConcurrentObjectUseError, match="already used by"):
        waiter.get()
    waiter.switch("late")
    assert waiting.get() == "late"


def test_a_waiter_is_woken_at_once_by_a_callback_of_the_loop() -> None:
    log: list[object] = []
    waiter, failed = Waiter(), Waiter()
    spawn(lambda: log.append(waiter.get()))
    failing = spawn(failed.get)
    sleep(0)
    callback = get_hub().loop.run_callback
    callback(lambda: (waiter.switch(1), log.append("after")))
    callback(lambda: (failed.throw(KeyError), log.append(failing.ready())))
    sleep(0.001)
    assert log == [1, "after", True]


def test_the_names_of_a_hub() -> None:
    hub = get_hub()
    assert isinstance(hub.loop, hub.loop_class) and hub.backend == hub.loop.backend in POLLERS
    assert hub.thread_ident == threading.get_ident() and hub.periodic_monitoring_thread is None
    with pytest.raises(BlockingSwitchOutError):
        hub.switch_out()
    with pytest.raises(AssertionError, match="by the switcher alone"):
        hub.run()

    class Thing:
        pass

    ident = hub.ident_registry.get_ident
    one, two = Thing(), Thing()
    first, second = ident(one), ident(two)
    assert first != second and ident(one) == first and ident(two) == second
    del one
    assert ident(Thing()) == first


def test_the_main_hubs_loop_goes_over_to_the_next_hub(run_python: RunPython) -> None:
    """Unless it is destroyed with it; who waited in it is forgotten."""
    program = """
import gc, greenswitch
from greenswitch import get_hub, sleep, spawn
hub = get_hub()
loop = hub.loop
sleep(0.001)
lost = [spawn(print, "never"), spawn(sleep, 0.01), loop.timer(0.001)]
lost[2].start(print, "never")
hub.destroy()
hub.destroy()
assert hub.dead and not loop.closed and loop.default
new = get_hub()
assert new is not hub and new.loop is loop
sleep(0.02)
spawn(print, "a greenlet of the new hub").join()
new.destroy(destroy_loop=True)
assert loop.closed and not loop.default and "destroyed" in repr(new)
last = get_hub()
assert last.loop is not loop and last.loop.default
sleep(0.001)
del hub, new, lost
gc.collect()
print("end")
"""
    assert run_python(program).check().stdout == "a greenlet of the new hub\nend\n"


def test_what_a_thread_brings_to_a_destroyed_hub_is_nobodys(run_python: RunPython) -> None:
    """The next hub, which goes on with the loop, neither resumes who had asked nor counts it."""
    program = """
import time
from greenswitch import get_hub, sleep, spawn
pool = get_hub().threadpool
pool.spawn(time.sleep, 0.1)
asking = spawn(pool.apply, time.sleep, (0.1,))
sleep(0.01)
loop = get_hub().loop
get_hub().destroy()
assert get_hub().loop is loop
sleep(0.2)
assert not asking.ready() and loop.refs == 0
print(get_hub().threadpool.apply(lambda: 5))
"""
    assert run_python(program).check().stdout == "5\n"


def test_a_hub_of_its_own_loop() -> None:
    results: list[object] = []

    def work() -> None:
        hub = Hub(default=False)
        results.append(hub.loop.default)
        hub.loop.timer(0.01).start(results.append, "timer")
        results.append(hub.join())
        hub.destroy(destroy_loop=True)
        results.append("destroyed" in repr(hub))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [False, "timer", True, True]


def test_signal_handler(run_python: RunPython) -> None:
    """A handler in a greenlet of its own, which may wait; what it raises ends up in the main greenlet."""
    program = """
import os, signal, greenswitch
from greenswitch import signal_handler, sleep
former = signal.getsignal(signal.SIGUSR1)
def handler(*args, **kwargs):
    sleep(0.01)
    print(args, kwargs)
one = signal_handler(signal.SIGUSR1, handler, 1, two=2)
os.kill(os.getpid(), signal.SIGUSR1)
print("not yet", one.ref)
sleep(0.05)
one.ref = True
assert one.watcher.ref and one.ref
one.cancel()
one.cancel()
one.handle()
assert signal.getsignal(signal.SIGUSR1) == former
def failing(): raise KeyError("from the handler")
other = signal_handler(signal.SIGALRM, failing)
for _ in range(2):
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try: sleep(30)
    except KeyError as error: print(error)
other.cancel()
try: signal_handler(signal.SIGUSR1, 1)
except TypeError as error: print(error)
ended = signal_handler(signal.SIGUSR1, handler)
"""
    outcome = run_python(program).check()
    assert outcome.stdout.splitlines() == [
        "not yet False",
        "(1,) {'two': 2}",
        "'from the handler'",
        "'from the handler'",
        "signal handler must be callable.",
    ]
    assert outcome.stderr == ""
