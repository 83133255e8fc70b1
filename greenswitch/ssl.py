"""The standard `ssl` module with every wait going through the hub.

What belongs here: which operations of TLS wait, and for what. What never does: TLS, certificates, names of
servers: all that is the standard library's own code, its classes are the bases of ours and its functions run
as they are; nor waiting itself (`socket`).

**How a TLS socket waits.** OpenSSL is given a system's socket that never blocks, so each of its operations
ends, or says what it needs: something to read, or room to write - whatever the operation is, because a
handshake may be under way in a read. "Needs something to read" is said after the system said "would block"
(records that are no data do not make it say so: CPython sets SSL_MODE_AUTO_RETRY). That is proof 1 of
`socket`, and the wait is that of a plain socket. A read is tried before anything is waited
for: OpenSSL may hold what has long been read.

**One writer.** A write that had to wait must be repeated with the same data: OpenSSL has encrypted it already
and would count what is left of it as part of somebody else's write. So a second greenlet that writes
meanwhile is refused before OpenSSL hears of it.
"""

from __future__ import annotations

import ssl as _stdlib
from collections.abc import Callable
from functools import partial
from ssl import SSL_ERROR_EOF, SSLError, SSLWantReadError, SSLWantWriteError
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .exceptions import ConcurrentObjectUseError
from .socket import _AS_SET, _settimeout, create_connection, socket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from typing_extensions import Self

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


_T = TypeVar("_T")

# The standard library's own, whatever is patched later.
_Context = _stdlib.SSLContext
_Socket = _stdlib.SSLSocket


class _Made:
    """Stands before the standard class. That one makes a socket by the constructor of the class behind
    `ssl.SSLSocket`, whatever that name means by then: of the socket, or, when it is patched, of this."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        socket.__init__(self, *args, **kwargs)  # type: ignore[arg-type]


class SSLSocket(_Made, _Socket, socket):  # type: ignore[misc]
    """The standard `ssl.SSLSocket`; where that one blocks the thread, this one lets other greenlets run.

    Made by `SSLContext.wrap_socket`. The timeout, in seconds, holds for each operation as a whole, however
    often it has to wait; TimeoutError. SSLWantReadError and SSLWantWriteError are for timeout 0 alone. One
    greenlet may read while another writes; ConcurrentObjectUseError for a second one.
    """

    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool
    _check_connected: Callable[[], None]
    _sendfile_use_send: Callable[[Any, int, int | None], int]
    _sslobj: Any
    """OpenSSL's side of it; None before the connection stands and after `unwrap`."""
    _is_writing = False
    """Is somebody in the middle of a write, and waits?"""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            f"{type(self).__name__} does not have a public constructor. Instances are returned by"
            " SSLContext.wrap_socket()."
        )

    @classmethod
    def _create(
        cls,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        context: _Context | None = None,
        session: Any = None,
    ) -> Self:
        """What `SSLContext.wrap_socket` calls."""
        made: SSLSocket = super()._create(  # type: ignore[misc]
            sock, server_side, False, suppress_ragged_eofs, server_hostname, context, session
        )
        made.do_handshake_on_connect = do_handshake_on_connect
        try:
            # Who hands over a descriptor makes it block as his timeout says.
            _settimeout(made, 0.0)
            if do_handshake_on_connect and made._sslobj is not None:
                if made._timeout == 0.0:
                    raise ValueError(
                        "do_handshake_on_connect should not be specified for non-blocking sockets"
                    )
                made.do_handshake()
        except BaseException:
            made.close()
            raise
        return cast("Self", made)

    def _perform(self, what: str, call: Callable[[], _T]) -> _T:
        """`call()`, repeated until it needs to wait no more."""
        deadline = None
        while True:
            try:
                return call()
            except SSLWantReadError:
                if self._timeout == 0.0:
                    raise
                wait = self._await_readable
            except SSLWantWriteError:
                if self._timeout == 0.0:
                    raise
                wait = self._await_writable
            try:
                deadline = wait(deadline)
            except TimeoutError:
                raise TimeoutError(f"The {what} operation timed out") from None

    def _perform_write(self, call: Callable[[], _T]) -> _T:
        if self._is_writing:
            raise ConcurrentObjectUseError(f"another greenlet is in the middle of a write to {self!r}")
        try:
            return call()
        except (SSLWantReadError, SSLWantWriteError):
            if self._timeout == 0.0:
                raise
        self._is_writing = True
        try:
            return self._perform("write", call)
        finally:
            self._is_writing = False

    # Reading

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """At most `len` bytes, b"" at the end; into `buffer`, if it is given, and their number then. Blocks
        until there is something."""
        sslobj = self._sslobj
        if sslobj is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        try:
            if buffer is None:
                return self._perform("read", partial(sslobj.read, len))
            return self._perform("read", partial(sslobj.read, len, buffer))
        except SSLError as error:
            if error.args[0] == SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return b"" if buffer is None else 0
            raise

    # Writing

    def write(self, data: ReadableBuffer) -> int:
        """Send `data`, or the first part of it: the number of bytes. Blocks until there is room."""
        sslobj = self._sslobj
        if sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        call: Callable[[], int] = partial(sslobj.write, data)
        return self._perform_write(call)

    def send(self, data: ReadableBuffer, flags: int = 0, timeout: Any = _AS_SET) -> int:
        """As long as the connection speaks TLS its own timeout counts, whatever `timeout` says; so it is in
        gevent."""
        if self._sslobj is None:
            return socket.send(self, data, flags, timeout)
        self._refuse(flags, "send")
        return self.write(data)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        sslobj = self._sslobj
        if sslobj is None:
            socket.sendall(self, data, flags)
            return
        self._refuse(flags, "sendall")
        sent = 0
        with memoryview(data) as view, view.cast("B") as octets:

            def send_rest() -> None:
                nonlocal sent
                while sent < len(octets):
                    with octets[sent:] as rest:
                        sent += sslobj.write(rest)

            self._perform_write(send_rest)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `file`, read part by part: the kernel's way past OpenSSL, where there is one, would block."""
        if self._sslobj is None:
            return socket.sendfile(self, file, offset, count)
        return self._sendfile_use_send(file, offset, count)

    def _refuse(self, flags: int, call: str) -> None:
        if flags:
            raise ValueError(f"non-zero flags not allowed in calls to {call}() on {type(self)}")

    # Beginning and end

    def do_handshake(self, block: bool = False) -> None:
        """Agree with the peer on keys, and check its certificate as the context says. With `block` also where
        the timeout is 0. Blocks until it is done."""
        self._check_connected()
        timeout = self._timeout
        if timeout == 0.0 and block:
            self.settimeout(None)
        try:
            self._perform("handshake", self._sslobj.do_handshake)
        finally:
            self._timeout = timeout

    def unwrap(self) -> socket:
        """End TLS and go on in clear text: tell the peer and wait for it to agree. The socket to go on
        with."""
        sslobj = self._sslobj
        if sslobj is None:
            raise ValueError(f"No SSL wrapper around {self}")
        plain: socket = self._perform("read", sslobj.shutdown)
        self._sslobj = None
        return plain


