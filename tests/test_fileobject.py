"""`greenswitch.fileobject`: file objects over real pipes, terminals and files (spec I4).

What belongs here: the three classes, what they let run meanwhile, and their closing. What never does: the
pipes of children (`test_subprocess`), the standard streams (`monkey/`).
"""

from __future__ import annotations

import errno
import gc
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenswitch import fileobject, socket
from greenswitch.event import Event
from greenswitch.fileobject import FileObject, FileObjectBlock, FileObjectPosix, FileObjectThread
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, sleep
from greenswitch.lock import Semaphore
from greenswitch.timeout import Timeout

spawn = Greenlet.spawn
EVERY = (FileObjectPosix, FileObjectThread, FileObjectBlock)
COOPERATIVE = (FileObjectPosix, FileObjectThread)

pytestmark = pytest.mark.usefixtures("within_two_minutes", "nothing_is_left")


def outcome_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


# Reading and writing


@pytest.mark.parametrize("kind", COOPERATIVE)
def test_more_than_the_pipe_holds(kind: Any) -> None:
    """I4: the writer waits for the reader, in one thread; others run meanwhile."""
    reader, writer = os.pipe()
    data = os.urandom(1_000_000)
    with kind(reader, "rb") as source, kind(writer, "wb") as sink:
        receiving = spawn(source.read)
        sink.write(data)
        sink.close()
        assert receiving.get() == data


def test_buffered_and_not(tmp_path: Path) -> None:
    """Unbuffered, `write` takes all that it is given, as on a file of the standard library's that blocks."""
    for buffering in (0, 1000, -1):
        reader, writer = os.pipe()
        data = os.urandom(300_000)
        with FileObject(reader, "rb", buffering) as source:

            def write(writer: int = writer, buffering: int = buffering, data: bytes = data) -> None:
                with FileObject(writer, "wb", buffering) as sink:
                    assert sink.write(data) == len(data)

            writing = spawn(write)
            received = b"".join(iter(lambda source=source: source.read(7777), b""))  # type: ignore[misc]
            assert received == data
            writing.get()


@pytest.mark.parametrize("kind", EVERY)
def test_text(kind: Any, tmp_path: Path) -> None:
    """Encodings, errors and newlines are the standard library's."""
    path = tmp_path / "text"
    with kind(path, "w", encoding="utf-16", newline="\r\n") as file:
        file.write("größe\nnext\n")
        file.writelines(["last"])
    assert path.read_bytes() == "größe\r\nnext\r\nlast".encode("utf-16")
    with kind(str(path), encoding="utf-16") as file:
        assert file.encoding == "utf-16" and file.name == str(path) and file.mode == "r"
        assert list(file) == ["größe\n", "next\n", "last"]
    with kind(path, "rt", encoding="utf-16", newline="") as file:
        assert file.readline() == "größe\r\n" and next(file) == "next\r\n"
    with kind(path, encoding="ascii", errors="replace") as file:
        assert "gr" in file.read().replace("\0", "")


@pytest.mark.parametrize("kind", EVERY)
def test_modes(kind: Any, tmp_path: Path) -> None:
    """I4: update, append, create, seek, truncate."""
    path = tmp_path / "file"
    with kind(path, "xb") as file:
        assert file.writable() and not file.readable() and file.seekable()
        file.write(b"0123456789")
    with pytest.raises(FileExistsError):
        kind(path, "xb")
    with kind(path, "ab") as file:
        assert file.tell() == 10
        file.write(b"!")
    with kind(path, "r+b") as file:
        assert file.read(3) == b"012" and file.seek(-1, io.SEEK_END) == 10 and file.read1(5) == b"!"
        buffer = bytearray(4)
        assert file.seek(0) == 0 and file.readinto(buffer) == 4 and buffer == b"0123"
        assert file.truncate(5) == 5
        file.seek(0)
        assert file.read() == b"01234"
    with kind(path, "r+b", buffering=0) as file:
        file.seek(2)
        assert file.truncate() == 2 and file.tell() == 2
    assert path.read_bytes() == b"01"
    with kind(path, "rU") as file:
        assert file.read() == "01"


