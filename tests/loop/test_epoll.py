"""The loop on a real poller and real descriptors.

What belongs here: what the system does - edges, hang-ups, numbers that are closed and used again. What never
does: the order of callbacks, which `test_core` tests with a poller of its own.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenswitch.loop import HANGUP, READ, URGENT, WRITE, Descriptor, Loop
from greenswitch.loop.epoll import EpollPoller


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


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


def test_edges_tell_each_change_once(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """L2: an edge is told when something new comes, not as long as something is there."""
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
    loop: Loop, pair: tuple[socket.socket, socket.socket], how: str
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
    assert descriptor.hangup and descriptor.readable


def test_urgent_data_is_told(loop: Loop) -> None:
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
                assert descriptor.urgent
                assert told == [URGENT]


def test_a_borrowed_descriptor_tells_what_holds_already(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
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
    assert told == [READ, READ, ("r", READ), ("w", WRITE), WRITE | HANGUP]
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
        polls = 0
        real = loop._poll

        def poll(timeout: float) -> object:
            nonlocal polls
            polls += 1
            return real(timeout)

        loop._poll = poll  # type: ignore[assignment]
        loop.release(borrowed)
        loop.call_later(0.1, int)
        loop.run()
        assert polls < 10
    finally:
        os.close(duplicate)


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


def test_closing_gives_the_descriptors_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    loops = [Loop() for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) > before
    for loop in loops:
        loop.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_poller_alone() -> None:
    poller = EpollPoller()
    read, write = os.pipe()
    try:
        assert poller.fileno() >= 0
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
        os.close(write)
        write = -1
        assert poller.add_edge(read)
        ((fd, mask),) = poller.poll(0)
        assert poller.flags[mask] & HANGUP
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
        poller.close()
        poller.close()
