"""The standard `socket` module with every wait going through the hub.

What belongs here: a socket class whose waits switch to other greenlets, and the module's functions that make
sockets, connect them or look names up. What never does: names that cannot block (they are the standard
library's own objects), who is woken next (`hub`), where names are looked up (`resolver`).

**How a socket waits.** The system's socket never blocks; the timeout that the user set is kept apart. An
operation is tried first. Only when the system says "would block" is the descriptor registered with the loop -
once, edge-triggered, for both directions, until it is closed - and the greenlet waits. A socket that never
has to wait is never registered.

**Why no wake-up is lost.** An edge is told once: when something *arrives*, not while something *is there*. So
`Descriptor.readable` may only become False on proof that nothing is there, and whatever arrives after that
proof must be told. The proofs:

1. *The system said "would block".* If something arrives after that, the kernel puts the descriptor into the
   poller's list of ready ones, and the loop's next look gives it to us. There is no gap before the
   registration either: registering looks at the present state and tells it.
2. *A TCP read gave less than was asked for.* This saves the second, failing read, which costs more than all
   the rest of a request. The kernel fills the buffer until its queue is empty, so a short read leaves an
   empty queue - except that it also stops before the end of the stream, an error, or a byte of urgent data.
   Each of these is a change too. Either the loop has been told of it already, then `hangup` or `urgent` is
   set and stays, and short reads prove nothing on this socket any more: reading goes on until proof 1 or the
   end. Or it still lies in the poller's list, then the coming look at it sets `readable`. Whatever came
   together with the data - the last bytes and the FIN in one segment - is covered by the same two cases.

A read that fills its buffer proves nothing (more may wait: a peer who sends 64 bytes to a reader of exactly
64), so `readable` stays and the next read is tried. Nor does a short read of anything but a TCP stream
without flags: a datagram, a record, a read from a Unix socket (it stops where passed descriptors or
credentials change), `recvmsg` (urgent mark, ancillary data), a peek, a TLS stream inside of the kernel. Those
need proof 1.

For writing the same holds: proof 1, or a TCP write that took less than it was given; then the kernel has
noted that somebody wants room, and tells when a third of the buffer is free.

Only the thread whose loop holds the descriptor may set these flags. Another thread could set `readable` to
False after a read of its own, at a moment when the owner's loop has just been told of newer data; that edge
would be lost. Such a thread tries first, and waits level-triggered in its own hub, for that one wait.

When `close` takes a descriptor away from somebody who waits, he gets OSError (EBADF). Who waits for its
number alone - by `select`, a watcher, `wait_read` - is woken, to look for himself: nothing else would ever
tell him.
"""

from __future__ import annotations

import builtins as _builtins
import os as _os
import socket as _stdlib
import stat as _stat
import sys
from _socket import socket as _csocket
from _socket import socketpair as _csocketpair
from collections.abc import Callable, Iterable
from errno import EAGAIN, EALREADY, EBADF, EINPROGRESS, EISCONN
from operator import index as _index
from typing import TYPE_CHECKING, Any

from ._core import guard
from ._original import RLock, get_ident, monotonic
from .exceptions import ConcurrentObjectUseError
from .hub import Hub, Waiter, get_hub, get_hub_if_any, raise_in_main, sleep
from .loop import READ, URGENT, WRITE, Descriptor
from .loop.watchers import Watcher
from .resolver import is_address
from .resolver.thread import Resolver
from .timeout import Timeout

if TYPE_CHECKING:
    from socket import _SendableFile

    from _typeshed import ReadableBuffer, WriteableBuffer

    def __getattr__(name: str) -> Any:
        """The standard module's constants and classes, see the end of the file."""


# The standard library's own, whatever is patched later.
_Base = _stdlib.socket
_GLOBAL_DEFAULT_TIMEOUT: Any = getattr(_stdlib, "_GLOBAL_DEFAULT_TIMEOUT")  # noqa: B009
_stdlib_create_server = _stdlib.create_server
_stdlib_sendfile = _Base.sendfile
_stdlib_init = _Base.__init__
_stdlib_detach = _Base.detach

