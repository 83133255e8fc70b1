"""`greenswitch.os`: descriptors and child processes that are waited for in the hub (spec G15, I4).

What belongs here: reading, writing, closing, making processes and waiting for them; real pipes, real
children. What never does: what the hub does after a fork (`test_fork`), `Popen` (`test_subprocess`)."""

from __future__ import annotations

import errno
import os as stdlib
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from greenswitch import os
from greenswitch.event import Event
from greenswitch.greenlets import Greenlet, joinall, spawn_later
from greenswitch.hub import get_hub, sleep
from greenswitch.timeout import Timeout

if TYPE_CHECKING:
    from conftest import RunPython

spawn = Greenlet.spawn

pytestmark = pytest.mark.usefixtures("within_two_minutes", "nothing_is_left")


def child(body: Callable[[], object], fork: Callable[[], int] = os.fork_gevent) -> int:
    """A process that runs `body` and ends with what it returns, and with 99 if it fails."""
    pid = fork()
    if pid:
        return pid
    code = 99
    try:
        code = int(body() or 0)  # type: ignore[call-overload]
    finally:
        stdlib._exit(code)


# Descriptors


def test_reading_and_writing_wait_in_the_hub() -> None:
    """I4: more than the pipe holds, both ways at once, in one thread."""
    reader, writer = stdlib.pipe()
    assert os.make_nonblocking(reader) and os.make_nonblocking(writer)
    assert not os.make_nonblocking(reader)
    data = bytes(range(256)) * 4000

    def write() -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.nb_write(writer, rest) :]
        os.close(writer)

    def read() -> bytes:
        parts = []
        while part := os.nb_read(reader, 5000):
            parts.append(part)
        return b"".join(parts)

    receiving = spawn(read)
    joinall([spawn(write), receiving], raise_error=True)
    assert receiving.value == data
    os.close(reader)


def test_threads_of_the_pool_read_what_blocks() -> None:
    reader, writer = stdlib.pipe()
    receiving = spawn(os.tp_read, reader, 10)
    sleep(0.05)
    assert not receiving.ready()
    assert os.tp_write(writer, b"data") == 4
    assert receiving.get() == b"data"
    stdlib.close(reader)
    stdlib.close(writer)


def test_closing_tells_those_who_wait() -> None:
    """I4: an error in the waiter, never a hang, and no wait for whoever gets the number next."""
    reader, writer = stdlib.pipe()
    other, its_writer = stdlib.pipe()
    stdlib.set_blocking(reader, False)
    waiting = [spawn(os.nb_read, reader, 10), spawn(get_hub().wait_fd, reader, 1)]
    sleep(0)
    os.close(reader)
    # The same number, with something to read.
    assert stdlib.dup(other) == reader
    stdlib.write(its_writer, b"not for them")
    joinall(waiting)
    for each in waiting:
        assert isinstance(each.exception, OSError) and each.exception.errno == errno.EBADF
    for fd in (reader, writer, other, its_writer):
        stdlib.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(reader)


def test_closing_spares_who_has_gone_on() -> None:
    """A waiter that a kill has taken out is not thrown into a second time."""
    reader, writer = stdlib.pipe()
    stdlib.set_blocking(reader, False)
    going_on = Event()

    def wait() -> str:
        try:
            os.nb_read(reader, 1)
        except ZeroDivisionError:
            going_on.wait()
        return "unharmed"

    waiting = spawn(wait)
    sleep(0)
    waiting.kill(ZeroDivisionError, block=False)
    os.close(reader)
    sleep(0.01)
    going_on.set()
    assert waiting.get() == "unharmed"
    stdlib.close(writer)


# Children


def test_many_children_at_once() -> None:
    """G15: each is waited for by a greenlet of its own; others run meanwhile."""
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0.001)

    counting = spawn(count)

    def one(number: int) -> int:
        pid = child(lambda: time.sleep(0.05) or number % 50)
        ended, status = os.waitpid(pid, 0)
        assert ended == pid
        return stdlib.waitstatus_to_exitcode(status)

    waiting = [spawn(one, number) for number in range(200)]
    joinall(waiting, raise_error=True)
    assert [each.value for each in waiting] == [number % 50 for number in range(200)]
    counting.kill()
    assert turns > 10


