"""Clients of every kind, as a process of plain blocking sockets: `peer.py MODE PORT NUMBER`.

What belongs here: what a client does to a server. What never does: judging it, beyond an exit status that is
not 0 when an answer was wrong; and greenswitch.
"""

from __future__ import annotations

import os
import resource
import selectors
import socket
import struct
import sys
import time
from contextlib import ExitStack


def connect(port: int) -> socket.socket:
    sock = socket.socket()
    for _ in range(200):
        try:
            sock.connect(("127.0.0.1", port))
            break
        except (ConnectionResetError, ConnectionRefusedError, TimeoutError):
            time.sleep(0.01)
    sock.settimeout(60)
    return sock


def receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := sock.recv(length - len(data))):
        data += more
    return data


def say(word: str) -> None:
    print(word, flush=True)


def echo(port: int, number: int) -> None:
    """Connect `number` times, keep them all, have something echoed on each, twice; go at the end of input."""
    with ExitStack() as open_ones:
        socks = [open_ones.enter_context(connect(port)) for _ in range(number)]
        for turn in (b"first", b"again"):
            for index, sock in enumerate(socks):
                sock.sendall(turn + b"%d" % index)
            for index, sock in enumerate(socks):
                assert receive(sock, len(turn + b"%d" % index)) == turn + b"%d" % index
        say("ready")
        sys.stdin.readline()


def idle(port: int, number: int) -> None:
    """Connect and say nothing, until the end of input."""
    with ExitStack() as open_ones:
        for _ in range(number):
            open_ones.enter_context(connect(port))
        say("ready")
        sys.stdin.readline()


def silent(port: int, number: int) -> None:
    """Connect, say nothing, and wait for the server to end each connection."""
    with ExitStack() as open_ones:
        for sock in [open_ones.enter_context(connect(port)) for _ in range(number)]:
            assert sock.recv(100) == b""


def reset(port: int, number: int) -> None:
    """Connect, send, and reset: some before the answer, some in the middle of sending."""
    for index in range(number):
        sock = connect(port)
        sock.sendall(b"x" * (1 if index % 3 else 200000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def half(port: int, number: int) -> None:
    """Send, close that half, and read the answer to its end."""
    for index in range(number):
        with connect(port) as sock:
            sock.sendall(b"half%d" % index)
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock, 100) == b"half%d" % index


def trickle(port: int, number: int) -> None:
    """Many that send a byte at a time, all at once, for a while."""
    with ExitStack() as open_ones:
        socks = [open_ones.enter_context(connect(port)) for _ in range(number)]
        for byte in b"slow":
            for sock in socks:
                sock.sendall(bytes([byte]))
            time.sleep(0.05)
        for sock in socks:
            assert receive(sock, 4) == b"slow"


def traffic(port: int, number: int) -> None:
    """Keep `number` connections busy until the server ends them or input ends. Says how many it had, and
    where an answer was wrong."""
    chosen = selectors.DefaultSelector()
    socks = [connect(port) for _ in range(number)]
    for sock in socks:
        chosen.register(sock, selectors.EVENT_READ)
    chosen.register(sys.stdin, selectors.EVENT_READ)
    say("ready")
    count = 0
    alive = set()
    for sock in socks:
        try:
            sock.sendall(b"traffic")
            alive.add(sock)
        except OSError:
            pass
    while alive:
        for key, _ in chosen.select(30):
            if key.fileobj is sys.stdin:
                alive.clear()
                break
            sock = key.fileobj  # type: ignore[assignment]
            try:
                data = sock.recv(100)
                if data:
                    assert data in b"traffictraffic"
                    count += 1
                    sock.sendall(data)
                    continue
            except OSError:
                pass
            chosen.unregister(sock)
            alive.discard(sock)
    for sock in socks:
        sock.close()
    say(f"answers {count}")


MODES = {mode.__name__: mode for mode in (echo, idle, silent, reset, half, trickle, traffic)}

if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    MODES[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
    os._exit(0)
