"""Servers for streams (TCP, Unix sockets, with or without TLS) and for datagrams.

What belongs here: making the listener, and taking from it. What never does: when that is done (`baseserver`).
"""

from __future__ import annotations

import os
import stat
from _socket import socket as _csocket
from collections.abc import Callable
from errno import EADDRINUSE, EAFNOSUPPORT, ECONNREFUSED
from importlib import import_module
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET
from typing import Any

from . import socket as _socket
from .baseserver import _AF_UNIX, BaseServer
from .lock import Semaphore

__all__ = ["DatagramServer", "StreamServer"]

_SO_REUSEPORT: int | None = getattr(_socket, "SO_REUSEPORT", None)
_LONGEST_DATAGRAM = 65536
_recvfrom = _csocket.recvfrom


class _ListenerServer(BaseServer):
    """A server that makes its listener itself."""

    reuse_addr: int | None = 1
    """SO_REUSEADDR of a listener that is made here; None leaves it alone."""
    reuse_port: bool = False
    """May other processes bind the same port (SO_REUSEPORT)? The system deals out among all who did."""

    def _adopt_path(self) -> None:
        """Remember the path that was bound, to remove it at the end."""
        address = self.address
        if self.family == _AF_UNIX and address and address[:1] not in ("\0", b"\0"):
            self._path = (address, os.stat(address).st_ino, os.getpid())


class StreamServer(_ListenerServer):
    """A server of connections: `handle(socket, address)` is called for each, and the socket closed when that
    returns. `listener`, `handle` and `spawn` as for BaseServer.

    `backlog` is how many connections may wait to be accepted; only for an address (TypeError for a socket).
    With any further argument the connections speak TLS: `ssl_context`, and what its `wrap_socket` takes; or
    without a context what makes one: `certfile`, `keyfile`, `cert_reqs`, `ca_certs`, `ciphers`,
    `ssl_version`.
    """

    backlog: int = 4096
    """Of a listener that is made here. The system has a limit of its own."""
    handshake_timeout: float | None = None
    """Seconds that a peer has for the TLS handshake."""

    ssl_args: dict[str, Any] | None
    wrap_socket: Callable[..., Any]

    def __init__(
        self,
        listener: Any,
        handle: Any = None,
        backlog: int | None = None,
        spawn: Any = "default",
        **ssl_args: Any,
    ) -> None:
        super().__init__(listener, handle=handle, spawn=spawn)
        try:
            self.ssl_args = None
            if ssl_args:
                ssl_args.setdefault("server_side", True)
                self.wrap_socket, self.ssl_args = _tls(ssl_args)
            if backlog is not None:
                if hasattr(self, "socket"):
                    raise TypeError("backlog must be None when a socket instance is passed")
                self.backlog = backlog
        except BaseException:
            self.close()
            raise

    @property
    def ssl_enabled(self) -> bool:
        """Do the connections speak TLS?"""
        return self.ssl_args is not None

    def init_socket(self) -> None:
        if not hasattr(self, "socket"):
            self.socket = self.get_listener(self.address, self.backlog, self.family)
            self.address = self.socket.getsockname()
            self._adopt_path()
        _unblock(self.socket)
        self._handle = self.wrap_socket_and_handle if self.ssl_args else self.handle

    @classmethod
    def get_listener(cls, address: Any, backlog: int | None = None, family: int | None = None) -> Any:
        """A socket that listens on `address`. Raises OSError, with the address in its text."""
        listener = _bound(cls, address, family, SOCK_STREAM)
        try:
            listener.listen(cls.backlog if backlog is None else backlog)
        except BaseException:
            listener.close()
            raise
        return listener

    def do_read(self) -> tuple[Any, ...] | None:
        listener = self.socket
        try:
            fd, address = listener._accept()
        except BlockingIOError:
            return None
        return _socket.socket(listener.family, listener.type, listener.proto, fd), address

    def do_close(self, sock: Any, *args: Any) -> None:
        sock.close()

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        """Shake hands, in the handler's greenlet, and call the handler."""
        timeout = self.handshake_timeout
        if timeout is not None:
            client_socket.settimeout(timeout)
        with self.wrap_socket(client_socket, **(self.ssl_args or {})) as ssl_socket:
            if timeout is not None:
                ssl_socket.settimeout(None)
            return self.handle(ssl_socket, address)