def test_thousands_of_children(run_python: RunPython) -> None:
    """G15: none is missed, also those that have ended before they are waited for; no zombie and no descriptor
    is left."""
    program = """
        import os, warnings
        from greenswitch import joinall, sleep, spawn
        from greenswitch import os as green
        def many():
            for number in range(250):
                pid = green.fork()
                if not pid:
                    os._exit(7)
                if number % 2:
                    sleep(0)
                assert green.waitpid(pid, 0) == (pid, 7 << 8)
        sleep(0)
        before = os.listdir("/proc/self/fd")
        joinall([spawn(many) for _ in range(8)], raise_error=True)
        assert os.listdir("/proc/self/fd") == before
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("none left")
    """
    assert run_python(textwrap.dedent(program)).check().stdout == "none left\n"


def test_a_child_that_ended_before_the_wait() -> None:
    pid = child(lambda: 5)
    stdlib.waitid(stdlib.P_PID, pid, stdlib.WEXITED | stdlib.WNOWAIT)
    assert os.waitpid(pid, 0) == (pid, 5 << 8)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_not_to_wait() -> None:
    go, writer = stdlib.pipe()
    pid = child(lambda: stdlib.read(go, 1) and 3)
    assert os.waitpid(pid, stdlib.WNOHANG) == (0, 0)
    stdlib.write(writer, b"x")
    while (ended := os.waitpid(pid, stdlib.WNOHANG)) == (0, 0):
        time.sleep(0.001)
    assert ended == (pid, 3 << 8)
    stdlib.close(go)
    stdlib.close(writer)


def test_any_child() -> None:
    """The one that ends first, and at last nobody."""
    reader, writer = stdlib.pipe()
    slow = child(lambda: stdlib.read(reader, 1) and 1)
    quick = child(lambda: time.sleep(0.05) or 2)
    ran = spawn(sleep, 0.001)
    assert os.waitpid(-1, 0) == (quick, 2 << 8)
    assert ran.ready()
    stdlib.write(writer, b"x")
    assert os.wait() == (slow, 1 << 8)
    with pytest.raises(ChildProcessError):
        os.wait()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    stdlib.close(reader)
    stdlib.close(writer)


def test_stops_and_continuations() -> None:
    pid = child(lambda: time.sleep(60))
    spawn_later(0.05, stdlib.kill, pid, signal.SIGSTOP)
    assert stdlib.WIFSTOPPED(os.waitpid(pid, stdlib.WUNTRACED)[1])
    spawn_later(0.05, stdlib.kill, pid, signal.SIGCONT)
    assert stdlib.WIFCONTINUED(os.waitpid(pid, stdlib.WCONTINUED)[1])
    spawn_later(0.05, stdlib.kill, pid, signal.SIGTERM)
    assert os.waitpid(pid, 0) == (pid, signal.SIGTERM)


def test_two_wait_for_the_same_child() -> None:
    """One is told, the other learns that there is no such child any more."""
    pid = child(lambda: time.sleep(0.05))
    waiting = [spawn(os.waitpid, pid, 0) for _ in range(2)]
    joinall(waiting)
    assert sorted(type(each.exception).__name__ for each in waiting) == ["ChildProcessError", "NoneType"]
    assert [each.value for each in waiting if each.successful()] == [(pid, 0)]


def test_a_wait_can_be_killed() -> None:
    pid = child(lambda: time.sleep(60))
    with Timeout(0.05, False):
        os.waitpid(pid, 0)
        raise AssertionError("it has not ended")
    stdlib.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0) == (pid, signal.SIGKILL)


@pytest.mark.parametrize("pid", [1, -stdlib.getpid() - 100_000])
def test_nobodys_child(pid: int) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_waiting_in_another_thread() -> None:
    """Each thread has its hub; only the main thread can have a handler of SIGCHLD, so any child is found by
    looking again."""
    found: list[tuple[int, int]] = []
    pids = [child(lambda: time.sleep(0.1) or 4) for _ in range(2)]

    def wait() -> None:
        beside = spawn(sleep, 0.01)
        found.append(os.waitpid(pids[0], 0))
        found.append(os.waitpid(-1, 0))
        assert beside.ready()
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert found == [(pid, 4 << 8) for pid in pids]


@pytest.mark.parametrize(
    "failing", [OSError(errno.EMFILE, "none left"), OSError(errno.ENOSYS, "an old kernel")]
)
def test_without_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch, failing: OSError) -> None:
    """Then it is SIGCHLD that wakes; whoever has a handler of it is told as well."""
    told: list[int] = []

    def refuse(pid: int) -> int:
        raise failing

    monkeypatch.setattr(os, "pidfd_open", refuse)
    former = signal.signal(signal.SIGCHLD, lambda signum, frame: told.append(signum))
    try:
        pids = [child(lambda: time.sleep(0.05) or 6) for _ in range(20)]
        waiting = [spawn(os.waitpid, pid, 0) for pid in pids]
        joinall(waiting, raise_error=True)
        assert [each.value for each in waiting] == [(pid, 6 << 8) for pid in pids]
    finally:
        signal.signal(signal.SIGCHLD, former)
    assert told


