"""`greenswitch.select`: `select` and `poll` for greenlets, beside the standard ones.

What belongs here: the two calls. What never does: the selectors, which become cooperative by patching
(`monkey/`).
"""

from __future__ import annotations

import errno
import os
import select as stdlib
import socket as plain_socket
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greenswitch import select, socket
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, sleep
from greenswitch.timeout import Timeout

spawn = Greenlet.spawn

pytestmark = pytest.mark.usefixtures("within_two_minutes")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


class Wrapped:
    """An object with `fileno()`, and nothing else."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


# select


def test_select_waits_cooperatively(pipe: tuple[int, int]) -> None:
    """I4: the thread goes on while one greenlet selects."""
    reader, writer = pipe
    waiting = spawn(select.select, [reader], [], [])
    sleep(0.005)
    assert not waiting.ready()
    os.write(writer, b"x")
    assert waiting.get() == ([reader], [], [])


def test_select_gives_the_very_objects(
    pipe: tuple[int, int], pair: tuple[socket.socket, socket.socket]
) -> None:
    reader, writer = Wrapped(pipe[0]), Wrapped(pipe[1])
    assert select.select([reader, pair[0]], [writer, pair[1]], []) == ([], [writer, pair[1]], [])
    pair[1].send(b"x")
    assert select.select([reader, pair[0]], [], [], 5) == ([pair[0]], [], [])
    assert select.select((fd for fd in [pair[0]]), (), {}.keys(), 5) == ([pair[0]], [], [])


@pytest.mark.parametrize("timeout", [0, 0.0, 0.02, 1e-9])
def test_select_timeout(pipe: tuple[int, int], timeout: float) -> None:
    """G14: three empty lists after the time, in seconds."""
    began = time.monotonic()
    assert select.select([pipe[0]], [], [pipe[0]], timeout) == ([], [], [])
    assert time.monotonic() - began >= timeout * 0.9


def test_select_of_nothing_sleeps() -> None:
    began = time.monotonic()
    assert select.select([], [], [], 0.02) == ([], [], [])
    assert time.monotonic() - began >= 0.018


def test_regular_files_are_always_ready(tmp_path: Path) -> None:
    """I4: files cannot be waited for by epoll; the system says that they are ready."""
    with (tmp_path / "file").open("w+") as file:
        assert select.select([file], [file], []) == ([file], [file], [])
        began = time.process_time()
        assert select.select([], [], [file], 0.2) == ([], [], [])
        assert time.process_time() - began < 0.15, "a busy loop"


def test_hang_up_that_was_not_asked_for_is_no_busy_loop() -> None:
    """I4: the loop tells of a half-closed peer to one who waits for room to write."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        with pytest.raises(TimeoutError):
            one.settimeout(0.01)
            one.recv(1)
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                one.send(b"x" * 100_000)
        other.shutdown(socket.SHUT_WR)
        began = time.process_time()
        assert select.select([], [one], [one], 0.3) == ([], [], [])
        assert time.process_time() - began < 0.2, "a busy loop"
        waiting = spawn(select.select, [], [one], [])
        sleep(0.01)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while other.recv(1_000_000):
                sleep(0)
        assert waiting.get() == ([], [one], [])


def test_urgent_data_is_exceptional() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        waiting = spawn(select.select, [], [], [one])
        sleep(0.005)
        other.send(b"!", socket.MSG_OOB)
        assert waiting.get() == ([], [], [one])
        assert one.recv(1, socket.MSG_OOB) == b"!"


def test_several_greenlets_select_the_same(pipe: tuple[int, int]) -> None:
    """I4: any number may wait for one descriptor."""
    reader, writer = pipe
    waiting = [spawn(select.select, [reader], [], []) for _ in range(5)]
    sleep(0.005)
    os.write(writer, b"x")
    joinall(waiting, raise_error=True)
    assert [task.value for task in waiting] == [([reader], [], [])] * 5


