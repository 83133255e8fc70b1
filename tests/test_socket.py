"""`greenswitch.socket` on real sockets of the loopback interface.

What belongs here: what a program sees of a socket, and every way in which a wake-up could be lost. What never
does: patching (`monkey/`), looking names up (`test_resolver`), figures of speed.
"""

from __future__ import annotations

import builtins
import errno
import gc
import hashlib
import os
import pickle
import random
import resource
import socket as stdlib
import struct
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import config, socket
from greenswitch.exceptions import BlockingSwitchOutError, ConcurrentObjectUseError
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, sleep
from greenswitch.loop import Descriptor
from greenswitch.timeout import Timeout

if TYPE_CHECKING:
    from conftest import RunPython

HOST = "127.0.0.1"
spawn = Greenlet.spawn

pytestmark = pytest.mark.usefixtures("within_two_minutes")


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection."""
    with socket.create_server((HOST, 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        for end in (one, other):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield one, other


@pytest.fixture
def unix() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a Unix connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@contextmanager
def serving(handle: Callable[[socket.socket], object], backlog: int | None = None) -> Iterator[Any]:
    """A TCP server that gives each connection to `handle` in a greenlet of its own: its address."""
    listener = socket.create_server((HOST, 0), backlog=backlog)

    def handle_and_close(connection: socket.socket) -> None:
        with connection:
            handle(connection)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            handlers.append(spawn(handle_and_close, connection))

    handlers: list[Greenlet] = []
    acceptor = spawn(accept)
    try:
        yield listener.getsockname()
    finally:
        for greenlet in (acceptor, *handlers):
            greenlet.kill()
        listener.close()


def echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def registered(sock: socket.socket) -> Descriptor:
    """The loop's descriptor of `sock`, after a wait has registered it."""
    with pytest.raises(TimeoutError), short_timeout(sock):
        sock.recv(1)
    return sock._descriptor


@contextmanager
def short_timeout(sock: socket.socket, seconds: float = 0.01) -> Iterator[None]:
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        yield
    finally:
        if sock.fileno() >= 0:
            sock.settimeout(before)


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(size)
        assert part, "the stream ended early"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# I1: plain blocking style


def test_echo_server_in_blocking_style() -> None:
    """I1: accept in a loop, spawn for each, recv returning b'' means that the peer went."""
    ended = []

    def handle(connection: socket.socket) -> None:
        echo(connection)
        ended.append(connection.getpeername())

    with serving(handle) as address, socket.create_connection(address) as client:
        for text in (b"one", b"two", b"three" * 1000):
            client.sendall(text)
            assert receive_exactly(client, len(text)) == text
        name = client.getsockname()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
    assert ended == [name]


@pytest.mark.skipif(config.poller == "select", reason="select() takes 1,024 descriptors")
def test_a_thousand_clients_at_once() -> None:
    """I1, L4: a thousand connections, all open at the same time, in one thread."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    count = 1000
    threads = threading.active_count()
    connected = 0

    def client(number: int) -> bytes:
        nonlocal connected
        with socket.create_connection(address) as connection:
            connected += 1
            while connected < count:
                sleep(0.01)
            answers = b""
            for turn in range(3):
                text = b"%d/%d;" % (number, turn)
                connection.sendall(text)
                answers += receive_exactly(connection, len(text))
            return answers

    try:
        with serving(echo, backlog=count) as address:
            clients = [spawn(client, number) for number in range(count)]
            joinall(clients, raise_error=True)
            assert threading.active_count() == threads
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [client.value for client in clients] == [
        b"".join(b"%d/%d;" % (number, turn) for turn in range(3)) for number in range(count)
    ]


def test_others_run_while_one_waits(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: a wait suspends one greenlet, not the thread."""
    one, other = tcp
    order = []

    def reader() -> None:
        order.append("reads")
        order.append(one.recv(10).decode())

    def writer() -> None:
        order.append("writes")
        other.sendall(b"text")
        order.append("wrote")

    joinall([spawn(reader), spawn(writer)], raise_error=True)
    assert order == ["reads", "writes", "wrote", "text"]


# The ends of a stream


