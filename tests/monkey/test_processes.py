"""Programs that make processes and know nothing of greenlets, after patching (spec G15, I3).

What belongs here: `os`, `subprocess`, `signal`, the standard streams, `multiprocessing` and
`concurrent.futures` as a patched program uses them, with real children. What never does: the replacements by
themselves (`test_os`, `test_subprocess`, `test_signal`, `test_fileobject`).
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Outcome, RunPython

BEGIN = """
from greenswitch import monkey
monkey.patch_all()
import os, signal, subprocess, sys, time
import greenswitch

turns = 0
home = os.getpid()

def count():
    global turns
    while True:
        assert os.getpid() == home, "the parent's greenlet runs in a child"
        turns += 1
        time.sleep(0.001)
"""


def run(run_python: RunPython, tmp_path: Path, program: str, timeout: float = 60) -> Outcome:
    """A script, which children that are started anew import; it must end well and complain of nothing."""
    script = tmp_path / "program.py"
    # Where all have one thread the warning about forking beside threads is about the pool's.
    script.write_text(BEGIN + textwrap.dedent(program), encoding="utf-8")
    options = ("-W", "ignore:.*fork:DeprecationWarning")
    outcome = run_python(script, options=options, timeout=timeout).check()
    assert outcome.stderr == ""
    return outcome


def test_replaced_names(run_python: RunPython, tmp_path: Path) -> None:
    """I3: the standard modules hold ours; patching again changes nothing."""
    run(
        run_python,
        tmp_path,
        """
        for _ in range(2):
            assert os.fork is greenswitch.os.fork and os.waitpid is greenswitch.os.waitpid
            assert os.close is greenswitch.os.close and os.forkpty is greenswitch.os.forkpty
            assert signal.signal is greenswitch.signal.signal
            assert subprocess.Popen is greenswitch.subprocess.Popen
            assert subprocess.run is monkey.get_original("subprocess", "run")
            assert monkey.get_original("os", "fork") is not os.fork
            assert type(sys.stdout).__module__ == "_io"
            saved = {name: dict(items) for name, items in monkey.saved.items()}
            monkey.patch_os(); monkey.patch_signal(); monkey.patch_subprocess(); monkey.patch_builtins()
            monkey.patch_all()
            assert saved == monkey.saved
        """,
    )


def test_subprocess_and_os(run_python: RunPython, tmp_path: Path) -> None:
    """I3: the standard modules' functions let others run."""
    run(
        run_python,
        tmp_path,
        """
        counting = greenswitch.spawn(count)
        def grows(call):
            before = turns
            result = call()
            assert turns > before + 5, call
            return result
        assert grows(lambda: subprocess.check_output("sleep 0.05; echo out", shell=True)) == b"out\\n"
        assert grows(lambda: subprocess.run(["sleep", "0.05"])).returncode == 0
        assert grows(lambda: subprocess.getoutput("sleep 0.05; echo a")) == "a"
        with os.popen("sleep 0.05; echo b") as file:
            assert grows(file.read) == "b\\n"
        assert grows(lambda: os.spawnlp(os.P_WAIT, "sleep", "sleep", "0.05")) == 0
        def forked(wait):
            pid = os.fork()
            if not pid:
                monkey.get_original("time", "sleep")(0.05)
                os._exit(3)
            return wait(pid)
        grows(lambda: forked(lambda pid: os.waitpid(pid, 0)))
        grows(lambda: forked(lambda pid: os.wait()))
        pid = os.posix_spawnp("sleep", ["sleep", "0.05"], os.environ)
        grows(lambda: os.waitpid(pid, 0))
        began = time.monotonic()
        greenswitch.joinall([greenswitch.spawn(subprocess.call, ["sleep", "0.3"]) for _ in range(10)])
        assert time.monotonic() - began < 2
        """,
    )


