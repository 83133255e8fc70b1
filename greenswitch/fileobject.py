"""File objects over descriptors that let other greenlets run while they wait.

What belongs here: gevent's three classes of file objects. What never does: buffers, text, newlines - they are
the standard library's own `io` stack, built on a raw file that waits in the hub or on a call in a thread.

`FileObjectPosix` is for pipes, terminals and whatever else a poller takes: the descriptor never blocks. It is
borrowed from the loop for each wait and not registered for good, because its number may also be in use
elsewhere, by a socket or a second file object, and closed behind our back. A file on a disk is always ready;
`FileObjectThread` keeps even that from stopping the others.
"""

from __future__ import annotations

import codecs
import io
import os as _os
from collections.abc import Callable
from errno import EBADF
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

from ._config import config
from ._core import getcurrent
from ._original import os_read, os_readv, os_set_blocking, os_write
from .hub import Waiter, get_hub, get_hub_if_any
from .lock import DummySemaphore, Semaphore
from .loop import READ, WRITE, Borrowed
from .os import cancel_wait_ex, close

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, StrOrBytesPath, WriteableBuffer

    _File = int | StrOrBytesPath | IO[Any] | Any

__all__ = ["FileObject", "FileObjectBlock", "FileObjectPosix", "FileObjectThread"]

_F = TypeVar("_F", bound="FileObjectBase")

_CHUNK = 1 << 16


class FileObjectClosed(OSError, ValueError):
    """The file object was closed. `errno` is EBADF; a ValueError too, as the standard library's files
    raise."""

    def __init__(self) -> None:
        super().__init__(EBADF, "Bad file descriptor (FileObject was closed)")


# How a file is opened


