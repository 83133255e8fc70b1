"""A worker for gunicorn: each connection has a greenlet, and the application finds the standard library
patched.

    gunicorn -k greenswitch.integrations.gunicorn.Worker app:application

What belongs here: how connections come to gunicorn's own code for HTTP, and how a worker ends. What never
does: HTTP, which is gunicorn's, and accepting, which is `server`'s.

Of gunicorn's settings, `worker_connections` is how many connections a worker serves at once; those beyond
wait until it has a place, or for another worker. `keepalive` is also the time, in seconds, that a client has
for the head of a request. `timeout` is for how long the application may keep a worker's greenlets from
running.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from signal import SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGWINCH
from time import monotonic
from typing import Any

from gunicorn import sock, util
from gunicorn.workers.base_async import AsyncWorker

from greenswitch import monkey, socket
from greenswitch._core import GreenletExit
from greenswitch.event import Event
from greenswitch.hub import get_hub, signal_handler
from greenswitch.pool import Pool
from greenswitch.server import StreamServer
from greenswitch.timeout import Timeout

__all__ = ["Worker"]

_BEAT = 1.0
"""After how many seconds, at most, a worker says that it is alive, and looks whether it is to end."""
_HANDSHAKE = 30.0
"""Seconds that a client has for the handshake of TLS."""
_LAST = 1.0
"""For how many seconds a worker that is to end waits for requests on the connections that it has."""


class _Listener:
    """What gunicorn asks a listener for. A connection may be served after its listener was closed."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        return self._name


class Worker(AsyncWorker):  # type: ignore[misc]  # gunicorn has no types
    """One process of gunicorn's."""

    alive: bool
    sockets: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Here it is still the process of gunicorn itself, which is not to be patched.
        super().__init__(*args, **kwargs)
        self._woken = Event()
        self._awaiting: set[Timeout] = set()
        """The limits of those who wait for a request."""
        self._context: Any = None

    def init_process(self) -> None:
        """Serve until it is time to end. The application is loaded by this, into a patched process."""
        monkey.patch_all()
        self.sockets = [socket.socket(fileno=each.sock.detach()) for each in self.sockets]
        super().init_process()

    # Signals

    def init_signals(self) -> None:
        super().init_signals()
        # Above, gunicorn has made a pipe of its own what signals wake.
        get_hub().loop.hear_signals()
        # What these do may wait: for files, for what the user has hooked in. SIGABRT is left as it is: it is
        # sent to a worker in which no greenlet gets to run.
        for signum, handler in (
            (SIGTERM, self.handle_exit),
            (SIGINT, self.handle_quit),
            (SIGQUIT, self.handle_quit),
            (SIGUSR1, self.handle_usr1),
            (SIGWINCH, self.handle_winch),
        ):
            signal_handler(signum, handler, signum, None)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self._woken.set()

    # The worker

    def run(self) -> None:
        pool = Pool(self.worker_connections)
        if self.cfg.is_ssl:
            self._context = sock.ssl_context(self.cfg)
        servers = []
        for listener in self.sockets:
            serve = partial(self.handle, _Listener(listener.getsockname()))
            server = StreamServer(listener, serve, spawn=pool)
            if self.cfg.workers > 1:
                server.max_accept = 1
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            self._woken.wait(_BEAT)
        for server in servers:
            server.close()
        self._end(pool)

    def _end(self, pool: Pool) -> None:
        """Wait for those who are served, as long as the configuration says."""
        end = monotonic() + self.cfg.graceful_timeout
        get_hub().loop.call_later(_LAST, self._send_away)
        while (left := end - monotonic()) > 0:
            self.notify()
            if pool.join(min(left, _BEAT)):
                return
        if len(pool):
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
            pool.kill(timeout=_BEAT)

    def _send_away(self) -> None:
        """End the waits for requests. Called by the loop, so that none of them ends meanwhile."""
        for timeout in list(self._awaiting):
            timeout._expire()

    def notify(self) -> None:
        super().notify()
        if self.alive and self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False

    # A connection

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end, and close it. Blocks."""
        # Whatever `socket.setdefaulttimeout` was called with.
        client.settimeout(None)
        if self._context is not None:
            client = self._context.wrap_socket(
                client,
                server_side=True,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=self.cfg.suppress_ragged_eofs,
            )
            try:
                with Timeout(_HANDSHAKE, TimeoutError("The TLS handshake takes too long")):
                    client.do_handshake()
            except BaseException as error:
                util.close(client)
                if not isinstance(error, OSError):
                    raise
                self.log.debug("No connection with %s: %s", addr, error)
                return
        super().handle(listener, client, addr)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a request, which ends silently when it takes too long."""
        with Timeout(self.cfg.keepalive, False) as timeout:
            self._awaiting.add(timeout)
            try:
                yield
            finally:
                self._awaiting.discard(timeout)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        # Killed, when the time for a graceful end was over: it gets no answer.
        if not isinstance(exc, GreenletExit):
            super().handle_error(req, client, addr, exc)
