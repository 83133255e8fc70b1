"""Everything that needs descriptors, while the process has none, one, two, ... left (spec I4).

What belongs here: that each operation either works or says EMFILE, never hangs, leaves nothing open, and
works again afterwards. What never does: servers (`servers/test_faults`), which go on by themselves.
"""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

PROGRAM = """
    import errno, gc, os, resource, threading
    from greenswitch import Timeout, fileobject, get_hub, select, selectors, sleep, socket, subprocess
    from greenswitch.os import fork_and_watch, waitpid

    def a_hub_of_its_own():
        failed = []
        def work():
            try:
                sleep(0.001)
            except OSError as error:
                failed.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def connection():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as one:
                other, _ = listener.accept()
                with other:
                    one.sendall(b"x")
                    assert other.recv(1) == b"x"

    def program():
        assert subprocess.run(["echo", "x"], capture_output=True).stdout == b"x\\n"

    def child():
        # Without a descriptor for the process SIGCHLD tells of its end.
        pid = fork_and_watch()
        if not pid:
            os._exit(3)
        assert waitpid(pid, 0) == (pid, 3 << 8)

    def file():
        reader, writer = os.pipe()
        with fileobject.FileObject(reader, "rb") as source, fileobject.FileObject(writer, "wb") as sink:
            sink.write(b"x")
            sink.close()
            assert source.read() == b"x"

    def selector():
        one, other = socket.socketpair()
        with one, other, selectors.DefaultSelector() as chosen:
            chosen.register(one, selectors.EVENT_READ)
            other.send(b"x")
            assert len(chosen.select(30)) == 1

    def name():
        assert socket.getaddrinfo("localhost", 80)

    def thread_of_the_pool():
        assert get_hub().threadpool.apply(abs, (-1,)) == 1

    def opened():
        gc.collect()
        # What was closed is forgotten in a turn of the loop.
        sleep(0.002)
        found = set()
        for number in range(1000):
            try:
                os.fstat(number)
                found.add(number)
            except OSError:
                pass
        return found

    def within(limit, call):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            with Timeout(30):
                call()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    call = globals()[OPERATION]
    # What is made once and kept.
    name()
    call()
    before = opened()
    free = [number for number in range(1000) if number not in before]
    refused = 0
    for spare in range(10):
        try:
            within(free[spare], call)
        except OSError as error:
            assert error.errno == errno.EMFILE, error
            refused += 1
        assert len(opened()) == len(before), (spare, opened(), before)
        with Timeout(30):
            call()
    assert len(opened()) == len(before)
    print(refused)
"""


@pytest.mark.parametrize(
    ("operation", "needs"),
    [
        ("a_hub_of_its_own", 2),
        ("connection", 3),
        pytest.param(
            *("program", 2),
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11, 4),
                reason="before CPython 3.11.4 subprocess itself loses pipes for want of descriptors",
            ),
        ),
        ("child", 0),
        ("file", 2),
        ("selector", 2),
        ("name", 0),
        ("thread_of_the_pool", 0),
    ],
)
def test_out_of_descriptors(run_python: RunPython, operation: str, needs: int) -> None:
    """I4: with less than it needs at the least the operation is refused, with enough of them it is not."""
    program = f"OPERATION = {operation!r}\n" + textwrap.dedent(PROGRAM)
    outcome = run_python(program, options=("-W", "error", "-W", "ignore:.*fork:DeprecationWarning")).check()
    assert outcome.stderr == ""
    assert needs <= int(outcome.stdout) < 9
