"""`greenswitch.subprocess`: the standard library's Popen and functions, waiting in the hub (spec G15, I4).

What belongs here: real children - their ends, their pipes, their failures - and what runs beside them. What
never does: raw forks (`test_os`), the standard module when it is patched (`monkey/`).
"""

from __future__ import annotations

import os
import signal
import subprocess as stdlib
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import greenswitch
from greenswitch import subprocess
from greenswitch.fileobject import FileObjectPosix
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, sleep
from greenswitch.subprocess import PIPE, STDOUT, CalledProcessError, Popen, TimeoutExpired
from greenswitch.timeout import Timeout

if TYPE_CHECKING:
    from conftest import RunPython

spawn = Greenlet.spawn
# Starts quickly, unlike an interpreter.
CAT = ["cat"]


def sh(program: str) -> list[str]:
    return ["/bin/sh", "-c", program]


def python(program: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program)]


pytestmark = pytest.mark.usefixtures("within_two_minutes", "nothing_is_left")


@pytest.fixture
def turns() -> Iterator[list[int]]:
    """How often another greenlet has run."""
    count = [0]

    def run() -> None:
        while True:
            count[0] += 1
            sleep(0.001)

    running = spawn(run)
    yield count
    running.kill()


# Waiting for the end


def test_others_run_meanwhile(turns: list[int]) -> None:
    """I4: a hundred children at once, each waited for by its greenlet."""
    waiting = [spawn(subprocess.call, sh(f"sleep 0.1; exit {number}")) for number in range(100)]
    joinall(waiting, raise_error=True)
    assert [each.value for each in waiting] == list(range(100))
    assert turns[0] > 20


def test_a_thousand_children(turns: list[int]) -> None:
    """G15: thousands of quick ones; none is missed and nothing is left, as is counted after every test."""

    def many() -> int:
        return sum(Popen(["true"] if number % 2 else ["false"]).wait() or 0 for number in range(125))

    waiting = [spawn(many) for _ in range(8)]
    joinall(waiting, raise_error=True)
    assert [each.value for each in waiting] == [63] * 8


def test_a_child_that_ended_long_ago() -> None:
    child = Popen(sh("exit 3"))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.poll() == 3 and child.wait() == 3 and child.wait(0) == 3


def test_poll_and_returncode() -> None:
    child = Popen(CAT, stdin=PIPE)
    assert child.poll() is None and child.returncode is None
    child.stdin.close()
    while child.poll() is None:
        sleep(0.001)
    assert child.returncode == 0
    with child:
        pass


@pytest.mark.parametrize(
    ("end", "code"), [("kill", -signal.SIGKILL), ("terminate", -signal.SIGTERM), ("hangup", -signal.SIGHUP)]
)
def test_signals(end: str, code: int) -> None:
    child = Popen(["sleep", "60"])
    waiting = [spawn(child.wait) for _ in range(3)]
    sleep(0.01)
    if end == "hangup":
        child.send_signal(signal.SIGHUP)
    else:
        getattr(child, end)()
    joinall(waiting, raise_error=True)
    assert [each.value for each in waiting] == [code] * 3
    child.kill()


def test_timeouts(turns: list[int]) -> None:
    """TimeoutExpired with what was asked for; the child runs on and can be waited for again."""
    child = Popen(["sleep", "60"])
    for timeout in (0, 0.05):
        with pytest.raises(TimeoutExpired) as caught:
            child.wait(timeout)
        assert caught.value.timeout == timeout and caught.value.cmd == ["sleep", "60"]
    assert child.wait(0.01, _raise_exc=False) is None
    with Timeout(0.01, False):
        child.wait()
    assert turns[0] > 5
    child.kill()
    assert child.wait(10) == -signal.SIGKILL