_accept: Callable[[_csocket], tuple[int, Any]] = getattr(_csocket, "_accept")  # noqa: B009
_connect_ex = _csocket.connect_ex
_family = _csocket.family.__get__
_finish: Callable[[_csocket], None] = getattr(_csocket, "__del__")  # noqa: B009
_fileno = _csocket.fileno
_gettimeout = _csocket.gettimeout
_proto = _csocket.proto.__get__
_recv = _csocket.recv
_recv_into = _csocket.recv_into
_recvfrom = _csocket.recvfrom
_recvfrom_into = _csocket.recvfrom_into
_recvmsg = _csocket.recvmsg
_recvmsg_into = _csocket.recvmsg_into
_send = _csocket.send
_sendmsg = _csocket.sendmsg
_sendto = _csocket.sendto
_setsockopt = _csocket.setsockopt
_settimeout = _csocket.settimeout
_type = _csocket.type.__get__

_AF_INET = int(_stdlib.AF_INET)
_AF_INET6 = int(getattr(_stdlib, "AF_INET6", -2))
_AF_UNIX = int(getattr(_stdlib, "AF_UNIX", -2))
_SOCK_STREAM = int(_stdlib.SOCK_STREAM)
_TCP = (0, int(_stdlib.IPPROTO_TCP))
_TCP_ULP = 31  # of linux/tcp.h; the socket module has no name for it
_MSG_WAITALL = int(getattr(_stdlib, "MSG_WAITALL", 0))
_MSG_AT_ONCE = int(getattr(_stdlib, "MSG_DONTWAIT", 0)) | int(getattr(_stdlib, "MSG_ERRQUEUE", 0))
_MSG_BESIDE = int(_stdlib.MSG_OOB) | int(getattr(_stdlib, "MSG_ERRQUEUE", 0))
"""Reads that do not take from the ordinary queue: "would block" says nothing about it."""

_AS_SET: Any = object()
"""A timeout that is not given: the socket's own counts."""

_ANY_REAL = sys.version_info >= (3, 15)
"""Whether timeouts may be fractions and decimal numbers too."""

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02
"""Seconds between two tries where the system refuses for the moment and has no event for the end of it."""


class cancel_wait_ex(OSError):
    """In the greenlet that waits on a socket which another greenlet closes. `errno` is EBADF."""

    def __init__(self) -> None:
        super().__init__(EBADF, "File descriptor was closed in another greenlet")


