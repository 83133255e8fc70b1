"""Clients of every kind, as a process of plain blocking sockets: `peer.py MODE PORT NUMBER LANGUAGE`.

What belongs here: what a client does to a server. What never does: judging it, beyond an exit status that is
not 0 when an answer was wrong; and greenswitch.
"""

from __future__ import annotations

import os
import resource
import selectors
import socket
import ssl
import struct
import sys
import time
from contextlib import ExitStack


def connect(port: int) -> socket.socket:
    """A connection; one that speaks TLS, if that is the language."""
    sock = connect_plainly(port)
    if language is not Tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


def connect_plainly(port: int) -> socket.socket:
    sock = socket.socket()
    for _ in range(200):
        try:
            sock.connect(("127.0.0.1", port))
            break
        except (ConnectionResetError, ConnectionRefusedError, TimeoutError):
            time.sleep(0.01)
    sock.settimeout(60)
    return sock


class Plain:
    """Spoken by a server that says what it is told."""

    @staticmethod
    def question(text: bytes) -> bytes:
        return text

    @staticmethod
    def answers(data: bytes, text: bytes) -> bool:
        """Is `data` all of the answer? It must be the beginning."""
        assert text.startswith(data), data
        return data == text


class Tls(Plain):
    """The same inside of TLS."""


class Http:
    """Spoken by a server that answers with the path that it is asked for."""

    @staticmethod
    def question(text: bytes) -> bytes:
        return b"GET /%b HTTP/1.1\r\nHost: here\r\n\r\n" % text

    @staticmethod
    def answers(data: bytes, text: bytes) -> bool:
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "[: len(head)]), data
        assert (b"/" + text).startswith(body), data
        return body == b"/" + text


LANGUAGES: dict[str, type[Plain] | type[Http]] = {"plain": Plain, "http": Http, "tls": Tls}
language = LANGUAGES["plain"]


def expect(sock: socket.socket, text: bytes) -> None:
    """Read the answer, and nothing after it."""
    data = b""
    while not language.answers(data, text):
        more = sock.recv(65536)
        assert more, (data, text)
        data += more


def say(word: str) -> None:
    print(word, flush=True)


def echo(port: int, number: int) -> None:
    """Connect `number` times, keep them all, have something echoed on each, twice; go at the end of input."""
    with ExitStack() as open_ones:
        socks = [open_ones.enter_context(connect(port)) for _ in range(number)]
        for turn in (b"first", b"again"):
            for index, sock in enumerate(socks):
                sock.sendall(language.question(turn + b"%d" % index))
            for index, sock in enumerate(socks):
                expect(sock, turn + b"%d" % index)
        say("ready")
        sys.stdin.readline()


def idle(port: int, number: int) -> None:
    """Connect and say nothing, until the end of input."""
    with ExitStack() as open_ones:
        for _ in range(number):
            open_ones.enter_context(connect_plainly(port))
        say("ready")
        sys.stdin.readline()


def silent(port: int, number: int) -> None:
    """Connect, say nothing, and wait for the server to end each connection."""
    with ExitStack() as open_ones:
        for sock in [open_ones.enter_context(connect(port)) for _ in range(number)]:
            assert sock.recv(100) == b""


def reset(port: int, number: int) -> None:
    """Connect, send, and reset: some before the answer, some in the middle of sending; in TLS some in the
    middle of the handshake too."""
    for index in range(number):
        sock = connect_plainly(port) if index % 4 == 3 else connect(port)
        sock.sendall(b"\x16\x03" * (1 if index % 3 else 100000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def half(port: int, number: int) -> None:
    """Send, close that half, and read the answer to its end."""
    for index in range(number):
        with connect(port) as sock:
            sock.sendall(language.question(b"half%d" % index))
            # Past TLS, which would say good-bye.
            socket.socket.shutdown(sock, socket.SHUT_WR)
            expect(sock, b"half%d" % index)
            try:
                assert sock.recv(100) == b""
            except ssl.SSLError:
                # Who goes without a good-bye is told so.
                pass


def trickle(port: int, number: int) -> None:
    """Many that send a byte at a time, all at once, for a while."""
    with ExitStack() as open_ones:
        socks = [open_ones.enter_context(connect(port)) for _ in range(number)]
        for byte in language.question(b"slow"):
            for sock in socks:
                sock.sendall(bytes([byte]))
            time.sleep(0.02)
        for sock in socks:
            expect(sock, b"slow")


def traffic(port: int, number: int) -> None:
    """Keep `number` connections busy until the server has ended them or input ends. Says how many answers it
    had, and how many connections the server ended; fails where an answer was wrong."""
    run_traffic(port, number, anew=False)


def restless(port: int, number: int) -> None:
    """The same until input ends, with a new connection for each that the server ends."""
    run_traffic(port, number, anew=True)


def run_traffic(port: int, number: int, anew: bool) -> None:
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin, selectors.EVENT_READ)
    texts: dict[socket.socket, bytes] = {}
    heard: dict[socket.socket, bytes] = {}
    count = made = ended = 0

    def begin() -> None:
        nonlocal made
        sock = connect(port)
        made += 1
        # No two say the same: what is told to the wrong one is noticed.
        texts[sock], heard[sock] = b"traffic%d" % made, b""
        chosen.register(sock, selectors.EVENT_READ)
        ask(sock)

    def ask(sock: socket.socket) -> None:
        try:
            sock.sendall(language.question(texts[sock]))
        except OSError:
            # The end is to be read.
            pass

    def end(sock: socket.socket) -> None:
        chosen.unregister(sock)
        sock.close()
        del texts[sock], heard[sock]

    for _ in range(number):
        begin()
    say("ready")
    while texts:
        for key, _ in chosen.select(30):
            if key.fileobj is sys.stdin:
                for sock in list(texts):
                    end(sock)
                break
            sock = key.fileobj  # type: ignore[assignment]
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                ended += 1
                end(sock)
                if anew:
                    begin()
                continue
            heard[sock] += data
            if heard[sock].startswith(b"HTTP/1.1 500 "):
                # A signal struck in the middle of this one; the end follows.
                continue
            if language.answers(heard[sock], texts[sock]):
                count += 1
                heard[sock] = b""
                ask(sock)
    say(f"answers {count} ended {ended}")


MODES = {mode.__name__: mode for mode in (echo, idle, silent, reset, half, trickle, traffic, restless)}

if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    language = LANGUAGES[sys.argv[4]]
    MODES[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
    os._exit(0)