def test_half_close(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: after the peer closed its writing half we can still write to it."""
    one, other = tcp
    reader = spawn(one.recv, 10)
    sleep(0)
    other.shutdown(socket.SHUT_WR)
    assert reader.get() == b""
    assert one.recv(10) == b""
    one.sendall(b"still")
    assert other.recv(10) == b"still"
    one.close()
    assert other.recv(10) == b""


def test_reset(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: a peer that vanishes with a reset gives the waiting reader ConnectionResetError."""
    one, other = tcp
    reader = spawn(one.recv, 10)
    sleep(0)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    with pytest.raises(ConnectionResetError):
        reader.get()
    assert one.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        one.sendall(b"x")


def test_shutdown_by_another_greenlet_ends_the_read(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    reader = spawn(one.recv, 10)
    sleep(0)
    one.shutdown(socket.SHUT_RD)
    assert reader.get() == b""


@pytest.mark.parametrize("seen_before", [False, True])
def test_data_that_arrives_together_with_the_end(
    tcp: tuple[socket.socket, socket.socket], seen_before: bool
) -> None:
    """I1: the last bytes and the FIN in one event: the short read must not hide the end."""
    one, other = tcp
    if seen_before:
        registered(one)
    reader = spawn(lambda: (one.recv(4096), one.recv(4096), one.recv(4096)))
    sleep(0)
    other.sendall(b"last")
    other.close()
    assert reader.get() == (b"last", b"", b"")


def test_end_that_comes_between_the_read_and_the_wait(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: the FIN comes after the short read and before the loop looks again."""
    one, other = tcp
    descriptor = registered(one)
    other.sendall(b"data")
    assert one.recv(4096) == b"data"
    assert not descriptor.readable and not descriptor.hangup
    other.close()
    assert one.recv(4096) == b""


def test_much_data_and_the_end_before_the_first_read(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    registered(one)
    other.sendall(b"x" * 100_000)
    other.close()
    sleep(0.01)
    read = 0
    while part := one.recv(999):
        read += len(part)
    assert read == 100_000


# Edges


def test_exact_reads_leave_the_rest_readable(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: a reader of exactly 64 bytes, and a peer that sends two messages in one go: one edge, two reads."""
    one, other = tcp
    got = []

    def reader() -> None:
        for _ in range(300):
            got.append(one.recv(64))
            one.sendall(b"!")

    task = spawn(reader)
    for _ in range(100):
        other.sendall(b"a" * 64 + b"b" * 64 + b"c" * 64)
        assert receive_exactly(other, 3) == b"!!!"
    task.get()
    assert got == [b"a" * 64, b"b" * 64, b"c" * 64] * 100


def test_ping_pong_with_exact_reads(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: both sides read exactly one message."""
    one, other = tcp

    def answer() -> None:
        for _ in range(500):
            other.sendall(other.recv(64))

    task = spawn(answer)
    for number in range(500):
        message = b"%064d" % number
        one.sendall(message)
        assert one.recv(64) == message
    task.get()


def test_a_short_read_saves_the_failing_one(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    descriptor = registered(one)
    other.sendall(b"abc")
    assert one.recv(3) == b"abc"
    assert descriptor.readable, "a read that filled its buffer proves nothing"
    other.sendall(b"abc")
    assert one.recv(4) == b"abc"
    assert not descriptor.readable, "a short read of a stream leaves an empty queue"
    other.sendall(b"abc")
    buffer = bytearray(10)
    assert one.recv_into(buffer, 3) == 3
    assert descriptor.readable
    other.sendall(b"abc")
    assert one.recv_into(buffer, 5) == 3
    assert not descriptor.readable
    other.sendall(b"abc")
    assert one.recv_into(buffer) == 3
    assert not descriptor.readable


@pytest.mark.parametrize(
    "read",
    [
        lambda sock: sock.recvfrom(10)[0],
        lambda sock: sock.recvmsg(10)[0],
        lambda sock: sock.recv(10, socket.MSG_PEEK),
        lambda sock: sock.recv(10, socket.MSG_DONTWAIT),
    ],
    ids=["recvfrom", "recvmsg", "peek", "dontwait"],
)
def test_other_short_reads_prove_nothing(
    tcp: tuple[socket.socket, socket.socket], read: Callable[[socket.socket], bytes]
) -> None:
    one, other = tcp
    descriptor = registered(one)
    other.sendall(b"abc")
    sleep(0.01)
    assert read(one) == b"abc"
    assert descriptor.readable


def test_unix_short_reads_prove_nothing(unix: tuple[socket.socket, socket.socket]) -> None:
    """I4: a read from a Unix socket stops behind passed descriptors; what follows must be found."""
    one, other = unix
    descriptor = registered(one)
    read_end, write_end = os.pipe()
    for read in (lambda: one.recv(100), lambda: socket.recv_fds(one, 100, 4)):
        socket.send_fds(other, [b"with"], [read_end])
        other.sendall(b"after")
        sleep(0.005)
        got = read()
        if isinstance(got, tuple):
            assert got[0] == b"with"
            os.close(got[1][0])
        else:
            assert got == b"with"
        assert descriptor.readable
        assert one.recv(100) == b"after"
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("delivered", [False, True], ids=["pending", "delivered"])
@pytest.mark.parametrize("inline", [False, True])
def test_urgent_data_stops_a_read_short(
    tcp: tuple[socket.socket, socket.socket], inline: bool, delivered: bool
) -> None:
    """I4: a read stops at the urgent mark although there is more."""
    one, other = tcp
    descriptor = registered(one)
    if inline:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    other.sendall(b"abc")
    other.send(b"!", socket.MSG_OOB)
    other.sendall(b"def")
    if delivered:
        sleep(0.02)
        spawn(lambda: None).join()
    assert one.recv(4096) == b"abc"
    if not inline:
        assert one.recv(1, socket.MSG_OOB) == b"!"
    assert one.recv(4096) == (b"!def" if inline else b"def")
    assert descriptor.urgent
    reader = spawn(one.recv, 4096)
    sleep(0.01)
    other.sendall(b"ghi")
    assert reader.get() == b"ghi"


def test_urgent_data_comes_while_a_greenlet_reads(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    got = b""
    for _ in range(20):
        reader = spawn(one.recv, 4096)
        sleep(0)
        other.send(b"x!", socket.MSG_OOB)
        other.sendall(b"y")
        got += reader.get()
        while not got.endswith(b"y"):
            got += one.recv(4096)
    assert got == b"xy" * 20


def test_reading_urgent_data_that_there_is_not(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    with pytest.raises(OSError) as caught:
        one.recv(1, socket.MSG_OOB)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("seed", range(6))
def test_no_wake_up_is_lost_in_a_storm(seed: int) -> None:
    """I1, L2: many connections, random sizes, pauses and buffers in both directions; every byte arrives."""
    choose = random.Random(seed)
    total = 40_000

    def write(sock: socket.socket, seed: int) -> str:
        choose = random.Random(seed)
        digest = hashlib.md5()
        left = total
        while left:
            data = choose.randbytes(min(left, choose.choice((1, 7, 64, 1000, 9000))))
            digest.update(data)
            left -= len(data)
            sock.sendall(data)
            if choose.random() < 0.3:
                sleep(choose.choice((0, 0, 0.0001, 0.001)))
        sock.shutdown(socket.SHUT_WR)
        return digest.hexdigest()

    def read(sock: socket.socket, seed: int) -> str:
        choose = random.Random(seed)
        digest = hashlib.md5()
        buffer = bytearray(20_000)
        while True:
            size = choose.choice((1, 7, 64, 999, 20_000))
            if choose.random() < 0.5:
                data = sock.recv(size)
            else:
                data = bytes(buffer[: sock.recv_into(buffer, size)])
            if not data:
                return digest.hexdigest()
            digest.update(data)
            if choose.random() < 0.1:
                sleep(choose.choice((0, 0.0001)))

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0)))
        pairs = []
        for number in range(8):
            if number % 4 == 3:
                one, other = socket.socketpair()
            else:
                one = socket.create_connection(listener.getsockname())
                other, _ = listener.accept()
            stack.enter_context(one)
            stack.enter_context(other)
            if number % 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for source, sink in ((one, other), (other, one)):
                pairs.append((spawn(write, source, choose.random()), spawn(read, sink, choose.random())))
        for writer, reader in pairs:
            assert writer.get() == reader.get()


# Much data


def test_sendall_to_a_slow_reader(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: 50 MB through a reader that takes its time; others run all the while."""
    one, other = tcp
    data = random.Random(1).randbytes(1 << 20) * 50
    turns = 0

    def read() -> str:
        digest = hashlib.sha256()
        while part := other.recv(1 << 18):
            digest.update(part)
            sleep(0)
        return digest.hexdigest()

    def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0.001)

    reader, ticker = spawn(read), spawn(tick)
    one.sendall(data)
    one.shutdown(socket.SHUT_WR)
    assert reader.get() == hashlib.sha256(data).hexdigest()
    ticker.kill()
    assert turns > 5


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 3_000_000,
        bytearray(b"x" * 3_000_000),
        memoryview(b"x" * 3_000_000),
        memoryview(b"x" * 3_000_000).cast("I"),
    ],
    ids=["bytes", "bytearray", "memoryview", "integers"],
)
def test_sendall_takes_every_buffer(tcp: tuple[socket.socket, socket.socket], data: Any) -> None:
    one, other = tcp
    reader = spawn(receive_exactly, other, 3_000_000)
    one.sendall(data)
    assert reader.get() == b"x" * 3_000_000


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b"")])
def test_sendall_of_nothing(tcp: tuple[socket.socket, socket.socket], data: Any) -> None:
    tcp[0].sendall(data)


def test_sendall_has_one_timeout_for_all(unix: tuple[socket.socket, socket.socket]) -> None:
    """G14: progress does not start the timeout anew."""
    one, other = unix
    one.settimeout(0.3)

    def drip() -> None:
        while other.recv(50_000):
            sleep(0.01)

    dripping = spawn(drip)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="^timed out$"):
        one.sendall(b"x" * 50_000_000)
    assert 0.29 < time.monotonic() - began < 5
    dripping.kill()