class _Unregistered(Descriptor):
    """Stands for the descriptor of a socket that never had to wait: try everything, conclude nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        self.fd = -1
        self.readable = self.writable = True
        self.hangup = self.urgent = True
        self.reader = self.writer = None
        self.closed = False
        self.ref = True


_UNREGISTERED = _Unregistered()
_registering = RLock()
"""Held for what two threads that use one socket must not do at once. Reentrant for the sake of signal
handlers."""
# In the child of a fork nobody holds it who is not there.
_os.register_at_fork(after_in_child=getattr(_registering, "_at_fork_reinit"))  # noqa: B009


def _unregister(descriptor: Descriptor, owner: int) -> None:
    """Take `descriptor` out of its loop, which runs in the thread `owner`."""
    loop = descriptor.loop
    if owner == get_ident():
        loop.unregister(descriptor)
    else:
        # The closing of the number ends the events; the rest is for the loop to forget in its own thread.
        loop.call_threadsafe(lambda: loop.unregister(descriptor))


def _seconds(value: float | None) -> float | None:
    """A timeout as the standard socket takes it: None, or a number that is not negative."""
    if value is None:
        return None
    if _ANY_REAL and hasattr(value, "__float__"):
        value = float(value)
    seconds = value if isinstance(value, float) else float(_index(value))
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0.0:
        raise ValueError("Timeout value out of range")
    if seconds > 9223372036.0:
        raise OverflowError("timeout doesn't fit into C timeval")
    return float(seconds)


class socket(_Base):
    """The standard `socket.socket`; where that one blocks the thread, this one lets other greenlets run.

    `socket(family=-1, type=-1, proto=-1, fileno=None)` as the standard library's. Timeouts are in seconds,
    None is for ever, 0 is non-blocking; errors are the standard ones. Waiting for one direction is for one
    greenlet at a time (ConcurrentObjectUseError for a second); reading and writing are independent.
    """

    __slots__ = ("_descriptor", "_hub", "_owner", "_strangers", "_stream", "_timeout")

    _descriptor: Descriptor
    _hub: Hub
    """The hub whose loop holds the descriptor, and only set if there is one."""
    _owner: int
    """The thread of that hub; 0 if there is none."""
    _strangers: tuple[Waiter, ...]
    """Waits in hubs that do not hold the descriptor."""
    _stream: bool
    """A short read or write proves that nothing more can be had, see the module's text."""
    _timeout: float | None
    _closed: bool

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        self._descriptor = _UNREGISTERED
        self._strangers = ()
        _stdlib_init(self, family, type, proto, fileno)
        # The system's timeout begins as the default timeout, or as 0 for the type SOCK_NONBLOCK.
        self._timeout = _gettimeout(self)
        _settimeout(self, 0.0)
        self._owner = 0
        self._stream = (
            _type(self) == _SOCK_STREAM and _family(self) in (_AF_INET, _AF_INET6) and _proto(self) in _TCP
        )

    def _end(
        self, _unregistered: Descriptor = _UNREGISTERED, _finish: Callable[[Any], None] = _finish
    ) -> None:
        descriptor = getattr(self, "_descriptor", _unregistered)
        if descriptor is not _unregistered:
            _unregister(descriptor, self._owner)
        _finish(self)

    __del__ = guard(_end, raise_in_main)

    # Waiting

    def _left(self, deadline: float | None) -> tuple[float | None, float | None]:
        """(seconds that this operation may still wait, its deadline). `deadline` is None before the first
        wait."""
        timeout = self._timeout
        if timeout is None:
            return None, None
        if deadline is None:
            return timeout, monotonic() + timeout
        timeout = deadline - monotonic()
        if timeout <= 0.0:
            raise TimeoutError("timed out")
        return timeout, deadline

    def _is_ours(self) -> bool:
        """Does the loop of this thread hold the descriptor? Registers it, if nobody has."""
        hub = get_hub()
        if self._descriptor is _UNREGISTERED:
            with _registering:
                if self._descriptor is _UNREGISTERED:
                    fd = _fileno(self)
                    if fd < 0:
                        raise OSError(EBADF, _os.strerror(EBADF))
                    self._descriptor = hub.loop.register(fd)
                    self._hub = hub
                    self._owner = get_ident()
        descriptor = self._descriptor
        return descriptor.loop is hub.loop and not descriptor.closed

    def _await_readable(self, deadline: float | None) -> float | None:
        """Nothing is there: wait until that may have changed, and give the deadline for the next call.
        Returns at once if the user's timeout is 0. Raises TimeoutError."""
        timeout = self._timeout
        if timeout is not None:
            if timeout == 0.0:
                return None
            timeout, deadline = self._left(deadline)
        descriptor = self._descriptor
        if self._owner != get_ident() or descriptor.closed:
            if not self._is_ours():
                self._await_as_stranger(READ, timeout)
                return deadline
            descriptor = self._descriptor
        descriptor.readable = False
        if not self._hub.wait_readable(descriptor, timeout):
            raise TimeoutError("timed out")
        return deadline

    def _await_writable(self, deadline: float | None) -> float | None:
        """`_await_readable` for the other direction."""
        timeout = self._timeout
        if timeout is not None:
            if timeout == 0.0:
                return None
            timeout, deadline = self._left(deadline)
        descriptor = self._descriptor
        if self._owner != get_ident() or descriptor.closed:
            if not self._is_ours():
                self._await_as_stranger(WRITE, timeout)
                return deadline
            descriptor = self._descriptor
        descriptor.writable = False
        if not self._hub.wait_writable(descriptor, timeout):
            raise TimeoutError("timed out")
        return deadline

    def _await_as_stranger(self, events: int, timeout: float | None) -> None:
        """Wait level-triggered, for this once, in a hub that does not hold the descriptor."""
        hub = get_hub()
        waiter = Waiter(hub)
        # Before the number is looked at: a `close` in another thread either is seen here or sees the waiter.
        with _registering:
            self._strangers += (waiter,)
        try:
            fd = _fileno(self)
            if fd < 0:
                raise OSError(EBADF, _os.strerror(EBADF))
            borrowed = hub.loop.borrow(fd, events, waiter.wake)
            try:
                woken = waiter.wait(timeout)
            finally:
                hub.loop.release(borrowed)
        finally:
            with _registering:
                self._strangers = tuple(other for other in self._strangers if other is not waiter)
        if not woken:
            raise TimeoutError("timed out")

    def _pause(self, pause: float, deadline: float | None) -> float | None:
        """Refused for the moment, and no event will tell the end of it."""
        timeout, deadline = self._left(deadline)
        sleep(pause if timeout is None else min(pause, timeout))
        return deadline

    def _give_up_waits(self) -> None:
        """The descriptor is about to go: nobody may wait for it any more."""
        descriptor = self._descriptor
        if descriptor is not _UNREGISTERED:
            self._descriptor = _UNREGISTERED
            owner, self._owner = self._owner, 0
            if descriptor.reader is not None or descriptor.writer is not None:
                cancel_wait(descriptor)
            _unregister(descriptor, owner)

    def _wake_strangers(self) -> None:
        """The descriptor is gone."""
        for waiter in self._strangers:
            waiter.wake()

    # What gevent's sockets have beside

    @property
    def closed(self) -> bool:
        """Was it closed? Its descriptor may still be open, for the files that `makefile` made."""
        return self._closed

    @property
    def hub(self) -> Hub | None:
        """The hub in which somebody waited for it last; None if it never had to be waited for."""
        return None if self._descriptor is _UNREGISTERED else self._hub

    @property
    def ref(self) -> bool:
        """Does a wait for it keep the loop alive? Setting this belongs in the thread that waits."""
        return self._descriptor.ref

    @ref.setter
    def ref(self, value: bool) -> None:
        self._is_ours()
        descriptor = self._descriptor
        descriptor.loop.set_ref(descriptor, bool(value))

    # Reading

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if flags:
            if flags == _MSG_WAITALL and self._timeout is None and _type(self) == _SOCK_STREAM:
                buffer = bytearray(bufsize)
                return bytes(memoryview(buffer)[: self._fill(memoryview(buffer))])
            return self._receive(_recv, flags, bufsize, flags)  # type: ignore[no-any-return]
        descriptor = self._descriptor
        deadline = None
        if not descriptor.readable:
            if self._timeout is None and self._owner == get_ident() and not descriptor.closed:
                # `_await_readable` without its frame, which every idle connection would keep.
                self._hub.wait_readable(descriptor)
            else:
                deadline = self._await_readable(None)
        while True:
            try:
                data = _recv(self, bufsize)
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
            else:
                if (
                    len(data) < bufsize
                    and not descriptor.hangup
                    and self._stream
                    and data
                    and not descriptor.urgent
                    and self._owner == get_ident()
                ):
                    descriptor.readable = False
                return data
            deadline = self._await_readable(deadline)
            descriptor = self._descriptor

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        if flags:
            if flags == _MSG_WAITALL and self._timeout is None and _type(self) == _SOCK_STREAM:
                with memoryview(buffer) as view, view.cast("B") as whole:
                    return self._fill(whole[:nbytes] if nbytes else whole)
            return self._receive(_recv_into, flags, buffer, nbytes, flags)  # type: ignore[no-any-return]
        descriptor = self._descriptor
        deadline = None
        if not descriptor.readable:
            deadline = self._await_readable(None)
        while True:
            try:
                count = _recv_into(self, buffer, nbytes)
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
            else:
                if (
                    count
                    and not descriptor.hangup
                    and self._stream
                    and not descriptor.urgent
                    and count < (nbytes or memoryview(buffer).nbytes)
                    and self._owner == get_ident()
                ):
                    descriptor.readable = False
                return count
            deadline = self._await_readable(deadline)
            descriptor = self._descriptor

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        return self._receive(_recvfrom, flags, bufsize, flags)  # type: ignore[no-any-return]

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        return self._receive(_recvfrom_into, flags, buffer, nbytes, flags)  # type: ignore[no-any-return]

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        return self._receive(_recvmsg, flags, bufsize, ancbufsize, flags)  # type: ignore[no-any-return]

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        buffers = list(buffers)
        return self._receive(_recvmsg_into, flags, buffers, ancbufsize, flags)  # type: ignore[no-any-return]

    def _receive(self, call: Callable[..., Any], flags: int, *arguments: Any) -> Any:
        """A read whose length proves nothing about what is left."""
        deadline = None
        if not flags and not self._descriptor.readable:
            deadline = self._await_readable(None)
        while True:
            try:
                return call(self, *arguments)
            except BlockingIOError:
                if self._timeout == 0.0 or (flags & _MSG_AT_ONCE and self._timeout is None):
                    raise
            if flags & _MSG_BESIDE:
                timeout, deadline = self._left(deadline)
                self._await_as_stranger(URGENT, timeout)
            else:
                deadline = self._await_readable(deadline)

    def _fill(self, view: memoryview) -> int:
        """MSG_WAITALL, which the system only honours on sockets that block: all of `view`, or what came
        before the end. An error after the first byte is told by the next read."""
        count = 0
        while count < len(view):
            try:
                more = self.recv_into(view[count:])
            except OSError:
                if count:
                    break
                raise
            if not more:
                break
            count += more
        return count

    # Writing

    def send(self, data: ReadableBuffer, flags: int = 0, timeout: Any = _AS_SET) -> int:
        """`timeout`, in seconds or None, counts in place of the socket's own, if it is given."""
        if timeout is not _AS_SET:
            return self._send_within(timeout, data, flags)
        deadline = None
        if not self._descriptor.writable:
            deadline = self._await_writable(None)
        while True:
            try:
                return _send(self, data, flags)
            except BlockingIOError:
                if self._timeout == 0.0 or (flags & _MSG_AT_ONCE and self._timeout is None):
                    raise
            deadline = self._await_writable(deadline)

    def _send_within(self, timeout: float | None, data: ReadableBuffer, flags: int) -> int:
        left, deadline = timeout, None if timeout is None else monotonic() + timeout
        while True:
            try:
                return _send(self, data, flags)
            except BlockingIOError:
                if timeout == 0.0 or (flags & _MSG_AT_ONCE and timeout is None):
                    raise
            if deadline is not None:
                left = deadline - monotonic()
                if left <= 0.0:
                    raise TimeoutError("timed out")
            self._await_as_stranger(WRITE, left)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        sent = 0
        if self._descriptor.writable:
            try:
                sent = _send(self, data, flags)
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
            else:
                if type(data) is bytes and sent == len(data):
                    return
        with memoryview(data) as view, view.cast("B") as octets:
            self._send_rest(octets, sent, flags)

    def _send_rest(self, octets: memoryview, sent: int, flags: int) -> None:
        """All of `octets` from `sent` on, within one timeout."""
        deadline = None
        room = bool(sent) and not self._stream
        while sent < len(octets):
            if not room:
                deadline = self._await_writable(deadline)
            try:
                count = _send(self, octets[sent:], flags)
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
                room = False
            else:
                sent += count
                room = not self._stream

    def sendto(self, data: ReadableBuffer, *arguments: Any) -> int:
        """`sendto(data, address)` or `sendto(data, flags, address)`. Blocks while a host name is looked up
        and while the system has no room."""
        if arguments:
            arguments = (*arguments[:-1], self._resolved(arguments[-1]))
        flags = arguments[0] if len(arguments) > 1 else 0
        return self._transmit(_sendto, flags, data, *arguments)

    def sendmsg(
        self,
        buffers: Iterable[ReadableBuffer],
        ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        if address is not None:
            address = self._resolved(address)
        return self._transmit(_sendmsg, flags, list(buffers), list(ancdata), flags, address)

    def _transmit(self, call: Callable[..., int], flags: int, *arguments: Any) -> int:
        """A write of one message."""
        deadline = None
        pause = _FIRST_PAUSE
        if not self._descriptor.writable:
            deadline = self._await_writable(None)
        while True:
            try:
                return call(self, *arguments)
            except BlockingIOError:
                if self._timeout == 0.0 or (flags & _MSG_AT_ONCE and self._timeout is None):
                    raise
            if _family(self) == _AF_UNIX and _type(self) != _SOCK_STREAM:
                # The receiver's queue is full; our socket counts as writable all the while.
                deadline = self._pause(pause, deadline)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                deadline = self._await_writable(deadline)

    def sendfile(self, file: _SendableFile, offset: int = 0, count: int | None = None) -> int:
        """Send `file`, opened in binary mode, from `offset` on, `count` bytes or all; the number of bytes
        sent. The timeout holds for each part that the system takes. Reading the file blocks the thread."""
        if (
            self._timeout == 0.0
            or "b" not in getattr(file, "mode", "b")
            or _type(self) != _SOCK_STREAM
            or not (count is None or (isinstance(count, int) and count > 0))
        ):
            return _stdlib_sendfile(self, file, offset, count)
        try:
            fd = getattr(file, "fileno")()  # noqa: B009
            status = _os.fstat(fd)
        except (AttributeError, OSError):
            return _stdlib_sendfile(self, file, offset, count)
        if not _stat.S_ISREG(status.st_mode) or not status.st_size:
            return _stdlib_sendfile(self, file, offset, count)
        sent = 0
        deadline = None
        try:
            while count is None or sent < count:
                part = 2**30 if count is None else min(2**30, count - sent)
                try:
                    more = _os.sendfile(_fileno(self), fd, offset + sent, part)
                except BlockingIOError:
                    deadline = self._await_writable(deadline)
                    continue
                except OSError:
                    if sent:
                        raise
                    # This file or system cannot; the standard method reads and sends.
                    return _stdlib_sendfile(self, file, offset, count)
                if not more:
                    break
                sent += more
                deadline = None
            return sent
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)

    # Connecting

    def accept(self) -> tuple[socket, Any]:
        deadline = None
        if not self._descriptor.readable:
            deadline = self._await_readable(None)
        while True:
            try:
                fd, address = _accept(self)
                break
            except BlockingIOError:
                if self._timeout == 0.0:
                    raise
            deadline = self._await_readable(deadline)
        return socket(_family(self), _type(self), _proto(self), fd), address

    def connect(self, address: Any, /) -> None:
        """Connect to `address`. Blocks while a host name is looked up and until the connection stands or
        failed."""
        code = self._connect(address)
        if code:
            raise OSError(code, _os.strerror(code))

    def connect_ex(self, address: Any, /) -> int:
        """`connect` that gives the error's number, 0 for none. Errors before the system is asked are
        raised."""
        try:
            return self._connect(address)
        except TimeoutError:
            return EAGAIN

    def _connect(self, address: Any) -> int:
        address = self._resolved(address)
        deadline = None
        pause = _FIRST_PAUSE
        while (
            (code := _connect_ex(self, address)) == EAGAIN
            and self._timeout != 0.0
            and _family(self) == _AF_UNIX
        ):
            # The listener's queue is full.
            deadline = self._pause(pause, deadline)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if code not in (EINPROGRESS, EALREADY) or self._timeout == 0.0:
            return code
        while True:
            deadline = self._await_writable(deadline)
            # Being called is a hint. The second call tells "done", "still at it" or what went wrong, and
            # takes the socket out of the failed try, which asking for SO_ERROR does not: a third call begins
            # anew.
            code = _connect_ex(self, address)
            if code == EISCONN:
                return 0
            if code not in (EINPROGRESS, EALREADY):
                return code

    def _resolved(self, address: Any) -> Any:
        """`address` with a host that the system's call will not have to look up."""
        family = _family(self)
        if family not in (_AF_INET, _AF_INET6) or not isinstance(address, tuple) or len(address) < 2:
            return address
        host = address[0]
        if not isinstance(host, (str, bytes, bytearray)) or is_address(host):
            return address
        found = getaddrinfo(bytes(host) if isinstance(host, bytearray) else host, None, family)[0][4]
        if len(address) == 2:
            return (found[0], address[1], *found[2:])
        return (found[0], *address[1:])

    # Closing

    def _real_close(self, _ss: Any = _csocket) -> None:
        hub = get_hub_if_any()
        if hub is not None:
            # Who waits for the number by other means - `select`, `wait_read`, a watcher - looks for himself.
            hub.loop.closing_fd(_fileno(self))
        self._give_up_waits()
        try:
            _ss.close(self)
        finally:
            self._wake_strangers()

    def detach(self) -> int:
        """Close the socket object without closing the descriptor, and give that. It blocks or not, as the
        timeout of the socket said."""
        self._give_up_waits()
        timeout = self._timeout
        fd = _stdlib_detach(self)
        self._wake_strangers()
        if fd >= 0 and timeout is None:
            try:
                _os.set_blocking(fd, True)
            except OSError:
                # Closed behind our back: he who takes the number finds out.
                pass
        return fd

    # Timeouts and options

    @property
    def timeout(self) -> float | None:
        return self._timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def settimeout(self, value: float | None, /) -> None:
        timeout = _seconds(value)
        # Keeps the system's socket from blocking, and raises for a closed one.
        _settimeout(self, 0.0)
        self._timeout = timeout

    def getblocking(self) -> bool:
        return self._timeout != 0.0

    def setblocking(self, flag: bool, /) -> None:
        self.settimeout(None if flag else 0.0)

    def setsockopt(self, level: int, optname: int, *value: Any) -> None:
        _setsockopt(self, level, optname, *value)
        if level == _stdlib.IPPROTO_TCP and optname == _TCP_ULP:
            # From here on the system gives records, not a stream.
            self._stream = False