class SSLContext(_Context):
    """The standard `ssl.SSLContext`, whose `wrap_socket` makes sockets that let other greenlets run."""

    sslsocket_class = SSLSocket


_namespace: dict[str, Any] = {
    **vars(_stdlib),
    "SSLContext": SSLContext,
    "SSLSocket": SSLSocket,
    "create_connection": create_connection,
}


def _over_ours(name: str) -> Any:
    """The standard library's function `name` as it is, finding our classes where it looks for its own."""
    function: FunctionType = getattr(_stdlib, name)
    ours = FunctionType(function.__code__, _namespace, name, function.__defaults__, function.__closure__)
    ours.__kwdefaults__ = function.__kwdefaults__
    ours.__doc__ = function.__doc__
    ours.__module__ = __name__
    _namespace[name] = ours
    return ours


create_default_context = _over_ours("create_default_context")
_create_unverified_context = _over_ours("_create_unverified_context")
_create_stdlib_context = _namespace["_create_stdlib_context"] = _create_unverified_context
_create_default_https_context = create_default_context
get_server_certificate = _over_ours("get_server_certificate")


def wrap_socket(
    sock: socket,
    keyfile: str | None = None,
    certfile: str | None = None,
    server_side: bool = False,
    cert_reqs: _stdlib.VerifyMode = _stdlib.CERT_NONE,
    ssl_version: _stdlib._SSLMethod | None = None,
    ca_certs: str | None = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
) -> SSLSocket:
    """What the standard module had until CPython 3.12 and gevent's has still: a context for one socket.
    Unless it is told `cert_reqs`, a client accepts any certificate, and it never compares names; a context's
    `wrap_socket` does better. Blocks for the handshake if `sock` is connected. Raises ValueError for a server
    without `certfile`, and as the context does."""
    if server_side and not certfile:
        raise ValueError("certfile must be specified for server-side operations")
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    if ssl_version is None:
        ssl_version = _stdlib.PROTOCOL_TLS_SERVER if server_side else _stdlib.PROTOCOL_TLS_CLIENT
    context = SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = cert_reqs
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    if ciphers:
        context.set_ciphers(ciphers)
    made: SSLSocket = context.wrap_socket(  # type: ignore[assignment]
        sock,
        server_side=server_side,
        do_handshake_on_connect=do_handshake_on_connect,
        suppress_ragged_eofs=suppress_ragged_eofs,
    )
    return made


__implements__ = [
    "SSLContext",
    "SSLSocket",
    "create_default_context",
    "get_server_certificate",
    "wrap_socket",
]

# What cannot block is the standard library's own.
__imports__ = [
    name
    for name, value in vars(_stdlib).items()
    if name[0] != "_" and name not in globals() and not isinstance(value, ModuleType)
]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __imports__  # noqa: PLE0605