def test_select_beside_a_waiting_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    """I4: a descriptor of our own, registered with the loop, can be selected as well."""
    one, other = pair
    reader = spawn(one.recv, 10)
    sleep(0.005)
    waiting = spawn(select.select, [one], [], [])
    sleep(0.005)
    other.send(b"x")
    assert reader.get() == b"x"
    sleep(0.005)
    other.send(b"y")
    assert waiting.get() == ([one], [], [])
    assert one.recv(10) == b"y"
    # The edge that the selecting greenlet saw is not lost for the next reader.
    waiting = spawn(select.select, [one], [], [])
    sleep(0.005)
    other.send(b"z")
    waiting.get()
    assert one.recv(10) == b"z"


def test_kill_while_selecting(pipe: tuple[int, int]) -> None:
    """G14: nothing of a killed wait is left in the loop."""
    waiting = spawn(select.select, [pipe[0]], [], [])
    sleep(0.005)
    waiting.kill()
    assert pipe[0] not in get_hub().loop._borrowed
    with pytest.raises(Timeout), Timeout(0.005):
        select.select([pipe[0]], [], [])
    assert pipe[0] not in get_hub().loop._borrowed


def outcome_of(call: Callable[[], object]) -> object:
    try:
        return call()
    except Exception as error:
        return type(error), getattr(error, "errno", None)


def closed_number() -> int:
    """A number that was open a moment ago: the system overlooks those beyond its table."""
    number = os.dup(0)
    os.close(number)
    return number


BAD_SELECTS: dict[str, tuple[Any, ...]] = {
    "negative timeout": ([], [], [], -1),
    "timeout of text": ([], [], [], "1"),
    "closed descriptor": ([Wrapped(-1)], [], [], 1),
    "negative descriptor": ([-1], [], [], 1),
    "huge descriptor": ([100_000], [], [], 1),
    "text": (["x"], [], [], 1),
    "no sequence": (3, [], [], 1),
    "object without fileno": ([object()], [], [], 1),
    "too few": ([], []),
}


@pytest.mark.parametrize("name", BAD_SELECTS)
def test_select_errors_are_the_standard_ones(name: str) -> None:
    arguments = BAD_SELECTS[name]
    if name == "closed descriptor":
        arguments[0][0].fd = closed_number()
    expected = outcome_of(lambda: stdlib.select(*arguments))
    assert expected != ([], [], [])
    assert outcome_of(lambda: select.select(*arguments)) == expected


# poll


def test_poll_waits_cooperatively(pipe: tuple[int, int]) -> None:
    """I4: `poll` with events, milliseconds, and changes of the registration."""
    reader, writer = pipe
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    assert poll.poll(0) == []
    began = time.monotonic()
    assert poll.poll(20) == []
    assert time.monotonic() - began >= 0.018
    waiting = spawn(poll.poll)
    sleep(0.005)
    assert not waiting.ready()
    os.write(writer, b"x")
    assert waiting.get() == [(reader, select.POLLIN)]
    assert poll.poll(-1) == [(reader, select.POLLIN)]
    poll.register(Wrapped(writer))
    assert sorted(poll.poll(100)) == sorted([(reader, select.POLLIN), (writer, select.POLLOUT)])
    poll.modify(writer, select.POLLPRI)
    poll.unregister(Wrapped(reader))
    assert poll.poll(5) == []


