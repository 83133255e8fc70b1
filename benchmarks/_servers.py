"""Servers that are measured, each in a process of its own: `_servers.py KIND NAME`.

What belongs here: for each kind (echo, wsgi) the same server by different means, as short as its means allow,
and the clock and the memory of a process. What never does: load, and tables.

The process says the port that it listens on, and serves until it is killed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOCAL = ("127.0.0.1", 0)


class Missing(Exception):
    """What a server needs is not installed."""


# Measured from outside


class Process:
    """A server that runs, and what it uses."""

    def __init__(self, command: list[str], core: int | None) -> None:
        self.popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: None if core is None else pin(core)
        )
        assert self.popen.stdout is not None
        said = self.popen.stdout.readline()
        if not said:
            raise SystemExit(f"{command} has not started")
        self.port = int(said)

    def cpu(self) -> float:
        """Seconds of a core that it has used."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes that are its own."""
        text = Path(f"/proc/{self.popen.pid}/smaps_rollup").read_text(encoding="ascii")
        return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def pin(core: int) -> None:
    os.sched_setaffinity(0, {core})


def cores() -> tuple[int | None, int | None]:
    """One for the server and another for the load, if there are two."""
    ours = sorted(os.sched_getaffinity(0))
    return (ours[-1], ours[0]) if len(ours) > 1 else (None, None)


@contextmanager
def serving(command: list[str], core: int | None) -> Iterable[Process]:  # type: ignore[misc]
    """A server's process, for a while."""
    process = Process(command, core)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.communicate()


def write(file: str | None, figures: object) -> None:
    """As JSON, if there is a file to write to."""
    if file is not None:
        Path(file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def command(kind: str, name: str) -> list[str]:
    return [sys.executable, str(HERE / "_servers.py"), kind, name]


def need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Missing(f"{module} is not installed")


def say(port: int | None) -> None:
    print(port, flush=True)


# Echo


def echo_greenswitch() -> None:
    from greenswitch.server import StreamServer

    serve_echo(StreamServer)


def echo_gevent() -> None:
    from gevent.server import StreamServer

    serve_echo(StreamServer)


def serve_echo(stream_server: Any) -> None:
    def handle(sock: Any, address: Any) -> None:
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except ConnectionError:
            pass

    server = stream_server(LOCAL, handle, backlog=4096)
    server.start()
    say(server.server_port)
    server.serve_forever()


def echo_eventlet() -> None:
    import eventlet

    def handle(sock: Any, address: Any) -> None:
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except ConnectionError:
            pass

    listener = eventlet.listen(LOCAL, backlog=4096)
    say(listener.getsockname()[1])
    eventlet.serve(listener, handle, concurrency=20_000)


def echo_asyncio() -> None:
    import asyncio

    asyncio.run(echo_streams())


def echo_uvloop() -> None:
    import uvloop

    uvloop.run(echo_streams())


async def echo_streams() -> None:
    import asyncio

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(handle, *LOCAL, backlog=4096)
    say(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def echo_threads() -> None:
    import socket
    import threading

    def handle(sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except ConnectionError:
                pass

    threading.stack_size(256 * 1024)
    with socket.create_server(LOCAL, backlog=4096) as listener:
        say(listener.getsockname()[1])
        while True:
            threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()


ECHO: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "greenswitch": (echo_greenswitch, ()),
    "gevent": (echo_gevent, ("gevent",)),
    "eventlet": (echo_eventlet, ("eventlet",)),
    "asyncio": (echo_asyncio, ()),
    "uvloop": (echo_uvloop, ("uvloop",)),
    "threads": (echo_threads, ()),
}


# WSGI


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Frame-Options", "DENY")])
    return [b"Hello, world!\n"]


def wsgi_greenswitch() -> None:
    from greenswitch.pywsgi import WSGIServer

    serve_wsgi(WSGIServer)


def wsgi_gevent() -> None:
    from gevent.pywsgi import WSGIServer

    serve_wsgi(WSGIServer)


def serve_wsgi(wsgi_server: Any) -> None:
    server = wsgi_server(LOCAL, hello, log=None, backlog=4096)
    server.start()
    say(server.server_port)
    server.serve_forever()


WSGI: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "greenswitch": (wsgi_greenswitch, ("httptools",)),
    "gevent": (wsgi_gevent, ("gevent",)),
}

KINDS = {"echo": ECHO, "wsgi": WSGI}

if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    KINDS[sys.argv[1]][sys.argv[2]][0]()
