"""WSGIServer (spec I5): what it takes for a request, what an application is told, what is sent, and what it
refuses.

What belongs here: bytes in, bytes out, over real connections. What never does: servers in general
(`test_server`).
"""

from __future__ import annotations

import io
import logging
import random
import re
import subprocess
import sys
import threading
import urllib.request
import wsgiref.validate
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from greenswitch import Timeout, getcurrent, sleep, socket, spawn

httptools = pytest.importorskip("httptools", reason="httptools, of the extra `wsgi`, is not installed")

from greenswitch._http import Chunks, Head, Incoming, InvalidRequest  # noqa: E402
from greenswitch.pywsgi import (  # noqa: E402
    Input,
    LoggingLogAdapter,
    SecureEnviron,
    WSGIHandler,
    WSGISecureEnviron,
    WSGIServer,
    format_date_time,
)

LOCAL = ("127.0.0.1", 0)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello ", environ["PATH_INFO"].encode("latin-1")]


def mirror(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """What the body was."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"<" + body + b">"]


class Talk:
    """A connection to the server."""

    def __init__(self, server: WSGIServer) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.server_port or 0))
        self.sock.settimeout(20)
        self.file = self.sock.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.sock.sendall(part)
            sleep(0.001)

    def answer(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """(status, headers with their names in lower case, body)"""
        line = self.file.readline()
        if not line:
            raise EOFError
        status = int(re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", line)[1])  # type: ignore[index]
        headers: dict[str, str] = {}
        while (line := self.file.readline()) != b"\r\n":
            name, value = re.fullmatch(rb"([!-9;-~]+): ([^\r\n]*)\r\n", line).groups()  # type: ignore[union-attr]
            assert name.lower().decode() not in headers
            headers[name.lower().decode()] = value.decode("latin-1")
        if status in (100, 204, 304) or head_only:
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                assert self.file.read(2) == b"\r\n"
            assert self.file.read(2) == b"\r\n"
            return status, headers, body
        if "content-length" in headers:
            return status, headers, self.file.read(int(headers["content-length"]))
        return status, headers, self.file.read()

    def ended(self) -> bool:
        """Has the server ended the connection, with nothing more to read?"""
        return self.file.read() == b""

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def serve(nothing_left: None) -> Iterator[Callable[..., WSGIServer]]:
    servers = []

    def start(app: App = hello, server_class: type[WSGIServer] = WSGIServer, **arguments: Any) -> WSGIServer:
        attributes = {name: arguments.pop(name) for name in list(arguments) if name in ATTRIBUTES}
        server = server_class(LOCAL, app, **{"log": None, "error_log": None, "spawn": 1000, **arguments})
        for name, value in attributes.items():
            setattr(server, name, value)
        server.start()
        servers.append(server)
        return server

    with Timeout(60):
        yield start
        for server in servers:
            server.stop(timeout=0.1)


ATTRIBUTES = (
    "max_header_size max_headers max_body_size idle_timeout header_timeout io_timeout environ_class".split()
)


@pytest.fixture
def talk() -> Iterator[Callable[[WSGIServer], Talk]]:
    talks = []

    def begin(server: WSGIServer) -> Talk:
        talks.append(Talk(server))
        return talks[-1]

    yield begin
    for one in talks:
        one.close()


Serve = Callable[..., WSGIServer]
Begin = Callable[[WSGIServer], Talk]


# Connections


def test_keep_alive(serve: Serve, talk: Begin) -> None:
    one = talk(serve())
    for number in range(5):
        one.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        status, headers, body = one.answer()
        assert (status, body) == (200, b"hello /%d" % number)
        assert "connection" not in headers
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])
    one.send(LAST)
    assert one.answer()[1]["connection"] == "close"
    assert one.ended()


def test_http_1_0(serve: Serve, talk: Begin) -> None:
    server = serve()
    one = talk(server)
    one.send(b"GET / HTTP/1.0\r\n\r\n")
    assert one.answer()[1]["connection"] == "close"
    assert one.ended()
    one = talk(server)
    for _ in range(2):
        one.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        status, headers, body = one.answer()
        assert (status, headers["connection"], body) == (200, "keep-alive", b"hello /")


def test_http_1_0_without_a_length_ends_with_the_answer(serve: Serve, talk: Begin) -> None:
    """Nothing else would tell where it ends."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one "
        yield b"two"

    one = talk(serve(app))
    one.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    status, headers, body = one.answer()
    assert (status, headers["connection"], body) == (200, "close", b"one two")
    assert "transfer-encoding" not in headers and "content-length" not in headers


def test_pipelining(serve: Serve, talk: Begin) -> None:
    """Several in one packet, with bodies of both kinds in between: answered one by one, in order."""
    one = talk(serve(mirror))
    one.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
        b"\r\n"
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nt\r\r\n1\r\nw\r\n0\r\n\r\n"
        + GET
        + b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n0\r\nX: y\r\n\r\n"
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" + LAST
    )
    bodies = [one.answer()[2] for _ in range(6)]
    assert bodies == [b"<one>", b"<t\rw>", b"<>", b"<o>", b"<>", b"<>"]
    assert one.ended()