def test_poll_tells_of_the_end_without_being_asked(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    poll = select.poll()
    poll.register(one, 0)
    waiting = spawn(poll.poll)
    sleep(0.005)
    other.close()
    assert waiting.get() == [(one.fileno(), select.POLLHUP)]


def test_poll_errors_are_the_standard_ones(pipe: tuple[int, int]) -> None:
    uses: list[Callable[[Any], object]] = [
        lambda poll: poll.unregister(pipe[0]),
        lambda poll: poll.modify(pipe[0], 1),
        lambda poll: poll.register(-1),
        lambda poll: poll.register("x"),
        lambda poll: poll.register(pipe[0], -1),
        lambda poll: poll.register(pipe[0], 1 << 20),
        lambda poll: poll.poll("1"),
        lambda poll: poll.poll(Decimal(1)),
        lambda poll: (poll.register(4000, 1), poll.poll(1000))[1],
    ]
    for use in uses:
        assert outcome_of(lambda use=use: use(select.poll())) == outcome_of(
            lambda use=use: use(stdlib.poll())
        )


def test_poll_of_nothing_sleeps() -> None:
    began = time.monotonic()
    assert select.poll().poll(20) == []
    assert time.monotonic() - began >= 0.018


def test_poll_of_a_descriptor_that_is_closed_meanwhile() -> None:
    """I4: as the standard one, `poll` says POLLNVAL for a number that is not open."""
    with plain_socket.socket() as sock:
        number = sock.fileno()
        poll = select.poll()
        poll.register(number, select.POLLIN)
    assert poll.poll(1000) == [(number, select.POLLNVAL)]


@pytest.mark.parametrize("waited_before", [False, True])
@pytest.mark.parametrize("used_again", [False, True])
def test_a_socket_that_another_greenlet_closes(
    waited_before: bool, used_again: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Who selects it is told at once, and not when his time is over: whether or not the loop knows the socket
    itself, and also when its number is another's by then."""
    one, other = pair
    if waited_before:
        one.settimeout(0.01)
        with pytest.raises(TimeoutError):
            one.recv(1)
    number = one.fileno()
    poll = select.poll()
    poll.register(one, select.POLLIN)
    selecting = [spawn(select.select, what, [], []) for what in ([other, one], [one], [number])]
    polling = spawn(poll.poll)
    sleep(0.005)
    one.close()
    if used_again:
        os.dup2(other.fileno(), number)
        again = socket.socket(fileno=number)
    joinall([*selecting, polling], timeout=5)
    for each in selecting:
        assert isinstance(each.exception, OSError) and each.exception.errno == errno.EBADF
    if used_again:
        again.close()
    assert polling.value == [(number, select.POLLNVAL)]
    assert get_hub().loop._borrowed == {}


def test_a_socket_that_another_thread_closes(pair: tuple[socket.socket, socket.socket]) -> None:
    """Nobody tells, so it is seen when the time is over; as for any other that is closed, OSError."""
    one, _ = pair
    selecting = spawn(select.select, [one], [], [], 0.05)
    sleep(0.005)
    get_hub().threadpool.apply(one.close)
    selecting.join(timeout=5)
    assert isinstance(selecting.exception, OSError) and selecting.exception.errno == errno.EBADF


# The module


@pytest.mark.parametrize("timeout", [None, 0.0])
@pytest.mark.parametrize("way", ["select", "poll", "epoll"])
def test_who_always_finds_something_is_not_alone(
    way: str, timeout: float | None, pipe: tuple[int, int], pair: tuple[socket.socket, socket.socket]
) -> None:
    """As the thread of a pool of processes does that looks after the workers: until somebody else, who waits
    for a descriptor of his own, has taken what there is."""
    reader, writer = pipe
    os.write(writer, b"x")
    one, other = pair
    ended = []

    def ask() -> None:
        poll, epoll = select.poll(), select.epoll()
        poll.register(reader, stdlib.POLLIN)
        epoll.register(reader, stdlib.EPOLLIN)
        with epoll:
            while not ended:
                if way == "select":
                    assert select.select([reader], [], [], timeout)[0] == [reader]
                else:
                    assert (poll if way == "poll" else epoll).poll(timeout)

    asking = spawn(ask)
    spawn(lambda: ended.append(one.recv(1)))
    sleep(0)
    other.send(b"y")
    asking.join()
    assert ended == [b"y"]


def test_names() -> None:
    """I3: constants and `error` are the standard ones; what can only stop the hub is not there."""
    assert select.error is OSError
    assert select.POLLIN == stdlib.POLLIN
    assert select.EPOLLIN == stdlib.EPOLLIN
    for name in ("kqueue", "devpoll", "kevent"):
        assert not hasattr(select, name)
    for name in select.__all__:
        assert hasattr(select, name)
        assert name in select.__implements__ or getattr(select, name) is getattr(stdlib, name)
