"""StreamServer and DatagramServer (spec I5, G15, L4).

What belongs here: what a server accepts, where its handlers run, how it starts and stops, what it does when
something goes wrong, and what is left afterwards. What never does: HTTP (`test_pywsgi`).
"""

from __future__ import annotations

import errno
import os
import resource
import socket as plain
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kinds_of_servers import descriptors, greenlets

import greenswitch
from greenswitch import GreenletExit, Timeout, get_hub, getcurrent, sleep, socket, spawn
from greenswitch.baseserver import BaseServer, parse_address
from greenswitch.event import Event
from greenswitch.exceptions import BlockingSwitchOutError
from greenswitch.pool import Pool
from greenswitch.server import DatagramServer, StreamServer

LOCAL = ("127.0.0.1", 0)


def echo(sock: Any, address: Any) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def ask(port: int | None, data: bytes = b"hello") -> bytes:
    """One connection: what comes back."""
    with Timeout(20), socket.create_connection(("127.0.0.1", port or 0)) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while more := sock.recv(65536):
            answer += more
        return answer


# Where it listens


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("127.0.0.1", 80), (plain.AF_INET, ("127.0.0.1", 80))),
        (("::1", 80), (plain.AF_INET6, ("::1", 80))),
        (("", 80), (plain.AF_INET6, ("", 80))),
        ("80", (plain.AF_INET6, ("", 80))),
        (80, (plain.AF_INET6, ("", 80))),
        (":80", (plain.AF_INET, ("", 80))),
        ("*:80", (plain.AF_INET, ("", 80))),
        ("127.0.0.1:80", (plain.AF_INET, ("127.0.0.1", 80))),
        ("[::1]:80", (plain.AF_INET6, ("::1", 80))),
        ("/run/x.sock", (plain.AF_UNIX, "/run/x.sock")),
        (Path("x.sock"), (plain.AF_UNIX, "x.sock")),
        ("\0hidden", (plain.AF_UNIX, "\0hidden")),
    ],
)
def test_addresses(address: Any, expected: tuple[int, Any]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["nonsense", "host:port", ":"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match="Failed to parse address"):
        StreamServer(address, echo)


@pytest.mark.parametrize("address", [None, 1.5, ["127.0.0.1", 80]])
def test_what_cannot_be_an_address(address: Any) -> None:
    with pytest.raises(TypeError, match="Expected tuple or string"):
        StreamServer(address, echo)


@pytest.mark.parametrize("make", [socket.socket, plain.socket], ids=["ours", "the system's"])
def test_a_listener_of_the_users(make: Any, nothing_left: None) -> None:
    listener = make()
    listener.bind(LOCAL)
    listener.listen()
    with StreamServer(listener, echo) as server:
        server.start()
        assert server.socket is listener
        assert server.server_port == listener.getsockname()[1]
        assert ask(server.server_port) == b"hello"
    assert listener.fileno() == -1


def test_a_path(tmp_path: Path, nothing_left: None) -> None:
    """Made, used, and removed; what a dead server left there is no obstacle, a living one is."""
    path = tmp_path / "socket"
    with plain.socket(plain.AF_UNIX) as dead:
        dead.bind(str(path))
    with StreamServer(path, echo) as server:
        server.start()
        assert server.server_host is None is server.server_port
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"by path")
            assert sock.recv(100) == b"by path"
        other = StreamServer(path, echo)
        with pytest.raises(OSError, match="in use") as caught:
            other.start()
        assert caught.value.errno == errno.EADDRINUSE and str(path) in str(caught.value)
    assert not path.exists()


def test_an_address_that_is_taken(nothing_left: None) -> None:
    with StreamServer(LOCAL, echo) as server:
        server.start()
        second = StreamServer(("127.0.0.1", server.server_port), echo)
        with pytest.raises(OSError, match="127.0.0.1") as caught:
            second.start()
        assert caught.value.errno == errno.EADDRINUSE
        assert second.closed and not second.started


def test_backlog_is_for_addresses(nothing_left: None) -> None:
    listener = StreamServer.get_listener(LOCAL)
    with pytest.raises(TypeError, match="backlog"):
        StreamServer(listener, echo, backlog=5)
    assert listener.fileno() == -1
    assert StreamServer(LOCAL, echo, backlog=5).backlog == 5


