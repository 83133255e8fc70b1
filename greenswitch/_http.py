"""HTTP requests off a stream of bytes: what comes read ahead, the head of a request, its body.

What belongs here: how much of the stream a request is, and whether it is one. All of that is the judgement of
llhttp, by way of httptools, which is strict; nothing is parsed twice by different rules. What never does:
answers, and what an application is told (`pywsgi`).

The parser is never given a byte that may belong to something else: a head exactly up to the empty line, a
chunked body line by line. So whatever comes after a request - its body, the next request, another protocol -
is still in `Incoming`, from where anybody may take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

try:
    from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
except ImportError:
    HttpRequestParser = None

__all__ = [
    "DISCARDED",
    "PART",
    "Chunks",
    "Head",
    "Incoming",
    "Input",
    "InvalidInput",
    "InvalidRequest",
    "need_parser",
]

PART = 16384
"""How many bytes of a body a client is to send in a given time."""
DISCARDED = 1 << 20
"""How many bytes that no application wanted are read before the connection is given up instead."""

_PIECE = 65536
"""How many bytes are asked for at most at a time."""
_FIRST = 8192
"""How many are asked for when a request is awaited; most are shorter."""
_LINE = 8192
"""The longest line in between the chunks of a body, in bytes."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TRAILERS = 65536
"""How many bytes of trailers a body may have."""

# llhttp reads two relatives of HTTP as well; these methods are theirs, or the start of HTTP/2.
_FOREIGN_METHODS = frozenset(
    """
    ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY PRI RECORD REDIRECT SETUP SET_PARAMETER SOURCE TEARDOWN
    """.split()
)


class InvalidRequest(ValueError):
    """The client sent a head that is no request, or one that is refused. `status` is what to answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.formatted_message = message
        self.status = status


class InvalidInput(OSError):
    """The client sent a body that is none, or one that is refused. `status` is what to answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def need_parser() -> None:
    """ImportError with a sentence that helps, if there is no parser."""
    if HttpRequestParser is None:
        raise ImportError(
            "greenswitch.pywsgi reads HTTP with httptools, which is not installed:"
            " pip install 'greenswitch[wsgi]'"
        )


class Incoming:
    """A stream of bytes, read ahead; a binary file for whoever wants one. `recv(size)` gives the next bytes,
    b"" at the end, and blocks."""

    __slots__ = ("_recv", "closed", "data", "position")

    def __init__(self, recv: Callable[[int], bytes]) -> None:
        self._recv = recv
        self.data = b""
        """What was read ahead, from `position` on."""
        self.position = 0
        self.closed = False

    def fill(self, size: int = _FIRST) -> bool:
        """Read ahead more. Blocks. False at the end."""
        more = self._recv(size)
        if self.position < len(self.data):
            self.data = self.data[self.position :] + more
        else:
            self.data = more
        self.position = 0
        return bool(more)

    def unread(self, data: bytes) -> None:
        """Put back what was read."""
        self.data = data + self.data[self.position :]
        self.position = 0

    def read1(self, size: int = -1) -> bytes:
        """At most `size` bytes, as many as are there. Blocks if there are none; b"" at the end."""
        if size == 0:
            return b""
        position, data = self.position, self.data
        if position == len(data):
            if size < 0 or size > _PIECE:
                size = _PIECE
            return self._recv(size)
        end = len(data) if size < 0 else min(position + size, len(data))
        self.position = end
        return data[position:end]

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or all if it is negative or None; fewer at the end. Blocks."""
        if size is None or size < 0:
            size = -1
        first = self.read1(size)
        if len(first) == size or not first:
            return first
        pieces = [first]
        left = size - len(first)
        while left and (piece := self.read1(left if size >= 0 else -1)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """The next line with its end, or `size` bytes of it. Blocks."""
        limit = -1 if size is None or size < 0 else size
        pieces: list[bytes] = []
        while limit:
            position, data = self.position, self.data
            if position == len(data):
                if not self.fill(_PIECE):
                    break
                continue
            end = data.find(b"\n", position) + 1 or len(data)
            if 0 <= limit < end - position:
                end = position + limit
            self.position = end
            if end - position == len(data):
                piece = data
            else:
                piece = data[position:end]
            pieces.append(piece)
            if limit > 0:
                limit -= len(piece)
            if piece.endswith(b"\n"):
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readable(self) -> bool:
        return not self.closed

    def close(self) -> None:
        """Forget what was read ahead. The stream itself stays open."""
        self.closed = True
        self.data = b""
        self.position = 0
        self._recv = _no_more


def _no_more(size: int) -> bytes:
    return b""


def _about_the_request(error: Any) -> str:
    """What the parser says of a request. What came out of one of our callbacks is raised instead: they raise
    nothing themselves, but a signal may arrive in them, and its KeyboardInterrupt is none of the client's."""
    came = error.__context__
    if isinstance(error, HttpParserCallbackError) and came is not None:
        raise came from None
    return str(error)