class DatagramServer(_ListenerServer):
    """A server of datagrams: `handle(data, address)` is called for each. Arguments as for BaseServer.
    `sendto(data, address)` answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writelock = Semaphore()

    def init_socket(self) -> None:
        if not hasattr(self, "socket"):
            self.socket = self.get_listener(self.address, self.family)
            self.address = self.socket.getsockname()
            self._adopt_path()
        _unblock(self.socket)

    @classmethod
    def get_listener(cls, address: Any, family: int | None = None) -> Any:
        """A datagram socket that is bound to `address`. Raises OSError, with the address in its text."""
        return _bound(cls, address, family, SOCK_DGRAM)

    def do_read(self) -> tuple[Any, ...] | None:
        try:
            # Past whatever the object's `recvfrom` does to wait.
            return _recvfrom(self.socket, _LONGEST_DATAGRAM)
        except BlockingIOError:
            return None

    def sendto(self, *args: Any) -> None:
        """The socket's `sendto`. Blocks while the system has no room."""
        with self._writelock:
            self.socket.sendto(*args)


def _unblock(listener: Any) -> None:
    """Whoever takes from the listener must not wait. A socket of ours never does, whatever it looks like."""
    if not isinstance(listener, _socket.socket):
        listener.setblocking(False)


def _bound(cls: type[_ListenerServer], address: Any, family: int | None, kind: int) -> Any:
    if family is None:
        family = AF_INET
    try:
        listener = _socket.socket(family, kind)
    except OSError as error:
        if error.errno != EAFNOSUPPORT or family != AF_INET6 or address[0]:
            raise
        # Every address of a machine that has no IPv6.
        listener = _socket.socket(AF_INET, kind)
    try:
        if family == _AF_UNIX:
            _bind_path(listener, address)
            return listener
        if cls.reuse_addr is not None:
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, cls.reuse_addr)
        if cls.reuse_port:
            if _SO_REUSEPORT is None:
                raise ValueError("reuse_port: this system has no SO_REUSEPORT")
            listener.setsockopt(SOL_SOCKET, _SO_REUSEPORT, 1)
        listener.bind(address)
        return listener
    except BaseException as error:
        listener.close()
        if isinstance(error, OSError) and error.strerror is not None:
            error.strerror += f": {address!r}"
        raise


def _bind_path(listener: Any, path: str | bytes) -> None:
    """Bind a path. What a server that is gone has left there is removed."""
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != EADDRINUSE or not stat.S_ISSOCK(os.stat(path).st_mode):
            raise
        probe = _csocket(listener.family, listener.type)
        try:
            probe.setblocking(False)
            if probe.connect_ex(path) != ECONNREFUSED:
                raise
        finally:
            probe.close()
        os.unlink(path)
        listener.bind(path)


_MAKES_CONTEXT = ("certfile", "keyfile", "cert_reqs", "ca_certs", "ciphers", "ssl_version")


def _tls(arguments: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """(what wraps a connection's socket, with which arguments) of what a server was given."""
    arguments = dict(arguments)
    context = arguments.pop("ssl_context", None)
    if context is None:
        ssl: Any = import_module(".ssl", __package__)
        made_of = {name: arguments.pop(name) for name in _MAKES_CONTEXT if name in arguments}
        context = ssl.SSLContext(made_of.get("ssl_version") or ssl.PROTOCOL_TLS_SERVER)
        if made_of.get("certfile"):
            context.load_cert_chain(made_of["certfile"], made_of.get("keyfile"))
        if made_of.get("ca_certs"):
            context.load_verify_locations(made_of["ca_certs"])
        if made_of.get("ciphers"):
            context.set_ciphers(made_of["ciphers"])
        if "cert_reqs" in made_of:
            context.verify_mode = made_of["cert_reqs"]
    return context.wrap_socket, arguments
