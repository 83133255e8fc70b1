"""What peers and the system do to servers of every kind (spec I5, L4, G15): they go on, nothing hangs, and no
descriptor and no greenlet is left.

What belongs here: faults that strike each kind of server alike. What never does: what a kind makes of its
input (`test_server`, `test_pywsgi`, `test_tls`).
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kinds_of_servers
import peer as peers
import pytest
from kinds_of_servers import KINDS, descriptors, path

from greenswitch import Timeout, get_hub, sleep, socket, spawn
from greenswitch.server import StreamServer

PROGRAM = Path(kinds_of_servers.__file__)
Start = Callable[..., StreamServer]
Begin = Callable[..., Any]

without_parser = pytest.mark.skipif(
    find_spec("httptools") is None, reason="httptools, of the extra `wsgi`, is not installed"
)
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=without_parser) if kind == "wsgi" else kind for kind in KINDS]
)
each_language = pytest.mark.parametrize(
    "kind", ["default", pytest.param("wsgi", marks=without_parser)], ids=["stream", "wsgi"]
)


def language_of(kind: str) -> str:
    return {"wsgi": "http", "tls": "tls"}.get(kind, "plain")


def outcome_of(crowd: Any) -> tuple[int, int]:
    """Of clients in traffic: how many answers they had, how many of them the server has sent away."""
    words = crowd.end().split()
    return int(words[1]), int(words[3])


class Client:
    """A connection from this process to a server of a kind."""

    def __init__(self, server: StreamServer, kind: str) -> None:
        self.language = peers.LANGUAGES[language_of(kind)]
        self.sock = socket.create_connection(("127.0.0.1", server.server_port or 0))
        self.sock.settimeout(20)

    def say(self, text: bytes) -> None:
        self.sock.sendall(self.language.question(text))

    def hear(self, text: bytes) -> None:
        """The answer, which is `text`."""
        data = b""
        while not self.language.answers(data, text):
            more = self.sock.recv(65536)
            assert more, data
            data += more

    def ask(self, text: bytes = b"hello") -> None:
        self.say(text)
        self.hear(text)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args: object) -> None:
        self.sock.close()


@pytest.fixture
def start(nothing_left: None, failures: list[BaseException]) -> Iterator[Start]:
    """Start a server; see `server_of`. It is stopped at the end."""
    servers: list[StreamServer] = []

    def begin(kind: str, handle: Any = None, **arguments: Any) -> StreamServer:
        server = kinds_of_servers.server_of(kind, handle, **arguments)
        server.start()
        servers.append(server)
        return server

    with Timeout(120):
        yield begin
        while servers:
            servers.pop().stop(timeout=0.1)


# Peers


@pytest.mark.parametrize("mode", ["reset", "half", "trickle", "echo", "idle"])
@every_kind
def test_peers(mode: str, kind: str, start: Start, peer: Begin, failures: list[BaseException]) -> None:
    """Peers that reset, close one half, send a byte at a time, say nothing: each is served, and nothing is
    left of any."""
    server = start(kind)
    crowd = peer(mode, server.server_port, 100, language_of(kind))
    if mode in ("echo", "idle"):
        crowd.ready()
    crowd.end()
    with Client(server, kind) as one:
        one.ask()
    assert failures == []


@each_language
def test_all_kinds_of_peers_at_once(
    kind: str, start: Start, peer: Begin, failures: list[BaseException]
) -> None:
    """Those that behave are served whatever the others do, and nothing is left of any."""
    server = start(kind)
    modes = ("reset", "half", "trickle", "echo", "idle", "reset", "traffic")
    crowds = [peer(mode, server.server_port, 60, language_of(kind)) for mode in modes]
    for mode, crowd in zip(modes, crowds, strict=True):
        if mode in ("echo", "idle", "traffic"):
            crowd.ready()
        if mode != "traffic":
            crowd.end()
    answers, ended = outcome_of(crowds[-1])
    assert answers >= 60 and ended == 0
    with Client(server, kind) as one:
        one.ask()
    assert failures == []


@each_language
def test_ten_thousand_that_say_nothing(
    kind: str, many_descriptors: int, start: Start, peer: Begin, failures: list[BaseException]
) -> None:
    """L4: connected and silent, as many as the limit on descriptors allows; who says something is served."""
    number = min(10_000, many_descriptors - 200)
    server = start(kind)
    before = descriptors()
    crowd = peer("idle", server.server_port, number, language_of(kind))
    crowd.ready(120)
    while descriptors() < before + number:
        sleep(0.01)
    with Client(server, kind) as one:
        one.ask()
    crowd.end(120)
    with Client(server, kind) as one:
        one.ask()
    assert failures == []


@without_parser
def test_thousands_that_say_nothing_are_sent_away(
    many_descriptors: int, start: Start, peer: Begin, failures: list[BaseException]
) -> None:
    """WSGIServer has a limit for it."""
    server: Any = start("wsgi")
    server.idle_timeout = 3.0
    number = min(3000, many_descriptors - 200)
    crowd = peer("silent", server.server_port, number, "http")
    while len(server._handlers) < number // 2:
        sleep(0.01)
    with Client(server, "wsgi") as one:
        one.ask()
    crowd.end()
    assert failures == []


@pytest.mark.parametrize("mode", ["reset", "half", "trickle", "echo", "idle"])
def test_peers_that_speak_tls(
    mode: str, files: Any, start: Start, peer: Begin, failures: list[BaseException]
) -> None:
    """The same; also with peers that go in the middle of the handshake, or never begin it."""
    server = start("tls", certfile=files.certfile, keyfile=files.keyfile)
    crowd = peer(mode, server.server_port, 50, "tls")
    if mode in ("echo", "idle"):
        crowd.ready()
    crowd.end()
    last = peer("half", server.server_port, 1, "tls")
    last.end()
    assert all(isinstance(one, OSError) for one in failures), failures
    assert failures == [] or mode in ("reset", "idle")


# Descriptors


@each_language
def test_closed_and_used_again_while_handlers_wait(
    kind: str, start: Start, peer: Begin, failures: list[BaseException]
) -> None:
    """Others close the sockets that handlers wait for, and new connections get the numbers: no handler hears
    what is for another one, none waits for ever."""
    served: list[Any] = []
    handle: Any = None
    if kind == "default":

        def handle(sock: Any, address: Any) -> None:
            served.append(sock)
            kinds_of_servers.echo(sock, address)

    server = start(kind, handle)
    numbers: list[int] = []
    crowd = peer("restless", server.server_port, 50, language_of(kind))
    crowd.ready()
    for turn in range(300):
        sleep(0.002)
        if kind == "wsgi":
            served = [one.socket for one in list(server._handlers) if one.socket is not None]  # type: ignore[attr-defined]
        if served:
            sock = served.pop(turn * 7 % len(served))
            numbers.append(sock.fileno())
            sock.close()
            del sock
    served.clear()
    answers, ended = outcome_of(crowd)
    assert len(set(numbers)) < len(numbers) and answers > ended >= len(numbers) - 50
    assert {one.errno for one in failures if isinstance(one, OSError)} <= {
        errno.EBADF,
        errno.EPIPE,
        errno.ECONNRESET,
    }
    assert all(isinstance(one, OSError) for one in failures)
    with Client(server, kind) as one:
        one.ask()


@each_language
def test_out_of_descriptors(kind: str, start: Start, failures: list[BaseException]) -> None:
    """It goes on serving those it has, does not spin, and takes the others when there is room."""
    server = start(kind)
    server.min_delay = server.delay = 0.02
    with Client(server, kind) as first:
        first.ask(b"a")
        waiting = [socket.socket() for _ in range(20)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        taken = [os.dup(0) for _ in range(highest)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, hard))
        language = first.language
        try:
            for sock in waiting:
                sock.connect(("127.0.0.1", server.server_port))
                sock.sendall(language.question(b"later"))
            while not failures:
                sleep(0.01)
            for _ in range(50):
                first.ask(b"still")
            sleep(0.3)
            tries = len(failures)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in taken:
                os.close(fd)
        for sock in waiting:
            data = b""
            while not language.answers(data, b"later"):
                with Timeout(20):
                    data += sock.recv(100)
            sock.close()
    assert {one.errno for one in failures if isinstance(one, OSError)} == {errno.EMFILE}
    assert 1 <= tries < 20


@each_language
def test_a_handler_that_finds_no_descriptor(kind: str, start: Start, failures: list[BaseException]) -> None:
    """What fails for want of one fails alone."""

    def open_much() -> None:
        opened = []
        try:
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        finally:
            for fd in opened:
                os.close(fd)

    def stream(sock: Any, address: Any) -> None:
        while data := sock.recv(100):
            if data == b"much":
                open_much()
            sock.sendall(data)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/much":
            open_much()
        return path(environ, start_response)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = start(kind, application if kind == "wsgi" else stream)
    with Client(server, kind) as other:
        other.ask(b"before")
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 50, hard))
        try:
            with Client(server, kind) as one:
                one.say(b"much")
                answer = one.sock.recv(1000)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        other.ask(b"after")
    assert answer.startswith(b"HTTP/1.1 500 " if kind == "wsgi" else b"") and (kind == "wsgi" or not answer)
    assert [getattr(one, "errno", None) for one in failures] == [errno.EMFILE]


# Threads


@each_language
def test_a_full_pool_of_threads(kind: str, start: Start, failures: list[BaseException]) -> None:
    """Handlers that want a thread wait for it, in the order of coming, and the others are served; who goes
    meanwhile leaves nothing behind."""
    pool = get_hub().threadpool
    size = pool.maxsize
    block = threading.Event()

    def stream(sock: Any, address: Any) -> None:
        while data := sock.recv(100):
            if data.startswith(b"thread"):
                data = pool.apply(bytes, (data,))
            sock.sendall(data)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"].startswith("/thread"):
            pool.apply(int)
        return path(environ, start_response)

    # What threads and the pool need for themselves is there before anything is counted.
    pool.apply(int)
    server = start(kind, application if kind == "wsgi" else stream)
    pool.maxsize = 2
    threads = threading.active_count()
    try:
        blocked = [pool.spawn(block.wait) for _ in range(2)]
        asking = [Client(server, kind) for _ in range(40)]
        for number, one in enumerate(asking):
            one.say(b"thread%d" % number)
        looking = spawn(socket.getaddrinfo, "localhost", 80)
        with Client(server, kind) as other:
            for _ in range(20):
                other.ask(b"meanwhile")
        assert not looking.ready()
        for one in asking[::2]:
            one.sock.close()
        sleep(0.05)
        with Client(server, kind) as other:
            other.ask(b"again")
        assert len(pool) == 2
        block.set()
        for number, one in list(enumerate(asking))[1::2]:
            with one:
                one.hear(b"thread%d" % number)
        assert looking.get(timeout=20)
        assert [one.get(timeout=20) for one in blocked] == [True, True]
    finally:
        block.set()
        pool.maxsize = size
    assert threading.active_count() <= threads + 2
    assert all(isinstance(one, ConnectionError) for one in failures)


# Processes and signals


def run_under_load(kind: str, task: str, peer: Begin, end: Callable[..., None]) -> str:
    """What a server's process says after its port, while clients keep it busy. `end(process, crowd)` sees to
    the end of both."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), kind, task], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        crowd = peer("traffic", port, 200, language_of(kind))
        crowd.ready()
        end(process, crowd)
        said, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")
    return said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("kind", ["pool", pytest.param("wsgi", marks=without_parser)])
def test_signals_under_load(kind: str, name: str, peer: Begin) -> None:
    """The server ends, its handlers with it, and the program goes on to its end."""

    def end(process: subprocess.Popen[str], crowd: Any) -> None:
        sleep(0.3)
        process.send_signal(getattr(signal, name))
        # Told of the end by the server, and not the other way round.
        process.wait(60)
        answers, ended = outcome_of(crowd)
        assert answers > 200 and ended == 200

    said = run_under_load(kind, "serve", peer, end)
    assert said == ("interrupted\n" if name == "SIGINT" else "") + "left 0 0\n"


@pytest.mark.parametrize("kind", ["pool", pytest.param("wsgi", marks=without_parser)])
def test_forks_in_the_middle_of_traffic(kind: str, peer: Begin) -> None:
    """G15: children that end at once, that stop their copy of the server first, and that run a program: no
    connection of the parent's notices."""

    def end(process: subprocess.Popen[str], crowd: Any) -> None:
        assert process.stdout is not None and process.stdout.readline() == "done\n"
        answers, ended = outcome_of(crowd)
        process.terminate()
        assert answers > 200 and ended == 0

    assert run_under_load(kind, "forks", peer, end) == "left 0 0\n"