def test_no_handler() -> None:
    with pytest.raises(TypeError, match="handle"):
        StreamServer(LOCAL)


def test_a_listener_that_speaks_tls() -> None:
    class Secure:
        accept = do_handshake = None

    with pytest.raises(TypeError, match="SSLSocket"):
        StreamServer(Secure(), echo)


def test_base_class_reads_nothing() -> None:
    with pytest.raises(NotImplementedError):
        BaseServer(LOCAL, echo).do_read()


# Where handlers run


def kinds_of_spawn() -> dict[str, Any]:
    return {
        "default": "default",
        "raw": "raw",
        "number": 3,
        "pool": Pool(3),
        "function": greenswitch.spawn,
        "raw function": greenswitch.spawn_raw,
        "None": None,
    }


@pytest.mark.parametrize("kind", kinds_of_spawn())
def test_spawn(kind: str, nothing_left: None) -> None:
    current = []

    def handle(sock: Any, address: Any) -> None:
        current.append(getcurrent())
        sock.sendall(b"%d" % address[1])

    with StreamServer(LOCAL, handle, spawn=kinds_of_spawn()[kind]) as server:
        server.start()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
                assert sock.recv(100) == b"%d" % sock.getsockname()[1]
                assert sock.recv(100) == b""
    assert (set(current) == {get_hub()}) is (kind == "None")
    current.clear()


def test_spawn_that_is_nothing() -> None:
    with pytest.raises(ValueError, match="spawn"):
        StreamServer(LOCAL, echo, spawn="greenlet")


def test_in_the_hub_nothing_may_wait(failures: list[BaseException], nothing_left: None) -> None:
    with StreamServer(LOCAL, lambda sock, address: sleep(1), spawn=None) as server:
        server.start()
        assert ask(server.server_port, b"") == b""
    assert [type(one) for one in failures] == [BlockingSwitchOutError]
    failures.clear()