def test_sendfile(tcp: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    one, other = tcp
    path = tmp_path / "file"
    data = random.Random(2).randbytes(3_000_000)
    path.write_bytes(data)
    with path.open("rb") as file:
        reader = spawn(receive_exactly, other, len(data) - 10)
        assert one.sendfile(file, 10) == len(data) - 10
        assert file.tell() == len(data)
        assert reader.get() == data[10:]
        reader = spawn(receive_exactly, other, 100)
        assert one.sendfile(file, 5, 100) == 100
        assert reader.get() == data[5:105]
        one.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            one.sendfile(file)
        one.setblocking(True)
        with pytest.raises(ValueError, match="positive integer"):
            one.sendfile(file, count=-1)
    with path.open() as text, pytest.raises(ValueError, match="binary"):
        one.sendfile(text)  # type: ignore[arg-type]
    empty = tmp_path / "empty"
    empty.touch()
    with empty.open("rb") as file:
        assert one.sendfile(file) == 0


def test_sendfile_of_something_that_is_no_file(tcp: tuple[socket.socket, socket.socket]) -> None:
    import io

    one, other = tcp
    reader = spawn(receive_exactly, other, 2_000_000)
    assert one.sendfile(io.BytesIO(b"y" * 2_000_000)) == 2_000_000
    assert reader.get() == b"y" * 2_000_000


# Closing


@pytest.mark.parametrize(
    "wait",
    [
        lambda sock: sock.recv(10),
        lambda sock: sock.recv_into(bytearray(10)),
        lambda sock: sock.recvfrom(10),
        lambda sock: sock.recvmsg(10),
        lambda sock: sock.sendall(b"x" * 100_000_000),
    ],
    ids=["recv", "recv_into", "recvfrom", "recvmsg", "sendall"],
)
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_close_wakes_who_waits(
    tcp: tuple[socket.socket, socket.socket], wait: Callable[[socket.socket], object], timeout: float | None
) -> None:
    """G14: a greenlet never hangs in a socket that another one closed."""
    one, _ = tcp
    one.settimeout(timeout)
    waiting = spawn(wait, one)
    sleep(0.01)
    one.close()
    with pytest.raises(OSError) as caught:
        waiting.get(timeout=5)
    assert caught.value.errno == errno.EBADF
    assert one.fileno() == -1


def test_close_wakes_accept() -> None:
    listener = socket.create_server((HOST, 0))
    waiting = spawn(listener.accept)
    sleep(0.01)
    listener.close()
    with pytest.raises(OSError) as caught:
        waiting.get(timeout=5)
    assert caught.value.errno == errno.EBADF
    assert isinstance(caught.value, socket.cancel_wait_ex)


def test_close_wakes_reader_and_writer(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    waiting = [spawn(one.recv, 1), spawn(lambda: one.sendall(b"x" * 100_000_000))]
    sleep(0.01)
    one.close()
    joinall(waiting, timeout=5)
    assert [greenlet.exception.errno for greenlet in waiting] == [errno.EBADF] * 2  # type: ignore[union-attr]


def test_detach_wakes_who_waits(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    waiting = spawn(one.recv, 1)
    sleep(0.01)
    os.close(one.detach())
    with pytest.raises(OSError):
        waiting.get(timeout=5)


@pytest.mark.parametrize("waited_before", [False, True])
def test_close_wakes_who_waits_for_the_number(
    waited_before: bool, tcp: tuple[socket.socket, socket.socket]
) -> None:
    """By `wait_read` or a watcher of the loop: nothing else would ever tell them. The number may be that of
    another socket when they are called."""
    one, _ = tcp
    if waited_before:
        registered(one)
    seen: list[str] = []
    watcher = get_hub().loop.io(one.fileno(), 1)
    watcher.start(seen.append, "called")
    waiting = spawn(socket.wait_read, one.fileno())
    sleep(0.01)
    number = one.fileno()
    with socket.create_server((HOST, 0)) as listener:
        one.close()
        os.dup2(listener.fileno(), number)
    with socket.socket(fileno=number):
        waiting.get(timeout=5)
        assert seen == ["called"]
        with pytest.raises(TimeoutError):
            socket.wait_read(number, 0.01)
        assert seen == ["called"]
    watcher.stop()


def test_number_that_is_used_again() -> None:
    """L2: the next socket gets the number of the closed one, and its own events."""
    with serving(echo) as address:
        numbers = set()
        for turn in range(20):
            with socket.create_connection(address) as client:
                numbers.add(client.fileno())
                client.sendall(b"%d" % turn)
                assert client.recv(10) == b"%d" % turn
        assert len(numbers) < 5


def test_closed_behind_our_back(tcp: tuple[socket.socket, socket.socket]) -> None:
    """L2: somebody closed the number and it belongs to another socket now."""
    one, _ = tcp
    registered(one)
    one.setblocking(False)
    number = one.fileno()
    with socket.create_server((HOST, 0)) as listener:
        os.dup2(listener.fileno(), number)
    with socket.socket(fileno=number) as again:
        waiting = spawn(again.accept)
        sleep(0.01)
        with socket.create_connection(again.getsockname()):
            waiting.get(timeout=5)[0].close()
        assert one.detach() == number
        waiting = spawn(again.accept)
        sleep(0.01)
        with socket.create_connection(again.getsockname()):
            waiting.get(timeout=5)[0].close()


def test_forgotten_socket_is_closed_with_a_warning(tcp: tuple[socket.socket, socket.socket]) -> None:
    loop = get_hub().loop
    one, other = socket.socketpair()
    registered(one)
    number, gone = one.fileno(), weakref.ref(one)
    with pytest.warns(ResourceWarning, match="unclosed <greenswitch.socket.socket fd="):
        del one
        gc.collect()
    assert gone() is None
    assert other.recv(1) == b""
    other.close()
    assert number not in loop._descriptors


def test_a_signal_while_a_forgotten_socket_is_closed_is_not_lost(run_python: RunPython) -> None:
    """The interpreter ignores exceptions out of finalizers. What a handler raises there, Ctrl-C or the exit
    that a handler of SIGTERM asks for, reaches the main greenlet all the same; the socket is closed."""
    outcome = run_python(
        """
        import os, signal, sys
        from greenswitch import sleep, socket, spawn
        signal.signal(signal.SIGTERM, lambda *args: sys.exit(5))
        close = socket._unregister
        def interrupted(*args):
            if signals:
                os.kill(os.getpid(), signals.pop())
            close(*args)
        socket._unregister = interrupted
        def one_who_forgets():
            one, other = socket.socketpair()
            spawn(other.send, b"x")
            one.recv(1)
            numbers.append(one.fileno())
            del one, other
            print("goes on")
        numbers = []
        for signals in ([signal.SIGINT], [signal.SIGTERM]):
            forgetful = spawn(one_who_forgets)
            try:
                sleep(60)
            except BaseException as error:
                print(repr(error))
            forgetful.join()
            try:
                os.fstat(numbers.pop())
            except OSError:
                print("closed")
        signals = [signal.SIGINT]
        try:
            one_who_forgets()
            sleep(60)
        except KeyboardInterrupt:
            print("main too")
        """.replace("\n        ", "\n"),
        options=("-W", "ignore"),
    ).check()
    assert outcome.stdout.splitlines() == [
        *("goes on", "KeyboardInterrupt()", "closed"),
        *("goes on", "SystemExit(5)", "closed"),
        *("goes on", "main too"),
    ]
    assert "ignored" not in outcome.stderr


def test_socket_that_was_never_made() -> None:
    """A constructor that fails leaves nothing behind that its end could trip over."""
    with pytest.raises(OSError):
        socket.socket(12345)
    with pytest.raises(TypeError):
        socket.socket("inet")  # type: ignore[arg-type]
    gc.collect()


def test_makefile_keeps_the_descriptor_open(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    file = one.makefile("rb")
    one.close()
    other.sendall(b"line\n")
    assert file.readline() == b"line\n"
    assert one.fileno() >= 0
    file.close()
    assert one.fileno() == -1


# Abort


def test_kill_in_a_wait_loses_nothing(tcp: tuple[socket.socket, socket.socket]) -> None:
    """G14: who is killed in `recv` leaves the socket usable; the next reader gets the data."""
    one, other = tcp
    for turn in range(20):
        reader = spawn(one.recv, 100)
        sleep(0)
        if turn % 2:
            other.sendall(b"data")
        reader.kill()
        if not turn % 2:
            other.sendall(b"data")
        assert one.recv(100) == b"data"
        assert one._descriptor.reader is None


def test_timeout_block_around_a_wait(tcp: tuple[socket.socket, socket.socket]) -> None:
    """G14: `with Timeout` reaches a greenlet that waits in a socket."""
    one, other = tcp
    with pytest.raises(Timeout), Timeout(0.01):
        one.recv(1)
    with pytest.raises(Timeout), Timeout(0.05):
        one.sendall(b"x" * 100_000_000)
    other.sendall(b"y")
    assert one.recv(1) == b"y"


def test_wait_in_the_hub_is_refused(unix: tuple[socket.socket, socket.socket]) -> None:
    errors = []

    def callback() -> None:
        try:
            unix[0].recv(1)
        except BlockingSwitchOutError as error:
            errors.append(error)

    get_hub().loop.ready.append(callback)
    sleep(0)
    assert len(errors) == 1


# Two at once


def test_second_reader_is_refused(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: as gevent, an AssertionError of its own kind; the first reader is not disturbed."""
    one, other = tcp
    first = spawn(one.recv, 10)
    sleep(0)
    for _ in range(2):
        with pytest.raises(ConcurrentObjectUseError):
            one.recv(10)
    other.sendall(b"first")
    assert first.get() == b"first"


def test_second_writer_is_refused(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    first = spawn(lambda: one.sendall(b"x" * 20_000_000))
    sleep(0.01)
    with pytest.raises(ConcurrentObjectUseError):
        one.sendall(b"y" * 20_000_000)
    reader = spawn(receive_exactly, other, 20_000_000)
    first.get()
    assert reader.get() == b"x" * 20_000_000


def test_one_reads_and_one_writes(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I1: the two directions of a socket are independent."""
    one, other = tcp
    size = 5_000_000
    tasks = [
        spawn(sock.sendall, b"x" * size) if send else spawn(receive_exactly, sock, size)
        for sock in (one, other)
        for send in (True, False)
    ]
    joinall(tasks, raise_error=True)


# Threads


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start `function` in a native thread; the result waits for it, lets greenlets run, and gives its
    outcome."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        while not outcome:
            sleep(0.005)
        thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    return result


def test_socket_of_another_threads_hub(tcp: tuple[socket.socket, socket.socket]) -> None:
    """S5, L3: registered with one thread's loop, used in another thread."""
    one, other = tcp
    registered(one)
    registered(other)

    def echo_there() -> int:
        count = 0
        while data := other.recv(4096):
            other.sendall(data)
            count += 1
        return count

    result = in_thread(echo_there)
    for turn in range(50):
        one.sendall(b"%d" % turn)
        assert one.recv(100) == b"%d" % turn
    big = b"x" * 5_000_000
    writer = spawn(one.sendall, big)
    assert receive_exactly(one, len(big)) == big
    writer.get()
    one.shutdown(socket.SHUT_WR)
    assert result() >= 50


def test_two_threads_read_one_socket_in_turn(tcp: tuple[socket.socket, socket.socket]) -> None:
    """S5: the reads of a stranger do not make the owner miss what comes next."""
    one, other = tcp
    descriptor = registered(one)
    for _ in range(30):
        other.sendall(b"for the stranger")
        assert in_thread(lambda: one.recv(100))() == b"for the stranger"
        other.sendall(b"for the owner")
        assert one.recv(100) == b"for the owner"
    assert one._descriptor is descriptor


def test_a_strangers_short_read_is_no_proof(tcp: tuple[socket.socket, socket.socket]) -> None:
    """S5: only the owner's thread knows what its loop was told meanwhile."""
    one, other = tcp
    descriptor = registered(one)
    for read in (lambda: one.recv(100), lambda: one.recv_into(bytearray(100))):
        other.sendall(b"x")
        assert one.recv(1) == b"x"
        assert descriptor.readable
        other.sendall(b"short")
        thread = threading.Thread(target=read)
        thread.start()
        # The owner's loop does not run meanwhile.
        thread.join()
        assert descriptor.readable
        with pytest.raises(TimeoutError), short_timeout(one):
            one.recv(1)


def test_close_wakes_another_thread(tcp: tuple[socket.socket, socket.socket]) -> None:
    """G14: the waiter is in a thread whose hub does not hold the descriptor."""
    one, _ = tcp
    registered(one)
    result = in_thread(lambda: one.recv(1))
    sleep(0.05)
    one.close()
    with pytest.raises(OSError) as caught:
        result()
    assert caught.value.errno == errno.EBADF


def test_close_in_another_thread_wakes_the_owner(tcp: tuple[socket.socket, socket.socket]) -> None:
    """G14: the waiter is in the thread that holds the descriptor, the closer in another."""
    one, _ = tcp
    waiting = spawn(one.recv, 1)
    sleep(0.01)
    in_thread(one.close)()
    with pytest.raises(OSError) as caught:
        waiting.get(timeout=5)
    assert caught.value.errno == errno.EBADF
    sleep(0)
    assert all(descriptor.closed is False for descriptor in get_hub().loop._descriptors.values())


def test_socket_outlives_the_thread_that_registered_it(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    in_thread(lambda: registered(one))()
    other.sendall(b"now")
    assert one.recv(10) == b"now"
    waiting = spawn(one.recv, 10)
    sleep(0.01)
    other.sendall(b"later")
    assert waiting.get(timeout=5) == b"later"


def test_timeout_of_a_stranger(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    registered(one)
    one.settimeout(0.05)
    with pytest.raises(TimeoutError):
        in_thread(lambda: one.recv(1))()


# Timeouts


@pytest.mark.parametrize(
    "wait",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvfrom_into(bytearray(1)),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.recvmsg_into([bytearray(1)]),
        lambda sock: sock.sendall(b"x" * 100_000_000),
    ],
    ids=["recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "sendall"],
)
def test_timeouts(tcp: tuple[socket.socket, socket.socket], wait: Callable[[socket.socket], object]) -> None:
    """G14: TimeoutError('timed out') after the time, BlockingIOError at once for 0."""
    one, _ = tcp
    for _ in range(2):
        one.settimeout(0.05)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="^timed out$"):
            wait(one)
        assert 0.045 < time.monotonic() - began < 5
        one.settimeout(0)
        with pytest.raises(BlockingIOError):
            wait(one)


def test_a_timeout_for_one_send(unix: tuple[socket.socket, socket.socket]) -> None:
    """D3: gevent's `send` takes one, which counts in place of the socket's; None is for ever."""
    one, other = unix
    assert one.send(b"x", 0, 5) == one.send(data=b"x", flags=0, timeout=None) == 1
    one.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            one.send(b"x" * 65536)
    one.settimeout(60)
    with pytest.raises(BlockingIOError):
        one.send(b"x", timeout=0)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="^timed out$"):
        one.send(b"x", timeout=0.05)
    assert 0.045 < time.monotonic() - began < 30
    one.settimeout(0)
    for timeout in (None, 30):
        sending = spawn(one.send, b"x" * 65536, timeout=timeout)
        sleep(0.01)
        assert not sending.ready()
        while not sending.ready():
            other.recv(1 << 20)
            sleep(0)
        assert sending.get() > 0
        with pytest.raises(BlockingIOError):
            while True:
                one.send(b"x" * 65536)
    closed = spawn(one.send, b"x", timeout=30)
    sleep(0.01)
    one.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        closed.get()


def test_accept_timeout() -> None:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.02)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_connect_timeout() -> None:
    """G14: a listener whose queue is full does not answer."""
    with socket.create_server((HOST, 0), backlog=0) as listener, ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(address) == errno.EINPROGRESS
        sleep(0.01)
        with socket.socket() as late:
            late.settimeout(0.05)
            with pytest.raises(TimeoutError, match="^timed out$"):
                late.connect(address)
        with socket.socket() as late:
            late.settimeout(0.05)
            assert late.connect_ex(address) == errno.EAGAIN
        with socket.socket() as late, pytest.raises(Timeout), Timeout(0.05):
            late.connect(address)


def test_timeout_is_kept_apart_from_the_system_socket() -> None:
    with socket.socket() as sock, stdlib.socket() as plain:
        for value in (None, 0, 0.0, 1, 2.5, True):
            sock.settimeout(value)
            plain.settimeout(value)
            for ask in ("gettimeout", "getblocking"):
                assert repr(getattr(sock, ask)()) == repr(getattr(plain, ask)())
            assert sock.timeout == plain.timeout
            assert not os.get_blocking(sock.fileno())
        for flag in (True, False):
            sock.setblocking(flag)
            plain.setblocking(flag)
            assert sock.gettimeout() == plain.gettimeout()


def test_default_timeout() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.02)
    try:
        with socket.create_server((HOST, 0)) as listener:
            assert listener.gettimeout() == 0.02
            with pytest.raises(TimeoutError):
                listener.accept()
            with socket.create_connection(listener.getsockname()) as client:
                assert client.gettimeout() == 0.02
                connection, _ = listener.accept()
                assert connection.gettimeout() == 0.02
                connection.close()
            with socket.create_connection(listener.getsockname(), timeout=None) as client:
                assert client.gettimeout() is None
    finally:
        socket.setdefaulttimeout(before)


def test_type_that_asks_for_no_blocking() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        assert sock.gettimeout() == 0.0
        assert sock.type == socket.SOCK_STREAM


def test_accepted_socket_blocks_whatever_the_listener_does() -> None:
    with socket.create_server((HOST, 0)) as listener:
        for timeout in (None, 0.0, 5.0):
            listener.settimeout(timeout)
            with socket.create_connection(listener.getsockname()):
                sleep(0.01)
                connection, _ = listener.accept()
                assert connection.gettimeout() is None
                connection.close()


# The standard library's errors


def outcome_of(module: Any, use: Callable[[Any], object]) -> tuple[Any, ...]:
    try:
        result = use(module)
    except Exception as error:
        # A class of ours for EBADF, and texts that name the class, may differ; the errno and the kind may
        # not.
        kind = OSError if isinstance(error, OSError) and error.errno == errno.EBADF else type(error)
        return (kind, getattr(error, "errno", None), error.strerror if isinstance(error, OSError) else None)
    return ("gives", result)


def closed(module: Any) -> Any:
    sock = module.socket()
    sock.close()
    return sock


def fresh(module: Any, use: Callable[[Any], object]) -> object:
    with module.socket() as sock:
        sock.settimeout(5)
        return use(sock)


def port_that_refuses() -> tuple[str, int]:
    with stdlib.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()  # type: ignore[no-any-return]


BAD_USES: dict[str, Callable[[Any], object]] = {
    "recv on closed": lambda m: closed(m).recv(1),
    "recv_into on closed": lambda m: closed(m).recv_into(bytearray(1)),
    "recvfrom on closed": lambda m: closed(m).recvfrom(1),
    "recvmsg on closed": lambda m: closed(m).recvmsg(1),
    "send on closed": lambda m: closed(m).send(b"x"),
    "sendall on closed": lambda m: closed(m).sendall(b"x"),
    "sendto on closed": lambda m: closed(m).sendto(b"x", (HOST, 1)),
    "sendmsg on closed": lambda m: closed(m).sendmsg([b"x"]),
    "accept on closed": lambda m: closed(m).accept(),
    "connect on closed": lambda m: closed(m).connect((HOST, 1)),
    "connect_ex on closed": lambda m: closed(m).connect_ex((HOST, 1)),
    "listen on closed": lambda m: closed(m).listen(),
    "settimeout on closed": lambda m: closed(m).settimeout(1),
    "setblocking on closed": lambda m: closed(m).setblocking(True),
    "shutdown on closed": lambda m: closed(m).shutdown(2),
    "getsockname on closed": lambda m: closed(m).getsockname(),
    "dup on closed": lambda m: closed(m).dup(),
    "fileno on closed": lambda m: closed(m).fileno(),
    "detach on closed": lambda m: closed(m).detach(),
    "close on closed": lambda m: closed(m).close(),
    "bad descriptor": lambda m: m.socket(fileno=12345),
    "negative descriptor": lambda m: m.socket(fileno=-1),
    "descriptor of no socket": lambda m: m.socket(fileno=0 if not os.isatty(0) else 1),
    "bad family": lambda m: m.socket(12345),
    "connect refused": lambda m: fresh(m, lambda s: s.connect(port_that_refuses())),
    "connect_ex refused": lambda m: fresh(m, lambda s: s.connect_ex(port_that_refuses())),
    "connect to a wrong kind of address": lambda m: fresh(m, lambda s: s.connect("nowhere")),
    "connect to a bad port": lambda m: fresh(m, lambda s: s.connect((HOST, 70000))),
    "connect to a text port": lambda m: fresh(m, lambda s: s.connect((HOST, "x"))),
    "connect without a port": lambda m: fresh(m, lambda s: s.connect((HOST,))),
    "connect to a bad host": lambda m: fresh(m, lambda s: s.connect((3, 80))),
    "create_connection refused": lambda m: m.create_connection(port_that_refuses()),
    "create_connection to a bad host": lambda m: m.create_connection((3, 80)),
    "recv unconnected": lambda m: fresh(m, lambda s: s.recv(1)),
    "send unconnected": lambda m: fresh(m, lambda s: s.send(b"x")),
    "sendall unconnected": lambda m: fresh(m, lambda s: s.sendall(b"x")),
    "sendall of text": lambda m: fresh(m, lambda s: s.sendall("x")),
    "sendto without address": lambda m: fresh(m, lambda s: s.sendto(b"x")),
    "accept unlistening": lambda m: fresh(m, lambda s: s.accept()),
    "negative size": lambda m: fresh(m, lambda s: s.recv(-1)),
    "size of text": lambda m: fresh(m, lambda s: s.recv("1")),
    "recv without size": lambda m: fresh(m, lambda s: s.recv()),
    "recv_into a constant": lambda m: fresh(m, lambda s: s.recv_into(b"xxx")),
    "recv_into too small": lambda m: fresh(m, lambda s: s.recv_into(bytearray(2), 3)),
    "negative timeout": lambda m: fresh(m, lambda s: s.settimeout(-1)),
    "timeout of text": lambda m: fresh(m, lambda s: s.settimeout("1")),
    "timeout of a fraction": lambda m: fresh(m, lambda s: (s.settimeout(Fraction(1, 2)), s.gettimeout())),
    "timeout of nan": lambda m: fresh(m, lambda s: s.settimeout(float("nan"))),
    "huge timeout": lambda m: fresh(m, lambda s: s.settimeout(1e300)),
    "infinite timeout": lambda m: fresh(m, lambda s: s.settimeout(float("inf"))),
    "bad makefile mode": lambda m: fresh(m, lambda s: s.makefile("a")),
    "unbuffered text": lambda m: fresh(m, lambda s: s.makefile("r", 0)),
    "setting the timeout property": lambda m: fresh(m, lambda s: setattr(s, "timeout", 1)),
    "an attribute of its own": lambda m: fresh(m, lambda s: setattr(s, "something", 1)),
    "pickle": lambda m: fresh(m, pickle.dumps),
    "unknown option": lambda m: fresh(m, lambda s: s.setsockopt(12345, 12345, 1)),
    "option without value": lambda m: fresh(m, lambda s: s.setsockopt(1, 2)),
    "has_dualstack_ipv6": lambda m: m.has_dualstack_ipv6(),
}


@pytest.mark.parametrize("name", BAD_USES)
def test_errors_are_the_standard_ones(name: str) -> None:
    """I1: the same errors and results as the standard module, for the same use."""
    assert outcome_of(socket, BAD_USES[name]) == outcome_of(stdlib, BAD_USES[name])


def test_port_in_use() -> None:
    with socket.create_server((HOST, 0)) as listener:
        address = listener.getsockname()
        for make in (
            lambda m: m.create_server(address),
            lambda m: fresh(m, lambda s: s.bind(address)),
        ):
            assert outcome_of(socket, make) == outcome_of(stdlib, make)
        with pytest.raises(OSError) as caught:
            socket.create_server(address)
        assert caught.value.errno == errno.EADDRINUSE
        # Nothing was lost: the first listener still works.
        with socket.create_connection(address):
            listener.accept()[0].close()


def test_connecting_twice(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    assert one.connect_ex(one.getpeername()) == errno.EISCONN
    with pytest.raises(OSError) as caught:
        one.connect(one.getpeername())
    assert caught.value.errno == errno.EISCONN


def test_connecting_again_after_a_refusal() -> None:
    """L2: what the loop remembers of the first try says nothing about the second."""
    with socket.create_server((HOST, 0)) as listener, socket.socket() as sock:
        for _ in range(3):
            assert sock.connect_ex(port_that_refuses()) == errno.ECONNREFUSED
        sock.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            waiting = spawn(sock.recv, 10)
            sleep(0.01)
            connection.sendall(b"hello")
            assert waiting.get() == b"hello"


def test_connect_that_does_not_block() -> None:
    with socket.create_server((HOST, 0)) as listener, socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError) as caught:
            sock.connect(listener.getsockname())
        assert caught.value.errno == errno.EINPROGRESS
        listener.accept()[0].close()
        assert sock.connect_ex(listener.getsockname()) in (0, errno.EISCONN)


# Sockets as objects


def test_shape(unix: tuple[socket.socket, socket.socket]) -> None:
    one, _ = unix
    assert isinstance(one, stdlib.socket)
    assert repr(one).startswith("<greenswitch.socket.socket fd=")
    assert (
        repr(one)[len("<greenswitch.socket.socket") :]
        == repr(stdlib.socket(fileno=one.fileno()).detach() and one)[len("<greenswitch.socket.socket") :]
    )
    assert one.family is socket.AF_UNIX and one.type is socket.SOCK_STREAM
    with pytest.raises(TypeError, match="cannot pickle 'socket' object"):
        pickle.dumps(one)
    assert weakref.ref(one)() is one
    one.close()
    assert "[closed]" in repr(one)


def test_context_manager_closes() -> None:
    with socket.socket() as sock:
        assert sock.fileno() >= 0
    assert sock.fileno() == -1


def test_detach_gives_the_descriptor_as_the_timeout_said(unix: tuple[socket.socket, socket.socket]) -> None:
    """A descriptor that goes to `os.read` blocks or not as the socket did."""
    for timeout, blocks in ((None, True), (0.0, False), (3.0, False)):
        one, other = socket.socketpair()
        one.settimeout(timeout)
        registered_or_not = one.fileno()
        fd = one.detach()
        assert fd == registered_or_not and one.fileno() == -1
        assert os.get_blocking(fd) is blocks
        os.close(fd)
        other.close()


def test_dup_and_fromfd(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    one.settimeout(7)
    with one.dup() as twin, socket.fromfd(one.fileno(), one.family, one.type) as third:
        assert type(twin) is type(third) is socket.socket
        assert twin.gettimeout() == 7 and third.gettimeout() is None
        for sock in (one, twin, third):
            waiting = spawn(sock.recv, 10)
            sleep(0.005)
            other.sendall(b"x")
            assert waiting.get() == b"x"
    other.sendall(b"y")
    assert one.recv(10) == b"y"


def test_socketpair_kinds() -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        with one, other:
            assert one.type == kind
            waiting = spawn(other.recv, 10)
            sleep(0)
            one.send(b"x")
            assert waiting.get() == b"x"


@pytest.mark.parametrize("name", sorted(stdlib.__all__))
def test_every_standard_name_is_there(name: str) -> None:
    assert name in socket.__all__
    if name not in socket.__implements__ + socket.__dns__:
        assert getattr(socket, name) is getattr(stdlib, name)


def test_taken_functions_cannot_block() -> None:
    """A new standard function must be looked at before it is taken as it is."""
    taken = {
        name
        for name in socket.__imports__
        if callable(getattr(stdlib, name)) and not isinstance(getattr(stdlib, name), type)
    }
    known = """
        CMSG_LEN CMSG_SPACE close dup getdefaulttimeout gethostname getprotobyname getservbyname getservbyport
        has_dualstack_ipv6 htonl htons if_indextoname if_nameindex if_nametoindex inet_aton inet_ntoa
        inet_ntop inet_pton ntohl ntohs recv_fds send_fds setdefaulttimeout sethostname
    """.split()
    assert taken <= set(known)


def test_all_is_true() -> None:
    assert len(set(socket.__all__)) == len(socket.__all__)
    for name in socket.__all__:
        assert hasattr(socket, name)


# Flags


def test_peek(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    waiting = spawn(one.recv, 10, socket.MSG_PEEK)
    sleep(0)
    other.sendall(b"abc")
    assert waiting.get() == b"abc"
    assert one.recv(10) == b"abc"


@pytest.mark.parametrize("into", [False, True])
def test_waitall(tcp: tuple[socket.socket, socket.socket], into: bool) -> None:
    """I1: MSG_WAITALL waits for all that was asked for, or for the end, although the system's socket never
    blocks."""
    one, other = tcp

    def read() -> bytes:
        if not into:
            return one.recv(10, socket.MSG_WAITALL)
        buffer = bytearray(10)
        return bytes(buffer[: one.recv_into(buffer, 0, socket.MSG_WAITALL)])

    waiting = spawn(read)
    for part in (b"abc", b"defg", b"hij", b"kl"):
        sleep(0.002)
        other.sendall(part)
    assert waiting.get() == b"abcdefghij"
    other.close()
    assert read() == b"kl"
    assert read() == b""


def test_waitall_of_a_datagram() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        other.send(b"a")
        other.send(b"b")
        assert one.recv(10, socket.MSG_WAITALL) == b"a"


def test_dontwait(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            one.recv(10, socket.MSG_DONTWAIT)
        other.sendall(b"abc")
        sleep(0.005)
        assert one.recv(10, socket.MSG_DONTWAIT) == b"abc"
    with pytest.raises(BlockingIOError):
        while True:
            one.send(b"x" * 100_000, socket.MSG_DONTWAIT)


# Files


def test_makefile(tcp: tuple[socket.socket, socket.socket]) -> None:
    """I4: the standard file objects on a socket wait cooperatively."""
    one, other = tcp
    lines = []

    def read() -> None:
        with one.makefile("r", encoding="utf-8", newline="\n") as file:
            lines.extend(file)

    reader = spawn(read)
    with other.makefile("w", encoding="utf-8") as file:
        for number in range(5):
            file.write(f"zeile {number} ü\n" * 1000)
            file.flush()
            sleep(0)
    other.shutdown(socket.SHUT_WR)
    reader.get()
    assert lines == [f"zeile {number} ü\n" for number in range(5) for _ in range(1000)]


def test_makefile_both_ways_and_unbuffered(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    task = spawn(echo, other)
    with one.makefile("rwb") as file:
        file.write(b"hello\n")
        file.flush()
        assert file.readline() == b"hello\n"
    with one.makefile("rwb", 0) as raw:
        raw.write(b"x" * 100)
        assert len(raw.read(1000) or b"") == 100
    one.shutdown(socket.SHUT_WR)
    task.get()


def test_makefile_timeout_and_no_blocking(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, _ = tcp
    one.settimeout(0.01)
    with one.makefile("rb", 0) as raw:
        with pytest.raises(TimeoutError):
            raw.read(1)
        with pytest.raises(OSError, match="cannot read from timed out object"):
            raw.read(1)
    one.setblocking(False)
    with one.makefile("rb", 0) as raw:
        assert raw.read(1) is None


# Datagrams, Unix sockets


def test_udp() -> None:
    """I4: datagrams, waited for and answered, with every call there is."""
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind((HOST, 0))
        address = server.getsockname()

        def serve() -> None:
            while True:
                data, peer = server.recvfrom(2000)
                server.sendto(data.upper(), peer)

        task = spawn(serve)
        client.settimeout(5)
        for turn in range(5):
            assert client.sendto(b"a%d" % turn, address) == 2
            assert client.recvfrom(100) == (b"A%d" % turn, address)
        client.sendto(b"flags", 0, address)
        buffer = bytearray(10)
        assert client.recvfrom_into(buffer) == (5, address)
        client.sendmsg([b"two ", b"parts"], [], 0, address)
        assert client.recvmsg(100)[0] == b"TWO PARTS"
        client.connect(address)
        client.send(b"connected")
        assert client.recvmsg_into([buffer])[0] == 9
        client.send(b"")
        assert client.recv(10) == b""
        client.send(b"truncated")
        assert client.recv(4) == b"TRUN"
        client.settimeout(0.01)
        with pytest.raises(TimeoutError):
            client.recv(10)
        task.kill()


def test_udp_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(port_that_refuses())
        waiting = spawn(client.recv, 10)
        sleep(0.005)
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            waiting.get()


def test_udp_to_a_name() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind((HOST, 0))
        client.sendto(b"x", ("localhost", server.getsockname()[1]))
        assert server.recv(10) == b"x"


def test_unix_datagrams_to_a_full_queue(tmp_path: Path) -> None:
    """I4: the sender waits while the receiver's queue is full, connected or not; the system has no event for
    it."""
    path = str(tmp_path / "queue")
    for connected in (False, True):
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(path)
            if connected:
                sender.connect(path)

            def send(sender: socket.socket = sender, connected: bool = connected) -> None:
                for number in range(200):
                    if connected:
                        sender.send(b"%d" % number)
                    else:
                        sender.sendto(b"%d" % number, path)

            sending = spawn(send)
            sleep(0.01)
            assert not sending.ready()
            assert [receiver.recv(10) for _ in range(200)] == [b"%d" % number for number in range(200)]
            sending.get()
            sender.settimeout(0.02)
            with pytest.raises(TimeoutError):
                for _ in range(1000):
                    sender.send(b"x") if connected else sender.sendto(b"x", path)
        os.unlink(path)


def test_unix_listener_with_a_full_queue(tmp_path: Path) -> None:
    """I4: a hundred clients at once connect to a listener with room for one."""
    path = str(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def client(number: int) -> bytes:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                sock.sendall(b"%d" % number)
                return sock.recv(10)

        clients = [spawn(client, number) for number in range(100)]
        sleep(0)
        for _ in clients:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(10))
        joinall(clients, raise_error=True)
        assert [client.value for client in clients] == [b"%d" % number for number in range(100)]
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
            late = stack.enter_context(socket.socket(socket.AF_UNIX))
            late.settimeout(0.02)
            with pytest.raises(TimeoutError):
                late.connect(path)
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.connect(path)


def test_ipv6() -> None:
    """I4, where the machine has IPv6 on its loopback interface; where it has not, the standard module's
    error."""
    try:
        with stdlib.create_server(("::1", 0), family=stdlib.AF_INET6):
            pass
    except OSError as error:
        with pytest.raises(OSError) as caught:
            socket.create_server(("::1", 0), family=socket.AF_INET6)
        assert caught.value.errno == error.errno
        return
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        connection, _ = listener.accept()
        with connection:
            descriptor = registered(connection)
            client.sendall(b"six")
            assert connection.recv(10) == b"six"
            assert not descriptor.readable


# Making connections


def test_create_connection_tries_every_address() -> None:
    """I4: a name stands for several addresses; the first that answers counts."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        refusing = port_that_refuses()[1]
        asked = []

        class Resolver:
            def getaddrinfo(self, host: Any, port: Any, *rest: Any) -> Any:
                asked.append(host)
                return [(2, 1, 6, "", (HOST, refusing)), (2, 1, 6, "", (HOST, port))]

        hub = get_hub()
        before, hub.resolver = hub.resolver, Resolver()
        try:
            with socket.create_connection(("some.name", port), timeout=5, source_address=(HOST, 0)) as client:
                assert client.getpeername()[1] == port
                assert client.gettimeout() == 5
            hub.resolver.getaddrinfo = lambda *_: [(2, 1, 6, "", (HOST, refusing))] * 2
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("some.name", port))
            if sys.version_info >= (3, 11):
                with pytest.raises(builtins.ExceptionGroup) as group:
                    socket.create_connection(("some.name", port), all_errors=True)
                assert len(group.value.exceptions) == 2
            hub.resolver.getaddrinfo = lambda *_: []
            with pytest.raises(OSError, match="empty list"):
                socket.create_connection(("some.name", port))
        finally:
            hub.resolver = before
        assert asked == ["some.name"]


def test_connect_to_a_name() -> None:
    with socket.create_server((HOST, 0)) as listener, socket.socket() as client:
        client.connect(("localhost", listener.getsockname()[1]))
        assert client.getpeername() == listener.getsockname()


def test_create_server_is_cooperative() -> None:
    with socket.create_server((HOST, 0), backlog=5, reuse_port=True) as listener:
        assert type(listener) is socket.socket
        assert not os.get_blocking(listener.fileno())
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


# Waiting for any descriptor


def test_wait_for_a_pipe() -> None:
    """I4: `wait_read` and its like take any descriptor, and any number of greenlets may wait for one."""
    reader, writer = os.pipe()
    try:
        waiting = [spawn(socket.wait_read, reader) for _ in range(3)]
        sleep(0.005)
        assert not any(greenlet.ready() for greenlet in waiting)
        os.write(writer, b"x")
        joinall(waiting, raise_error=True, timeout=5)
        socket.wait_write(writer)
        socket.wait_readwrite(reader)
        os.read(reader, 1)
        with pytest.raises(TimeoutError, match="^timed out$"):
            socket.wait_read(reader, 0.01)
        with pytest.raises(ZeroDivisionError):
            socket.wait_read(reader, 0.01, ZeroDivisionError())
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(OSError):
        socket.wait_read(reader)


@pytest.mark.parametrize("used", [False, True])
def test_wait_for_the_number_of_a_socket_that_is_closed(used: bool) -> None:
    """I4: whether the socket itself ever had to wait or not."""
    one, other = socket.socketpair()
    with other:
        if used:
            one.setblocking(True)
            reading = spawn(one.recv, 1)
            sleep(0)
            other.send(b"x")
            reading.join()
        waiting = spawn(socket.wait_read, one.fileno())
        sleep(0)
        one.close()
        joinall([waiting], timeout=5)
        assert waiting.ready()


def test_cancel_wait(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    waiting = spawn(one.recv, 1)
    sleep(0)
    socket.cancel_wait(one)
    with pytest.raises(OSError) as caught:
        waiting.get()
    assert caught.value.errno == errno.EBADF
    waiting = spawn(one.recv, 1)
    sleep(0)
    socket.cancel_wait(one, ZeroDivisionError("stop"))
    with pytest.raises(ZeroDivisionError):
        waiting.get()
    other.sendall(b"x")
    assert one.recv(1) == b"x"
    with socket.socket() as unused:
        socket.cancel_wait(unused)


def test_nothing_is_left_in_the_loop(tcp: tuple[socket.socket, socket.socket]) -> None:
    """L2: closed sockets leave no registration and no timer behind."""
    loop = get_hub().loop
    before = set(loop._descriptors)
    with serving(echo) as address:
        for _ in range(10):
            with socket.create_connection(address, timeout=30) as client:
                client.sendall(b"x")
                client.recv(1)
    sleep(0)
    assert set(loop._descriptors) <= before


# What gevent's sockets have beside


def test_closed_and_hub(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    assert not one.closed and other.hub is None
    other.send(b"x")
    assert one.recv(10) == b"x"
    with pytest.raises(TimeoutError):
        one.settimeout(0.001)
        one.recv(10)
    assert one.hub is get_hub()
    file = one.makefile("rb")
    one.close()
    assert one.closed and one.fileno() >= 0
    file.close()
    assert one.closed and one.fileno() == -1


def test_a_wait_that_does_not_keep_the_loop(run_python: Any) -> None:
    """`ref`: the program ends although somebody waits for a socket; for one with `ref` it does not end."""
    program = """
        from greenswitch import get_hub, socket, spawn
        from greenswitch.hub import sleep
        one, other = socket.socketpair()
        assert one.ref
        one.ref = False
        assert not one.ref and other.ref
        waiting = spawn(one.recv, 1)
        assert get_hub().join()
        assert not waiting.ready() and get_hub().loop.activecnt == 0
        # Whoever waits is woken as ever, while something else keeps the loop.
        spawn(lambda: (sleep(0.01), other.send(b"x")))
        assert get_hub().join() and waiting.get() == b"x"
        waiting = spawn(one.recv, 1)
        one.ref = True
        assert not get_hub().join(0.05) and get_hub().loop.activecnt == 1
        one.ref = False
        assert get_hub().join()
        print("good")
    """
    assert run_python(textwrap.dedent(program)).check().stdout == "good\n"


def test_wait_for_a_watcher(tcp: tuple[socket.socket, socket.socket]) -> None:
    one, other = tcp
    watcher = get_hub().loop.io(one.fileno(), 1)
    with pytest.raises(TimeoutError):
        socket.wait(watcher, 0.01)
    with pytest.raises(KeyError):
        socket.wait(watcher, 0.01, KeyError())
    waiting = spawn(socket.wait, watcher)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        socket.wait(watcher)
    socket.cancel_wait(watcher)
    with pytest.raises(socket.cancel_wait_ex):
        waiting.get()
    waiting = spawn(socket.wait, watcher, 10)
    other.send(b"x")
    waiting.get()
    assert not watcher.active
    watcher.close()


@pytest.mark.skipif(not hasattr(stdlib, "send_fds"), reason="the system passes no descriptors")
def test_passing_descriptors(unix: tuple[socket.socket, socket.socket]) -> None:
    """`send_fds` and `recv_fds`, over `sendmsg` and `recvmsg`, wait as these do."""
    one, other = unix
    waiting = spawn(socket.recv_fds, one, 10, 4)
    sleep(0.01)
    assert not waiting.ready()
    read, write = os.pipe()
    assert socket.send_fds(other, [b"two"], [read, write]) == 3
    data, fds, _, _ = waiting.get()
    assert data == b"two" and len(fds) == 2
    os.write(fds[1], b"through")
    assert os.read(read, 10) == b"through"
    for fd in (read, write, *fds):
        os.close(fd)
