"""Servers that speak TLS (spec I4, I5), with real certificates.

What belongs here: what StreamServer and WSGIServer do about TLS. What never does: TLS itself (`test_ssl`).
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from greenswitch import Timeout, sleep, socket, spawn, ssl
from greenswitch.pywsgi import WSGIServer
from greenswitch.server import StreamServer

LOCAL = ("127.0.0.1", 0)


def echo(sock: Any, address: Any) -> None:
    assert isinstance(sock, ssl.SSLSocket)
    while data := sock.recv(65536):
        sock.sendall(data)


def arguments_of(kind: str, files: Any) -> dict[str, Any]:
    if kind == "files":
        return {"certfile": files.certfile, "keyfile": files.keyfile}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certfile, files.keyfile)
    return {"ssl_context": context}


def ask(server: StreamServer, files: Any, data: bytes) -> bytes:
    context = ssl.create_default_context(cafile=files.ca)
    with (
        Timeout(20),
        socket.create_connection(("127.0.0.1", server.server_port or 0)) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(data)
        answer = b""
        while len(answer) < len(data) and (more := secure.recv(65536)):
            answer += more
        return answer


@pytest.mark.parametrize("kind", ["files", "context"])
def test_stream_server(kind: str, files: Any, failures: list[BaseException], nothing_left: None) -> None:
    """Certificates are checked by the client; one that speaks nonsense, or goes, does not matter."""
    with StreamServer(LOCAL, echo, spawn=100, **arguments_of(kind, files)) as server:
        server.start()
        assert server.ssl_enabled
        for _ in range(3):
            assert ask(server, files, b"x" * 100_000) == b"x" * 100_000
            for nonsense in (b"GET / HTTP/1.0\r\n\r\n", b""):
                with socket.create_connection(("127.0.0.1", server.server_port or 0)) as sock:
                    sock.sendall(nonsense)
                    sock.shutdown(socket.SHUT_WR)
                    try:
                        while sock.recv(1000):
                            pass
                    except ConnectionResetError:
                        # The server did not read all of the nonsense.
                        pass
    assert failures and all(isinstance(one, OSError) for one in failures)
    failures.clear()


def test_one_that_never_shakes_hands(files: Any, failures: list[BaseException], nothing_left: None) -> None:
    with StreamServer(LOCAL, echo, spawn=100, **arguments_of("files", files)) as server:
        server.handshake_timeout = 0.1
        server.start()
        with socket.create_connection(("127.0.0.1", server.server_port or 0)) as sock, Timeout(20):
            assert sock.recv(100) == b""
        # The others have no such limit afterwards.
        assert ask(server, files, b"hello") == b"hello"
    assert [type(one) for one in failures] == [TimeoutError]
    failures.clear()


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Scheme", environ["wsgi.url_scheme"])])
    return [body + b"!" * 100_000]


CLIENT = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
for body in (b"", b"x" * 200_000):
    with urllib.request.urlopen(sys.argv[1], body, 20, context=context) as answer:
        assert answer.headers["X-Scheme"] == "https"
        assert answer.read() == body + b"!" * 100_000
"""


@pytest.mark.parametrize("kind", ["files", "context"])
def test_wsgi_server(kind: str, files: Any, nothing_left: None) -> None:
    """A client of the standard library's, in a process of its own."""
    pytest.importorskip("httptools", reason="httptools, of the extra `wsgi`, is not installed")
    with WSGIServer(LOCAL, app, log=None, spawn=100, **arguments_of(kind, files)) as server:
        server.start()
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, f"https://127.0.0.1:{server.server_port}/", files.ca],
            stderr=subprocess.PIPE,
        )
        with Timeout(60):
            while client.poll() is None:
                sleep(0.01)
        assert client.communicate()[1] == b"" and client.returncode == 0


def test_slow_clients_of_wsgi(files: Any, nothing_left: None) -> None:
    pytest.importorskip("httptools", reason="httptools, of the extra `wsgi`, is not installed")
    context = ssl.create_default_context(cafile=files.ca)
    with WSGIServer(
        LOCAL, app, log=None, error_log=None, spawn=100, **arguments_of("files", files)
    ) as server:
        server.header_timeout = 0.2
        server.start()
        with (
            Timeout(20),
            socket.create_connection(("127.0.0.1", server.server_port or 0)) as sock,
            context.wrap_socket(sock, server_hostname="127.0.0.1") as secure,
        ):
            trickle = spawn(lambda: [(secure.send(b"G"), sleep(0.03)) for _ in range(1000)])
            assert secure.recv(100).startswith(b"HTTP/1.1 408 ")
            trickle.kill()