def test_links() -> None:
    """As with gevent: `gevent.wait()` takes processes, and a link is called once."""
    told: list[Any] = []
    children = [Popen(sh("sleep 0.05")) for _ in range(2)]
    for child in children:
        child.rawlink(told.append)
    children[0].rawlink(print)
    children[0].unlink(print)
    assert set(greenswitch.wait(children, timeout=60)) == set(children)
    while len(told) < 2:
        sleep(0.001)
    assert set(told) == set(children) and [child.returncode for child in children] == [0, 0]
    children[0].rawlink(told.append)
    while len(told) < 3:
        sleep(0.001)


def test_a_link_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, and keeps no other from being called."""
    told: list[Any] = []

    def fail(child: Popen) -> None:
        raise ValueError("a bad link")

    child = Popen(sh("sleep 0.01"))
    for link in (fail, told.append):
        child.rawlink(link)
    joinall([spawn(child.wait)], timeout=60)
    for _ in range(1000):
        if told:
            break
        sleep(0.01)
    assert told == [child] and "ValueError: a bad link" in capsys.readouterr().err


def test_in_another_thread() -> None:
    """Each thread has its own hub, and children of its own."""
    results: list[Any] = []

    def work() -> None:
        waiting = [spawn(subprocess.check_output, sh(f"sleep 0.05; echo {number}")) for number in range(5)]
        joinall(waiting, raise_error=True)
        results.append([each.value for each in waiting])
        get_hub().destroy(destroy_loop=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sleep(0.01)
    assert results == [[b"%d\n" % number for number in range(5)]] * 4


def test_a_process_that_two_threads_wait_for() -> None:
    child = Popen(["sleep", "0.2"])
    codes: list[Any] = []

    def wait() -> None:
        codes.append(child.wait())
        get_hub().destroy(destroy_loop=True)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes.append(child.wait())
    for thread in threads:
        thread.join()
    assert codes == [0] * 4


def test_sigchld_ignored() -> None:
    """Then the system keeps no status: 0, as in the standard library."""
    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert Popen(sh("sleep 0.05; exit 3")).wait() == 0
    finally:
        signal.signal(signal.SIGCHLD, former)


# Pipes


def test_much_both_ways(turns: list[int]) -> None:
    """I4: several MB to the child and back, in one thread, without a deadlock; others run meanwhile."""
    data = os.urandom(8_000_000)
    child = Popen(CAT, stdin=PIPE, stdout=PIPE)
    out, err = child.communicate(data)
    assert out == data and err is None and child.returncode == 0
    assert turns[0] > 1


def test_much_both_ways_by_the_files() -> None:
    data = os.urandom(3_000_000)
    with Popen(CAT, stdin=PIPE, stdout=PIPE) as child:
        assert isinstance(child.stdin, FileObjectPosix) and isinstance(child.stdout, FileObjectPosix)
        reading = spawn(child.stdout.read)
        child.stdin.write(data)
        child.stdin.close()
        assert reading.get() == data
    assert child.returncode == 0


def test_all_three_pipes_are_served_at_once() -> None:
    size = 500_000
    program = f"""
        import sys, threading
        def write(file, letter):
            for _ in range(10):
                file.write(letter * {size // 10})
        writes = (sys.stdout, "o"), (sys.stderr, "e")
        threads = [threading.Thread(target=write, args=each) for each in writes]
        for thread in threads:
            thread.start()
        assert len(sys.stdin.read()) == {size}
        for thread in threads:
            thread.join()
    """
    child = Popen(python(program), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert child.communicate(b"i" * size) == (b"o" * size, b"e" * size)
    assert child.returncode == 0


def test_conversation() -> None:
    """Line by line, each answered before the next."""
    with Popen(CAT, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as child:
        for line in ("one\n", "zwölf\n"):
            child.stdin.write(line)
            assert child.stdout.readline() == line
        child.stdin.close()
        assert list(child.stdout) == []


def test_unbuffered() -> None:
    """What is written has arrived, whole, as with pipes that block."""
    with Popen(CAT, stdin=PIPE, stdout=PIPE, bufsize=0) as child:
        data = os.urandom(1_000_000)
        reading = spawn(lambda: b"".join(iter(lambda: child.stdout.read(9999), b"")))
        assert child.stdin.write(data) == len(data)
        child.stdin.close()
        assert reading.get() == data
    with Popen(CAT, stdin=PIPE, stdout=PIPE, bufsize=0, text=True) as child:
        child.stdin.write("at once")
        assert child.stdout.read(7) == "at once"
        child.stdin.close()


def test_text_and_encodings() -> None:
    out = subprocess.run(CAT, input="grün\n", stdout=PIPE, encoding="utf-16").stdout
    assert out == "grün\n"
    assert subprocess.check_output(sh("printf 'a\\r\\nb\\r'"), universal_newlines=True) == "a\nb\n"
    assert subprocess.check_output(sh("printf '\\377'"), encoding="ascii", errors="replace") == "\ufffd"


def test_a_child_that_closes_its_input() -> None:
    child = Popen(sh("exec 0<&-; echo out"), stdin=PIPE, stdout=PIPE)
    assert child.communicate(b"x" * 1_000_000)[0] == b"out\n"


def test_communicate_after_a_timeout() -> None:
    """Nothing is lost, neither what came nor what was still to be sent."""
    child = Popen(CAT, stdin=PIPE, stdout=PIPE)
    data = os.urandom(3_000_000)
    with pytest.raises(TimeoutExpired):
        child.communicate(data, timeout=0.0001)
    assert child.communicate(timeout=60) == (data, None)


def test_a_killed_communicate() -> None:
    """The greenlet goes, the pipes can be closed, the child be waited for."""
    with Popen(CAT, stdin=PIPE, stdout=PIPE, stderr=PIPE) as child:
        talking = spawn(child.communicate, b"x" * 1000)
        sleep(0.01)
        talking.kill()
        child.kill()
    assert child.returncode in (-signal.SIGKILL, 0) and child.stdout.closed


def test_leaving_the_block_while_another_greenlet_reads() -> None:
    child = Popen(sh("sleep 60"), stdout=PIPE)
    reading = spawn(child.stdout.read)
    sleep(0.01)
    child.kill()
    with child:
        pass
    joinall([reading])
    assert child.returncode == -signal.SIGKILL


def test_pipelines() -> None:
    """A child gets descriptors that block, also from files of ours, which do not."""
    first = Popen(sh("sleep 0.1; seq 5"), stdout=PIPE)
    second = Popen(CAT, stdin=first.stdout, stdout=PIPE, stderr=STDOUT)
    first.stdout.close()
    assert second.communicate()[0] == b"1\n2\n3\n4\n5\n"
    assert first.wait() == 0
    reader, writer = os.pipe()
    with FileObjectPosix(reader, "rb") as source:
        child = Popen(CAT, stdin=source, stdout=PIPE)
        os.write(writer, b"late")
        os.close(writer)
        assert child.communicate()[0] == b"late"


# The functions


def test_run() -> None:
    done = subprocess.run(sh("cat; echo err >&2; exit 3"), input=b"in", capture_output=True)
    assert isinstance(done, stdlib.CompletedProcess)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"err\n")
    with pytest.raises(CalledProcessError) as caught:
        subprocess.run(sh("echo out; exit 4"), stdout=PIPE, check=True)
    assert caught.value.returncode == 4 and caught.value.output == b"out\n"


def test_run_with_a_timeout(turns: list[int]) -> None:
    """The child is killed and reaped, and what it wrote is there."""
    with pytest.raises(TimeoutExpired) as caught:
        subprocess.run(["/bin/sh", "-c", "echo early; exec sleep 60"], stdout=PIPE, timeout=0.2)
    assert caught.value.stdout == b"early\n"
    with pytest.raises(TimeoutExpired):
        subprocess.call(["sleep", "60"], timeout=0.05)
    with pytest.raises(TimeoutExpired):
        subprocess.check_output(["sleep", "60"], timeout=0.05)
    assert turns[0] > 5


def test_the_other_functions(turns: list[int]) -> None:
    assert subprocess.call(sh("exit 5")) == 5 and subprocess.check_call(["true"]) == 0
    with pytest.raises(CalledProcessError):
        subprocess.check_call(["false"])
    assert subprocess.check_output(CAT, input=b"x") == b"x"
    assert subprocess.getstatusoutput("echo a; exit 2") == (2, "a")
    before = turns[0]
    assert subprocess.getoutput("sleep 0.05; echo b") == "b"
    assert turns[0] > before


def test_what_cannot_be_started() -> None:
    for _ in range(20):
        with pytest.raises(FileNotFoundError):
            Popen(["/no/such/program"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        with pytest.raises(NotADirectoryError):
            Popen(["true"], cwd="/dev/null", stdout=PIPE)
        with pytest.raises(OSError, match="Bad file descriptor"):
            Popen(["true"], stdin=PIPE, stdout=7000)
        with pytest.raises(stdlib.SubprocessError):
            Popen(["true"], preexec_fn=lambda: 1 / 0)


def test_a_function_before_the_program() -> None:
    """It runs in the forked child; the parent's hub is not disturbed."""
    waiting = spawn(sleep, 0.05)
    child = Popen(sh("pwd; echo $VALUE"), preexec_fn=lambda: os.chdir("/"), env={"VALUE": "5"}, stdout=PIPE)
    assert child.communicate()[0] == b"/\n5\n"
    waiting.get()


def test_names() -> None:
    """Everything of the standard module is here; the exceptions are the same objects."""
    for name in stdlib.__all__:
        assert hasattr(subprocess, name), name
    assert subprocess.CalledProcessError is stdlib.CalledProcessError and subprocess.PIPE == stdlib.PIPE
    assert issubclass(Popen, stdlib.Popen) and Popen[bytes]
    assert subprocess.list2cmdline(["a b"]) == '"a b"'
    with Popen(["true"]) as child:
        reader, writer = child.pipe_cloexec()
    assert not os.get_inheritable(reader) and not os.get_inheritable(writer)
    os.close(reader)
    os.close(writer)


# Signals to the parent


@pytest.mark.parametrize(
    "waiting", ["child.wait()", "child.communicate()", "child.stdout.read()", "os.waitpid(child.pid, 0)"]
)
@pytest.mark.parametrize("signum", ["SIGINT", "SIGTERM"])
def test_signals_while_waiting(run_python: RunPython, waiting: str, signum: str) -> None:
    """Ctrl-C ends the wait with KeyboardInterrupt at once; a handler of SIGTERM that raises, likewise. The
    child goes on and can be waited for."""
    program = f"""
        import signal, sys, os as stdlib
        from greenswitch import os, spawn_later, subprocess
        def raising(signum, frame):
            raise SystemError("terminated")
        signal.signal(signal.SIGTERM, raising)
        # In a group of its own, or it would get what the terminal sends.
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, start_new_session=True)
        spawn_later(0.1, stdlib.kill, stdlib.getpid(), signal.{signum})
        try:
            {waiting}
        except KeyboardInterrupt:
            print("interrupted")
        except SystemError as error:
            print(error)
        assert child.poll() is None
        child.kill()
        print(child.wait())
    """
    outcome = run_python(textwrap.dedent(program)).check()
    text = "interrupted" if signum == "SIGINT" else "terminated"
    assert outcome.stdout == f"{text}\n-9\n"


def test_many_signals_while_many_wait(run_python: RunPython) -> None:
    """A handler that runs between any two steps loses nobody's wake-up."""
    program = """
        import signal
        from greenswitch import joinall, spawn, subprocess
        count = 0
        def handler(signum, frame):
            global count
            count += 1
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        data = b"x" * 100_000
        def one(number):
            return subprocess.run(["cat"], input=data, stdout=subprocess.PIPE).stdout == data
        waiting = [spawn(one, number) for number in range(100)]
        joinall(waiting, raise_error=True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert all(each.value for each in waiting) and count > 10, count
    """
    run_python(textwrap.dedent(program)).check()
