"""The loop on each real poller and real descriptors (spec L2), and on kqueue's with a stand-in for it.

What belongs here: what the system does - edges, hang-ups, numbers that are closed and used again. What never
does: the order of callbacks, which `test_core` tests with a poller of its own.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kqueue_stand_in
import pytest

from greenswitch import _original, config
from greenswitch.loop import HANGUP, READ, URGENT, WRITE, Descriptor, Loop, Poller, WatcherLoop
from greenswitch.loop.core import _ArmedDescriptor
from greenswitch.loop.kqueue import KqueuePoller
from greenswitch.loop.pollers import POLLERS

ROOT = Path(__file__).resolve().parents[2]
MakePoller = Callable[[], Poller]


@pytest.fixture(params=[*POLLERS, "kqueue's stand-in"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_poller(name: str, monkeypatch: pytest.MonkeyPatch) -> MakePoller:
    if name in POLLERS:
        return POLLERS[name]
    monkeypatch.setattr("greenswitch.loop.kqueue.select_kqueue", kqueue_stand_in.kqueue)
    monkeypatch.setattr(select, "kevent", kqueue_stand_in.kevent, raising=False)
    for flag, value in kqueue_stand_in.NAMES.items():
        monkeypatch.setattr(select, flag, value, raising=False)
    return KqueuePoller


@pytest.fixture
def loop(make_poller: MakePoller) -> Iterator[Loop]:
    made = Loop(poller=make_poller)
    yield made
    made.close()


def count_polls(loop: Loop) -> list[float]:
    """The timeouts with which the poller is asked from now on."""
    asked: list[float] = []
    real = loop._poll

    def poll(timeout: float) -> object:
        asked.append(timeout)
        return real(timeout)

    loop._poll = poll  # type: ignore[assignment]
    return asked


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


class Enough(BaseException):
    pass


def turn(loop: Loop) -> None:
    """Run the loop for a moment, long enough for what has happened already, whoever still waits."""

    def enough() -> None:
        raise Enough

    def end(context: object, type: type[BaseException], value: BaseException, tb: object) -> None:
        raise value

    loop.error_handler = end
    loop.call_later(0.02, enough)
    with pytest.raises(Enough):
        loop.run()


def test_an_edge_is_told_once(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """L2: an edge is told when something new comes, not as long as something is there. Nobody asks again and
    again, though nobody reads."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    calls: list[str] = []
    descriptor.readable = False
    descriptor.reader = lambda: calls.append("read")
    turn(loop)
    assert calls == [] and not descriptor.readable
    right.send(b"x")
    turn(loop)
    assert calls == ["read"] and descriptor.readable
    asked = count_polls(loop)
    turn(loop)
    right.send(b"y")
    turn(loop)
    assert len(asked) < 10
    assert left.recv(10) == b"xy"
    with pytest.raises(BlockingIOError):
        left.recv(10)
    # The proof that nothing is there: from here on the next change counts.
    descriptor.readable = False
    descriptor.reader = lambda: calls.append("again")
    turn(loop)
    assert calls == ["read"]
    right.send(b"z")
    turn(loop)
    assert calls == ["read", "again"] and left.recv(10) == b"z"