SocketType = socket


# Waiting for any descriptor


def wait_read(fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None) -> None:
    """Wait until there is something to read from the descriptor `fileno`, or its end; other greenlets run
    meanwhile.

    After `timeout` seconds (None: for ever) `timeout_exc` is raised, TimeoutError if it is None. Any number
    of greenlets may wait for the same descriptor. It returns as well when a socket of this module is closed
    that has it, in the same thread; `os.close` of ours raises OSError (EBADF) here. Closing it in other ways
    does not end the wait.
    """
    _wait(fileno, READ, timeout, timeout_exc)


def wait_write(
    fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None, event: object = None
) -> None:
    """`wait_read` for room to write. `event` is not looked at, as in gevent."""
    _wait(fileno, WRITE, timeout, timeout_exc)


def wait_readwrite(
    fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None, event: object = None
) -> None:
    """`wait_read` for either direction, whichever comes first. `event` is not looked at, as in gevent."""
    _wait(fileno, READ | WRITE, timeout, timeout_exc)


def _wait(fileno: int, events: int, timeout: float | None, timeout_exc: BaseException | None) -> None:
    if not get_hub().wait_fd(fileno, events, timeout):
        raise TimeoutError("timed out") if timeout_exc is None else timeout_exc


def wait(watcher: Watcher, timeout: float | None = None, timeout_exc: BaseException | None = None) -> None:
    """Wait until the loop's `watcher` calls, and stop it; other greenlets run meanwhile.

    After `timeout` seconds (None: for ever) `timeout_exc` is raised, TimeoutError if it is None. Raises
    ConcurrentObjectUseError if somebody waits for it already.
    """
    if watcher.callback is not None:
        raise ConcurrentObjectUseError(
            f"{watcher!r} is already used by another greenlet: {watcher.callback!r}"
        )
    if timeout is None:
        get_hub().wait(watcher)
        return
    with Timeout(timeout, TimeoutError("timed out") if timeout_exc is None else timeout_exc):
        get_hub().wait(watcher)


