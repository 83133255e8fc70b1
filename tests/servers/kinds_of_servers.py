"""Servers of each kind, which say what `peer.py` asks them to: `kinds_of_servers.py KIND TASK`.

What belongs here: what they are made of, for tests in this process and in one of its own; and what a server's
process does besides serving. What never does: clients, and judging.

As a program: serve until SIGINT or SIGTERM comes, having said the port, and then say what is left. The task
is the name of a function of this module that is called meanwhile, or "serve".
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

import greenswitch
from greenswitch import get_hub, joinall, signal_handler, sleep, subprocess
from greenswitch.hub import Hub
from greenswitch.os import fork, waitpid
from greenswitch.pywsgi import WSGIServer
from greenswitch.server import StreamServer

LOCAL = ("127.0.0.1", 0)
MOST = 20_000
"""Connections at once of those that count them."""


def echo(sock: Any, address: Any) -> None:
    try:
        while data := sock.recv(65536):
            sock.sendall(data)
    except ConnectionError:
        pass


def path(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def server_of(kind: str, handle: Any = None, **arguments: Any) -> StreamServer:
    """A server that is not started. `handle` is an application if the kind is "wsgi"; "tls" needs more
    arguments."""
    if kind == "wsgi":
        quiet = {"log": None, "error_log": None}
        return WSGIServer(LOCAL, handle or path, spawn=MOST, **quiet, **arguments)
    spawn: Any = MOST if kind in ("pool", "tls") else kind
    return StreamServer(LOCAL, handle or echo, spawn=spawn, **arguments)


KINDS = ("default", "raw", "pool", "wsgi")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def greenlets() -> int:
    return sum(isinstance(one, greenswitch.greenlet) and not isinstance(one, Hub) for one in gc.get_objects())


# Tasks


def serve(server: StreamServer) -> None:
    pass


def forks(server: StreamServer) -> None:
    """Children that go their own way, and others that run a program."""
    for number in range(20):
        child = fork()
        if not child:
            try:
                # Before anybody else runs here.
                if number % 2:
                    server.stop(timeout=0)
                    sleep(0.01)
            finally:
                os._exit(7)
        assert waitpid(child, 0) == (child, 7 << 8)
        assert subprocess.run(["true"]).returncode == 0
        sleep(0.005)
    print("done", flush=True)


def main(kind: str, task: str) -> None:
    get_hub()
    sleep(0)
    before = descriptors(), greenlets()
    server = server_of(kind)
    server.start()
    signal_handler(signal.SIGTERM, server.stop, 0.2)
    print(server.server_port, flush=True)
    doing = greenswitch.spawn(globals()[task], server)
    try:
        server.serve_forever(stop_timeout=0.2)
    except KeyboardInterrupt:
        print("interrupted")
    joinall([doing], raise_error=True)
    del server, doing
    # Handlers that are in no pool end with their clients.
    with greenswitch.Timeout(20, False):
        while gc.collect() is not None and (descriptors(), greenlets()) != before:
            sleep(0.02)
    print("left", descriptors() - before[0], greenlets() - before[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