def test_a_handler_of_sigchld_reaps(run_python: RunPython, tmp_path: Path) -> None:
    """I3: as a server that forks does it."""
    run(
        run_python,
        tmp_path,
        """
        reaped = set()
        def reap(signum, frame):
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                if not pid:
                    return
                reaped.add(pid)
        signal.signal(signal.SIGCHLD, reap)
        made = set()
        for number in range(30):
            pid = os.fork()
            if not pid:
                os._exit(0)
            made.add(pid)
        deadline = time.monotonic() + 30
        while reaped != made and time.monotonic() < deadline:
            time.sleep(0.01)
        assert reaped == made
        """,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(run_python: RunPython, tmp_path: Path, method: str) -> None:
    """G15: processes, queues, pipes, locks, events and pools; the parent's greenlets run meanwhile, and in
    the parent only."""
    run(
        run_python,
        tmp_path,
        f"""
        import multiprocessing, socket
        context = multiprocessing.get_context({method!r})

        def double(inbox, outbox):
            for number in iter(inbox.get, None):
                outbox.put(number * 2)

        def square(number):
            time.sleep(0.01)
            return number * number

        def talk(connection, lock, event, value):
            with lock:
                connection.send(connection.recv()[::-1])
            with value.get_lock():
                value.value += 1
            event.wait()
            raise SystemExit(5)

        def send_socket(connection):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                connection.send(listener)
                # It is fetched from this process.
                connection.recv()

        def main():
            counting = greenswitch.spawn(count)
            inbox, outbox = context.Queue(), context.Queue()
            workers = [context.Process(target=double, args=(inbox, outbox)) for _ in range(3)]
            for worker in workers:
                worker.start()
            for number in range(50):
                inbox.put(number)
            assert sorted(outbox.get() for _ in range(50)) == [number * 2 for number in range(50)]
            for _ in workers:
                inbox.put(None)
            before = turns
            for worker in workers:
                worker.join()
            assert [worker.exitcode for worker in workers] == [0] * 3

            ours, theirs = context.Pipe()
            lock, event, value = context.Lock(), context.Event(), context.Value("i", 0)
            lock.acquire()
            talking = context.Process(target=talk, args=(theirs, lock, event, value))
            talking.start()
            data = os.urandom(2_000_000)
            sending = greenswitch.spawn(ours.send, data)
            before = turns
            time.sleep(0.05)
            assert not ours.poll() and turns > before
            lock.release()
            before = turns
            assert ours.recv() == data[::-1]
            sending.get()
            talking.join(0.05)
            assert talking.exitcode is None and talking.is_alive()
            event.set()
            talking.join()
            assert talking.exitcode == 5 and value.value == 1
            with lock:
                assert not lock.acquire(False) and not lock.acquire(timeout=0.02)
                waiting = greenswitch.spawn(lock.acquire)
                before = turns
                time.sleep(0.02)
                assert turns > before and not waiting.ready()
            assert waiting.get()
            lock.release()

            sender = context.Process(target=send_socket, args=(theirs,))
            sender.start()
            with ours.recv() as listener:
                assert type(listener) is socket.socket and listener.getsockname()[1]
            ours.send(None)
            sender.join()

            killed = context.Process(target=time.sleep, args=(60,))
            killed.start()
            killed.terminate()
            before = turns
            killed.join()
            assert killed.exitcode == -signal.SIGTERM
            with context.Pool(3) as pool:
                assert pool.map(square, range(20)) == [number * number for number in range(20)]
            counting.kill()

        if __name__ == "__main__":
            main()
        """,
        timeout=120,
    )


def test_what_the_parent_had_begun_is_not_in_the_childs_way(run_python: RunPython, tmp_path: Path) -> None:
    """G15: a lock that was on its way to a greenlet, and a pool for whose places greenlets wait, are of use
    in a child that has none of these greenlets."""
    run(
        run_python,
        tmp_path,
        """
        import multiprocessing, threading
        context = multiprocessing.get_context("fork")
        lock = threading.Lock()
        pool = greenswitch.get_hub().threadpool
        block = monkey.get_original("time", "sleep")

        def take_turns():
            for _ in range(3):
                with lock:
                    time.sleep(0.002)

        def child():
            threads = [threading.Thread(target=take_turns) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()
            with greenswitch.Timeout(20):
                assert pool.apply(lambda: 5) == 5

        def main():
            calls = [greenswitch.spawn(pool.apply, block, (0.1,)) for _ in range(pool.maxsize * 2)]
            lock.acquire()
            waiting = greenswitch.spawn(take_turns)
            time.sleep(0.01)
            lock.release()
            process = context.Process(target=child)
            process.start()
            process.join()
            assert process.exitcode == 0
            greenswitch.joinall([waiting, *calls])

        main()
        """,
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_futures(run_python: RunPython, tmp_path: Path, method: str) -> None:
    """G15: both kinds of executors; N processes use N cores."""
    run(
        run_python,
        tmp_path,
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed

        def square(number):
            return number * number, os.getpid()

        def main():
            context = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(3, mp_context=context) as executor:
                answers = list(executor.map(square, range(30)))
                assert [answer for answer, pid in answers] == [number * number for number in range(30)]
                assert os.getpid() not in {{pid for answer, pid in answers}}
                futures = [executor.submit(square, number) for number in range(10)]
                assert len(list(as_completed(futures))) == 10
                try:
                    executor.submit(int, "x").result()
                except ValueError:
                    pass
                else:
                    raise AssertionError
            with ThreadPoolExecutor(3) as executor:
                assert [answer for answer, pid in executor.map(square, range(5))] == [0, 1, 4, 9, 16]

        if __name__ == "__main__":
            main()
        """,
        timeout=120,
    )


def test_standard_streams(run_python: RunPython) -> None:
    """I3: reading from the standard input lets others run; what is printed at the end arrives, also from the
    hub."""
    program = """
        from greenswitch import monkey
        monkey.patch_sys()
        monkey.patch_sys()
        import os, sys, threading
        import greenswitch
        from greenswitch.fileobject import FileObjectThread
        assert all(type(each) is FileObjectThread for each in (sys.stdin, sys.stdout, sys.stderr))
        reader, writer = os.pipe()
        os.dup2(reader, 0)
        reading = greenswitch.spawn(input)
        greenswitch.sleep(0.05)
        assert not reading.ready()
        os.write(writer, b"a line\\n")
        print(reading.get())
        greenswitch.get_hub().loop.run_callback(print, "from the hub")
        greenswitch.spawn(lambda: 1 / 0)
        greenswitch.sleep(0.01)
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        sys.stdout.write("the end")
    """
    outcome = run_python(textwrap.dedent(program)).check()
    assert outcome.stdout == "a line\nfrom the hub\nfrom a thread\nthe end"
    assert "ZeroDivisionError" in outcome.stderr and outcome.stderr.count("Traceback") == 1


def test_one_stream_alone(run_python: RunPython) -> None:
    program = """
        from greenswitch import monkey
        monkey.patch_sys(stdin=False, stderr=False)
        import sys
        print(type(sys.stdin).__name__, type(sys.stdout).__name__, type(sys.stderr).__name__)
        sys.stdin = None
        monkey.patch_sys()
        assert sys.stdin is None
    """
    outcome = run_python(textwrap.dedent(program)).check()
    assert outcome.stdout == "TextIOWrapper FileObjectThread TextIOWrapper\n"


def test_an_interpreter_without_multiprocessing(run_python: RunPython) -> None:
    """Its rows are left out."""
    program = """
        import sys
        sys.modules["_multiprocessing"] = None
        from greenswitch import monkey
        monkey.patch_all()
        assert monkey.is_object_patched("subprocess", "Popen")
        assert not monkey.is_module_patched("multiprocessing.connection")
    """
    run_python(textwrap.dedent(program)).check()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner is of 3.11")
def test_a_process_of_asyncio(run_python: RunPython, tmp_path: Path) -> None:
    """I3: asyncio takes the patched Popen as its own."""
    run(
        run_python,
        tmp_path,
        """
        import asyncio
        async def main():
            process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            out, _ = await process.communicate(b"x" * 500_000)
            return len(out), process.returncode
        assert asyncio.run(main()) == (500_000, 0)
        """,
    )