def cancel_wait(
    watcher: socket | Descriptor | Watcher, error: type[BaseException] | BaseException = cancel_wait_ex
) -> None:
    """Raise `error` in whoever waits on `watcher`: a socket of this module or its loop's descriptor, from any
    thread; or a watcher, in the thread of its loop."""
    if isinstance(watcher, Watcher):
        get_hub().cancel_wait(watcher, error)
        return
    descriptor = watcher._descriptor if isinstance(watcher, socket) else watcher
    if descriptor is _UNREGISTERED:
        return
    exception = error() if isinstance(error, type) else error
    hub = get_hub_if_any()
    if hub is not None and hub.loop is descriptor.loop:
        hub.cancel_waits(descriptor, exception)
    else:
        descriptor.loop.call_threadsafe(lambda: get_hub().cancel_waits(descriptor, exception))


# Names and addresses


def _resolver() -> Resolver:
    resolver: Resolver = get_hub().resolver
    return resolver


def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[_stdlib.AddressFamily, _stdlib.SocketKind, int, str, tuple[Any, ...]]]:
    """The standard `getaddrinfo`; other greenlets run while a name is looked up. Raises gaierror."""
    found = _resolver().getaddrinfo(host, port, family, type, proto, flags)
    return [(_enum(_stdlib.AddressFamily, f), _enum(_stdlib.SocketKind, t), *rest) for f, t, *rest in found]


