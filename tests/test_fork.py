"""Parent and child right after a fork: each goes on with its own loop (spec G15).

What belongs here: the hub, its loop, its pool of threads, its resolver and its monitor on both sides of
`os.fork`, the system's own. What never does: waiting for children (`test_os`).
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

BEGIN = """
    import io, os, signal, socket as plain, sys, threading, time, traceback, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    import greenswitch.os, greenswitch.select
    from greenswitch import get_hub, joinall, sleep, socket, spawn
    def in_child(body):
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    def ended(pid):
        assert os.waitpid(pid, 0)[1] == 0
"""


def run(run_python: RunPython, program: str, timeout: float = 60) -> None:
    outcome = run_python(textwrap.dedent(BEGIN) + textwrap.dedent(program), timeout=timeout).check()
    assert outcome.stderr == ""


@pytest.mark.parametrize("forking", ["in the main greenlet", "in a greenlet", "in a callback"])
def test_both_go_on(run_python: RunPython, forking: str) -> None:
    """G15: timers, threads, pipes and events work on both sides, wherever the fork is made."""
    run(
        run_python,
        f"""
        from greenswitch.event import Event
        from greenswitch.os import make_nonblocking, nb_read
        loop = get_hub().loop
        def everything():
            sleep(0.01)
            assert get_hub().threadpool.apply(lambda: 5) == 5
            assert greenswitch.wait([spawn(sleep, 0.01)])
            reader, writer = os.pipe()
            make_nonblocking(reader)
            reading = spawn(nb_read, reader, 10)
            sleep(0)
            os.write(writer, b"x")
            assert reading.get() == b"x"
            event = Event()
            threading.Timer(0.01, lambda: get_hub() and None or loop.call_threadsafe(event.set)).start()
            event.wait()
            assert socket.getaddrinfo("localhost", 80)
        everything()
        pids = []
        def fork():
            # A callback cannot wait.
            waiting = {forking!r} != "in a callback"
            pids.append(in_child(lambda: spawn(everything).get()) if waiting else in_callback())
        def in_callback():
            pid = os.fork()
            if not pid:
                # The greenlets of the parent are here as well.
                spawn(everything).link(lambda one: os._exit(0 if one.successful() else 1))
            return pid
        if {forking!r} == "in the main greenlet":
            fork()
        elif {forking!r} == "in a greenlet":
            spawn(fork).join()
        else:
            done = Event()
            loop.run_callback(lambda: (fork(), done.set()))
            done.wait()
            if not pids[0]:
                sleep(60)
        everything()
        ended(pids[0])
        """,
    )


def test_in_the_middle_of_traffic(run_python: RunPython) -> None:
    """G15: children are forked while a hundred connections are being served, and close what they inherited:
    no request of the parent is lost, nothing is told twice, nobody hangs."""
    run(
        run_python,
        """
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        address = listener.getsockname()
        served = 0
        def serve(connection):
            global served
            with connection:
                while data := connection.recv(1000):
                    served += 1
                    connection.sendall(data)
        def accept():
            while True:
                connection, _ = listener.accept()
                accepted.append(connection)
                spawn(serve, connection)
        accepted, clients = [], []
        accepting = spawn(accept)
        stop = False
        def client(number):
            count = 0
            with socket.create_connection(address) as connection:
                clients.append(connection)
                while not stop:
                    data = b"%d %d" % (number, count)
                    connection.sendall(data)
                    assert connection.recv(1000) == data
                    count += 1
            return count
        talking = [spawn(client, number) for number in range(100)]
        sleep(0.1)
        def child():
            # Before anybody else runs here, who would go on to talk.
            get_hub().exception_stream = io.StringIO()
            for greenlet in [accepting, *talking]:
                greenlet.kill(block=False)
            for connection in accepted + clients + [listener]:
                connection.close()
            for _ in range(5):
                sleep(0.01)
            assert get_hub().loop.fileno() >= 0
        pids = []
        for _ in range(20):
            pids.append(in_child(child))
            sleep(0.02)
        for pid in pids:
            greenswitch.os.waitpid(pid, 0)
        before = served
        sleep(0.1)
        assert served > before
        stop = True
        joinall(talking, raise_error=True, timeout=30)
        assert all(one.ready() and one.value > 10 for one in talking)
        """,
    )


def test_the_childs_doings_are_not_told_to_the_parent(run_python: RunPython) -> None:
    """G15: what the child registers, changes and closes in its poller stays there."""
    run(
        run_python,
        """
        one, other = socket.socketpair()
        waiting = spawn(one.recv, 10)
        sleep(0)
        ready, go = os.pipe()
        def child():
            # The same descriptor in the child's poller: taken out, closed, its number used anew.
            fd = one.fileno()
            waiting.kill()
            one.close()
            a, b = plain.socketpair()
            assert a.fileno() == fd
            mine = socket.socket(fileno=a.detach())
            reading = spawn(mine.recv, 10)
            sleep(0)
            b.send(b"child's")
            assert reading.get() == b"child's"
            mine.close()
            get_hub().destroy(destroy_loop=True)
            sleep(0.01)
            os.write(go, b"x")
            time.sleep(0.2)
        pid = in_child(child)
        while not greenswitch.select.select([ready], [], [], 0.01)[0]:
            assert not waiting.ready()
        other.send(b"parent's")
        assert waiting.get() == b"parent's"
        greenswitch.os.waitpid(pid, 0)
        """,
    )


def test_prefork_servers_share_a_port(run_python: RunPython) -> None:
    """G15: N processes accept from one listening socket; each serves with its own greenlets."""
    run(
        run_python,
        """
        listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        get_hub()
        def serve():
            def handle(connection):
                with connection:
                    connection.recv(10)
                    sleep(0.05)
                    connection.sendall(b"%d" % os.getpid())
            while True:
                spawn(handle, listener.accept()[0])
        pids = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                serve()
            pids.append(pid)
        def ask():
            with socket.create_connection(listener.getsockname()) as connection:
                connection.sendall(b"?")
                return int(connection.recv(100))
        asking = [spawn(ask) for _ in range(200)]
        joinall(asking, raise_error=True)
        answers = {one.value for one in asking}
        assert answers <= set(pids) and len(answers) > 1, answers
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        """,
    )


@pytest.mark.parametrize("who", ["main", "other"])
def test_with_other_threads(run_python: RunPython, who: str) -> None:
    """G15: the child has one thread. It gives back what the hubs of the others had open, and signals wake
    it."""
    run(
        run_python,
        f"""
        def pollers():
            found = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    found.append(os.readlink("/proc/self/fd/" + name))
                except OSError:
                    pass
            return found.count("anon_inode:[eventpoll]"), len(found)
        plainly = pollers()
        def child():
            sleep(0.01)
            count, descriptors = pollers()
            assert count == 1, count
            # Poller and pipe; more would be the parent's.
            assert descriptors <= plainly[1] + 3, (descriptors, plainly)
            told = []
            signal.signal(signal.SIGALRM, lambda *_: told.append(1) or wake.set())
            wake = greenswitch.event.Event()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert wake.wait(30) and told
            assert get_hub().loop.default
        import greenswitch.event
        def busy():
            sleep(0.001)
            while not stop:
                sleep(0.001)
                loop.call_threadsafe(lambda: None)
        stop = False
        get_hub()
        loop = get_hub().loop
        others = [threading.Thread(target=busy) for _ in range(3)]
        for other in others:
            other.start()
        sleep(0.05)
        def fork():
            for _ in range(20):
                ended(in_child(child))
        if {who!r} == "main":
            fork()
        else:
            failed = []
            def work():
                sleep(0.001)
                try:
                    fork()
                except BaseException as error:
                    failed.append(error)
            forking = threading.Thread(target=work)
            forking.start()
            while forking.is_alive():
                sleep(0.01)
            assert not failed, failed
        stop = True
        for other in others:
            while other.is_alive():
                sleep(0.01)
        """,
        timeout=120,
    )


def test_a_pool_that_is_at_work(run_python: RunPython) -> None:
    """G15: the child has none of the threads; its own pool works, and it does not wait for the parent's
    calls."""
    run(
        run_python,
        """
        pool = get_hub().threadpool
        slow = [pool.spawn(time.sleep, 0.3) for _ in range(pool.maxsize)]
        sleep(0.01)
        def child():
            began = time.monotonic()
            assert pool.apply(lambda: 7) == 7
            assert get_hub().loop.refs == 0 and len(pool) == 0
        ended(in_child(child))
        def never_used():
            assert get_hub().loop.refs == 0
        ended(in_child(never_used))
        joinall(slow)
        """,
    )


def test_nothing_is_handed_to_threads_that_are_not_in_the_child(run_python: RunPython) -> None:
    """G15: a lock, a queue and a channel for which threads of the parent wait."""
    run(
        run_python,
        """
        from greenswitch import Timeout
        from greenswitch.lock import RLock, Semaphore
        from greenswitch.queue import Channel, Queue
        semaphore, rlock, queue, bounded, channel = Semaphore(1), RLock(), Queue(), Queue(1), Channel()
        semaphore.acquire(), rlock.acquire(), bounded.put(1)
        waits = [semaphore.acquire, rlock.acquire, queue.get, queue.peek, lambda: bounded.put(2), channel.get]
        for wait in waits:
            threading.Thread(target=wait, daemon=True).start()
        def who_waits():
            rows = (semaphore._waiters, rlock._block._waiters, queue._getters, bounded._places._waiters)
            return sum(map(len, (*rows, channel._getters)))
        while who_waits() < len(waits):
            sleep(0.01)
        def child():
            with Timeout(10):
                semaphore.release()
                assert semaphore.acquire()
                rlock.release()
                assert spawn(rlock.acquire).get()
                queue.put(1)
                assert queue.peek() == 1 == queue.get()
                assert bounded.get() == 1
                bounded.put(3)
                assert bounded.get() == 3
                putting = spawn(channel.put, 4)
                sleep(0)
                assert channel.get() == 4 and putting.join() is None
        ended(in_child(child))
        """,
    )


def test_pools_that_go_in_the_child_do_not_wait_for_the_parents_threads(run_python: RunPython) -> None:
    """G15: one of which may have held their lock at the fork."""
    run(
        run_python,
        """
        import gc
        from greenswitch.threadpool import ThreadPool, ThreadPoolExecutor
        pools = [ThreadPool(1), ThreadPoolExecutor(1)]
        locks = [pools[0]._workers._lock, pools[1]._native._lock]
        forked = threading.Event()
        taken = threading.Event()
        def holding():
            with locks[0], locks[1]:
                taken.set()
                forked.wait()
        thread = threading.Thread(target=holding)
        thread.start()
        taken.wait()
        def child():
            signal.alarm(30)
            pools.clear()
            gc.collect()
        child_number = in_child(child)
        forked.set()
        ended(child_number)
        thread.join()
        """,
    )


def test_children_of_the_parent_are_nobodys_in_the_child(run_python: RunPython) -> None:
    """G15: watchers of them are stopped and keep nothing alive; their descriptors are given back."""
    run(
        run_python,
        """
        from greenswitch import os as green, subprocess
        pid = green.fork_and_watch(ref=True)
        if not pid:
            time.sleep(0.3)
            os._exit(3)
        loop = get_hub().loop
        def child():
            assert loop.activecnt == 0, loop
            try:
                green.waitpid(pid, 0)
            except ChildProcessError:
                pass
            mine = green.fork_and_watch()
            if not mine:
                os._exit(4)
            assert green.waitpid(mine, 0) == (mine, 4 << 8)
            assert subprocess.run(["true"]).returncode == 0
        ended(in_child(child))
        assert green.waitpid(pid, 0) == (pid, 3 << 8)
        """,
    )


@pytest.mark.parametrize("means", ["descriptors", "signals"])
def test_a_wait_for_a_child_of_the_parent_goes_on_in_the_child(run_python: RunPython, means: str) -> None:
    """G15: as with gevent, it does not end there, and Popen does not take it for a success."""
    run(
        run_python,
        f"""
        from greenswitch import os as green, subprocess
        if {means!r} == "signals":
            green.pidfd_open = None
        told = []
        def wait(call, *args):
            try:
                told.append(call(*args))
            except BaseException as error:
                told.append(error)
        first = green.fork()
        if not first:
            sleep(0.1)
            os._exit(3)
        program = subprocess.Popen(["sh", "-c", "sleep 0.1; exit 4"])
        waiting = [
            spawn(wait, green.waitpid, first, 0), spawn(wait, program.wait), spawn(wait, program.wait, 0.5)
        ]
        sleep(0.01)
        def child():
            # Longer than those who ask again now and then.
            sleep(1.2)
            assert [type(each) for each in told] == [subprocess.TimeoutExpired], told
            assert program.returncode is None
        pid = in_child(child)
        assert green.waitpid(pid, 0) == (pid, 0)
        joinall(waiting)
        assert told == [(first, 3 << 8), 4, 4] or told == [4, 4, (first, 3 << 8)], told
        """,
    )


def test_fork_watchers_and_reinit(run_python: RunPython) -> None:
    """G15: fork watchers are called in the child; gevent's `reinit()` may be called as well."""
    run(
        run_python,
        """
        told = []
        loop = get_hub().loop
        watcher = loop.fork(ref=False)
        watcher.start(lambda: told.append(os.getpid()))
        def child():
            sleep(0.01)
            assert told == [os.getpid()], told
            greenswitch.reinit()
            sleep(0.01)
        ended(in_child(child))
        sleep(0.01)
        assert told == []
        assert greenswitch.fork and greenswitch.fork is greenswitch.os.fork
        """,
    )


