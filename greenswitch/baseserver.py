"""What all servers share: a listening descriptor, a greenlet for each of what comes, and an end.

What belongs here: when to look at the listener and when not (started, stopped, full, out of descriptors), who
runs a handler, and how to stop. What never does: what is read from the listener (`server`) and what is spoken
on a connection (`pywsgi`, `backdoor`).

The listener is borrowed from the loop, level-triggered: several processes may share it, it may be taken out
and put back at any time, and what `do_read` of a subclass leaves there is told again.
"""

from __future__ import annotations

import os
import socket as _stdlib
import sys
from collections.abc import Callable
from errno import EBADF, ECONNABORTED, EINVAL, ENOTSOCK, EPROTO
from typing import Any, ClassVar

from .event import Event
from .greenlets import Greenlet
from .hub import get_hub, spawn_raw
from .loop import READ
from .pool import Pool

__all__ = ["BaseServer"]

_AF_UNIX: int = getattr(_stdlib, "AF_UNIX", -2)
_NO_FAILURE = frozenset({ECONNABORTED, EPROTO})
"""Numbers of errors of one that came and is gone again: nothing is wrong with the listener."""


def _run_and_close(
    handle: Callable[..., object], close: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    try:
        handle(*arguments)
    finally:
        close(*arguments)


class BaseServer:
    """The base of servers. `listener` is a socket that is bound (and listens, if it is of a kind that does),
    or an address to make one for: `(host, port)`, `"host:port"`, `":port"`, a port, or the path of a Unix
    socket (a string with a slash in it, or a `pathlib.Path`).

    For each of what comes `handle(...)` is called - given here, or a method of a subclass - and afterwards
    `do_close` with the same arguments. `spawn` says where: `"default"` in a Greenlet each; `"raw"` in a bare
    greenlet each; a number, a Pool, or anything else with a method `spawn`: there, and while that is full
    nothing is accepted; None in the hub itself, where nothing may wait; or a function that is called with
    what to call and its arguments.

    In a `with` block it is stopped at the end. Raises TypeError without a handler, ValueError for an address
    that is none.
    """

    min_delay: float = 0.01
    """For how many seconds nothing is accepted after an error, such as no descriptor left. Doubled with each
    further one; negative: go on at once."""
    max_delay: float = 1
    """The most seconds that this comes to."""
    max_accept: int = 100
    """How many are accepted in a row before others have their turn."""
    stop_timeout: float | None = 1
    """For how many seconds `stop` waits for handlers to end, if it is not told another number."""
    fatal_errors: ClassVar[tuple[int, ...]] = (EBADF, EINVAL, ENOTSOCK)
    """Numbers of errors after which nothing will come from the listener any more."""

    _spawn: Any = staticmethod(Greenlet.spawn)
    _handle: Any
    handle: Any
    socket: Any
    """The listener. Absent while the server is closed."""
    family: int
    address: Any
    """What the listener is bound to, or is to be."""

    def __init__(self, listener: Any, handle: Any = None, spawn: Any = "default") -> None:
        self._stop_event = Event()
        self._stop_event.set()
        self._watch: Any = None
        self._timer: Any = None
        self._path: tuple[str | bytes, int, int] | None = None
        self.pool: Any = None
        """Where handlers run, if it is known to be limited or to be waited for."""
        self.delay = self.min_delay
        try:
            self.set_listener(listener)
            self.set_spawn(spawn)
            self.set_handle(handle)
            self.loop = get_hub().loop
            if self.max_accept < 1:
                raise ValueError(f"max_accept must be positive int: {self.max_accept!r}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()

    # What it is made of

    def set_listener(self, listener: Any) -> None:
        """Take a socket, or an address to make one for when the server is started. Raises TypeError for a
        socket that speaks TLS: the server wraps connections, not the listener."""
        if hasattr(listener, "accept"):
            if hasattr(listener, "do_handshake"):
                raise TypeError(f"Expected a regular socket, not SSLSocket: {listener!r}")
            self.family = listener.family
            self.address = listener.getsockname()
            self.socket = listener
        else:
            self.family, self.address = parse_address(listener)

    def set_spawn(self, spawn: Any) -> None:
        """Where handlers run; see the class."""
        self.pool = None
        self.__dict__.pop("_spawn", None)
        self.__dict__.pop("full", None)
        if isinstance(spawn, str):
            if spawn == "raw":
                self._spawn = spawn_raw
            elif spawn != "default":
                raise ValueError(f"spawn must be 'default', 'raw', a pool or a function, not {spawn!r}")
        elif hasattr(spawn, "spawn"):
            self.pool = spawn
        elif isinstance(spawn, int):
            self.pool = Pool(spawn)
        else:
            self._spawn = spawn
        if self.pool is not None:
            self._spawn = self.pool.spawn
            if hasattr(self.pool, "full"):
                setattr(self, "full", self.pool.full)

    def set_handle(self, handle: Any) -> None:
        """What is called for each of what comes. TypeError if there is neither this nor a method."""
        if handle is not None:
            self.handle = handle
        if not hasattr(self, "handle"):
            raise TypeError("'handle' must be provided")
        self._handle = self.handle

    # Accepting

    def start_accepting(self) -> None:
        """Look at the listener. Does nothing if that is done already."""
        if self._watch is None:
            self._watch = self.loop.borrow(self.socket.fileno(), READ, self._on_readable, lasting=True)

    def stop_accepting(self) -> None:
        """Leave what comes in the listener's queue. Idempotent."""
        watch, self._watch = self._watch, None
        if watch is not None:
            self.loop.release(watch)
        timer, self._timer = self._timer, None
        if timer is not None:
            self.loop.cancel_timer(timer)

    def _start_accepting_if_started(self, _source: object = None) -> None:
        if self.started:
            self.start_accepting()

    def _pause(self) -> None:
        """Something went wrong that is not over at once."""
        if self.delay >= 0:
            self.stop_accepting()
            self._timer = self.loop.call_later(self.delay, self._start_accepting_if_started)
            self.delay = min(self.max_delay, self.delay * 2)

    def _wait_for_place(self) -> None:
        """The pool is full: go on when somebody has left it."""
        self.stop_accepting()
        places = getattr(self.pool, "_semaphore", None)
        if places is None:
            self._timer = self.loop.call_later(self.min_delay, self._start_accepting_if_started)
        else:
            places.rawlink(self._start_accepting_if_started)

    def _on_readable(self, _flags: int) -> None:
        """Runs in the loop: nothing in here may wait."""
        for _ in range(self.max_accept):
            if self.full():
                self._wait_for_place()
                return
            try:
                arguments = self.do_read()
            except BaseException as error:
                if isinstance(error, OSError) and error.errno in _NO_FAILURE:
                    continue
                self.loop.handle_error(self, type(error), error, error.__traceback__)
                if self.is_fatal_error(error):
                    self.close()
                    sys.stderr.write(f"ERROR: {self} failed with {str(error) or repr(error)}\n")
                else:
                    self._pause()
                return
            self.delay = self.min_delay
            if not arguments:
                return
            try:
                self.do_handle(*arguments)
            except BaseException as error:
                self.loop.handle_error((arguments[1:], self), type(error), error, error.__traceback__)
                self._pause()
                return
            if self._watch is None:
                # Whoever was called has stopped it.
                return

    def do_read(self) -> tuple[Any, ...] | None:
        """The arguments of the handler for the next of what came, or None if there is none. Must not wait."""
        raise NotImplementedError

    def do_handle(self, *args: Any) -> None:
        """Have the handler called with `args`, and `do_close` after it."""
        spawn = self._spawn
        try:
            if spawn is None:
                _run_and_close(self._handle, self.do_close, args)
            else:
                spawn(_run_and_close, self._handle, self.do_close, args)
        except BaseException:
            self.do_close(*args)
            raise

    def do_close(self, *args: Any) -> None:
        """Called with the handler's arguments when that is done."""

    def full(self) -> bool:
        """Is there no place for another handler?"""
        return False

    def is_fatal_error(self, ex: BaseException) -> bool:
        """Is the listener of no use any more?"""
        return isinstance(ex, OSError) and bool(ex.args) and ex.args[0] in self.fatal_errors

    # Starting and stopping

    @property
    def server_host(self) -> str | None:
        """The address that the server is bound to; None if it has no such part."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self) -> int | None:
        """The port that the server is bound to; None if it has no such part."""
        return self.address[1] if isinstance(self.address, tuple) else None

    def init_socket(self) -> None:
        """Make the listener if there is none. Called by `start`."""

    @property
    def started(self) -> bool:
        return not self._stop_event.is_set()

    def start(self) -> None:
        """Make the listener if there is none, and accept. Does not block, except where a host name has to be
        looked up. Raises OSError if the address cannot be bound."""
        self.init_socket()
        self._stop_event.clear()
        try:
            self.start_accepting()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the listener. Handlers go on. Idempotent; does not block."""
        self._stop_event.set()
        try:
            self.stop_accepting()
        finally:
            listener = self.__dict__.pop("socket", None)
            if listener is not None:
                try:
                    listener.close()
                except OSError:
                    # Somebody has closed it already.
                    pass
            self._remove_path()
            for name in ("handle", "_handle"):
                # A function that was given often leads back to the server.
                self.__dict__.pop(name, None)
            unlink = getattr(getattr(self.pool, "_semaphore", None), "unlink", None)
            if unlink is not None:
                unlink(self._start_accepting_if_started)

    def _remove_path(self) -> None:
        """The path that was bound goes, if it is still that one and this process's."""
        path, self._path = self._path, None
        if path is not None and path[2] == os.getpid():
            try:
                if os.stat(path[0]).st_ino == path[1]:
                    os.unlink(path[0])
            except OSError:
                pass

    @property
    def closed(self) -> bool:
        """Is there no listener?"""
        return not hasattr(self, "socket")

    def stop(self, timeout: float | None = None) -> None:
        """Close the listener. If handlers run in a pool, wait for them, for `timeout` seconds (`stop_timeout`
        if that is None), and kill those that are left; handlers elsewhere go on. Idempotent."""
        self.close()
        if timeout is None:
            timeout = self.stop_timeout
        if self.pool:
            self.pool.join(timeout=timeout)
            self.pool.kill(block=True, timeout=1)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start, unless that is done, and wait until the server is stopped. If this wait is ended by an
        exception, the server is stopped too."""
        if not self.started:
            self.start()
        try:
            self._stop_event.wait()
        finally:
            # In a greenlet of its own: another exception that comes meanwhile does not cut it short.
            Greenlet.spawn(self.stop, timeout=stop_timeout).join()

    # Texts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._formatinfo()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._formatinfo()}>"

    def _formatinfo(self) -> str:
        parts = []
        listener = self.__dict__.get("socket")
        if listener is not None:
            try:
                parts.append(f"fileno={listener.fileno()}")
            except Exception as error:
                parts.append(f"fileno={error}")
        address = getattr(self, "address", None)
        if isinstance(address, tuple) and len(address) == 2:
            address = f"{address[0]}:{address[1]}"
        parts.append(f"address={address}")
        handle = self.__dict__.get("handle")
        if handle is not None:
            if getattr(handle, "__self__", None) is self:
                # Its repr has this one in it.
                parts.append(f"handle=<bound method {type(self).__name__}.{handle.__name__} of self>")
            else:
                try:
                    parts.append(f"handle={handle!r}")
                except Exception as error:
                    parts.append(f"handle={error}")
        return " ".join(parts)


def parse_address(address: Any) -> tuple[int, Any]:
    """(family, address as `bind` wants it) of what a user writes; see BaseServer. Without a host it is every
    address of this machine, of both versions of IP if it has them, except where a colon stands before the
    port: then of IPv4. Raises TypeError, ValueError."""
    if isinstance(address, tuple):
        host = address[0]
        return (_stdlib.AF_INET6 if not host or ":" in host else _stdlib.AF_INET), address
    if isinstance(address, os.PathLike) or (
        isinstance(address, (str, bytes)) and (address[:1] in ("\0", b"\0") or os.sep in os.fsdecode(address))
    ):
        return _AF_UNIX, os.fspath(address)
    if not isinstance(address, (str, int)):
        raise TypeError(f"Expected tuple or string, got {type(address)}")
    try:
        if isinstance(address, int) or ":" not in address:
            return _stdlib.AF_INET6, ("", int(address))
        host, _, port = address.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            return _stdlib.AF_INET6, (host[1:-1], int(port))
        return _stdlib.AF_INET, ("" if host == "*" else host, int(port))
    except ValueError as error:
        raise ValueError(f"Failed to parse address {address!r}: {error}") from None