def _enum(kind: Any, value: int) -> Any:
    try:
        return kind(value)
    except ValueError:
        return value


def gethostbyname(hostname: str) -> str:
    """The standard `gethostbyname`; other greenlets run meanwhile. Raises gaierror."""
    return _resolver().gethostbyname(hostname)


def gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]:
    """The standard `gethostbyname_ex`; other greenlets run meanwhile. Raises gaierror, herror."""
    return _resolver().gethostbyname_ex(hostname)


def gethostbyaddr(ip_address: str) -> tuple[str, list[str], list[str]]:
    """The standard `gethostbyaddr`; other greenlets run meanwhile. Raises gaierror, herror."""
    return _resolver().gethostbyaddr(ip_address)


def getnameinfo(sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """The standard `getnameinfo`; other greenlets run meanwhile. Raises gaierror."""
    return _resolver().getnameinfo(sockaddr, flags)


def getfqdn(name: str = "") -> str:
    """The fully qualified name of `name`, of this host if it is empty: the first of the host's names with a
    dot in it, else its first name, else `name`. Other greenlets run meanwhile."""
    name = name.strip()
    if not name or name in ("0.0.0.0", "::"):
        name = _stdlib.gethostname()
    try:
        hostname, aliases, _ = gethostbyaddr(name)
    except OSError:
        return name
    return next((known for known in (hostname, *aliases) if "." in known), hostname)


# Making sockets


def create_connection(
    address: tuple[str | None, int],
    timeout: float | None = _GLOBAL_DEFAULT_TIMEOUT,
    source_address: Any = None,
    *,
    all_errors: bool = False,
) -> socket:
    """Connect to the (host, port) `address`, trying one after another what the host's name stands for.

    `timeout` in seconds holds for each try and stays with the socket; without it the default timeout holds.
    `source_address` is bound first. Raises the last try's error, or with `all_errors` (Python 3.11) an
    ExceptionGroup of all. Blocks until a connection stands.
    """
    if all_errors and sys.version_info < (3, 11):
        raise TypeError("create_connection() got an unexpected keyword argument 'all_errors'")
    host, port = address
    errors: list[OSError] = []
    for family, kind, proto, _, numeric in getaddrinfo(host, port, 0, _SOCK_STREAM):
        connection = None
        try:
            connection = socket(family, kind, proto)
            if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
                connection.settimeout(timeout)
            if source_address:
                connection.bind(source_address)
            connection.connect(numeric)
            return connection
        except OSError as error:
            errors.append(error)
            if connection is not None:
                connection.close()
        except BaseException:
            # Killed, or out of time.
            if connection is not None:
                connection.close()
            raise
    if not errors:
        raise OSError("getaddrinfo returns an empty list")
    try:
        if all_errors and sys.version_info >= (3, 11):
            raise _builtins.ExceptionGroup("create_connection failed", errors)
        raise errors[-1]
    finally:
        # The error's traceback holds this frame, and the frame the error.
        errors.clear()


def create_server(
    address: Any,
    *,
    family: int = _stdlib.AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> socket:
    """A TCP socket that listens on `address`; see the standard `create_server`. Does not block."""
    return _adopt(
        _stdlib_create_server(
            address, family=family, backlog=backlog, reuse_port=reuse_port, dualstack_ipv6=dualstack_ipv6
        )
    )


def socketpair(family: int | None = None, type: int = _SOCK_STREAM, proto: int = 0) -> tuple[socket, socket]:
    """Two connected sockets, of AF_UNIX if `family` is None. Does not block."""
    one, other = _csocketpair(_AF_UNIX if family is None else family, type, proto)
    return _adopt(one), _adopt(other)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    """A socket for a duplicate of the descriptor `fd`, which from here on does not block either."""
    return socket(family, type, proto, fileno=_stdlib.dup(fd))


def _adopt(plain: _csocket) -> socket:
    return socket(plain.family, plain.type, plain.proto, fileno=plain.detach())


__implements__ = [
    "create_connection",
    "create_server",
    "fromfd",
    "socket",
    "SocketType",
    "socketpair",
]
__dns__ = [
    "getaddrinfo",
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
]
__extensions__ = ["cancel_wait", "cancel_wait_ex", "wait", "wait_read", "wait_readwrite", "wait_write"]

# What cannot block is the standard library's own.
__imports__ = [name for name in _stdlib.__all__ if name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __dns__ + __extensions__ + __imports__  # noqa: PLE0605