def test_a_handler_that_takes_the_place_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for SIGCHLD looks again all the same, after a while."""
    monkeypatch.setattr(os, "pidfd_open", None)
    pid = child(lambda: time.sleep(0.1))
    waiting = spawn(os.waitpid, pid, 0)
    sleep(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert waiting.get() == (pid, 0)


# Watched children


def test_the_loop_reaps_a_watched_child() -> None:
    """As with gevent: the callback gets the watcher, and `waitpid` knows the status all the same."""
    told: list[tuple[int, int]] = []
    done = Event()

    def ended(watcher: os.child) -> None:
        told.append((watcher.rpid, watcher.rstatus))
        done.set()

    pid = child(lambda: 8, lambda: os.fork_and_watch(ended))
    done.wait()
    with pytest.raises(ChildProcessError):
        stdlib.waitpid(pid, 0)
    assert told == [(pid, 8 << 8)]
    assert os.waitpid(pid, 0) == (pid, 8 << 8)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.parametrize("asked", ["one", "any"])
@pytest.mark.parametrize("reaper", ["loop", "system", "race"])
def test_whoever_reaps_a_watched_child_both_are_told(asked: str, reaper: str) -> None:
    told: list[int] = []
    pid = child(lambda: 9, lambda: os.fork_and_watch(lambda watcher: told.append(watcher.rstatus)))
    wanted = pid if asked == "one" else -1
    if reaper != "race":
        stdlib.waitid(stdlib.P_PID, pid, stdlib.WEXITED | stdlib.WNOWAIT)
    if reaper == "loop":
        while not told:
            sleep(0.001)
    assert os.waitpid(wanted, 0) == (pid, 9 << 8)
    while not told:
        sleep(0.001)
    assert told == [9 << 8]
    assert not os._watched and not os._ended


def test_the_system_is_asked_between_the_reaping_and_the_callback() -> None:
    """`waitpid` in the one turn of the loop in which the child is reaped and nobody was told."""
    pid = child(lambda: 9, lambda: os.fork_and_watch())
    stdlib.waitid(stdlib.P_PID, pid, stdlib.WEXITED | stdlib.WNOWAIT)
    get_hub().loop._children._ended(pid)
    assert os.waitpid(pid, stdlib.WNOHANG) == (pid, 9 << 8)
    sleep(0.01)
    assert not os._watched and not os._ended


def test_statuses_that_nobody_asks_for_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_MOST_ENDED", 5)
    left = 10
    done = Event()

    def ended(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    pids = [child(lambda: 0, lambda: os.fork_and_watch(ended)) for _ in range(10)]
    done.wait()
    assert len(os._ended) == 5 and set(os._ended) <= set(pids)
    os._ended.clear()


def test_only_the_loop_of_the_main_thread_watches() -> None:
    caught: list[BaseException] = []

    def fork() -> None:
        try:
            os.fork_and_watch()
        except TypeError as error:
            caught.append(error)
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_a_terminal_of_its_own() -> None:
    """`forkpty` and `forkpty_and_watch`."""
    told: list[int] = []
    for make in (os.forkpty, lambda: os.forkpty_and_watch(lambda watcher: told.append(watcher.rstatus))):
        pid, terminal = make()
        if not pid:
            stdlib.write(1, b"yes" if stdlib.isatty(0) else b"no")
            stdlib._exit(3)
        os.make_nonblocking(terminal)
        assert os.nb_read(terminal, 10) == b"yes"
        assert os.waitpid(pid, 0) == (pid, 3 << 8)
        os.close(terminal)
    while not told:
        sleep(0.001)
    assert told == [3 << 8]


def test_spawned_programs() -> None:
    """G15: `posix_spawn` and `posix_spawnp` are the system's own, and what they make is waited for as any
    child."""
    program = [sys.executable, "-c", "raise SystemExit(12)"]
    for spawned in (
        os.posix_spawn(sys.executable, program, dict(stdlib.environ)),
        os.posix_spawnp(sys.executable, program, dict(stdlib.environ)),
    ):
        assert os.waitpid(spawned, 0) == (spawned, 12 << 8)
