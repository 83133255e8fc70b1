"""gunicorn with workers of greenlets: our own, and its `gevent` worker on greenswitch under gevent's name
(spec D3).

What belongs here: gunicorn as it is started from a shell, and clients that know nothing of it. What never
does: how a server accepts, and what is HTTP.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Program, Start

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("gunicorn"), reason="not installed: gunicorn")

Serve = Callable[..., "tuple[Program, int]"]

# How gunicorn is started. Its gevent worker asks for a gevent of some version, which greenswitch says it is.
OURS = ("-m", "gunicorn", "-k", "greenswitch.integrations.gunicorn.Worker")
GEVENTS = ("-m", "greenswitch", "run", "--as", "greenlet,gevent", "-m", "gunicorn", "-k", "gevent")
PYWSGIS = (*GEVENTS[:-1], "gevent_pywsgi")
BOTH = pytest.mark.parametrize("command", [OURS, GEVENTS], ids=["ours", "gevent"])

APPLICATION = """
import os, threading, time
from wsgiref.util import FileWrapper

meeting = threading.Barrier(10)
release = threading.Event()
now = most = 0

def application(environ, start_response):
    global now, most
    path = environ["PATH_INFO"]
    body = path.encode()
    if path == "/meet":
        meeting.wait(60)
    elif path == "/wait":
        print("somebody waits", flush=True)
        release.wait(60)
    elif path == "/release":
        release.set()
    elif path == "/sleep":
        print("somebody sleeps", flush=True)
        time.sleep(2)
    elif path == "/for ever":
        print("somebody stays", flush=True)
        time.sleep(1000)
    elif path == "/block":
        while True:
            pass
    elif path == "/upper":
        body = environ["wsgi.input"].read().upper()
    elif path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/count":
        now += 1
        most = max(most, now)
        time.sleep(0.1)
        now -= 1
        body = str(most).encode()
    elif path == "/file":
        file = open("file", "rb")
        start_response("200 OK", [("Content-Length", str(os.fstat(file.fileno()).st_size))])
        return environ["wsgi.file_wrapper"](file)
    elif path == "/fail":
        1 / 0
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Serve:
    """Start gunicorn on a port of the system's choice: (the program, the port)."""
    (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
    # Where gunicorn knows this setting, it would have a socket in the user's home.
    (tmp_path / "gunicorn.conf.py").write_text("control_socket_disable = True\n", encoding="utf-8")

    def serve(command: tuple[str, ...], *options: str) -> tuple[Program, int]:
        program = start(*command, "-b", "127.0.0.1:0", *options, "app:application")
        port = int(program.says(r"Listening at: \w+://127\.0\.0\.1:(\d+)")[1])
        program.says("Booting worker")
        return program, port

    return serve


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def rest(sock: socket.socket, end: bytes | None = None) -> bytes:
    """All that comes until `end`, or until the server closes the connection."""
    data = b""
    try:
        while (end is None or not data.endswith(end)) and (more := sock.recv(100_000)):
            data += more
    except ConnectionResetError:
        # It had not read all that we have sent.
        pass
    return data


def side_by_side(function: Callable[[int], Any], count: int) -> list[Any]:
    """function(0), function(1), ... in a thread each."""
    results: list[Any] = [None] * count

    def work(number: int) -> None:
        results[number] = function(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.parametrize("command", [OURS, GEVENTS, PYWSGIS], ids=["ours", "gevent", "pywsgi"])
def test_requests(serve: Serve, tmp_path: Path, command: tuple[str, ...]) -> None:
    """One process serves requests that wait for each other, on connections that go on, with bodies, files
    and failures; and a client that stops in the middle of its request holds nobody up."""
    program, port = serve(command, "--access-logfile", "-", "--keep-alive", "60")
    slow = socket.create_connection(("127.0.0.1", port), timeout=60)
    slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n")
    assert side_by_side(lambda _: get(port, "/meet"), 10) == [(200, b"/meet")] * 10

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    pieces = [b"abc" * 100_000, b"d", b"e" * 70_000]
    connection.request("POST", "/upper", iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().read() == b"".join(pieces).upper()
    sock = connection.sock
    content = bytes(range(256)) * 20_000
    (tmp_path / "file").write_bytes(content)
    connection.request("GET", "/file")
    assert connection.getresponse().read() == content
    assert connection.sock is sock
    connection.request("GET", "/fail")
    assert connection.getresponse().status == 500
    connection.close()

    slow.sendall(b"\r\n")
    assert rest(slow, b"/slow").startswith(b"HTTP/1.1 200 ")
    slow.close()
    broken = socket.create_connection(("127.0.0.1", port), timeout=60)
    broken.sendall(b"nonsense\r\n\r\n")
    assert rest(broken).startswith(b"HTTP/1.1 400 ")
    broken.close()
    program.says(r'"GET /slow HTTP/1\.1" 200 ')
    said = program.end()
    assert "ZeroDivisionError" in said and "MonkeyPatchWarning" not in said


@BOTH
def test_settings(serve: Serve, command: tuple[str, ...]) -> None:
    """No more connections at once than it may have; who asks nothing is sent away; after so many requests
    another worker comes."""
    options = ("--worker-connections", "2", "--keep-alive", "1", "--max-requests", "12")
    program, port = serve(command, *options)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        assert idle.recv(1) == b""
    counts = side_by_side(lambda _: get(port, "/count"), 8)
    assert max(counts) == (200, b"2"), counts
    pids: set[bytes] = set()

    def both_seen() -> bool:
        try:
            pids.add(get(port, "/pid")[1])
        except OSError:
            # Came as the first worker went.
            pass
        return len(pids) > 1

    program.until(both_seen, "one worker served all")
    program.says("Autorestarting worker after current request")
    program.end()


@BOTH
def test_graceful_end(serve: Serve, command: tuple[str, ...]) -> None:
    """Who is served is served to the end."""
    program, port = serve(command, "--graceful-timeout", "60")
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(get(port, "/sleep")))
    asking.start()
    program.says("somebody sleeps")
    program.end()
    asking.join(60)
    assert answers == [(200, b"/sleep")]


def test_end_of_a_worker(serve: Serve) -> None:
    """Who does not end in time is cut off, and is not told that the application failed."""
    program, port = serve(OURS, "--graceful-timeout", "1")
    pid = int(get(port, "/pid")[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stuck:
        stuck.sendall(b"GET /for%20ever HTTP/1.1\r\nHost: a\r\n\r\n")
        program.says("somebody stays")
        # gunicorn itself would not wait longer for its workers than they for their clients.
        os.kill(pid, signal.SIGTERM)
        assert rest(stuck) == b""
    program.says(rf"Worker graceful timeout \(pid:{pid}\)")
    program.says("Booting worker(.|\n)*Booting worker")
    assert "Traceback" not in program.end()


def test_end_does_not_wait_for_idle_connections(serve: Serve) -> None:
    """Neither for the time that they may be idle, nor for all that there is; and where somebody has sent
    nothing but half a request, he has a second for the rest."""
    program, port = serve(OURS, "--graceful-timeout", "3000", "--keep-alive", "3000")
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    idle.request("GET", "/")
    assert idle.getresponse().read() == b"/"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as half:
        half.sendall(b"GET /half HTTP/1.1\r\nHost: a\r\n")
        assert get(port, "/") == (200, b"/")
        program.process.terminate()
        program.says("Handling signal: term")
        half.sendall(b"\r\n")
        assert rest(half).endswith(b"\r\n\r\n/half")
    assert idle.sock.recv(1) == b""
    idle.close()
    program.end()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT], ids=["INT", "QUIT"])
def test_quick_end(serve: Serve, signum: int) -> None:
    program, port = serve(OURS, "--graceful-timeout", "3000")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stuck:
        stuck.sendall(b"GET /for%20ever HTTP/1.1\r\nHost: a\r\n\r\n")
        program.says("somebody stays")
        assert "Traceback" not in program.end(signum)


def test_worker_that_blocks_is_replaced(serve: Serve) -> None:
    """No greenlet gets to run in it: gunicorn notices, and the request gets its answer, a failure."""
    program, port = serve(OURS, "--timeout", "2", "--graceful-timeout", "1")
    pid = get(port, "/pid")[1]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as blocked:
        blocked.sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        program.says("WORKER TIMEOUT")
        program.until(lambda: len(re.findall("Booting worker", program.said())) > 1, "no other worker came")
        assert get(port, "/pid")[1] != pid
        program.end()


def test_logs_are_opened_anew(serve: Serve, tmp_path: Path) -> None:
    program, port = serve(OURS, "--access-logfile", "access")
    log = tmp_path / "access"
    get(port, "/first")
    program.until(lambda: "/first" in log.read_text(), "no line in the log")
    log.rename(tmp_path / "former")
    program.process.send_signal(signal.SIGUSR1)

    def written() -> bool:
        get(port, "/second")
        return log.exists() and "/second" in log.read_text()

    program.until(written, "the log was not opened anew")
    program.end()


def test_two_listeners_and_two_workers(serve: Serve, tmp_path: Path) -> None:
    """Addresses of every kind; each worker serves all of them."""
    program, port = serve(OURS, "-b", "unix:path", "--workers", "2")
    program.until(lambda: len(re.findall("Booting worker", program.said())) == 2, "there is one worker")

    def ask(number: int) -> bytes:
        if number % 2:
            sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(60)
            sock.connect(str(tmp_path / "path"))
        with sock:
            sock.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
            return rest(sock).rpartition(b"\r\n")[2]

    pids: set[bytes] = set()
    program.until(lambda: len(pids) >= 2 or bool(pids.update(side_by_side(ask, 10))), "one worker served all")
    assert len(pids) == 2
    program.end()


@pytest.mark.skipif(importlib.util.find_spec("trustme") is None, reason="not installed: trustme")
@BOTH
def test_tls(serve: Serve, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Handshakes that do not come, or are none, hold nobody up."""
    import trustme

    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    program, port = serve(command, "--certfile", "server.pem", "--keyfile", "server.pem")

    def fetch(number: int) -> bytes:
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
        connection.request("GET", "/meet")
        body = connection.getresponse().read()
        connection.close()
        return body

    with socket.create_connection(("127.0.0.1", port), timeout=60):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            # Gunicorn or OpenSSL may say what they think of it.
            rest(plain)
        assert side_by_side(fetch, 10) == [b"/meet"] * 10
    said = program.end()
    if command is OURS:
        assert "Traceback" not in said
