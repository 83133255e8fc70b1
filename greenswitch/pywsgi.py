"""A WSGI server: HTTP/1.0 and 1.1, one greenlet for each connection.

What belongs here: what an application is told about a request, what becomes of its answer, and how long a
client may take. What never does: what is a request and what is none (`_http`), and how connections come
(`server`).

It needs httptools: `pip install 'greenswitch[wsgi]'`.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from errno import ECONNRESET, EPIPE, ETIMEDOUT
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY
from time import gmtime, localtime, strftime, time
from typing import Any, ClassVar
from urllib.parse import unquote

from . import socket as _socket
from ._core import GreenletExit
from ._http import DISCARDED, PART, Head, Incoming, Input, InvalidInput, InvalidRequest, need_parser
from .loop.core import last_look
from .server import StreamServer

__all__ = [
    "Environ",
    "Input",
    "LoggingLogAdapter",
    "SecureEnviron",
    "WSGIHandler",
    "WSGISecureEnviron",
    "WSGIServer",
    "format_date_time",
]

MAX_REQUEST_LINE = 8192
"""Bytes; a longer request line is answered with 414."""

_NEVER = float("inf")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = (204, 304)

_JOINED = 65536
"""Up to this length a body is sent together with the head."""
_LINGER = 2.0
"""For how many seconds, at most, the server reads on what it does not want, so that the client gets to see
the answer before the connection ends."""
_SOME = 1024
"""How many entries a cache has before it begins anew."""


def format_date_time(timestamp: float) -> bytes:
    """The moment `timestamp`, seconds since 1970, as HTTP writes it."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(timestamp)
    return (
        f"{_WEEKDAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    ).encode("ascii")


class _Clock:
    """Texts for the present second."""

    __slots__ = ("_date", "_stamp", "_when")

    def __init__(self) -> None:
        self._when = 0
        self._date = b""
        self._stamp = ""

    def _look(self, now: float) -> None:
        if int(now) != self._when:
            self._when = int(now)
            self._date = format_date_time(now)
            self._stamp = strftime("%Y-%m-%d %H:%M:%S", localtime(now))

    def date(self, now: float) -> bytes:
        """For a header."""
        self._look(now)
        return self._date

    def stamp(self, now: float) -> str:
        """For a log, in local time."""
        self._look(now)
        return self._stamp


_clock = _Clock()
_keys: dict[bytes, str] = {}
"""By a request's header, its name in the environ; empty for one that is left out."""
_fields: dict[tuple[str, str], tuple[bytes, bytes]] = {}
"""By an answer's header, what is sent: only those that may be."""


def _key_of(name: bytes) -> str:
    text = name.decode("latin-1")
    # One with an underscore would pass for another, which a server in front of us may have checked.
    key = "" if "_" in text else text.upper().replace("-", "_")
    if key and key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if len(name) < 64:
        if len(_keys) >= _SOME:
            _keys.clear()
        _keys[name] = key
    return key


def _field_of(name: Any, value: Any) -> tuple[bytes, bytes]:
    """A header as it is sent. Raises ValueError for what would be more than a header, UnicodeError for what
    is no text in latin-1."""
    if not isinstance(name, str):
        raise UnicodeError("The header must be a native string", name, value)
    if not isinstance(value, str):
        raise UnicodeError("The value must be a native string", name, value)
    if "\r" in name or "\n" in name:
        raise ValueError("carriage return or newline in header name", name)
    if "\r" in value or "\n" in value:
        raise ValueError("carriage return or newline in header value", value)
    try:
        field = name.encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise UnicodeError("Non-latin1 header", repr(name), repr(value)) from None
    if not _TOKEN.fullmatch(name):
        raise ValueError("not the name of a header", name)
    if _CONTROL.search(value):
        raise ValueError("control character in header value", value)
    if len(name) + len(value) < 256:
        if len(_fields) >= _SOME:
            _fields.clear()
        _fields[str(name), str(value)] = field
    return field


class _TooSlow(OSError):
    """The client took too long."""

    def __init__(self) -> None:
        super().__init__(ETIMEDOUT, "The client took too long")


class _Message(HTTPMessage):
    """Headers of a request, for those who want more than the environ."""

    status = ""

    def getheader(self, name: str, default: Any = None) -> Any:
        return self.get(name, default)

    @property
    def headers(self) -> Iterator[str]:
        """The lines."""
        return (f"{name}: {value}\r\n" for name, value in self.items())

    @property
    def typeheader(self) -> str | None:
        return self.get("content-type")


class _Headers:
    """The attribute `headers` of a handler: made when somebody asks, which hardly anybody does."""

    def __get__(self, handler: WSGIHandler | None, owner: type[WSGIHandler]) -> Any:
        if handler is None:
            return _Message()
        lines = [name + b": " + value + b"\r\n" for name, value in handler._head.headers]
        handler.__dict__["headers"] = made = handler.MessageClass(BytesIO(b"".join([*lines, b"\r\n"])))
        return made


class WSGIHandler:
    """One connection: reads requests, has the application answer them, sends what it says.

    Made for each connection by a WSGIServer, which has it as its `handler_class`; `handle` does everything. A
    subclass may define any of the methods anew.
    """

    protocol_version = "HTTP/1.1"

    # Of the present request.
    command: str | None = None
    path: str | None = None
    """As it came, with the query."""
    request_version: str | None = None
    requestline: str | None = None
    content_length: int | None = None
    headers = _Headers()
    environ: Any = None
    wsgi_input: Any = None
    application: Any = None
    time_start: float = 0
    time_finish: float = 0
    """Seconds since 1970."""

    # Of its answer.
    result: Any = None
    status: Any = None
    """Bytes; text if it was sent before the application was asked."""
    code: int | None = None
    """The status as a number; negative if it could not be sent."""
    response_headers: Any = None
    """Pairs of bytes."""
    provided_date: str | None = None
    provided_content_length: str | None = None
    headers_sent = False
    response_use_chunked = False
    connection_upgraded = False
    response_length = 0
    """How many bytes were sent, with the head."""
    close_connection = False
    """Is this the last request of the connection?"""

    ignored_socket_errors: ClassVar[tuple[int, ...]] = (EPIPE, ECONNRESET)
    """Numbers of errors that only say that the client went: nothing is logged."""
    ApplicationError = AssertionError
    """Raised in an application that answers as it must not."""

    _orig_status: str | None = None
    _deadline = _NEVER
    """When the present wait for the client has lasted too long; on the clock of `last_look`."""
    _until = _NEVER
    """When the head has to be here."""
    _patience = _NEVER
    """For how many seconds more the next part of the body may be waited for."""
    _came = 0
    """How many bytes of that part are here."""
    _idle = False
    """Is the next request awaited, and nothing of it there?"""
    _ended = False
    """Did the client say that no more will come?"""
    _line: str | None = None
    _fields: dict[str, str]
    _connection: str | None = None
    _left: int | None = None
    """How many bytes the application has still to give, if it has said how many there are."""
    _prompt = False
    """Is what is sent in parts sent at once?"""

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        self.socket = sock
        self.client_address = address
        self.server = server
        self._process = os.getpid()
        self.rfile = Incoming(self._recv if rfile is None else getattr(rfile, "read1", rfile.read))
        self._head = Head()

    # The connection

    def handle(self) -> None:
        """Serve the connection to its end, and close it. Blocks."""
        lingers = False
        try:
            while self.socket is not None:
                self.time_start = time()
                self.time_finish = 0
                result = self.handle_one_request()
                if result is None:
                    break
                if result is True:
                    continue
                lingers = True
                self.status, response = result
                self.socket.sendall(response)
                if not self.time_finish:
                    self.time_finish = time()
                self.log_request()
                break
            # In the child of a fork the connection goes on to be the parent's.
            if not self._ended and self._process == os.getpid() and (lingers or self._unread()):
                self._linger()
        except OSError as error:
            if error.errno not in (*self.ignored_socket_errors, ETIMEDOUT):
                raise
        finally:
            if self.socket is not None:
                self.socket.close()
            for name in ("socket", "rfile", "wsgi_input", "environ", "headers", "_fields"):
                self.__dict__.pop(name, None)

    def handle_one_request(self) -> Any:
        """Serve one request: True if another one may come, None if the connection is at its end; or the
        status and all the bytes of an answer that is sent before the connection ends. Blocks."""
        rfile = self.rfile
        if rfile.closed:
            return None
        try:
            line = self.read_requestline()
        except OSError as error:
            if isinstance(error, _TooSlow) and not self._idle:
                return self._refusal(408)
            return None
        if isinstance(line, bytes):
            line = line.decode("latin-1")
        self.requestline = line
        if not line:
            return None
        self.response_length = 0
        if len(line) >= MAX_REQUEST_LINE:
            return self._refusal(414)
        try:
            if not self.read_request(line):
                return self._refusal(400)
        except _TooSlow:
            return self._refusal(408)
        except Exception as error:
            return self._handle_client_error(error)
        self.environ = self.get_environ()
        self.application = self.server.application
        self.handle_one_response()
        return None if self.close_connection or rfile.closed else True

    def _recv(self, size: int) -> bytes:
        """Wait for the client, for a while. This is how everything that a client sends is read."""
        if self.environ is None:
            self._deadline = self._until
            try:
                return self.socket.recv(size)  # type: ignore[no-any-return]
            finally:
                self._deadline = _NEVER
        # A body, of which the application takes as much as it likes when it likes: only the waits count.
        began = last_look[0]
        self._deadline = began + self._patience
        try:
            data: bytes = self.socket.recv(size)
        finally:
            self._deadline = _NEVER
        self._came += len(data)
        if self._came >= PART:
            self._came = 0
            self._patience = self.server.io_timeout
        else:
            self._patience -= last_look[0] - began
        return data

    def _sendall(self, data: Any) -> None:
        self._deadline = last_look[0] + self.server.io_timeout
        try:
            self.socket.sendall(data)
        except OSError as error:
            self.status = f"socket error: {error}"
            if self.code is not None and self.code > 0:
                self.code = -self.code
            raise
        finally:
            self._deadline = _NEVER
        self.response_length += len(data)

    def _expire(self, now: float) -> None:
        """Called every now and then: end a wait for the client that takes too long."""
        if self._deadline < now and isinstance(self.socket, _socket.socket):
            self._deadline = _NEVER
            _socket.cancel_wait(self.socket, _TooSlow())

    def _retire(self) -> None:
        """The server is to end: this connection too, if it is not in the middle of anything."""
        if self._idle and isinstance(self.socket, _socket.socket):
            _socket.cancel_wait(self.socket, _TooSlow())

    def _unread(self) -> bool:
        """Is something there that the client sent and nobody read? If the connection were closed then, the
        client might lose the answer."""
        rfile = self.rfile
        if rfile.position < len(rfile.data):
            return True
        try:
            self.socket.settimeout(0)
            return bool(self.socket.recv(1))
        except OSError:
            return False

    def _linger(self) -> None:
        """Let the client read the answer to the end, although it is still sending."""
        sock = self.socket
        try:
            sock.shutdown(SHUT_WR)
            sock.settimeout(_LINGER)
            end = time() + _LINGER
            for _ in range(DISCARDED // PART):
                if not sock.recv(PART) or time() > end:
                    break
        except OSError:
            pass

    # Requests

    def read_requestline(self) -> Any:
        """The first line of the next request with its end, as text; empty if the client is done. Blocks."""
        rfile = self.rfile
        server = self.server
        self.environ = None
        awaited = True
        while True:
            data, position = rfile.data, rfile.position
            end = data.find(b"\n", position) + 1
            if end:
                if end - position < 3 and not data[position:end].strip(b"\r\n"):
                    # Some send an empty line after a body.
                    rfile.position = end
                    continue
                break
            if position == len(data):
                if getattr(server, "draining", False):
                    return ""
                self._until = last_look[0] + server.idle_timeout
                self._idle = True
                more = rfile.fill()
                self._idle = False
            elif len(data) - position < MAX_REQUEST_LINE:
                if awaited:
                    awaited = False
                    self._until = last_look[0] + server.header_timeout
                more = rfile.fill()
            else:
                end = len(data)
                break
            if not more:
                self._ended = True
                return ""
        self._line = line = data[position:end].decode("latin-1")
        if awaited:
            self._until = last_look[0] + server.header_timeout
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Read the rest of the head, and make this handler's attributes of it. Blocks. Raises ValueError for
        what is no request, or one that is refused."""
        rfile = self.rfile
        server = self.server
        if raw_requestline is self._line:
            self._line = None
        else:
            # Read by a subclass.
            rfile.unread(raw_requestline.encode("latin-1"))
        self.requestline = raw_requestline.rstrip()
        self.__dict__.pop("headers", None)
        head = self._head
        head.read(rfile, server.max_header_size, server.max_headers)
        fields: dict[str, str] = {}
        for name, octets in head.headers:
            key = _keys.get(name)
            if key is None:
                key = _key_of(name)
            value = octets.decode("latin-1").strip(" \t")
            if key not in fields:
                fields[key] = value
            elif "COOKIE" in key:
                fields[key] += "; " + value
            elif key == "HTTP_HOST":
                raise InvalidRequest("More than one Host")
            else:
                fields[key] += "," + value
        fields.pop("", None)
        self._fields = fields
        self.command = head.method
        self.path = head.target.decode("latin-1")
        self.request_version = "HTTP/" + head.version
        self.close_connection = not head.keep_alive
        length = fields.get("CONTENT_LENGTH")
        if length:
            if not length.isdecimal():
                raise InvalidRequest(f"Invalid Content-Length: {length!r}")
            self.content_length = int(length)
            limit = server.max_body_size
            if limit is not None and self.content_length > limit:
                raise InvalidRequest(f"Body longer than {limit} bytes", 413)
            if self.content_length:
                head.forget()
        else:
            self.content_length = None
        coding = fields.get("HTTP_TRANSFER_ENCODING")
        if coding is not None:
            if coding.lower() != "chunked":
                raise InvalidRequest(f"Unknown Transfer-Encoding: {coding!r}", 501)
            if head.version == "1.0":
                # Whoever stands between the client and us may not know that there is a body.
                raise InvalidRequest("Transfer-Encoding in HTTP/1.0")
            head.forget()
        return True

    def get_environ(self) -> Any:
        """What the application is told about the request."""
        environ = self.server.get_environ()
        fields = self._fields
        path, _, query = (self.path or "").partition("?")
        environ["REQUEST_METHOD"] = self.command
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = unquote(path, "latin-1") if "%" in path else path
        environ["QUERY_STRING"] = query
        environ["SERVER_PROTOCOL"] = self.request_version
        address = self.client_address
        if isinstance(address, tuple):
            environ["REMOTE_ADDR"] = str(address[0])
            environ["REMOTE_PORT"] = str(address[1])
        environ.update(fields)
        body = self.wsgi_input = Input(self.rfile, self.content_length)
        if "HTTP_TRANSFER_ENCODING" in fields:
            body.chunked_input = True
            body._limit = self.server.max_body_size
        if (
            "HTTP_EXPECT" in fields
            and fields["HTTP_EXPECT"].lower() == "100-continue"
            and self.request_version == "HTTP/1.1"
        ):
            body.socket = self.socket
        ends = not (
            fields.get("HTTP_CONNECTION", "").lower() == "upgrade"
            or fields.get("HTTP_UPGRADE", "").lower() == "websocket"
        )
        environ["wsgi.input"] = body if ends else self.rfile
        environ["wsgi.input_terminated"] = ends
        self._came = 0
        self._patience = self.server.io_timeout if ends else _NEVER
        return environ

    def MessageClass(self, *args: Any) -> Any:
        """The headers in a binary file, as an `email.message.Message`."""
        return parse_headers(args[0], _class=_Message)

    # Answers

    def handle_one_response(self) -> None:
        """Have the application answer, and send that. Failures end here: they are logged, and told to the
        client if it has not got anything yet."""
        self.time_start = time()
        self.status = None
        self._orig_status = None
        self.code = None
        self.headers_sent = False
        self.result = None
        self.response_use_chunked = False
        self.connection_upgraded = False
        self.response_length = 0
        body = self.wsgi_input
        try:
            self.run_application()
            if body is not None and not self.connection_upgraded and not self._discard():
                self.close_connection = True
        except InvalidInput as error:
            self._handle_client_error(error)
            self._send_error_response_if_possible(error.status)
            self.close_connection = True
        except OSError as error:
            self.close_connection = True
            if isinstance(error, _TooSlow):
                self._send_error_response_if_possible(408)
            elif error.errno not in self.ignored_socket_errors:
                self.handle_error(*sys.exc_info())
        except BaseException:
            self.handle_error(*sys.exc_info())
        finally:
            self.time_finish = time()
            self.log_request()

    def run_application(self) -> None:
        """Call the application, and send what it gives."""
        self.result = self.application(self.environ, self.start_response)
        try:
            self.process_result()
        finally:
            close = getattr(self.result, "close", None)
            self.result = None
            if close is not None:
                close()

    def start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """What the application calls with the head of its answer; see PEP 3333. Raises what `exc_info` says
        if that comes too late; ValueError, UnicodeError for what must not be in a head, AssertionError for a
        head that contradicts itself."""
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        if not isinstance(status, str):
            raise UnicodeError("The status string must be a native string")
        if "\r" in status or "\n" in status:
            raise ValueError("carriage return or newline in status", status)
        fields = []
        date = length = connection = None
        for name, value in headers:
            field = _fields.get((name, value)) if type(name) is str is type(value) else None
            fields.append(_field_of(name, value) if field is None else field)
            lower = name.lower()
            if lower == "content-length":
                if length is not None or not (value.isascii() and value.isdecimal()):
                    raise self.ApplicationError(f"Invalid Content-Length: {value!r}")
                length = value
            elif lower == "date":
                date = value
            elif lower == "connection":
                connection = value
            elif lower == "transfer-encoding":
                raise self.ApplicationError("Transfer-Encoding is the server's affair")
        octets = status.encode("latin-1")
        code = int(status.split(" ", 1)[0])
        if code in _BODILESS and length not in (None, "0"):
            raise self.ApplicationError(
                f"Invalid Content-Length for {code} response: {length!r} (must be absent or zero)"
            )
        self.status = octets
        self._orig_status = status
        self.code = code
        self.response_headers = fields
        self.provided_date = date
        self.provided_content_length = length
        self._connection = connection
        return self.write

    def finalize_headers(self) -> None:
        """Add to `response_headers` what the application left to the server. Called before they are sent."""
        fields = self.response_headers
        code = self.code
        if self.provided_date is None:
            fields.append((b"Date", _clock.date(time())))
        self.connection_upgraded = code == 101
        self._left = None
        if code in _BODILESS:
            pass
        elif self.provided_content_length is not None:
            self._left = int(self.provided_content_length)
        elif self.connection_upgraded:
            pass
        elif hasattr(self.result, "__len__"):
            self._left = length = sum(map(len, self.result))
            fields.append((b"Content-Length", b"%d" % length))
        elif self.request_version == "HTTP/1.1":
            self.response_use_chunked = True
            fields.append((b"Transfer-Encoding", b"chunked"))
        else:
            # The end of the connection is the end of the answer.
            self.close_connection = True
        if self._connection is not None:
            if self._connection.lower() == "close":
                self.close_connection = True
        elif self.close_connection or getattr(self.server, "draining", False):
            self.close_connection = True
            fields.append((b"Connection", b"close"))
        elif self.request_version == "HTTP/1.0":
            fields.append((b"Connection", b"keep-alive"))
        if self.connection_upgraded:
            self.close_connection = True

    def process_result(self) -> None:
        """Send what the application gave."""
        result = self.result
        if type(result) is list or type(result) is tuple:
            # The length is known, so one piece is as good as many.
            data = result[0] if len(result) == 1 else b"".join(result)
            if data:
                self.write(data)
        else:
            for data in result:
                if data:
                    self.write(data)
        if not self.headers_sent:
            if self.status is None:
                self.log_error("The application did not call start_response() for %r", self.requestline)
                self._send_error_response_if_possible(500)
                return
            self.write(b"")
        if self.response_use_chunked and self.command != "HEAD":
            self._sendall(b"0\r\n\r\n")
        elif self._left and self.command != "HEAD":
            self.close_connection = True
            self.log_error("%d bytes of the answer to %r are missing", self._left, self.requestline)

    def write(self, data: Any) -> None:
        """Send `data` as the next part of the answer, with the head before the first. Blocks until the system
        has taken it. Raises AssertionError for more than the head has said that there is."""
        if self.headers_sent:
            if data:
                self._write(data)
            return
        if self.status is None:
            raise self.ApplicationError("The application did not call start_response()")
        if data and self.code in _BODILESS:
            raise self.ApplicationError(f"The {self.code} response must have no body")
        self.finalize_headers()
        self.headers_sent = True
        lines = [b"HTTP/1.1 " + self.status]
        lines += [name + b": " + value for name, value in self.response_headers]
        lines.append(b"\r\n")
        head = b"\r\n".join(lines)
        if not data:
            self._sendall(head)
        elif len(data) <= _JOINED:
            self._sendall(head + self._framed(data))
        else:
            self._sendall(head)
            self._write(data)

    def _framed(self, data: Any) -> Any:
        """`data` as it is sent."""
        if self.code in _BODILESS:
            raise self.ApplicationError(f"The {self.code} response must have no body")
        left = self._left
        if left is not None:
            if len(data) > left:
                raise self.ApplicationError(
                    f"{len(data)} bytes where Content-Length has left {left} of the answer"
                )
            self._left = left - len(data)
        if self.command == "HEAD":
            return b""
        if self.response_use_chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        return data

    def _write(self, data: Any) -> None:
        data = self._framed(data)
        if not data:
            return
        if not self._prompt:
            # The peer's system may hold its acknowledgement of one part back until it has seen more.
            self._prompt = True
            try:
                self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            except OSError:
                # Not TCP, or gone.
                pass
        if len(data) <= _JOINED:
            self._sendall(data)
            return
        with memoryview(data) as view, view.cast("B") as octets:
            # Each part has its own time: a client that is slow but steady gets all of it.
            for start in range(0, len(octets), _JOINED):
                self._sendall(octets[start : start + _JOINED])

    def _discard(self) -> bool:
        """Read what the application left of the body. False if the next request cannot be found."""
        body = self.wsgi_input
        if body.content_length is None and not body.chunked_input and body._limit is None:
            return True
        if self.environ.get("wsgi.input_terminated") is False:
            return body.content_length in (None, 0)
        try:
            return body._discard()  # type: ignore[no-any-return]
        except InvalidInput:
            raise
        except OSError:
            return False

    # Failures

    def _refusal(self, status: int) -> tuple[str, bytes]:
        self._orig_status = str(status)
        return str(status), (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ).encode("ascii")

    def _handle_client_error(self, ex: BaseException) -> tuple[str, bytes]:
        """The client sent what is no request: log it. What to answer."""
        if not isinstance(ex, (ValueError, InvalidInput)):
            self._print_unexpected_exc()
        if isinstance(ex, InvalidRequest):
            self.log_error("(from %s) %s", self.client_address, ex.formatted_message)
        else:
            self.log_error("Invalid request (from %s): %s", self.client_address, str(ex) or type(ex).__name__)
        return self._refusal(getattr(ex, "status", 400))

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """The application, or the server, failed: log it, and tell the client if it has not got anything
        yet."""
        if not issubclass(t, GreenletExit):
            context = self.environ
            secure = self.server.secure_environ_class
            if not isinstance(context, secure):
                context = secure(context)
            self.server.loop.handle_error(context, t, v, tb)
        del v, tb
        self._send_error_response_if_possible(500)

    def _send_error_response_if_possible(self, error_code: int) -> None:
        self.close_connection = True
        if self.response_length:
            return
        reason = _REASONS[error_code]
        body = reason.encode("ascii") if error_code == 500 else b""
        self.headers_sent = False
        self.response_use_chunked = False
        self.start_response(
            f"{error_code} {reason}",
            [("Content-Type", "text/plain"), ("Connection", "close"), ("Content-Length", str(len(body)))],
        )
        try:
            self.write(body)
        except OSError:
            pass

    _print_unexpected_exc = staticmethod(traceback.print_exc)

    # Logs

    def log_error(self, msg: str, *args: Any) -> None:
        """Write to the server's `error_log`."""
        try:
            message = msg % args if args else msg
        except Exception:
            self._print_unexpected_exc()
            message = f"{msg!r} {args!r}"
        try:
            self.server.error_log.write(f"{self.socket}: {_printable(message)}\n")
        except Exception:
            self._print_unexpected_exc()

    def log_request(self) -> None:
        """Write to the server's `log`."""
        log = self.server.log
        if type(log) is not _NoopLog:
            log.write(self.format_request() + "\n")

    def format_request(self) -> str:
        """The line of the log."""
        finish = self.time_finish
        address = self.client_address
        host = address[0] if isinstance(address, tuple) else address
        taken = f"{finish - self.time_start:.6f}" if finish else "-"
        status = str(self._orig_status or self.status or "000").split()[0]
        return (
            f'{host or "-"} - - [{_clock.stamp(finish or time())}] "{_printable(self.requestline or "")}"'
            f" {status} {self.response_length or '-'} {taken}"
        )


def _printable(text: str) -> str:
    """What a client sent must not write into a log, or on a terminal, what it likes."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class _NoopLog:
    """Writes nothing."""

    def write(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    writelines = flush = write


class LoggingLogAdapter:
    """A log that hands each line to a `logging.Logger` at `level`. All other attributes are the logger's.

    The logger's handlers must be ones that let other greenlets run, or are fast.
    """

    __slots__ = ("_level", "_logger")

    def __init__(self, logger: Any, level: int = 20) -> None:
        self._logger = logger
        self._level = level

    def write(self, msg: str) -> None:
        """Log one line."""
        self._logger.log(self._level, msg.removesuffix("\n"))

    def flush(self) -> None:
        """Nothing is held back."""

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LoggingLogAdapter.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._logger, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._logger, name)


class Environ(dict[str, Any]):
    """A dictionary that can take the place of the environ's. Copies are of its class; it is pickled as a
    dictionary."""

    __slots__ = ()

    def copy(self) -> Any:
        return type(self)(self)

    def iteritems(self) -> Any:
        return self.items()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (), None, None, iter(self.items())


class SecureEnviron(Environ):
    """An environ whose repr does not show what is in it, so that passwords and cookies do not get into logs.

    If `secure_repr` is false it shows all. Otherwise the values of the keys in `whitelist_keys` are shown
    and, if there are such keys and `print_masked_keys` is true, the names of the others. Each can be set on
    one environ, and for a class as `default_...`.
    """

    __slots__ = ("print_masked_keys", "secure_repr", "whitelist_keys")

    default_secure_repr = True
    default_whitelist_keys: Any = ()
    default_print_masked_keys = True

    def __getattr__(self, name: str) -> Any:
        if name in SecureEnviron.__slots__:
            return getattr(type(self), "default_" + name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        if not self.secure_repr:
            return dict.__repr__(self)
        shown = self.whitelist_keys
        if not shown:
            return f"<pywsgi.SecureEnviron dict (keys: {len(self)}) at {id(self)}>"
        if self.print_masked_keys:
            return repr({key: value if key in shown else "<MASKED>" for key, value in self.items()})
        clear = {key: value for key, value in self.items() if key in shown}
        hidden = len(self) - len(clear)
        if not hidden:
            return repr(clear)
        return f"{repr(clear)[:-1]}, (hidden keys: {hidden})}}"

    __str__ = __repr__


class WSGISecureEnviron(SecureEnviron):
    """Shows who asked and for which host, and how much else there is."""

    __slots__ = ()

    default_whitelist_keys = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST")
    default_print_masked_keys = False


class WSGIServer(StreamServer):
    """A server of HTTP for the WSGI `application`. `listener`, `backlog`, `spawn` and arguments for TLS are
    those of StreamServer.

    `log` and `error_log` are files, or loggers of `logging`; None for none; without them it is standard
    error. `handler_class` serves connections in place of WSGIHandler. `environ` is what every request's
    environ has besides. The class's attributes say what clients are refused for; each may be set.

    Raises ImportError if httptools is not installed.
    """

    handler_class: Any = WSGIHandler
    """Called with (socket, address, server) for each connection; its `handle()` serves that."""
    environ_class: Any = dict
    secure_environ_class: Any = WSGISecureEnviron
    """How an environ is logged."""
    base_env: ClassVar[dict[str, Any]] = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "greenswitch Python/{}.{}".format(*sys.version_info),
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    max_header_size: int = 65536
    """Bytes; a longer head is answered with 431."""
    max_headers: int = 100
    """More headers are answered with 431."""
    max_body_size: int | None = None
    """Bytes; a longer body is answered with 413. None: as long as the application cares to read."""
    idle_timeout: float = 120.0
    """Seconds; a connection that asks nothing for so long is closed."""
    header_timeout: float = 30.0
    """Seconds that the head of a request may take."""
    io_timeout: float = 60.0
    """Seconds that a client may take to send 16 KiB of a body, or to take 64 KiB of an answer."""
    handshake_timeout = 30.0

    log: Any = None
    error_log: Any = None
    application: Any
    environ: Any
    draining = False
    """Is every connection to end as soon as it is not in the middle of a request?"""

    def __init__(
        self,
        listener: Any,
        application: Any = None,
        backlog: int | None = None,
        spawn: Any = "default",
        log: Any = "default",
        error_log: Any = "default",
        handler_class: Any = None,
        environ: Any = None,
        **ssl_args: Any,
    ) -> None:
        need_parser()
        if "handle" in ssl_args:
            warnings.warn(
                "WSGIServer has a `handle` of its own; what answers is the `application`",
                DeprecationWarning,
                stacklevel=2,
            )
        self._handlers: set[WSGIHandler] = set()
        self._sweeper: Any = None
        super().__init__(listener, backlog=backlog, spawn=spawn, **ssl_args)
        if application is not None:
            self.application = application
        if handler_class is not None:
            self.handler_class = handler_class
        self.log = _log(log)
        self.error_log = _log(error_log, 40)
        self.set_environ(environ)
        self.set_max_accept()

    def set_environ(self, environ: Any = None) -> None:
        """What every request's environ begins with; `environ` goes over what the server says."""
        if environ is not None:
            self.environ = environ
        given = getattr(self, "environ", None)
        self.environ = self.environ_class(self.base_env)
        self.environ["wsgi.url_scheme"] = "https" if self.ssl_enabled else "http"
        if given is not None:
            self.environ.update(given)
        if self.environ.get("wsgi.errors") is None:
            self.environ["wsgi.errors"] = self.error_log

    def set_max_accept(self) -> None:
        """One of several processes leaves something to the others."""
        if self.environ.get("wsgi.multiprocess"):
            self.max_accept = 1

    def get_environ(self) -> Any:
        """A new environ, without what is the request's."""
        return self.environ_class(self.environ)

    def init_socket(self) -> None:
        super().init_socket()
        self.draining = False
        self.update_environ()

    def update_environ(self) -> None:
        """Fill in the server's name and port. Blocks while the name is looked up."""
        address = self.address
        if isinstance(address, tuple):
            if "SERVER_NAME" not in self.environ:
                try:
                    self.environ["SERVER_NAME"] = _socket.getfqdn(address[0])
                except OSError:
                    self.environ["SERVER_NAME"] = str(address[0])
            self.environ.setdefault("SERVER_PORT", str(address[1]))
        else:
            self.environ.setdefault("SERVER_NAME", "")
            self.environ.setdefault("SERVER_PORT", "")

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection. Blocks until its end."""
        handler = self.handler_class(sock, address, self)
        if not isinstance(handler, WSGIHandler):
            handler.handle()
            return
        handlers = self._handlers
        handlers.add(handler)
        if self._sweeper is None:
            self._sweep()
        try:
            handler.handle()
        finally:
            handlers.discard(handler)

    def _sweep(self) -> None:
        """Runs in the loop while there are connections: end the waits that take too long."""
        self._sweeper = None
        now = last_look[0]
        for handler in list(self._handlers):
            handler._expire(now)
        if self._handlers:
            shortest = min(self.idle_timeout, self.header_timeout, self.io_timeout)
            self._sweeper = self.loop.call_later(max(0.01, min(shortest / 4, 5.0)), self._sweep, ref=False)

    def close(self) -> None:
        """Close the listener. Connections end when they are not in the middle of a request. Idempotent."""
        super().close()
        self.draining = True
        for handler in list(self._handlers):
            handler._retire()


def _log(log: Any, level: int = 20) -> Any:
    if isinstance(log, str) and log == "default":
        return sys.stderr
    if log is None:
        return _NoopLog()
    if not hasattr(log, "write") and hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    return log