class Head:
    """The head of one request after another, off `Incoming`. What the attributes say holds after `read`."""

    __slots__ = ("_parser", "complete", "headers", "keep_alive", "method", "target", "version")

    def __init__(self) -> None:
        self._parser: Any = None
        self.complete = False
        self.headers: list[tuple[bytes, bytes]] = []
        """Names and values as they came, in this order."""
        self.keep_alive = False
        """Does the client want the connection to go on?"""
        self.method = ""
        self.target = b""
        self.version = ""
        """1.0 or 1.1"""

    def read(self, incoming: Incoming, longest: int, most: int) -> None:
        """Read a head of at most `longest` bytes with at most `most` headers. Blocks. Raises
        InvalidRequest."""
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpRequestParser(self)
        self.complete = False
        self.headers = []
        self.target = b""
        seen = 0
        try:
            while True:
                data, start = incoming.data, incoming.position
                end = data.find(b"\r\n\r\n", start + seen - 3 if seen > 3 else start)
                if end >= 0:
                    break
                # Nobody waits for the end of what is wrong already.
                parser.feed_data(data[start + seen :])
                seen = len(data) - start
                if seen > longest:
                    raise InvalidRequest(f"Head longer than {longest} bytes", 431)
                if not incoming.fill():
                    raise InvalidRequest("Connection closed within the head of a request")
            end += 4
            if end - start > longest:
                raise InvalidRequest(f"Head longer than {longest} bytes", 431)
            incoming.position = end
            parser.feed_data(data if end - start - seen == len(data) else data[start + seen : end])
        except HttpParserUpgrade:
            self._parser = None
        except HttpParserError as error:
            self._parser = None
            raise InvalidRequest(_about_the_request(error)) from None
        if not self.complete:
            raise InvalidRequest("No request")
        if len(self.headers) > most:
            raise InvalidRequest(f"More than {most} headers", 431)
        if self.version not in ("1.0", "1.1"):
            raise InvalidRequest(f"Invalid http version: {self.version}")
        if self.method in _FOREIGN_METHODS:
            raise InvalidRequest(f"Invalid HTTP method: {self.method}")

    def forget(self) -> None:
        """The request has a body, which this parser will not see: the next one is for a new parser."""
        self._parser = None

    # Called by the parser

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self.complete = True
        self.method = parser.get_method().decode("ascii")
        self.version = parser.get_http_version()
        self.keep_alive = parser.should_keep_alive()


class Chunks:
    """A chunked body, off any binary file, which is left where the body ends."""

    __slots__ = ("_left", "_parser", "_read", "_rfile", "_trailers", "ended")

    def __init__(self, rfile: Any) -> None:
        self._rfile = rfile
        self._read: Callable[[int], bytes] = getattr(rfile, "read1", rfile.read)
        self._parser: Any = HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._left = 0
        """Bytes of the present chunk that are still to come."""
        self._trailers = -1
        """How many bytes the trailers have by now; -1 before them."""
        self.ended = False
        """Was all of it read? Set by the parser alone."""

    def next(self) -> bytes:
        """The next piece, b"" at the end. Blocks. Raises InvalidInput for what is no chunked body, OSError
        where it just ends."""
        if self.ended:
            return b""
        try:
            while not self._left:
                line = self._rfile.readline(_LINE)
                if not line.endswith(b"\n"):
                    if len(line) >= _LINE:
                        raise InvalidInput("Line between chunks too long")
                    raise OSError("unexpected end of file while parsing chunked data")
                self._parser.feed_data(line)
                if self.ended:
                    return b""
                if self._trailers >= 0:
                    self._trailers += len(line)
                    if self._trailers > _TRAILERS:
                        raise InvalidInput("Trailers too long")
                else:
                    self._left = int(line.partition(b";")[0], 16)
                    if not self._left:
                        self._trailers = 0
            data = self._read(min(self._left, _PIECE))
            self._left -= len(data)
            self._parser.feed_data(data)
            if not self._left:
                end = self._rfile.read(2)
                self._parser.feed_data(end)
                if len(end) < 2:
                    data = b""
            if not data:
                raise OSError("unexpected end of file while parsing chunked data")
        except HttpParserError as error:
            raise InvalidInput(_about_the_request(error)) from None
        return data

    def on_message_complete(self) -> None:
        self.ended = True