def test_a_loop_that_waits_for_the_next_hub(run_python: RunPython) -> None:
    """G15: after `destroy` the main thread's loop is kept; the child's copy of it is the child's own, too."""
    run(
        run_python,
        """
        sleep(0)
        get_hub().destroy()
        reader, writer = socket.socketpair()
        def child():
            receiving = spawn(reader.recv, 10)
            sleep(0.01)
            receiving.kill()
        pid = in_child(child)
        receiving = spawn(reader.recv, 10)
        sleep(0)
        ended(pid)
        writer.send(b"here")
        assert receiving.get() == b"here"
        """,
    )


def test_the_monitor(run_python: RunPython) -> None:
    """G15: the child's hub is watched as well."""
    run(
        run_python,
        """
        greenswitch.config.monitor_thread = True
        greenswitch.config.max_blocking_time = 0.02
        hub = get_hub()
        def child():
            hub.exception_stream = io.StringIO()
            spawn(time.sleep, 0.3).join()
            assert "appears to be blocked" in hub.exception_stream.getvalue()
        ended(in_child(child))
        hub.periodic_monitoring_thread.kill()
        """,
    )


def test_thousands_of_forks_leak_nothing(run_python: RunPython) -> None:
    run(
        run_python,
        """
        sleep(0.001)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(500):
            pid = os.fork()
            if not pid:
                sleep(0)
                os._exit(len(os.listdir("/proc/self/fd")) != before)
            assert greenswitch.os.waitpid(pid, 0) == (pid, 0)
        assert len(os.listdir("/proc/self/fd")) == before
        """,
    )