def test_a_full_pool_lets_nobody_in(nothing_left: None) -> None:
    """I5: the limit holds, and whoever waits comes in when somebody leaves."""
    inside = 0
    most = 0

    def handle(sock: Any, address: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        sleep(0.001)
        echo(sock, address)
        inside -= 1

    with StreamServer(LOCAL, handle, spawn=3) as server:
        server.start()
        asking = [spawn(ask, server.server_port, b"%d" % number) for number in range(60)]
        greenswitch.joinall(asking, timeout=20)
        assert [one.value for one in asking] == [b"%d" % number for number in range(60)]
    assert most == 3


def test_max_accept_is_checked() -> None:
    class Server(StreamServer):
        max_accept = 0

    with pytest.raises(ValueError, match="max_accept"):
        Server(LOCAL, echo)


# Failures


def test_a_handler_that_fails_does_not_matter(failures: list[BaseException], nothing_left: None) -> None:
    def handle(sock: Any, address: Any) -> None:
        if sock.recv(100) == b"bad":
            raise ZeroDivisionError("mine")
        sock.sendall(b"fine")

    with StreamServer(LOCAL, handle) as server:
        server.start()
        for _ in range(20):
            assert ask(server.server_port, b"bad") == b""
            assert ask(server.server_port, b"good") == b"fine"
    assert [type(one) for one in failures] == [ZeroDivisionError] * 20
    failures.clear()


def test_a_spawn_that_fails_is_a_pause(failures: list[BaseException], nothing_left: None) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("mine")

    with StreamServer(LOCAL, echo, spawn=fail) as server:
        server.start()
        assert ask(server.server_port, b"") == b""
        server.set_spawn("default")
        server._spawn = greenswitch.spawn
        assert ask(server.server_port) == b"hello"
    assert [type(one) for one in failures] == [ZeroDivisionError]
    failures.clear()


def test_a_listener_that_is_gone_ends_the_server(
    failures: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    class Server(StreamServer):
        def do_read(self) -> Any:
            raise OSError(errno.EBADF, "gone")

    server = Server(LOCAL, echo)
    server.start()
    plain.create_connection(("127.0.0.1", server.server_port or 0)).close()
    with Timeout(20):
        server.serve_forever()
    assert server.closed
    assert "failed with [Errno 9] gone" in capsys.readouterr().err
    assert [type(one) for one in failures] == [OSError]


def test_an_error_without_a_number_is_a_pause(failures: list[BaseException], nothing_left: None) -> None:
    class Server(StreamServer):
        wrong = 2

        def do_read(self) -> Any:
            if self.wrong:
                self.wrong -= 1
                raise OSError
            return super().do_read()

    with Server(LOCAL, echo) as server:
        server.start()
        assert ask(server.server_port) == b"hello"
    assert [type(one) for one in failures] == [OSError] * 2
    failures.clear()


def test_one_that_is_gone_before_it_is_accepted(failures: list[BaseException], nothing_left: None) -> None:
    class Server(StreamServer):
        gone = 3

        def do_read(self) -> Any:
            if self.gone:
                self.gone -= 1
                raise OSError(errno.ECONNABORTED, "gone")
            return super().do_read()

    with Server(LOCAL, echo) as server:
        server.start()
        assert ask(server.server_port) == b"hello"
    assert failures == []


# Starting and stopping


def test_start_stop(nothing_left: None) -> None:
    server = StreamServer(LOCAL, echo)
    assert not server.started and not hasattr(server, "socket")
    server.start()
    assert server.started and not server.closed
    assert repr(server).startswith("<StreamServer at 0x")
    assert f"address=127.0.0.1:{server.server_port}" in str(server)
    assert ask(server.server_port) == b"hello"
    server.stop_accepting()
    asking = spawn(ask, server.server_port)
    sleep(0.05)
    assert not asking.ready()
    server.start_accepting()
    server.start_accepting()
    assert asking.get(timeout=20) == b"hello"
    server.stop()
    server.stop()
    assert server.closed and not server.started
    with pytest.raises(ConnectionRefusedError):
        ask(server.server_port)


def test_restart_on_the_same_address(nothing_left: None) -> None:
    class Server(StreamServer):
        def handle(self, sock: Any, address: Any) -> None:
            echo(sock, address)

    server = Server(LOCAL, spawn=1)
    for _ in range(3):
        server.start()
        assert ask(server.server_port) == b"hello"
        assert server.full.__self__ is server.pool  # type: ignore[attr-defined]
        server.stop()


def test_serve_forever(nothing_left: None) -> None:
    server = StreamServer(LOCAL, echo)
    serving = spawn(server.serve_forever)
    sleep(0)
    assert ask(server.server_port) == b"hello"
    server.stop()
    serving.get(timeout=20)
    server = StreamServer(LOCAL, echo)
    serving = spawn(server.serve_forever)
    sleep(0)
    serving.kill()
    assert server.closed


def test_stop_waits_for_handlers_in_a_pool(nothing_left: None) -> None:
    done = []

    def handle(sock: Any, address: Any) -> None:
        sock.sendall(b"begun")
        sleep(0.1)
        done.append(True)

    server = StreamServer(LOCAL, handle, spawn=10)
    server.start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        assert sock.recv(100) == b"begun"
        server.stop(timeout=20)
        assert done == [True]


def test_stop_kills_handlers_that_take_too_long(nothing_left: None) -> None:
    ends: list[BaseException] = []

    def handle(sock: Any, address: Any) -> None:
        sock.sendall(b"begun")
        try:
            Event().wait()
        except GreenletExit as error:
            ends.append(error)
            raise

    server = StreamServer(LOCAL, handle, spawn=10)
    server.start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        assert sock.recv(100) == b"begun"
        server.stop(timeout=0.01)
        assert len(ends) == 1
        assert sock.recv(100) == b""
    ends.clear()


@pytest.mark.parametrize("kind", ["default", "pool"])
def test_stop_in_the_middle_of_traffic(kind: str, peer: Callable[..., Any], nothing_left: None) -> None:
    """Handlers in a pool end with the server, others with their clients; nothing is left of either."""
    server = StreamServer(LOCAL, echo, spawn=1000 if kind == "pool" else "default")
    server.start()
    one = peer("traffic", server.server_port, 200)
    one.ready()
    sleep(0.3)
    server.stop(timeout=0.1)
    with pytest.raises(ConnectionRefusedError):
        ask(server.server_port)
    sleep(0.05)
    assert one.end().startswith("answers ")


# Several processes


FORKED = """
import os, sys
from greenswitch.server import StreamServer
class Server(StreamServer):
    reuse_port = sys.argv[1] == "reuse_port"
    max_accept = 1
    def handle(self, sock, address):
        sock.sendall(b"%d" % os.getpid())
listener = Server.get_listener(("127.0.0.1", 0))
port = listener.getsockname()[1]
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        server = Server(("127.0.0.1", port)) if Server.reuse_port else Server(listener)
        server.start()
        if Server.reuse_port:
            listener.close()
        server.serve_forever()
    children.append(child)
listener.close()
print(port, *children, flush=True)
sys.stdin.read()
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("way", ["reuse_port", "listener"])
def test_processes_share_a_port(way: str) -> None:
    """G15: forked ahead, with one listener for all or one each (SO_REUSEPORT), N processes serve one port."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKED, way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port, *children = map(int, process.stdout.readline().split())
        answered: set[int] = set()
        deadline = time.monotonic() + 60
        while answered != set(children) and time.monotonic() < deadline:
            burst = []
            for _ in range(30):
                try:
                    burst.append(plain.create_connection(("127.0.0.1", port)))
                except ConnectionRefusedError:
                    # None of them is up yet.
                    time.sleep(0.01)
            for sock in burst:
                try:
                    sock.settimeout(20)
                    answered |= {int(text) for text in [sock.recv(100)] if text}
                except ConnectionResetError:
                    # Dealt out to the listener of the process that only forks, which was closed then.
                    pass
                sock.close()
        assert answered == set(children)
    finally:
        process.communicate("")


# Many


def test_ten_thousand_connections(
    many_descriptors: int,
    peer: Callable[..., Any],
    nothing_left: None,
    record_property: Callable[[str, object], None],
) -> None:
    """L4, C10K: each has its greenlet, all in one thread; as many as the limit on descriptors allows."""
    number = min(10_000, many_descriptors - 200)
    with StreamServer(LOCAL, echo) as server:
        server.start()
        before = resident()
        one = peer("echo", server.server_port, number)
        one.ready(120)
        record_property("bytes_per_connection", (resident() - before) // number)
        assert descriptors() > number and greenlets() > number
        assert len(os.listdir("/proc/self/task")) < 20
        one.end(120)
        assert ask(server.server_port) == b"hello"


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


# TLS


class FakeContext:
    """Stands for an SSLContext."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def wrap_socket(self, sock: Any, **arguments: Any) -> Any:
        self.asked.append(arguments)
        return sock


def test_what_the_context_is_asked_for(nothing_left: None) -> None:
    context = FakeContext()
    with StreamServer(LOCAL, echo, ssl_context=context, suppress_ragged_eofs=False) as server:
        server.start()
        assert server.ssl_enabled
        assert ask(server.server_port) == b"hello"
    assert context.asked == [{"server_side": True, "suppress_ragged_eofs": False}]
    assert not StreamServer(LOCAL, echo).ssl_enabled


# Datagrams


def test_datagrams(nothing_left: None) -> None:
    class Server(DatagramServer):
        def handle(self, data: bytes, address: Any) -> None:
            self.sendto(data.upper(), address)

    with Server(LOCAL) as server:
        server.start()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.server_port))
            for size in (1, 100, 9000, 60000):
                sock.send(b"x" * size)
                with Timeout(20):
                    assert sock.recv(65536) == b"X" * size
            for _ in range(300):
                sock.send(b"many")
            answered = 0
            with Timeout(20):
                while answered < 100:
                    assert sock.recv(100) == b"MANY"
                    answered += 1


def test_datagrams_by_path(tmp_path: Path, nothing_left: None) -> None:
    got = []
    with DatagramServer(str(tmp_path / "socket"), lambda data, address: got.append(data)) as server:
        server.start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"by path", str(tmp_path / "socket"))
            with Timeout(20):
                while not got:
                    sleep(0.01)
    assert got == [b"by path"]
    assert not (tmp_path / "socket").exists()


def test_a_datagram_handler_that_fails(failures: list[BaseException], nothing_left: None) -> None:
    def handle(data: bytes, address: Any) -> None:
        if data == b"bad":
            raise ZeroDivisionError
        server.sendto(data, address)

    with DatagramServer(LOCAL, handle) as server:
        server.start()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", server.server_port))
            sock.send(b"bad")
            sock.send(b"good")
            with Timeout(20):
                assert sock.recv(100) == b"good"
    assert [type(one) for one in failures] == [ZeroDivisionError]
    failures.clear()
