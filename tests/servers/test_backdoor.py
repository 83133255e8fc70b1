"""BackdoorServer: a prompt over a connection.

What belongs here: what one who connects sees, and that nobody else does. What never does: servers in general
(`test_server`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenswitch import Timeout, sleep, socket, spawn
from greenswitch.backdoor import BackdoorServer
from greenswitch.event import Event

Visit = Callable[..., "Visitor"]


class Visitor:
    """One who connects."""

    def __init__(self, server: BackdoorServer) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.server_port or 0))
        self.sock.settimeout(20)

    def until(self, end: bytes) -> str:
        """What is said, up to and without `end`."""
        said = b""
        while not said.endswith(end):
            more = self.sock.recv(1)
            assert more, said
            said += more
        return said[: -len(end)].decode()

    def ask(self, line: str) -> str:
        """What a line at the prompt gives."""
        self.sock.sendall(line.encode() + b"\r\n")
        return self.until(b">>> ")


@pytest.fixture
def visit(nothing_left: None) -> Iterator[Visit]:
    made: list[Any] = []

    def start(server: BackdoorServer | None = None, **arguments: Any) -> Visitor:
        if server is None:
            server = BackdoorServer(("127.0.0.1", 0), **arguments)
            server.start()
            made.append(server)
        visitor = Visitor(server)
        made.append(visitor.sock)
        return visitor

    with Timeout(60):
        yield start
        for one in made:
            one.close()
        for one in made:
            if isinstance(one, BackdoorServer):
                one.stop(timeout=0.1)


def server_of(visit: Visit) -> BackdoorServer:
    server = BackdoorServer(("127.0.0.1", 0), {"here": 5}, "welcome")
    server.start()
    return server


def test_a_session(visit: Visit) -> None:
    visitor = visit(locals={"here": 5}, banner="welcome")
    assert visitor.until(b">>> ") == "welcome\n"
    assert visitor.ask("here + 1") == "6\n"
    assert visitor.ask("print('\xe4\u20ac')") == "\xe4\u20ac\n"
    assert "ZeroDivisionError" in visitor.ask("1/0")
    visitor.sock.sendall(b"input('name? ')\r\n")
    assert visitor.until(b"name? ") == ""
    assert visitor.ask("me") == "'me'\n"
    visitor.sock.sendall(b"for i in range(2):\r\n")
    assert visitor.until(b"... ") == ""
    visitor.sock.sendall(b"  print(i)\r\n")
    visitor.until(b"... ")
    assert visitor.ask("") == "0\n1\n"
    visitor.sock.sendall(b"exit()\r\n")
    assert visitor.sock.recv(100) == b""
    # Where the standard library's prompt has put the failure, with all its frames.
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)


def test_two_do_not_see_each_other(visit: Visit, nothing_left: None) -> None:
    """Variables and standard streams are one's own, also when both are in the middle of something."""
    before = sys.stdin, sys.stdout, sys.stderr
    server = server_of(visit)
    event = Event()
    server.locals["event"] = event
    one, other = visit(server), visit(server)
    for visitor in (one, other):
        visitor.until(b">>> ")
    assert one.ask("mine = 1") == ""
    assert other.ask("'mine' in locals()") == "False\n"
    one.sock.sendall(b"print('begun'); _ = event.wait(); print('ended')\r\n")
    assert one.until(b"begun\n") == ""
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    assert other.ask("print('other')") == "other\n"
    event.set()
    assert one.until(b">>> ") == "ended\n"
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    one.sock.close()
    other.sock.close()
    server.stop(timeout=0.1)


def test_stop_ends_the_prompts(visit: Visit) -> None:
    server = server_of(visit)
    visitor = visit(server)
    visitor.until(b">>> ")
    before = sys.stdout
    server.stop(timeout=0.01)
    assert visitor.sock.recv(100) in (b"", b"\n")
    assert sys.stdout is before


@pytest.mark.parametrize("how", ["quietly", "in the middle"])
def test_one_who_just_goes(how: str, visit: Visit, capfd: pytest.CaptureFixture[str]) -> None:
    server = server_of(visit)
    visitor = visit(server)
    visitor.until(b">>> ")
    if how == "in the middle":
        visitor.sock.sendall(b"while True: print('x' * 10000)\r\n")
        visitor.sock.recv(10)
    visitor.sock.close()
    waiting = spawn(lambda: [sleep(0.01) for _ in iter(lambda: len(server.pool), 0)])
    waiting.get(timeout=20)
    server.stop()
    assert capfd.readouterr() == ("", "")