class _Request:
    """What `open` was asked for. Takes and refuses the arguments as the standard `open` does, but also text
    that is not buffered; `bufsize` and `close` are gevent's old names of `buffering` and `closefd`."""

    def __init__(
        self,
        fobj: _File,
        mode: str = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None:
        self.closefd = _either("closefd", closefd, "close", close, True)
        self.buffering = _either("buffering", buffering, "bufsize", bufsize, -1)
        if not hasattr(fobj, "fileno"):
            if not isinstance(fobj, int):
                fobj = _os.fspath(fobj)
            if not isinstance(fobj, int):
                self.closefd = True
        self.file: Any = fobj
        for name, value, kind in (
            ("mode", mode, str),
            ("buffering", self.buffering, int),
            ("encoding", encoding, (str, type(None))),
            ("errors", errors, (str, type(None))),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"invalid {name}: {value!r}")
        letters = set(mode)
        if letters - set("axrwb+tU") or len(mode) > len(letters):
            raise ValueError(f"invalid mode: {mode!r}")
        if "U" in letters:
            if letters & set("xwa+"):
                raise ValueError("mode U cannot be combined with 'x', 'w', 'a' or '+'")
            letters = letters - {"U"} | {"r"}
        self.binary = "b" in letters
        if self.binary and "t" in letters:
            raise ValueError("can't have text and binary mode at once")
        if len(letters & set("xrwa")) > 1:
            raise ValueError("can't have create/read/write/append mode at once")
        if not letters & set("xrwa"):
            raise ValueError("must have exactly one of create/read/write/append mode")
        if self.binary:
            for name, value in (("an encoding", encoding), ("an errors", errors), ("a newline", newline)):
                if value is not None:
                    raise ValueError(f"binary mode doesn't take {name} argument")
        self._kind = "".join(letters & set("axrw+"))
        self.mode = self._kind + "".join(sorted(letters & set("bt")))
        self.updating = "+" in letters
        self.appending = "a" in letters
        self.readable = "r" in letters or self.updating
        self.writable = "r" not in letters or self.updating
        if encoding not in (None, "locale"):
            codecs.lookup(encoding)
        self.encoding = encoding
        self.errors = errors
        self.newline = newline

    def open_raw(self) -> Any:
        """The file that was given, or a raw one of the standard library's."""
        if hasattr(self.file, "fileno"):
            return self.file
        return io.FileIO(self.file, self._kind, self.closefd)

    def abandon(self, file: Any) -> None:
        """Something is wrong: close what `open_raw` has opened, and leave what was given."""
        if file is not None and file is not self.file:
            file.close()

    def wrap(self, raw: Any) -> Any:
        """Put on top of `raw` what is missing of buffer and text."""
        if self.binary and isinstance(raw, io.TextIOBase):
            # It has a buffer of its own, which reads from below would miss.
            raise ValueError("Unable to perform binary IO on top of text IO stream")
        result = raw
        buffering = self.buffering
        lines = buffering == 1 or (buffering < 0 and raw.isatty())
        buffered = isinstance(raw, (io.BufferedIOBase, io.TextIOBase)) or hasattr(raw, "buffer")
        if buffering and not buffered:
            buffer: Any = io.BufferedReader
            if self.updating:
                buffer = io.BufferedRandom
            elif self.writable:
                buffer = io.BufferedWriter
            result = buffer(raw, _buffer_size(raw) if buffering < 0 or lines else buffering)
        if not self.binary and not isinstance(raw, io.TextIOBase) and not hasattr(raw, "encoding"):
            # Without a buffer nothing may stay in that of the text either.
            result = io.TextIOWrapper(
                result, self.encoding, self.errors, self.newline, lines, write_through=not buffering
            )
        if result is not raw:
            try:
                result.mode = self.mode
            except AttributeError:
                pass
        return result


def _either(name: str, value: Any, old_name: str, old: Any, default: Any) -> Any:
    if value is not None and old is not None:
        raise TypeError(f"only one of {name}={value} and {old_name}={old} can be given")
    return next((each for each in (value, old) if each is not None), default)


def _buffer_size(raw: Any) -> int:
    try:
        size = _os.fstat(raw.fileno()).st_blksize
    except (OSError, AttributeError):
        return io.DEFAULT_BUFFER_SIZE
    return size if size > 1 else io.DEFAULT_BUFFER_SIZE


# The raw file that waits in the hub


class _Raw(io.RawIOBase):
    """A descriptor that never blocks. With `closefd` it is closed with this; its `owner` is, if it has
    one."""

    name: Any
    mode: str

    def __init__(self, fd: int, request: _Request, owner: Any) -> None:
        super().__init__()
        self._fd = -1
        self.closefd = False
        self._readable = request.readable
        self._writable = request.writable
        self._owner = owner
        self._whole = not request.buffering
        """Write all that is given: nobody above would write the rest."""
        self._waits: dict[Waiter, Borrowed] = {}
        if owner is None:
            self.name = fd
        elif hasattr(owner, "name"):
            self.name = owner.name
        self.mode = request.mode
        os_set_blocking(fd, False)
        self._fd = fd
        if request.appending and self.seekable():
            self.seek(0, io.SEEK_END)

    def _wait(self, events: int) -> None:
        """Wait until one of `events` holds. Raises cancel_wait_ex if somebody closes the file meanwhile."""
        hub = get_hub()
        waiter = Waiter(hub)
        borrowed = hub.loop.borrow(self._fd, events, waiter.wake)
        self._waits[waiter] = borrowed
        try:
            waiter.get()
        finally:
            self._waits.pop(waiter, None)
            hub.loop.release(borrowed)
        if self._fd < 0:
            raise cancel_wait_ex

    def _check(self, able: bool, what: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not able:
            raise io.UnsupportedOperation(what)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._check(self._readable, "read")
        while True:
            try:
                return os_readv(self._fd, (buffer,))
            except BlockingIOError:
                self._wait(READ)

    def readall(self) -> bytes:
        self._check(self._readable, "read")
        parts: list[bytes] = []
        while True:
            try:
                data = os_read(self._fd, _CHUNK)
            except BlockingIOError:
                try:
                    self._wait(READ)
                    continue
                except cancel_wait_ex:
                    # As with gevent: who asks for all gets what there was before the file was closed.
                    data = b""
            if not data:
                return b"".join(parts)
            parts.append(data)

    def write(self, data: ReadableBuffer, /) -> int:
        self._check(self._writable, "write")
        with memoryview(data) as view, view.cast("B") as octets:
            written = 0
            while True:
                try:
                    written += os_write(self._fd, octets[written:] if written else octets)
                except BlockingIOError:
                    self._wait(WRITE)
                    continue
                if not self._whole or written >= len(octets):
                    return written

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return _os.lseek(self.fileno(), offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        if size is None:
            size = self.tell()
        _os.ftruncate(self.fileno(), size)
        return size

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed file")
        return self._fd

    def isatty(self) -> bool:
        return _os.isatty(self.fileno())

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def seekable(self) -> bool:
        try:
            _os.lseek(self.fileno(), 0, io.SEEK_CUR)
        except OSError:
            return False
        return True

    @property
    def waited_for(self) -> bool:
        """Does anybody wait?"""
        return bool(self._waits)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        fd, self._fd = self._fd, -1
        owner, self._owner = self._owner, None
        for waiter, borrowed in list(self._waits.items()):
            loop = waiter.hub.loop
            if waiter.hub is get_hub_if_any():
                # Before the number is closed, after which it may be somebody else's.
                loop.release(borrowed)
            else:
                loop.call_threadsafe(partial(loop.release, borrowed))
            waiter.fail(cancel_wait_ex())
        if self.closefd:
            if owner is None:
                close(fd)
            else:
                owner.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fileno={self._fd}"
        return f"<{type(self).__name__} at {id(self):#x} {state} mode={self.mode!r}>"


# The file objects


class FileObjectBase:
    """What the file objects have in common: `io` is the standard library's object that does the work, and
    what is not here is taken from there."""

    _METHODS: ClassVar[list[str]] = """
        fileno flush isatty peek read read1 readable readinto readinto1 readline readlines seek seekable tell
        truncate writable write writelines
    """.split()
    _STAYS: ClassVar[frozenset[str]] = frozenset(
        {"encoding", "errors", "line_buffering", "mode", "name", "newlines", "raw"}
    )
    """What a closed file still has."""

    def __init__(self, file: Any, closefd: bool) -> None:
        self._closed = False
        self._closefd = closefd
        self.io = file

    @property
    def io(self) -> Any:
        """The object beneath. May be replaced."""
        return self._io

    @io.setter
    def io(self, value: Any) -> None:
        self._io = value
        own = self.__dict__
        for name in self._METHODS:
            # Found without a search, and without a call of ours in between.
            method = getattr(value, name, None)
            if method is None:
                own.pop(name, None)
            else:
                own[name] = self._method(method)

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return method

    def __getattr__(self, name: str) -> Any:
        if name == "_io":
            # Its opening failed.
            raise AttributeError(name)
        if self._closed and name not in self._STAYS:
            if name in self._METHODS:
                raise FileObjectClosed
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._io, name)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Write what is left in the buffer, and close. Greenlets that wait in a call of this file get OSError
        (EBADF). Idempotent."""
        if self._closed:
            return
        self._closed = True
        for name in self._METHODS:
            self.__dict__.pop(name, None)
        self._close()

    def _close(self) -> None:
        self._io.close()

    def __enter__(self: _F) -> _F:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self: _F) -> _F:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<{type(self).__name__} at {id(self):#x}{state} {self.__dict__.get('_io')!r}>"


class FileObjectPosix(FileObjectBase):
    """A file over a descriptor that a poller takes: a pipe, a terminal, a socket. Called as the standard
    `open`; the file may also be an object with `fileno()`, which is closed with this one. The descriptor is
    set not to block, which concerns everybody who shares it.

    One greenlet at a time may use a file that is buffered (RuntimeError).
    """

    default_bufsize = io.DEFAULT_BUFFER_SIZE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        request = _Request(*args, **kwargs)
        file = request.open_raw() if not isinstance(request.file, int) else None
        try:
            self.fileio = raw = _Raw(request.file if file is None else file.fileno(), request, file)
            """The raw file."""
            super().__init__(request.wrap(raw), request.closefd)
        except BaseException:
            request.abandon(file)
            raise
        raw.closefd = request.closefd

    def _close(self) -> None:
        raw = self.fileio
        if raw.waited_for:
            # The buffer is held by whoever waits, who gets an error and leaves it.
            raw.close()
        else:
            try:
                self._io.close()
            finally:
                raw.close()


class FileObjectBlock(FileObjectBase):
    """A file that blocks all greenlets of the thread. Called as `FileObjectPosix`."""

    def __init__(self, fobj: _File, *args: Any, **kwargs: Any) -> None:
        request = _Request(fobj, *args, **kwargs)
        super().__init__(_opened(request), request.closefd)


class FileObjectThread(FileObjectBase):
    """A file every call of which is made in a thread of `threadpool`, by default that of the hub. Called as
    `FileObjectPosix`. With `lock` true, the calls are made one after the other; it may be a Semaphore that
    does that; with a false one they may overlap."""

    def __init__(self, *args: Any, lock: Any = True, threadpool: Any = None, **kwargs: Any) -> None:
        request = _Request(*args, **kwargs)
        self.threadpool = get_hub().threadpool if threadpool is None else threadpool
        if lock is True:
            lock = Semaphore()
        elif not lock:
            lock = DummySemaphore()
        if not hasattr(lock, "__enter__"):
            raise TypeError(f"lock must be a Semaphore or a bool, not {lock!r}")
        self.lock = lock
        super().__init__(_opened(request), request.closefd)

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        lock, threadpool = self.lock, self.threadpool

        def in_thread(*args: Any, **kwargs: Any) -> Any:
            if _nobody_can_run(threadpool):
                return method(*args, **kwargs)
            with lock:
                return threadpool.apply(method, args, kwargs)

        return in_thread

    def _close(self) -> None:
        try:
            with self.lock:
                self.threadpool.apply(self._io.flush)
        finally:
            if self._closefd:
                self.threadpool.apply(self._io.close)


def _nobody_can_run(threadpool: Any) -> bool:
    """Is there nobody who could run meanwhile: is this the hub, which reports a failure, or the end of the
    interpreter?"""
    try:
        return getcurrent() is threadpool.hub
    except RuntimeError:
        return True


def _opened(request: _Request) -> Any:
    file = request.open_raw()
    try:
        return request.wrap(file)
    except BaseException:
        request.abandon(file)
        raise


FileObject: Callable[..., FileObjectBase] = config.fileobject
"""The class that `config.fileobject` says: FileObjectPosix."""