class Input:
    """The body of a request: what an application reads as `wsgi.input`.

    `rfile` is a binary file, from which as much is taken as the body has: `content_length` bytes (None: there
    is no body), or what is told by the chunks if it is `chunked_input`. To `socket`, if there is one, "100
    Continue" is sent when the body is wanted. What is read at once or waited for is for the caller to say;
    OSError if the body does not come.
    """

    __slots__ = (
        "_at",
        "_chunks",
        "_limit",
        "_piece",
        "chunked_input",
        "content_length",
        "position",
        "rfile",
        "send_100_continue_enabled",
        "socket",
    )

    def __init__(
        self, rfile: Any, content_length: int | None, socket: Any = None, chunked_input: bool = False
    ) -> None:
        self.rfile = rfile
        self.content_length = content_length
        self.socket = socket
        self.position = 0
        """How many bytes were read."""
        self.chunked_input = chunked_input
        self.send_100_continue_enabled = True
        self._chunks: Chunks | None = None
        self._piece = b""
        self._at = 0
        self._limit: int | None = None
        """More bytes than this are refused, where the length is not known before."""

    def _send_100_continue(self) -> None:
        sock = self.socket
        if sock is not None and self.send_100_continue_enabled:
            self.socket = None
            sock.sendall(_CONTINUE)

    def _read(self, length: int | None, by_line: bool) -> bytes:
        if length is not None and length < 0:
            length = None
        if self.chunked_input:
            return self._read_chunks(length, by_line)
        if self.content_length is None:
            return b""
        left = self.content_length - self.position
        if length is None or length > left:
            length = left
        if length <= 0:
            return b""
        if self.socket is not None:
            self._send_100_continue()
        data: bytes = self.rfile.readline(length) if by_line else self.rfile.read(length)
        self.position += len(data)
        if len(data) < length and not (by_line and data.endswith(b"\n")):
            raise OSError(f"unexpected end of file while reading request at position {self.position}")
        return data

    def _read_chunks(self, length: int | None, by_line: bool) -> bytes:
        if self.socket is not None:
            self._send_100_continue()
        pieces = []
        while length is None or length > 0:
            if self._at == len(self._piece) and not self._next_piece():
                break
            piece, at = self._piece, self._at
            end = (by_line and piece.find(b"\n", at) + 1) or len(piece)
            if length is not None and end - at > length:
                end = at + length
            self._at = end
            pieces.append(piece[at:end])
            if length is not None:
                length -= end - at
            if by_line and piece[end - 1] == 10:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next_piece(self) -> bool:
        if self._chunks is None:
            self._chunks = Chunks(self.rfile)
        try:
            self._piece = self._chunks.next()
        except BaseException:
            # Nobody knows where in the stream this is.
            self.chunked_input = False
            self.content_length = None
            self._limit = -1
            raise
        self._at = 0
        self.position += len(self._piece)
        if self._limit is not None and self.position > self._limit:
            raise InvalidInput(f"Body longer than {self._limit} bytes", 413)
        return bool(self._piece)

    def _discard(self) -> bool:
        """Read what nobody wanted. False if the next request cannot be found."""
        if self._limit == -1:
            return False
        if not self.chunked_input and self.position >= (self.content_length or 0):
            return True
        self.send_100_continue_enabled = False
        read = 0
        while read < DISCARDED:
            data = self._read(PART, False)
            if not data:
                return True
            read += len(data)
        return False

    def read(self, length: int | None = None) -> bytes:
        """`length` bytes, fewer at the end; all that is left without a number."""
        return self._read(length, False)

    def readline(self, size: int | None = None) -> bytes:
        """The next line with its end, or the first `size` bytes of it; b"" at the end."""
        return self._read(size, True)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """All lines; with `hint`, no more once they have that many bytes."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self._read(None, True)
        if not line:
            raise StopIteration
        return line

    next = __next__