def test_what_came_before_the_proof_is_not_lost(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Data that arrives between "would block" and the wait is told."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    turn(loop)
    for data in (b"a", b"b", b"c"):
        with pytest.raises(BlockingIOError):
            left.recv(10)
        right.send(data)
        calls: list[str] = []
        descriptor.readable = False
        descriptor.reader = lambda calls=calls: calls.append("read")
        turn(loop)
        assert calls == ["read"] and left.recv(10) == data


def test_a_short_read_before_the_end_does_not_hide_the_end(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The proof that the socket module takes from a short read holds where data and end came together."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    turn(loop)
    descriptor.readable = False
    right.send(b"x")
    turn(loop)
    right.shutdown(socket.SHUT_WR)
    assert descriptor.readable and left.recv(10) == b"x"
    descriptor.readable = False
    turn(loop)
    assert descriptor.readable and left.recv(10) == b""


def test_a_half_closed_stream_can_be_written_to_without_spinning(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    descriptor = loop.register(left.fileno())
    right.shutdown(socket.SHUT_WR)
    turn(loop)
    with pytest.raises(BlockingIOError):
        while True:
            left.send(b"x" * 65536)
    turn(loop)
    asked = count_polls(loop)
    calls: list[str] = []
    descriptor.writable = False
    descriptor.writer = lambda: calls.append("write")
    turn(loop)
    assert calls == [] and len(asked) < 10
    with pytest.raises(BlockingIOError):
        while right.recv(1 << 20):
            pass
    turn(loop)
    assert calls == ["write"]


@pytest.mark.skipif("epoll" not in POLLERS, reason="needs epoll")
@pytest.mark.parametrize("name", ["epoll"], indirect=True)
def test_edges_of_the_system_tell_each_change_once(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """epoll, and no other: whether anybody reads is nothing to it."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    calls: list[str] = []
    descriptor.readable = False
    descriptor.reader = lambda: calls.append("read")
    turn(loop)
    assert calls == [] and not descriptor.readable
    right.send(b"x")
    turn(loop)
    assert calls == ["read"] and descriptor.readable
    # Not read, and nothing new: nothing is told.
    descriptor.readable = False
    descriptor.reader = lambda: calls.append("again")
    turn(loop)
    assert calls == ["read"] and not descriptor.readable
    right.send(b"y")
    turn(loop)
    assert calls == ["read", "again"]
    assert left.recv(10) == b"xy"


def test_the_room_to_write_is_told(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    descriptor = loop.register(left.fileno())
    turn(loop)
    with pytest.raises(BlockingIOError):
        while True:
            left.send(b"x" * 65536)
    calls: list[str] = []
    descriptor.writable = False
    descriptor.writer = lambda: calls.append("write")
    turn(loop)
    assert calls == [] and not descriptor.writable
    while True:
        try:
            if not right.recv(1 << 20):
                break
        except BlockingIOError:
            break
    turn(loop)
    assert calls == ["write"] and descriptor.writable


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_the_end_of_the_peer_is_a_hangup(
    loop: Loop, pair: tuple[socket.socket, socket.socket], how: str, name: str
) -> None:
    left, right = pair
    descriptor = loop.register(left.fileno())
    turn(loop)
    descriptor.readable = False
    assert not descriptor.hangup
    if how == "close":
        right.close()
    else:
        right.shutdown(socket.SHUT_WR)
    turn(loop)
    # To select the end of a stream is something to read, no more.
    assert descriptor.hangup == (name != "select") and descriptor.readable


@pytest.mark.parametrize("end", ["shutdown", "close", "reset"])
def test_an_end_that_nobody_waits_for_is_told_once(loop: Loop, end: str) -> None:
    """L2: poll tells of hang-ups and errors whether it is asked for them or not, and as long as they hold:
    nobody spins for it, neither with the descriptor of a socket nor after a wait for another direction."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = [socket.create_connection(listener.getsockname()) for _ in range(2)]
        theirs = [listener.accept()[0] for _ in range(2)]
    try:
        for one in ours:
            one.setblocking(False)
        descriptor = loop.register(ours[0].fileno())
        borrowed = loop.borrow(ours[1].fileno(), URGENT, lambda flags: None)
        turn(loop)
        for one in theirs:
            if end == "shutdown":
                one.shutdown(socket.SHUT_RDWR)
            elif end == "reset":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()
            else:
                one.close()
        turn(loop)
        loop.release(borrowed)
        asked = count_polls(loop)
        for _ in range(3):
            turn(loop)
            # What is told is proved wrong, as far as that is possible, and asked for again.
            for proof in (lambda: ours[0].recv(1), lambda: ours[0].send(b"x")):
                try:
                    proof()
                except BlockingIOError:
                    descriptor.readable = descriptor.writable = False
                except OSError:
                    pass
        assert len(asked) < 15
        assert descriptor.readable
    finally:
        for one in (*ours, *theirs):
            one.close()


def test_urgent_data_is_told(loop: Loop, name: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as left:
            right, _ = listener.accept()
            with right:
                descriptor = loop.register(right.fileno())
                told: list[int] = []
                turn(loop)
                assert not descriptor.urgent
                loop.borrow(left.fileno(), URGENT, told.append)
                left.send(b"!", socket.MSG_OOB)
                right.send(b"?", socket.MSG_OOB)
                turn(loop)
                if name.startswith("kqueue"):
                    # Who asks for urgent data is told of anything, the descriptors of ours do not ask.
                    assert told == []
                    left.send(b"x")
                    right.send(b"x")
                    turn(loop)
                    assert told == [URGENT] and descriptor.readable
                else:
                    assert descriptor.urgent
                    assert told == [URGENT]


def test_a_borrowed_descriptor_tells_what_holds_already(
    loop: Loop, pair: tuple[socket.socket, socket.socket], name: str
) -> None:
    left, right = pair
    right.send(b"x")
    told: list[object] = []
    for _ in range(2):
        # Nothing is read in between, and both hear of it.
        loop.borrow(left.fileno(), READ, told.append)
        turn(loop)
    loop.borrow(left.fileno(), READ, lambda flags: told.append(("r", flags)))
    loop.borrow(left.fileno(), WRITE, lambda flags: told.append(("w", flags)))
    turn(loop)
    right.close()
    loop.borrow(left.fileno(), WRITE, told.append)
    turn(loop)
    gone = WRITE if name == "select" else WRITE | HANGUP
    assert told == [READ, READ, ("r", READ), ("w", WRITE), gone]
    assert loop._borrowed == {}


def test_a_waiting_borrower_hears_what_comes(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    told: list[int] = []
    loop.borrow(left.fileno(), READ, told.append)
    loop.borrow(left.fileno(), READ, told.append)
    released = loop.borrow(left.fileno(), READ, told.append)
    loop.call_later(0.02, lambda: loop.release(released))
    loop.call_later(0.04, lambda: right.send(b"x"))
    loop.run()
    assert told == [READ, READ]


def test_a_released_descriptor_is_not_watched_any_more(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    loop.release(loop.borrow(left.fileno(), READ, pytest.fail))
    right.send(b"x")
    turn(loop)


def test_releasing_after_the_descriptor_was_closed(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, _ = pair
    borrowed = loop.borrow(left.fileno(), READ, pytest.fail)
    left.close()
    loop.release(borrowed)
    # The number, in use again, is another descriptor.
    again, other = socket.socketpair()
    with again, other:
        told: list[int] = []
        other.send(b"x")
        loop.borrow(again.fileno(), READ, told.append)
        turn(loop)
        assert told == [READ]


def test_a_closed_descriptor_with_a_living_duplicate_does_not_spin(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The kernel goes on telling of an open file whose number is gone; one-shot registrations keep it
    quiet."""
    left, right = pair
    duplicate = os.dup(left.fileno())
    try:
        told: list[int] = []
        borrowed = loop.borrow(left.fileno(), READ, told.append)
        left.close()
        right.send(b"x")
        asked = count_polls(loop)
        loop.release(borrowed)
        loop.call_later(0.1, int)
        loop.run()
        assert len(asked) < 10
    finally:
        os.close(duplicate)


def test_who_waits_for_what_was_closed_behind_our_back_is_told_or_waits_but_does_not_spin(
    loop: Loop, pair: tuple[socket.socket, socket.socket], name: str
) -> None:
    """poll and select say that the number is not open; with epoll and kqueue it is forgotten silently. The
    others' events come as ever."""
    left, _ = pair
    told: list[int] = []
    number = left.fileno()
    borrowed = loop.borrow(number, READ, told.append)
    turn(loop)
    left.close()
    read, write = os.pipe()
    if read == number:
        # Not the closed number again.
        read = os.dup(read)
        os.close(number)
    try:
        asked = count_polls(loop)
        others: list[int] = []
        loop.borrow(read, READ, others.append)
        os.write(write, b"x")
        turn(loop)
        assert others == [READ] and told == ([HANGUP] if name in ("poll", "select") else [])
        assert len(asked) < 10
        loop.release(borrowed)
    finally:
        os.close(read)
        os.close(write)


def test_our_own_descriptor_can_be_borrowed(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """`select` on a socket of ours: what holds already is told although the edge was told before."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    right.send(b"x")
    turn(loop)
    told: list[int] = []
    loop.borrow(left.fileno(), READ, told.append)
    turn(loop)
    assert told == [READ]
    assert left.recv(1) == b"x"
    descriptor.readable = False
    loop.borrow(left.fileno(), READ, told.append)
    loop.call_later(0.02, lambda: right.send(b"y"))
    turn(loop)
    turn(loop)
    assert told == [READ, READ] and descriptor.readable


def test_a_number_that_was_closed_behind_our_back(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The stale registration of a descriptor that somebody else closed does not swallow the waits for a new
    one."""
    left, _ = pair
    stale = loop.register(left.fileno())
    number = left.fileno()
    left.close()
    again, other = socket.socketpair()
    with again, other:
        assert again.fileno() == number
        told: list[int] = []
        loop.borrow(number, READ, told.append)
        other.send(b"x")
        turn(loop)
        assert told == [READ]
        loop.unregister(stale)


def test_files_are_always_ready(loop: Loop, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        descriptor = loop.register(file.fileno())
        assert descriptor.always_ready and not descriptor.closed
        told: list[int] = []
        loop.borrow(file.fileno(), READ | WRITE, told.append)
        turn(loop)
        assert told == [READ | WRITE]
        loop.unregister(descriptor)


@pytest.mark.parametrize(
    "how", [lambda loop, fd: loop.register(fd), lambda loop, fd: loop.borrow(fd, READ, int)]
)
def test_what_is_not_open_is_refused(loop: Loop, how: object) -> None:
    assert callable(how)
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        how(loop, read)
    with pytest.raises((OSError, ValueError)):
        how(loop, -1)
    loop.run()


def test_unregister_stops_the_watching(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    descriptor: Descriptor = loop.register(left.fileno())
    loop.unregister(descriptor)
    right.send(b"x")
    turn(loop)
    # A second registration works, and hears at once.
    again = loop.register(left.fileno())
    again.readable = False
    turn(loop)
    assert again.readable


def test_other_threads_run_while_the_loop_waits(loop: Loop) -> None:
    """L3: the interpreter's lock is released in the poller."""
    count = 0
    stop = False

    def work() -> None:
        nonlocal count
        while not stop:
            count += 1

    thread = threading.Thread(target=work)
    thread.start()
    before = count
    loop.call_later(0.2, int)
    loop.run()
    progress = count - before
    stop = True
    thread.join()
    assert progress > 1000


def test_timers_are_called_in_time(loop: Loop) -> None:
    """Never early; late only as much as the machine is busy."""
    called: list[float] = []
    start = time.monotonic()
    for seconds in (0.05, 0.0, 0.02):
        loop.call_later(seconds, lambda: called.append(time.monotonic() - start))
    loop.run()
    assert called[0] >= 0 and called[1] >= 0.02 and called[2] >= 0.05
    assert called == sorted(called) and called[-1] < 5


def test_reinit_makes_poller_and_pipe_anew(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """G15: what a child of a fork does; registrations go on."""
    left, right = pair
    descriptor = loop.register(left.fileno())
    other_left, other_right = socket.socketpair()
    with other_left, other_right:
        told: list[int] = []
        loop.borrow(other_left.fileno(), READ, told.append)
        before = len(os.listdir("/proc/self/fd"))
        loop.reinit()
        assert len(os.listdir("/proc/self/fd")) == before
        descriptor.readable = False
        right.send(b"x")
        other_right.send(b"y")
        turn(loop)
        assert descriptor.readable and told == [READ]


def test_closing_gives_the_descriptors_back(make_poller: MakePoller) -> None:
    before = len(os.listdir("/proc/self/fd"))
    loops = [Loop(poller=make_poller) for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) > before
    for loop in loops:
        loop.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_poller_alone(make_poller: MakePoller, name: str) -> None:
    poller = make_poller()
    read, write = os.pipe()
    try:
        assert (poller.fileno() >= 0) == (name not in ("poll", "select"))
        poller.add_level(read)
        assert list(poller.poll(0)) == []
        os.write(write, b"x")
        for _ in range(2):
            ((fd, mask),) = poller.poll(0)
            assert fd == read and poller.flags[mask] == READ
        poller.remove(read)
        poller.remove(read)
        assert poller.add_once(write, WRITE)
        assert len(poller.poll(0)) == 1
        assert len(poller.poll(0)) == 0
        assert poller.rearm(write, WRITE)
        assert len(poller.poll(0)) == 1
        assert poller.rearm(read, READ)
        ((fd, mask),) = poller.poll(0)
        assert fd == read
        assert os.read(read, 10) == b"x"
        os.close(write)
        write = -1
        assert poller.add_edge(read)
        ((fd, mask),) = poller.poll(0)
        assert poller.flags[mask] & (READ if name == "select" else HANGUP)
        assert len(poller.poll(0)) == 0
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
        poller.close()
        poller.close()


def test_only_pollers_without_edges_are_told_of_proofs(loop: Loop, make_poller: MakePoller) -> None:
    """The pollers that see edges pay nothing for those that do not."""
    read, write = os.pipe()
    try:
        descriptor = loop.register(read)
        assert isinstance(descriptor, _ArmedDescriptor) == (loop._poller.arm is not None)
        assert (loop._poller.arm is None) == (make_poller is POLLERS.get("epoll"))
        loop.unregister(descriptor)
        # Late proofs, of what is not watched any more, ask for nothing.
        descriptor.readable = descriptor.writable = False
        os.write(write, b"x")
        asked = count_polls(loop)
        turn(loop)
        assert len(asked) < 10
    finally:
        os.close(read)
        os.close(write)


def test_select_has_no_place_for_high_numbers() -> None:
    poller = POLLERS["select"]()
    read, write = os.pipe()
    high = 1024 + 5
    try:
        os.dup2(read, high)
    except OSError:
        pytest.skip("no more than 1,024 descriptors may be open here")
    finally:
        os.close(read)
        os.close(write)
    try:
        with pytest.raises(OSError, match=f"cannot watch a descriptor as high as {high}"):
            poller.add_edge(high)
        assert list(poller.poll(0)) == []
    finally:
        os.close(high)


# Which one a loop gets


def test_the_best_poller_comes_first() -> None:
    there = [name for name in ("epoll", "kqueue", "poll") if hasattr(select, name)]
    assert list(POLLERS) == [*there, "select"]
    assert _original.select_epoll is getattr(select, "epoll", None)


@pytest.mark.parametrize("wanted", POLLERS)
def test_the_setting_names_the_poller(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """L2: any poller can be asked for. What a loop is asked for when it is made comes before the setting."""
    monkeypatch.setattr(config, "poller", wanted)
    for flags, expected in ((None, wanted), (0, wanted), ("select", "select")):
        loop = WatcherLoop(flags, default=False)
        assert (loop.backend, type(loop._poller)) == (expected, POLLERS[expected])
        loop.destroy()


def test_a_setting_that_the_system_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = next(name for name in ("kqueue", "epoll") if name not in POLLERS)
    monkeypatch.setattr(config, "poller", missing)
    with pytest.raises(ValueError, match=f"none of {missing} is available here, only "):
        WatcherLoop(default=False)


@pytest.mark.parametrize("wanted", POLLERS)
def test_the_environment_names_the_poller_of_the_hub(wanted: str) -> None:
    program = "from greenswitch import get_hub, sleep; sleep(0.001); print(get_hub().backend)"
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "GREENSWITCH_POLLER": wanted},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (outcome.stdout, outcome.stderr) == (f"{wanted}\n", "")


@pytest.mark.parametrize("wanted", [name for name in POLLERS if name != "epoll"])
def test_the_hub_waits_with_every_poller(wanted: str) -> None:
    """L2: all tests of the hub, of sockets, TLS, select and pipes, once more."""
    names = "fileobject hub select selectors socket ssl"
    files = [f"test_{name}.py" for name in names.split()]
    outcome = subprocess.run(
        [sys.executable, "-I", "-m", "pytest", "-q", *(str(ROOT / "tests" / file) for file in files)],
        env={**os.environ, "GREENSWITCH_POLLER": wanted},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stdout[-5000:] + outcome.stderr