def test_pipelining_a_byte_at_a_time(serve: Serve, talk: Begin) -> None:
    one = talk(serve(mirror))
    text = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n" + LAST
    )
    one.send(*(text[index : index + 1] for index in range(len(text))))
    assert [one.answer()[2] for _ in range(3)] == [b"<one>", b"<two>", b"<>"]


def test_many_clients_at_once(serve: Serve, talk: Begin) -> None:
    inside = set()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        inside.add(getcurrent())
        while len(inside) < 50:
            sleep(0.001)
        return hello(environ, start_response)

    server = serve(app)
    talks = [talk(server) for _ in range(50)]
    for one in talks:
        one.send(GET)
    assert [one.answer()[2] for one in talks] == [b"hello /"] * 50
    inside.clear()


def test_real_client(serve: Serve) -> None:
    """urllib, in a thread."""
    server = serve(mirror)
    answers = []

    def ask() -> None:
        for body in (b"", b"x" * 300000):
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/", body)
            with urllib.request.urlopen(request, timeout=20) as answer:
                answers.append(answer.read() == b"<" + body + b">")

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        sleep(0.01)
    assert answers == [True, True]


def test_the_validator_of_the_standard_library_agrees(serve: Serve, talk: Begin) -> None:
    """PEP 3333, as wsgiref checks it."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read(2)
        list(environ["wsgi.input"])
        environ["wsgi.errors"].write("")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"valid"]

    one = talk(serve(wsgiref.validate.validator(app)))
    one.send(b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\nb\nc")
    assert one.answer()[2] == b"valid"


# What the application is told


def test_environ(serve: Serve, talk: Begin) -> None:
    told: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        told.update(environ)
        return hello(environ, start_response)

    server = serve(app, environ={"mine": 1})
    one = talk(server)
    one.send(
        b"PUT /a%20b/%C3%A4?q=%20 HTTP/1.1\r\nHost: there:80\r\n"
        b"Content-Type: text/x; y=z\r\nContent-Length: 0\r\nX-Some-Thing:  spaced out \t\r\n"
        b"Cookie: a=1\r\nCookie: b=2\r\nAccept: a\r\nAccept: b\r\nX_Spoof: 1\r\n"
        b"Expect: something\r\nX-Latin: \xe4\r\nX-Empty:\r\n\r\n"
    )
    one.answer()
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xc3\xa4",
        "QUERY_STRING": "q=%20",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": str(server.server_port),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(one.sock.getsockname()[1]),
        "CONTENT_TYPE": "text/x; y=z",
        "CONTENT_LENGTH": "0",
        "HTTP_HOST": "there:80",
        "HTTP_X_SOME_THING": "spaced out",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_ACCEPT": "a,b",
        "HTTP_EXPECT": "something",
        "HTTP_X_LATIN": "\xe4",
        "HTTP_X_EMPTY": "",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "mine": 1,
    }
    assert {name: told.get(name) for name in expected} == expected
    assert not [name for name in told if "SPOOF" in name]
    assert {name for name in told if name.startswith("HTTP_")} <= set(expected)
    told.clear()


def test_the_class_of_environs(serve: Serve, talk: Begin) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        seen.append((type(environ), repr(environ)))
        return hello(environ, start_response)

    one = talk(serve(app, environ_class=WSGISecureEnviron))
    one.send(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: secret\r\n\r\n")
    one.answer()
    assert seen[0][0] is WSGISecureEnviron
    assert "'HTTP_HOST': 'x'" in seen[0][1] and "secret" not in seen[0][1]


# Bodies that come


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("how", ["read", "read sizes", "readline", "readline sizes", "lines", "readlines"])
def test_reading(how: str, chunked: bool, serve: Serve, talk: Begin) -> None:
    """All ways to read give the same bytes."""
    random.seed(how)
    lines = [bytes(random.choices(b"abc\r", k=random.choice((0, 1, 80, 9000)))) + b"\n" for _ in range(60)]
    body = b"".join(lines) + b"no end"
    got: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        source = environ["wsgi.input"]
        if how == "read":
            got.append(source.read())
        elif how == "read sizes":
            got.extend(iter(lambda: source.read(random.choice((1, 7, 5000))), b""))
        elif how == "readline":
            got.extend(iter(source.readline, b""))
        elif how == "readline sizes":
            got.extend(iter(lambda: source.readline(100), b""))
        elif how == "lines":
            got.extend(source)
        else:
            got.extend(source.readlines())
        assert source.read() == source.read(1) == source.readline() == b""
        return hello(environ, start_response)

    one = talk(serve(app))
    if chunked:
        one.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        while sent < len(body):
            part = body[sent : sent + random.choice((1, 100, 20000))]
            one.sock.sendall(b"%X\r\n%b\r\n" % (len(part), part))
            sent += len(part)
        one.send(b"0\r\n\r\n")
    else:
        one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    assert one.answer()[0] == 200
    assert b"".join(got) == body
    if how in ("readline", "lines", "readlines"):
        assert got == [*lines, b"no end"]
    one.send(GET)
    assert one.answer()[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_nobody_reads(chunked: bool, serve: Serve, talk: Begin) -> None:
    """It is not taken for the next request."""
    one = talk(serve())
    smuggled = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
    if chunked:
        one.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (len(smuggled), smuggled)
        )
    else:
        one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled))
    one.send(b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [one.answer()[2], one.answer()[2]] == [b"hello /", b"hello /next"]
    assert one.ended()


def test_a_long_body_that_nobody_reads_ends_the_connection(serve: Serve, talk: Begin) -> None:
    """The client still gets the answer."""
    one = talk(serve())
    one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
    sending = spawn(lambda: [one.sock.sendall(b"x" * 100000) for _ in range(40)])
    assert one.answer()[2] == b"hello /"
    sending.join()
    assert isinstance(sending.exception, (ConnectionError, type(None)))


def test_100_continue(serve: Serve, talk: Begin) -> None:
    """Sent when the body is wanted, once, and not when it is not."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/no":
            start_response("417 No", [])
            return [b"no"]
        body = environ["wsgi.input"].read(1) + environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    one = talk(serve(app))
    head = b"PUT %b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n"
    one.send(head % b"/yes")
    assert one.answer()[0] == 100
    one.send(b"body")
    assert one.answer()[::2] == (200, b"body")
    one.send(head % b"/no")
    assert one.answer()[::2] == (417, b"no")


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"]
)
def test_a_body_that_just_ends(body: bytes, serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    one = talk(serve(mirror))
    one.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + body)
    one.sock.shutdown(socket.SHUT_WR)
    assert one.answer()[0] == 500
    assert [type(error) for error in failures] == [OSError]
    assert "unexpected end of file" in str(failures[0])