def test_a_descriptor_is_appended_to_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before ")
    with FileObject(os.open(path, os.O_WRONLY), "ab") as file:
        file.write(b"after")
    assert path.read_bytes() == b"before after"


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ({"mode": 5}, TypeError, "mode"),
        ({"mode": "rz"}, ValueError, "invalid mode"),
        ({"mode": "rr"}, ValueError, "invalid mode"),
        ({"mode": "rw"}, ValueError, "at once"),
        ({"mode": "+"}, ValueError, "exactly one"),
        ({"mode": "rtb"}, ValueError, "text and binary"),
        ({"mode": "wU"}, ValueError, "cannot be combined"),
        ({"mode": "rb", "encoding": "ascii"}, ValueError, "encoding"),
        ({"mode": "rb", "errors": "strict"}, ValueError, "errors"),
        ({"mode": "rb", "newline": ""}, ValueError, "newline"),
        ({"buffering": "x"}, TypeError, "buffering"),
        ({"encoding": 5}, TypeError, "encoding"),
        ({"errors": 5}, TypeError, "errors"),
        ({"closefd": True, "close": True}, TypeError, "only one"),
        ({"buffering": 5, "bufsize": 5}, TypeError, "only one"),
        ({"encoding": "no such"}, LookupError, "unknown encoding"),
    ],
)
@pytest.mark.parametrize("kind_of_file", EVERY)
def test_arguments_are_checked(
    kind_of_file: Any, words: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """And a descriptor that was given stays open where they are refused."""
    reader, writer = os.pipe()
    with pytest.raises(kind, match=message):
        kind_of_file(reader, **words)
    os.fstat(reader)
    os.close(reader)
    os.close(writer)
    with pytest.raises(kind, match=message):
        kind_of_file("/dev/null", **words)


@pytest.mark.parametrize("kind", EVERY)
def test_no_such_file(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kind(tmp_path / "none")
    with pytest.raises(TypeError):
        kind(object())
    with pytest.raises(OSError, match="Bad file descriptor"):
        kind(10_000)


def test_directions_are_kept() -> None:
    reader, writer = os.pipe()
    with FileObjectPosix(reader, "rb", 0) as source, FileObjectPosix(writer, "wb", 0) as sink:
        for call in (lambda: source.write(b"x"), sink.read, lambda: sink.readinto(bytearray(1))):
            with pytest.raises(io.UnsupportedOperation):
                call()
        assert not source.seekable() and not source.isatty()
        with pytest.raises(OSError, match="Illegal seek"):
            source.seek(0)


def test_a_terminal() -> None:
    """I4: text on a terminal is written line by line, and reading waits in the hub."""
    master, slave = os.openpty()
    with FileObject(master, "r+b", 0) as ours, FileObject(slave, "r", closefd=False) as theirs:
        assert theirs.isatty() and theirs.line_buffering
        reading = spawn(theirs.readline)
        sleep(0)
        ours.write(b"a line\n")
        assert reading.get() == "a line\n"
        with FileObject(slave, "w") as screen:
            screen.write("shown\n")
            reading = spawn(ours.read, 100)
            while "shown" not in (reading.get()).decode():
                reading = spawn(ours.read, 100)


def test_a_file_of_the_standard_library() -> None:
    """Is closed with ours, and left open with `closefd` false."""
    for closefd in (True, False):
        reader, writer = os.pipe()
        with open(writer, "wb") as plain, FileObject(reader, "rb") as source:
            with FileObject(plain, "wb", closefd=closefd) as sink:
                assert sink.name == plain.name
                sink.write(b"data")
            assert source.read(4) == b"data"
            assert plain.closed is closefd


def test_two_over_one_socket() -> None:
    """I4: two files and a socket over the same number wait at the same time."""
    one, other = socket.socketpair()
    with one, other:
        source, sink = (
            FileObject(one.fileno(), "rb", closefd=False),
            FileObject(one.fileno(), "wb", closefd=False),
        )
        reading = spawn(source.read, 5)
        data = os.urandom(2_000_000)

        def write() -> None:
            sink.write(data)
            sink.flush()

        writing = spawn(write)
        sleep(0.01)
        assert not reading.ready() and not writing.ready()
        received = b""
        while len(received) < len(data):
            received += other.recv(100_000)
        other.sendall(b"12345")
        assert received == data and reading.get() == b"12345"
        writing.get()
        source.close()
        sink.close()
        one.send(b"still open")
        assert other.recv(100) == b"still open"


# Closing


@pytest.mark.parametrize("call", ["read", "readline", "readinto", "read1", "readall"])
@pytest.mark.parametrize("buffering", [0, -1])
def test_closing_while_another_greenlet_reads(call: str, buffering: int) -> None:
    """I4: an error in the reader, never a hang, and the descriptor is free at once."""
    reader, writer = os.pipe()
    source = FileObject(reader, "rb", buffering)
    arguments: tuple[Any, ...] = {"read": (5,), "readinto": (bytearray(5),), "read1": (5,)}.get(call, ())
    if not hasattr(source, call):
        source.close()
        os.close(writer)
        return
    reading = spawn(outcome_of, lambda: getattr(source, call)(*arguments))
    sleep(0)
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    assert source.closed
    error = reading.get()
    if call == "readall":
        # As with gevent: all that there was.
        assert error == b""
    else:
        assert isinstance(error, OSError) and error.errno == errno.EBADF
    os.close(writer)


def test_closing_while_another_greenlet_writes() -> None:
    reader, writer = os.pipe()
    sink = FileObject(writer, "wb")
    writing = spawn(outcome_of, lambda: sink.write(bytes(1_000_000)))
    sleep(0)
    sink.close()
    error = writing.get()
    assert isinstance(error, OSError) and error.errno == errno.EBADF
    os.close(reader)


def test_a_number_in_use_again_is_left_alone() -> None:
    """Whoever waited for the closed file takes nothing from the file that has the number next."""
    reader, writer = os.pipe()
    other, its_writer = os.pipe()
    source = FileObject(reader, "rb")
    reading = spawn(outcome_of, source.readline)
    sleep(0)
    source.close()
    assert os.dup(other) == reader
    waiting = spawn(get_hub().wait_fd, reader, 1)
    os.write(its_writer, b"line\n")
    assert isinstance(reading.get(), OSError)
    assert waiting.get() == 1 and os.read(reader, 10) == b"line\n"
    for fd in (reader, writer, other, its_writer):
        os.close(fd)


@pytest.mark.parametrize("kind", EVERY)
def test_a_closed_file(kind: Any, tmp_path: Path) -> None:
    """OSError as with gevent, which is also a ValueError as in the standard library."""
    path = tmp_path / "file"
    file = kind(str(path), "w", encoding="ascii")
    file.close()
    file.close()
    assert file.closed and file.name == str(path) and file.encoding == "ascii" and file.mode == "w"
    for kind_of_error in (OSError, ValueError):
        with pytest.raises(kind_of_error):
            file.write("x")
        with pytest.raises(kind_of_error):
            next(file)
    with pytest.raises(AttributeError):
        file.no_such_name  # noqa: B018
    assert "closed" in repr(file)


def test_a_forgotten_file_is_closed() -> None:
    reader, writer = os.pipe()
    file = FileObject(writer, "wb")
    file.write(b"in the buffer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del file
        gc.collect()
    with FileObject(reader, "rb") as source:
        assert source.read() == b"in the buffer"


def test_a_failing_flush_closes_all_the_same() -> None:
    reader, writer = os.pipe()
    sink = FileObject(writer, "wb")
    sink.write(b"x")
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        sink.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_a_killed_reader_leaves_the_file_in_order() -> None:
    reader, writer = os.pipe()
    with FileObject(reader, "rb") as source:
        os.write(writer, b"abc")
        with Timeout(0.01, False):
            source.read(5)
        os.write(writer, b"def")
        assert source.read1(10) in (b"def", b"abcdef")
        os.close(writer)
        assert source.read() == b""


# FileObjectThread


def test_calls_are_made_one_by_one() -> None:
    reader, writer = os.pipe()
    with FileObjectThread(reader, "rb", 0) as source:
        reading = [spawn(source.read, 1) for _ in range(3)]
        sleep(0.05)
        assert len(source.threadpool) == 1
        os.write(writer, b"xyz")
        joinall(reading, raise_error=True)
        assert sorted(each.value for each in reading) == [b"x", b"y", b"z"]
    os.close(writer)


def test_a_lock_of_ones_own() -> None:
    lock = Semaphore(1)
    with FileObjectThread("/dev/null", "rb", lock=lock) as file:
        lock.acquire()
        reading = spawn(file.read)
        sleep(0.01)
        assert not reading.ready()
        lock.release()
        assert reading.get() == b""
    with FileObjectThread("/dev/null", "rb", lock=False) as file:
        assert file.read() == b""
    with pytest.raises(TypeError):
        FileObjectThread("/dev/null", lock=5)


def test_in_the_hub_it_blocks(tmp_path: Path) -> None:
    """Where a failure is reported nobody can wait."""
    done = Event()
    with FileObjectThread(tmp_path / "file", "w") as file:
        get_hub().loop.run_callback(lambda: (file.write("from the hub"), file.flush(), done.set()))
        done.wait()
    assert (tmp_path / "file").read_text() == "from the hub"


def test_the_object_beneath_can_be_replaced() -> None:
    file = FileObjectBlock("/dev/null", "rb")
    file.io.close()
    file.io = io.BytesIO(b"other")
    assert file.read() == b"other" and file.getvalue() == b"other"
    file.close()


def test_file_object_is_what_the_setting_says() -> None:
    assert fileobject.FileObject is FileObjectPosix