def test_raw_input() -> None:
    """Input over any binary file."""
    assert Input(io.BytesIO(b"abc"), 2).read() == b"ab"
    assert Input(io.BytesIO(b"abc"), None).read() == b""
    rest = io.BytesIO(b"3\r\nabc\r\n0\r\n\r\nrest")
    assert Input(rest, None, chunked_input=True).read() == b"abc"
    assert rest.read() == b"rest"
    with pytest.raises(OSError, match="unexpected end of file"):
        Input(io.BytesIO(b"1"), 2).read()
    assert Input(io.BytesIO(b"a\nb\nc\n"), 6).readlines(3) == [b"a\n", b"b\n"]
    assert Input(io.BytesIO(b"abc"), 3).read(-1) == b"abc"


# Answers


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("kind", ["list", "generator", "length", "written", "empty", "big"])
def test_answers(kind: str, method: bytes, serve: Serve, talk: Begin) -> None:
    """With its length, in chunks, of several parts, empty, big. HEAD has the head and no body."""
    parts = [b"x" * 300_000, b"y"] if kind == "big" else [] if kind == "empty" else [b"one", b"", b"two"]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        length = [("Content-Length", str(len(b"".join(parts))))] if kind == "length" else []
        write = start_response("200 OK", length)
        if kind == "written":
            for part in parts:
                write(part)
            return []
        return parts if kind in ("list", "big", "empty") else iter(parts)

    one = talk(serve(app))
    for _ in range(2):
        one.send(b"%b / HTTP/1.1\r\nHost: x\r\n\r\n" % method)
        status, headers, body = one.answer(head_only=method == b"HEAD")
        assert status == 200
        if kind in ("generator", "written"):
            assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
        else:
            assert headers["content-length"] == str(len(b"".join(parts)))
        assert body == (b"" if method == b"HEAD" else b"".join(parts))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body(
    status: str, serve: Serve, talk: Begin, failures: list[BaseException]
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        length = environ["QUERY_STRING"]
        start_response(status, [("Content-Length", length)] if length else [])
        return [b"no"] if environ["PATH_INFO"] == "/body" else []

    server = serve(app)
    one = talk(server)
    for _ in range(2):
        one.send(GET)
        code, headers, _ = one.answer()
        assert code == int(status[:3]) and not {"content-length", "transfer-encoding"} & set(headers)
    assert failures == []
    for path in (b"/body", b"/?5"):
        one = talk(server)
        one.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        assert one.answer()[0] == 500
    assert [type(error) for error in failures] == [AssertionError] * 2


BAD_HEADS: list[tuple[Any, Any, type[BaseException]]] = [
    ("200 OK\r\nX: y", [], ValueError),
    ("200 OK\nX: y", [], ValueError),
    ("200 OK", [("X", "a\r\nSet-Cookie: b")], ValueError),
    ("200 OK", [("X", "a\nb")], ValueError),
    ("200 OK", [("X", "a\0b")], ValueError),
    ("200 OK", [("X\r\nY", "a")], ValueError),
    ("200 OK", [("X: a\r\n\r\n", "a")], ValueError),
    ("200 OK", [("X Y", "a")], ValueError),
    ("200 OK", [("X:", "a")], ValueError),
    ("200 OK", [("", "a")], ValueError),
    ("200 OK", [("X", "\u1234")], UnicodeError),
    ("200 OK", [("X", b"a")], UnicodeError),
    ("200 OK", [(b"X", "a")], UnicodeError),
    (b"200 OK", [], UnicodeError),
    ("\u1234 OK", [], UnicodeError),
    ("OK", [], ValueError),
    ("200 OK", [("Content-Length", "a")], AssertionError),
    ("200 OK", [("Content-Length", "-1")], AssertionError),
    ("200 OK", [("Content-Length", "1"), ("content-length", "1")], AssertionError),
    ("200 OK", [("Transfer-Encoding", "chunked")], AssertionError),
]


@pytest.mark.parametrize(("status", "headers", "error"), BAD_HEADS)
def test_no_header_is_injected(
    status: Any,
    headers: Any,
    error: type[BaseException],
    serve: Serve,
    talk: Begin,
    failures: list[BaseException],
) -> None:
    """What would be more than a head, or contradicts itself, is an error in the application; twice, for what
    was found good is remembered."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response(status, headers)
        return [b"x"]

    server = serve(app)
    for _ in range(2):
        one = talk(server)
        one.send(GET)
        code, names, body = one.answer()
        assert (code, body) == (500, b"Internal Server Error")
        assert set(names) == {"content-type", "connection", "content-length", "date"}
        assert one.ended()
    assert all(isinstance(one, error) for one in failures) and len(failures) == 2


def test_more_than_was_announced(serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    """It does not become the beginning of the next answer."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        yield b"abc"
        yield b"HTTP/1.1 200 OK\r\n\r\n"

    one = talk(serve(app))
    one.send(GET)
    assert one.answer()[2] == b"abc"
    assert one.ended()
    assert [type(error) for error in failures] == [AssertionError]


def test_less_than_was_announced(serve: Serve, talk: Begin) -> None:
    errors = io.StringIO()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        return [b"abc"]

    one = talk(serve(app, error_log=errors))
    one.send(GET)
    assert one.answer()[2] == b"abc"
    assert one.ended()
    assert "7 bytes" in errors.getvalue()


def test_an_application_that_fails(serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    closed = []

    class Result:
        def __init__(self, start_response: Callable[..., Any], parts: int) -> None:
            start_response("200 OK", [])
            self.parts = parts

        def __iter__(self) -> Iterator[bytes]:
            for _ in range(self.parts):
                yield b"part"
            raise ZeroDivisionError

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/at once":
            raise ZeroDivisionError
        return Result(start_response, int(environ["PATH_INFO"][1:]))

    server = serve(app)
    for path in (b"/at%20once", b"/0"):
        one = talk(server)
        one.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        assert one.answer()[::2] == (500, b"Internal Server Error")
        assert one.ended()
    one = talk(server)
    one.send(b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
    # In the middle: the last chunk is missing, so the client sees that something is.
    assert b"4\r\npart\r\n4\r\npart\r\n" in (text := one.file.read()) and not text.endswith(b"0\r\n\r\n")
    assert [type(error) for error in failures] == [ZeroDivisionError] * 3
    assert len(closed) == 2


def test_exc_info(serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    """PEP 3333: another head, as long as none was sent."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("X", "1")])
        if environ["PATH_INFO"] == "/late":
            yield b"begun"
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("503 Oh", [("Y", "1")], sys.exc_info())
        yield b"sorry"

    server = serve(app)
    one = talk(server)
    one.send(GET)
    status, headers, body = one.answer()
    assert (status, body) == (503, b"sorry") and "y" in headers and "x" not in headers
    one.send(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
    assert one.file.read().endswith(b"begun\r\n")
    assert [type(error) for error in failures] == [ZeroDivisionError]


@pytest.mark.parametrize("result", [(), [], [b""], [b"x"]])
def test_an_application_that_says_nothing(
    result: Any, serve: Serve, talk: Begin, failures: list[BaseException]
) -> None:
    one = talk(serve(lambda environ, start_response: result))
    one.send(GET)
    assert one.answer()[0] == 500
    assert one.ended()


def test_an_application_whose_result_begins_late(serve: Serve, talk: Begin) -> None:
    """PEP 3333's own example calls start_response when it is iterated over, and that once."""

    class Application:
        def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
            self.start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            self.start_response("200 OK", [])
            yield b"late"

    one = talk(serve(Application))
    one.send(GET)
    assert one.answer()[::2] == (200, b"late")


def test_upgrade(serve: Serve, talk: Begin) -> None:
    """After 101 the connection is the application's; what came with the request is in `wsgi.input`."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        assert not environ["wsgi.input_terminated"]
        write = start_response("101 Switching Protocols", [("Upgrade", "x"), ("Connection", "Upgrade")])
        write(b"")
        while line := environ["wsgi.input"].readline():
            write(line.upper())
        return []

    one = talk(serve(app))
    one.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly\n")
    assert one.answer(head_only=True)[0] == 101
    assert one.file.readline() == b"EARLY\n"
    one.send(b"late\n")
    assert one.file.readline() == b"LATE\n"
    one.sock.shutdown(socket.SHUT_WR)
    assert one.ended()


# What is refused

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, tuple[int, bytes]] = {
    "two lengths": (400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "the same length twice": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "length and chunks": (
        400,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunks and length": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "list of lengths": (400, POST + b"Content-Length: 5, 5\r\n\r\nabcde"),
    "negative length": (400, POST + b"Content-Length: -5\r\n\r\n"),
    "length with a sign": (400, POST + b"Content-Length: +5\r\n\r\nabcde"),
    "length in hexadecimal": (400, POST + b"Content-Length: 0x5\r\n\r\nabcde"),
    "length with an underscore": (400, POST + b"Content-Length: 1_0\r\n\r\n0123456789"),
    "length in words": (400, POST + b"Content-Length: five\r\n\r\n"),
    "length beyond 64 bits": (400, POST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "space before the colon": (400, POST + b"Content-Length : 5\r\n\r\nabcde"),
    "another coding": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "a coding inside": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked and more": (400, POST + b"Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n"),
    "chunked twice": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked with a tab in it": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    "folded header": (400, b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"),
    "folded first header": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "header without a colon": (400, b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
    "header without a name": (400, b"GET / HTTP/1.1\r\n: x\r\n\r\n"),
    "zero byte in a value": (400, b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n"),
    "return in a value": (400, b"GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n"),
    "lines without returns": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "last line without return": (400, b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2 in words": (400, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    "HTTP/1.2": (400, b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    "another protocol": (400, b"SOURCE / ICE/1.0\r\n\r\n"),
    "one more protocol": (400, b"DESCRIBE / RTSP/1.0\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n\r\n\r\n"),
    "no method": (400, b" / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "unknown method": (400, b"FETCH / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "method in small letters": (400, b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "two targets": (400, b"GET / / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "control character in the target": (400, b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "percent": (400, b"GET / HTTP %\r\n"),
    "long target": (414, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "endless target": (414, b"GET /" + b"x" * 9000),
    "long header": (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70000 + b"\r\n\r\n"),
    "endless header": (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 80000),
    "many headers": (431, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 101 + b"\r\n"),
    "chunk size with a sign": (400, CHUNKED + b"+5\r\nabcde\r\n0\r\n\r\n"),
    "chunk size with a prefix": (400, CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "chunk size with an underscore": (400, CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "chunk size with a space": (400, CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n"),
    "no chunk size": (400, CHUNKED + b"\r\nabcde\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": (400, CHUNKED + b"f" * 17 + b"\r\nabcde\r\n0\r\n\r\n"),
    "chunk line without return": (400, CHUNKED + b"5\nabcde\r\n0\r\n\r\n"),
    "chunk that is too long": (400, CHUNKED + b"5\r\nabcdef\r\n0\r\n\r\n"),
    "chunk without its end": (400, CHUNKED + b"5\r\nabcde0\r\n\r\n"),
    "zero byte in an extension": (400, CHUNKED + b"5;a\0b\r\nabcde\r\n0\r\n\r\n"),
    "endless extension": (400, CHUNKED + b"5;" + b"a" * 9000 + b"\r\nabcde\r\n0\r\n\r\n"),
    "trailer without a colon": (400, CHUNKED + b"0\r\nnonsense\r\n\r\n"),
    "endless trailers": (400, CHUNKED + b"0\r\n" + b"X: y\r\n" * 20000 + b"\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    """One answer, with the status; then the end: what follows is not taken for a request. The server goes
    on, and has said in its log why."""
    status, data = REFUSED[name]
    asked: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    errors = io.StringIO()
    server = serve(app, error_log=errors)
    one = talk(server)
    try:
        one.send(data)
        one.send(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * ("endless" not in name))
    except OSError:
        pass
    assert one.answer()[0] == status
    assert one.ended()
    assert "/smuggled" not in asked
    assert failures == []
    assert status == 414 or "Invalid" in errors.getvalue() or "from" in errors.getvalue()
    other = talk(server)
    other.send(GET)
    assert other.answer()[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n" + b"x" * 11,
        CHUNKED + b"5\r\nabcde\r\n6\r\nabcdef\r\n0\r\n\r\n",
    ],
)
def test_long_bodies_are_refused(data: bytes, serve: Serve, talk: Begin) -> None:
    server = serve(mirror, max_body_size=10)
    one = talk(server)
    one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" + b"x" * 10)
    assert one.answer()[0] == 200
    one.send(data)
    assert one.answer()[0] == 413
    assert one.ended()


def test_limits_on_heads(serve: Serve, talk: Begin) -> None:
    server = serve(max_header_size=200, max_headers=2)
    for extra, status in ((b"X: " + b"x" * 150, 200), (b"X: " + b"x" * 200, 431), (b"X: x\r\nY: y", 431)):
        one = talk(server)
        one.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n\r\n")
        assert one.answer()[0] == status


@pytest.mark.parametrize("callback", ["on_url", "on_header", "on_headers_complete"])
def test_an_interrupt_within_a_head_is_none_of_the_request(
    monkeypatch: pytest.MonkeyPatch, callback: str
) -> None:
    """The handler of a signal may be called in any of them, and what it raises ends the program."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    incoming = Incoming(io.BytesIO(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2).read)
    head = Head()
    with monkeypatch.context() as patch:
        patch.setattr(Head, callback, interrupted)
        with pytest.raises(KeyboardInterrupt):
            head.read(incoming, 1000, 10)
    head.read(incoming, 1000, 10)
    assert head.target == b"/x"


def test_an_interrupt_within_a_chunk_is_none_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Chunks, "on_message_complete", interrupted)
    chunks = Chunks(io.BytesIO(b"3\r\nabc\r\n0\r\n\r\n"))
    assert chunks.next() == b"abc"
    with pytest.raises(KeyboardInterrupt):
        chunks.next()


def test_random_bytes_are_one_request_or_none() -> None:
    """However a head is cut into pieces, the outcome is the same, and not a byte after its end is touched."""
    random.seed(5)
    pieces = [
        b"GET ", b"POST ", b"/", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n", b"\n", b"\r", b"Host: x",
        b"A: b", b"Content-Length: 3", b"Transfer-Encoding: chunked", b":", b" ", b"\0", b"abc", b"\r\n\r\n",
        b"Connection: upgrade", b"Upgrade: x", b"Connection: close",
    ]  # fmt: skip
    outcomes = set()

    def outcome(text: bytes, sizes: Iterator[int]) -> Any:
        stream = io.BytesIO(text)
        incoming = Incoming(lambda size: stream.read(next(sizes)))
        head = Head()
        try:
            head.read(incoming, 1000, 10)
        except InvalidRequest:
            return "refused"
        rest = incoming.data[incoming.position :] + stream.read()
        return head.method, head.target, tuple(head.headers), head.keep_alive, rest

    for _ in range(3000):
        start = random.choice((b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n", b""))
        text = start + b"".join(random.choices(pieces, k=random.randrange(12))) + b"\r\n\r\nrest"
        whole = outcome(text, iter([10000] * 99999))
        cut = outcome(text, iter(lambda: random.randrange(1, 30), 0))
        assert whole == cut, text
        if whole != "refused":
            assert text == text[: len(text) - len(whole[-1])] + whole[-1]
            assert text[: len(text) - len(whole[-1])].endswith(b"\r\n\r\n")
        outcomes.add(whole == "refused")
    assert outcomes == {True, False}


# Clients that are slow


def test_slow_heads(serve: Serve, talk: Begin) -> None:
    """A byte now and then does not keep a connection."""
    one = talk(serve(header_timeout=0.2))
    trickle = spawn(lambda: [(one.sock.sendall(bytes([byte])), sleep(0.03)) for byte in GET])
    assert one.answer()[0] == 408
    assert one.ended()
    trickle.kill()


def test_idle_connections(serve: Serve, talk: Begin) -> None:
    server = serve(idle_timeout=0.2)
    silent, former = talk(server), talk(server)
    former.send(GET)
    assert former.answer()[0] == 200
    assert silent.ended() and former.ended()


@pytest.mark.parametrize("head", [b"Content-Length: 99", b"Transfer-Encoding: chunked"])
def test_slow_bodies(head: bytes, serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    one = talk(serve(mirror, io_timeout=0.2))
    one.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    trickle = spawn(lambda: [(one.sock.sendall(b"1"), sleep(0.03)) for _ in range(99)])
    assert one.answer()[0] == 408
    assert one.ended()
    trickle.kill()
    assert failures == []


def test_slow_readers(serve: Serve, talk: Begin, failures: list[BaseException]) -> None:
    """One who does not read what he asked for does not keep a greenlet."""
    done = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 100000
        finally:
            done.append(True)

    one = talk(serve(app, io_timeout=0.2))
    one.send(GET)
    while not done:
        sleep(0.01)
    assert failures == []


def test_an_application_may_take_its_time(serve: Serve, talk: Begin) -> None:
    """Only waits for the client are limited."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        environ["wsgi.input"].read(1)
        sleep(0.3)
        yield b"one"
        environ["wsgi.input"].read(1)
        sleep(0.3)
        yield b"two"

    one = talk(serve(app, io_timeout=0.1, idle_timeout=0.1, header_timeout=0.1))
    one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
    assert one.answer()[2] == b"onetwo"


def test_who_has_upgraded_may_be_silent(serve: Serve, talk: Begin) -> None:
    """No limit is for the protocol that the connection speaks then."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        write = start_response("101 Switching Protocols", [("Upgrade", "x"), ("Connection", "Upgrade")])
        write(b"")
        write(environ["wsgi.input"].read(4).upper())
        return []

    one = talk(serve(app, io_timeout=0.1, idle_timeout=0.1, header_timeout=0.1))
    one.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert one.answer(head_only=True)[0] == 101
    sleep(0.5)
    one.send(b"late")
    assert one.file.read() == b"LATE"


# Ending


def test_stop_drains(serve: Serve, talk: Begin) -> None:
    """A request under way is answered, and is the last; a connection that waits for one ends at once."""
    begun = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        begun.append(True)
        sleep(0.2)
        return hello(environ, start_response)

    server = serve(app)
    idle, busy = talk(server), talk(server)
    busy.send(GET)
    while not begun or len(server._handlers) < 2:
        sleep(0.001)
    stopping = spawn(server.stop, 20)
    assert idle.ended()
    assert not stopping.ready()
    status, headers, body = busy.answer()
    assert (status, headers["connection"], body) == (200, "close", b"hello /")
    assert busy.ended()
    stopping.get()


# Logs


def test_log(serve: Serve, talk: Begin) -> None:
    log = io.StringIO()
    one = talk(serve(log=log))
    one.send(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n")
    one.answer()
    one.send(b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
    one.answer()
    sleep(0.01)
    first, second = log.getvalue().splitlines()
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "GET /a\?b=c HTTP/1\.1" 200 \d+ 0\.\d{6}', first
    )
    assert '"GET /\\x1b[31m HTTP/1.1" 400 ' in second


def test_loggers(serve: Serve, talk: Begin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("of.the.test")
    server = serve(log=logger, error_log=logger)
    assert isinstance(server.log, LoggingLogAdapter) and server.log.name == "of.the.test"
    one = talk(server)
    one.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE\r\n\r\n")
    assert [one.answer()[0], one.answer()[0]] == [200, 400]
    sleep(0.01)
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR", "INFO"]
    server.log.disabled = True
    assert logger.disabled
    logger.disabled = False


def test_date() -> None:
    assert format_date_time(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"


# Subclasses


def test_handler_class(serve: Serve, talk: Begin) -> None:
    """What gunicorn and others do with one."""
    seen: list[Any] = []

    class Handler(WSGIHandler):
        def get_environ(self) -> Any:
            environ = super().get_environ()
            environ["mine"] = self.headers.get("X-Mine")
            return environ

        def finalize_headers(self) -> None:
            super().finalize_headers()
            self.response_headers.append((b"X-Added", b"1"))

        def log_request(self) -> None:
            seen.append((self.code, self.path, self.response_length > 0, dict(self.headers.items())))

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["mine"].encode()]

    one = talk(serve(app, handler_class=Handler))
    for text in (b"a", b"b"):
        one.send(b"GET /%b HTTP/1.1\r\nHost: x\r\nX-Mine: %b\r\n\r\n" % (text, text))
        _, headers, body = one.answer()
        assert (body, headers["x-added"]) == (text, "1")
    sleep(0.01)
    assert seen == [(200, f"/{text}", True, {"Host": "x", "X-Mine": text}) for text in "ab"]


def test_a_handler_that_reads_the_first_line_itself(serve: Serve, talk: Begin) -> None:
    class Handler(WSGIHandler):
        def read_requestline(self) -> Any:
            self.environ = None
            data = self.rfile.read(3)
            return data + self.rfile.readline() if data != b"BYE" else None

    server = serve(handler_class=Handler)
    one = talk(server)
    one.send(GET + b"GET /2 HTTP/1.0\r\n\r\n")
    assert [one.answer()[2], one.answer()[2]] == [b"hello /", b"hello /2"]
    one = talk(server)
    one.send(GET + b"BYE")
    assert one.answer()[2] == b"hello /"
    assert one.ended()


def test_a_handler_that_is_no_wsgihandler(serve: Serve, talk: Begin) -> None:
    class Handler:
        def __init__(self, sock: Any, address: Any, server: Any) -> None:
            self.sock = sock

        def handle(self) -> None:
            self.sock.sendall(b"mine")

    one = talk(serve(handler_class=Handler))
    assert one.file.read() == b"mine"


def test_secure_environ() -> None:
    environ = SecureEnviron({"a": 1, "b": 2})
    assert re.fullmatch(r"<pywsgi.SecureEnviron dict \(keys: 2\) at \d+>", repr(environ))
    assert str(environ) == repr(environ)
    environ.whitelist_keys = ["a"]
    assert repr(environ) == "{'a': 1, 'b': '<MASKED>'}"
    environ.print_masked_keys = False
    assert repr(environ) == "{'a': 1, (hidden keys: 1)}"
    environ.secure_repr = False
    assert repr(environ) == "{'a': 1, 'b': 2}"
    assert type(environ.copy()) is SecureEnviron
    with pytest.raises(AttributeError):
        environ.other  # noqa: B018


def test_a_handle_is_no_application() -> None:
    with pytest.warns(DeprecationWarning, match="application"):
        WSGIServer(LOCAL, handle=hello)


def test_one_process_of_several_leaves_something_to_the_others() -> None:
    assert WSGIServer(LOCAL, hello, environ={"wsgi.multiprocess": True}).max_accept == 1


# Without the library


def test_without_httptools_there_is_a_sentence_that_helps() -> None:
    program = (
        "import sys; sys.modules['httptools'] = None\n"
        "from greenswitch.pywsgi import WSGIServer, SecureEnviron\n"
        "try: WSGIServer(('127.0.0.1', 0), None)\n"
        "except ImportError as error: print(error)\n"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert outcome.stdout.count("\n") == 1 and "httptools" in outcome.stdout, outcome
    assert "pip install 'greenswitch[wsgi]'" in outcome.stdout
