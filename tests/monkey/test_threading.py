"""The standard `threading` when threads are greenlets, each time in a process of its own.

What belongs here: threads, who is which, their ends, locks and what is built on them, what was there before
patching. What never does: names that are replaced (`test_monkey`), and CPython's own tests of all this
(`tests/conformance`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

PATCH = "from greenswitch import monkey; monkey.patch_all()\n"


def result_of(run_python: RunPython, program: str, *arguments: str, patch: bool = True) -> str:
    """What the program printed; it must end well and complain of nothing."""
    text = (PATCH if patch else "") + textwrap.dedent(program)
    outcome = run_python(text, *arguments, options=("-W", "error"), timeout=60).check()
    assert outcome.stderr == ""
    return outcome.stdout


# Threads


def test_threads_are_greenlets(run_python: RunPython) -> None:
    """I3: they start in order, run while others sleep, and are all in one native thread."""
    printed = result_of(
        run_python,
        """
        import threading, time
        from greenswitch import Greenlet, getcurrent
        native = set()
        def work(number):
            native.add(threading.get_native_id())
            assert isinstance(getcurrent(), Greenlet)
            print("start", number)
            time.sleep(0.02 * (3 - number))
            print("end", number)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            assert thread.ident is None and not thread.is_alive()
            thread.start()
            assert thread.is_alive() and thread in threading.enumerate()
        assert threading.active_count() == 4
        for thread in threads:
            thread.join()
            assert not thread.is_alive() and thread.ident
        assert threading.active_count() == 1 and threading.enumerate() == [threading.main_thread()]
        assert native == {threading.main_thread().native_id}
        """,
    )
    assert printed == "start 0\nstart 1\nstart 2\nend 2\nend 1\nend 0\n"


def test_who_is_who(run_python: RunPython) -> None:
    """I3: each thread knows itself, and the main thread is what it was before patching."""
    result_of(
        run_python,
        """
        import threading
        before = threading.main_thread(), threading.get_ident(), threading.main_thread().ident
        from greenswitch import monkey; monkey.patch_all()
        import _thread, time
        assert (threading.current_thread(), threading.get_ident(), _thread.get_ident()) == before
        assert monkey.get_original("threading", "get_ident")() == before[1]
        seen = {}
        def work():
            time.sleep(0.01)
            seen[threading.current_thread()] = threading.get_ident()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert seen == {thread: thread.ident for thread in threads}
        assert len({*seen.values(), before[1]}) == 4
        """,
        patch=False,
    )


def test_join_waits_no_longer_than_told(run_python: RunPython) -> None:
    result_of(
        run_python,
        """
        import threading, time
        go = threading.Event()
        thread = threading.Thread(target=go.wait)
        for wrong in (thread.join, threading.current_thread().join):
            try:
                wrong()
            except RuntimeError:
                pass
            else:
                raise AssertionError(wrong)
        thread.start()
        began = time.monotonic()
        thread.join(0.05)
        assert thread.is_alive() and time.monotonic() - began >= 0.05
        thread.join(0)
        assert thread.is_alive()
        go.set()
        thread.join()
        thread.join()
        assert not thread.is_alive()
        """,
    )


def test_a_failing_thread_is_reported_once(run_python: RunPython) -> None:
    """I3: by `threading.excepthook`; a thread of `_thread` by `sys.unraisablehook`."""
    outcome = run_python(
        PATCH
        + textwrap.dedent(
            """
            import _thread, sys, threading, time
            def fail():
                raise ValueError("no good")
            thread = threading.Thread(target=fail, name="loser")
            thread.start()
            thread.join()
            _thread.start_new_thread(fail, ())
            time.sleep(0.01)
            threading.excepthook = lambda args: print("thread hook", args.exc_value, args.thread.name)
            sys.unraisablehook = lambda args: print("hook", args.exc_value, "started by" in args.err_msg)
            _thread.start_new_thread(fail, ())
            thread = threading.Thread(target=fail, name="other")
            thread.start()
            thread.join()
            threading.excepthook, sys.unraisablehook = threading.__excepthook__, sys.__unraisablehook__
            for silent in (sys.exit, _thread.exit):
                thread = threading.Thread(target=silent)
                thread.start()
                thread.join()
                _thread.start_new_thread(silent, ())
                time.sleep(0.01)
            """
        )
    ).check()
    assert outcome.stdout == "hook no good True\nthread hook no good other\n"
    assert outcome.stderr.count("Exception in thread loser:") == 1
    assert outcome.stderr.count("Exception ignored in thread started by <function fail") == 1
    assert outcome.stderr.count("ValueError: no good") == 2


def test_interrupt_reaches_the_main_thread(run_python: RunPython) -> None:
    """G14: Ctrl-C while a thread runs: the signal is the main thread's, as with native threads."""
    printed = result_of(
        run_python,
        """
        import os, signal, threading, time
        def work():
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            time.monotonic()
        try:
            threading.Thread(target=work).start()
            time.sleep(30)
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    assert printed == "interrupted\n"


def test_greenlets_that_are_no_threads(run_python: RunPython) -> None:
    """I3: they have a thread object for as long as they live, and no longer."""
    result_of(
        run_python,
        """
        import gc, threading
        from greenswitch import Greenlet, greenlet, sleep, spawn, spawn_raw
        kept = []
        def look():
            me = threading.current_thread()
            assert me is threading.current_thread() and me in threading.enumerate()
            assert me.ident == threading.get_ident() and me.daemon and me.is_alive()
            assert isinstance(me, threading._DummyThread) and "Dummy-" in me.name
            try:
                me.join()
            except (RuntimeError, AssertionError):
                pass
            else:
                raise AssertionError("joined itself")
            sleep(0.01)
            assert me is threading.current_thread()
            kept.append(me)
        greenlets = [spawn(look) for _ in range(3)]
        spawn_raw(look)
        greenlet(look).switch()
        for each in greenlets:
            each.get()
        sleep(0.02)
        gc.collect()
        assert len(kept) == 5 and len(set(kept)) == 5
        assert threading.enumerate() == [threading.main_thread()]
        # Greenlets that are kept have none any more either.
        assert all(each.dead for each in greenlets)
        """,
    )


def test_native_threads_have_thread_objects(run_python: RunPython) -> None:
    """I3: also after patching, in the thread pool, and none is left when the pool's threads are gone."""
    result_of(
        run_python,
        """
        import threading, time
        from greenswitch import get_hub
        pool = get_hub().threadpool
        native = monkey.get_original("threading", "get_ident")
        def look():
            me = threading.current_thread()
            return me.ident == threading.get_ident() == native(), me in threading.enumerate()
        assert pool.apply(look) == (True, True)
        pool.kill()
        for _ in range(500):
            if threading.active_count() == 1:
                break
            time.sleep(0.01)
        assert threading.enumerate() == [threading.main_thread()]
        """,
    )


def test_locals(run_python: RunPython) -> None:
    """G11: `threading.local` is each thread's own."""
    result_of(
        run_python,
        """
        import _threading_local, _thread, threading, time
        assert threading.local is _threading_local.local is _thread._local
        data = threading.local()
        data.value = "main"
        def work(number):
            assert not hasattr(data, "value")
            data.value = number
            time.sleep(0.001)
            assert data.value == number
        threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert data.value == "main"
        """,
    )


# Locks


def test_what_is_built_on_locks(run_python: RunPython) -> None:
    """G8: the standard classes, which know nothing of greenlets."""
    printed = result_of(
        run_python,
        """
        import threading, time
        tickets, sold, lock = [10], [], threading.Lock()
        def sell():
            while True:
                with lock:
                    if not tickets[0]:
                        return
                    time.sleep(0.0005)
                    tickets[0] -= 1
                    sold.append(tickets[0])
        sellers = [threading.Thread(target=sell) for _ in range(4)]
        for seller in sellers: seller.start()
        for seller in sellers: seller.join()
        assert sold == list(range(9, -1, -1))

        condition, items = threading.Condition(), []
        def consume():
            with condition:
                condition.wait_for(lambda: items)
                items.pop()
        consumers = [threading.Thread(target=consume) for _ in range(3)]
        for consumer in consumers: consumer.start()
        for _ in range(3):
            with condition:
                items.append(1)
                condition.notify()
            time.sleep(0)
        for consumer in consumers: consumer.join(5)
        assert not items

        barrier = threading.Barrier(3)
        places = []
        threads = [threading.Thread(target=lambda: places.append(barrier.wait())) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert sorted(places) == [0, 1, 2]

        semaphore = threading.BoundedSemaphore(2)
        assert semaphore.acquire() and semaphore.acquire() and not semaphore.acquire(timeout=0.01)
        semaphore.release(2)
        timer = threading.Timer(0.01, print, ("rang",))
        timer.start()
        timer.join()
        threading.Timer(60, print, ("never",)).cancel()
        event = threading.Event()
        assert not event.wait(0.01)
        threading.Timer(0.01, event.set).start()
        assert event.wait(10) and event.is_set()
        """,
    )
    assert printed == "rang\n"


def test_lock_errors(run_python: RunPython) -> None:
    """I3: arguments and misuse, as the standard locks."""
    result_of(
        run_python,
        """
        import threading
        def raises(error, call, *args):
            try:
                call(*args)
            except error:
                return
            raise AssertionError((error, call, args))
        for lock in (threading.Lock(), threading.RLock()):
            raises(RuntimeError, lock.release)
            raises(ValueError, lock.acquire, False, 1)
            raises(ValueError, lock.acquire, True, -2)
            raises(ValueError, lock.acquire, True, float("nan"))
            raises(OverflowError, lock.acquire, True, 1e100)
            assert repr(lock).startswith("<unlocked ")
            with lock as taken:
                assert taken is True and repr(lock).startswith("<locked ")
            lock.acquire()
            lock._at_fork_reinit()
            assert repr(lock).startswith("<unlocked ")
        lock = threading.RLock()
        with lock, lock:
            assert lock._is_owned() and lock._recursion_count() == 2
            thread = threading.Thread(target=raises, args=(RuntimeError, lock.release))
            thread.start()
            thread.join()
        raises(RuntimeError, lock._release_save)
        raises(TypeError, type, "Lock", (type(threading.Lock()),), {})
        """,
    )


def test_spinning_on_a_lock_lets_its_owner_run(run_python: RunPython) -> None:
    """G13: a failed attempt to take a lock gives way."""
    result_of(
        run_python,
        """
        import threading, time
        for kind in (threading.Lock, threading.RLock):
            lock = kind()
            def hold():
                with lock:
                    time.sleep(0.01)
            threading.Thread(target=hold).start()
            turns = 0
            while not lock.acquire(False):
                turns += 1
            assert turns
            lock.release()
        """,
    )


def test_locks_between_native_threads(run_python: RunPython) -> None:
    """S5, G8: a lock that one native thread releases wakes the greenlets of another."""
    printed = result_of(
        run_python,
        """
        import threading, time
        from greenswitch import get_hub
        lock, count, turns = threading.Lock(), [0], [0]
        def work():
            for _ in range(200):
                with lock:
                    before = count[0]
                    time.sleep(0)
                    count[0] = before + 1
        def tick():
            while True:
                time.sleep(0.001)
                turns[0] += 1
        threading.Thread(target=tick, daemon=True).start()
        pool = get_hub().threadpool
        others = [pool.spawn(work) for _ in range(3)]
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        for other in others: other.get()
        assert count == [1200], count
        event = threading.Event()
        waiting = threading.Thread(target=lambda: print(event.wait(30)))
        waiting.start()
        pool.spawn(event.set)
        waiting.join()
        """,
    )
    assert printed == "True\n"


# What was there before


def test_threads_from_before(run_python: RunPython) -> None:
    """I3: native threads that run already can be waited for, others run meanwhile; there is a warning that
    names them. One that was not started yet becomes a greenlet."""
    printed = result_of(
        run_python,
        """
        import os, threading, time, warnings
        reader, writer = os.pipe()
        def work():
            os.read(reader, 1)
            print("worked", threading.current_thread().name)
        native = threading.Thread(target=work, name="early")
        native.start()
        made = threading.Thread(target=lambda: print(threading.current_thread().name), name="made")
        timer = threading.Timer(0.01, print, ("rang",))
        from greenswitch import Greenlet, monkey
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all()
        print([(one.category.__name__, "early" in str(one.message), one.filename) for one in caught])
        turns = 0
        def tick():
            global turns
            while True:
                turns += 1
                time.sleep(0.001)
        ticker = Greenlet.spawn(tick)
        native.join(0.01)
        assert native.is_alive() and native in threading.enumerate()
        def free():
            while turns < 10:
                time.sleep(0.001)
            os.write(writer, b"x")
        Greenlet.spawn(free)
        native.join()
        assert not native.is_alive() and turns >= 10, turns
        ticker.kill()
        made.start()
        made.join()
        timer.start()
        timer.join()
        assert threading.enumerate() == [threading.main_thread()]
        """,
        patch=False,
    )
    assert printed == "[('MonkeyPatchWarning', True, '<string>')]\nworked early\nmade\nrang\n"


def test_no_warning_without_reason(run_python: RunPython) -> None:
    """I3: patching early warns of nothing, whatever was imported, however often it is done."""
    result_of(
        run_python,
        """
        import concurrent.futures, http.client, logging, queue, socket, threading
        thread = threading.Thread(target=print)
        ended = threading.Thread(target=int)
        ended.start()
        ended.join()
        from greenswitch import monkey
        monkey.patch_all()
        threading.Thread(target=int).start()
        monkey.patch_all()
        monkey.patch_thread()
        """,
        patch=False,
    )


def test_locks_from_before(run_python: RunPython) -> None:
    """I3: locks of modules and of logging are replaced, but those that somebody holds or somebody else knows;
    the import system's are left alone."""
    result_of(
        run_python,
        """
        import concurrent.futures.thread, importlib._bootstrap, logging, sys, threading, types
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        module = sys.modules["my_module"] = types.ModuleType("my_module")
        module.plain, module.again = threading.Lock(), threading.RLock()
        module.held = threading.Lock()
        module.held.acquire()
        module.lock = threading.Lock()
        module.condition = threading.Condition(module.lock)
        native = type(module.plain), type(module.again)
        handler = logging.getLogger().handlers[0]
        with module.again:
            from greenswitch import monkey
            monkey.patch_all()
            assert isinstance(module.again, native)
        from greenswitch.thread import LockType, RLock
        assert type(module.plain) is LockType
        assert isinstance(module.held, native) and isinstance(module.lock, native)
        assert type(concurrent.futures.thread._global_shutdown_lock) is LockType
        assert type(logging._lock) is RLock and type(handler.lock) is RLock
        assert isinstance(threading._active_limbo_lock, native)
        logging.warning("heard")
        import json.tool
        """,
        patch=False,
    )


def test_locks_while_the_interpreter_ends(run_python: RunPython) -> None:
    """I3: what is destroyed last may take a lock for it, as handlers of logging do."""
    result_of(
        run_python,
        """
        import builtins, logging
        builtins.kept = logging.StreamHandler()
        from greenswitch import monkey
        monkey.patch_all()
        """,
        patch=False,
    )


def test_patching_while_importing(run_python: RunPython) -> None:
    """I3: patched in a module that is being imported, whose lock is held by then; threads that import the
    same module wait for each other."""
    printed = result_of(
        run_python,
        """
        import pathlib, sys, tempfile
        with tempfile.TemporaryDirectory() as folder:
            sys.path.insert(0, folder)
            program = "from greenswitch import monkey; monkey.patch_all()"
            pathlib.Path(folder, "patching.py").write_text(program)
            pathlib.Path(folder, "slow.py").write_text("import time; time.sleep(0.02); value = 1")
            import patching
            import threading
            def load():
                import slow
                print(slow.value)
            threads = [threading.Thread(target=load) for _ in range(3)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """,
        patch=False,
    )
    assert printed == "1\n" * 3


# The end


def test_the_program_waits_for_threads(run_python: RunPython) -> None:
    """I3: for those that are no daemons, those that they start, and those that wait for the main thread."""
    printed = result_of(
        run_python,
        """
        import atexit, threading, time
        atexit.register(print, "atexit")
        def forever():
            while True:
                time.sleep(60)
        def last():
            time.sleep(0.02)
            print("last", threading.main_thread().is_alive())
        def first():
            threading.main_thread().join()
            print("main is over")
            thread = threading.Thread(target=last)
            thread.start()
        threading.Thread(target=forever, daemon=True).start()
        threading.Thread(target=first).start()
        print("end")
        """,
    )
    assert printed == "end\nmain is over\nlast False\natexit\n"


def test_the_program_waits_for_native_threads_too(run_python: RunPython) -> None:
    printed = result_of(
        run_python,
        """
        import os, threading, time, warnings
        reader, writer = os.pipe()
        def work():
            os.read(reader, 1)
            print("worked")
        threading.Thread(target=work).start()
        warnings.simplefilter("ignore")
        from greenswitch import monkey; monkey.patch_all()
        def tick():
            for _ in range(3):
                time.sleep(0.001)
            print("ticked")
            os.write(writer, b"x")
        threading.Thread(target=tick).start()
        """,
        patch=False,
    )
    assert printed == "ticked\nworked\n"


def test_native_threads_are_waited_for_where_no_other_can_be_started(run_python: RunPython) -> None:
    """As where the system has no more of them, and on CPython 3.12 while the program ends."""
    printed = result_of(
        run_python,
        """
        import os, threading, time, warnings
        reader, writer = os.pipe()
        before = threading.Thread(target=os.read, args=(reader, 1))
        before.start()
        warnings.simplefilter("ignore")
        from greenswitch import _original, monkey; monkey.patch_all()
        def none_left(*args):
            raise RuntimeError("can't start new thread")
        _original.start_new_thread = none_left
        began = time.monotonic()
        before.join(0.05)
        print(before.is_alive(), 0.04 < time.monotonic() - began < 5)
        threading.Timer(0.05, os.write, (writer, b"x")).start()
        before.join()
        print(before.is_alive())
        """,
        patch=False,
    )
    assert printed == "True True\nFalse\n"


def test_executor_at_exit(run_python: RunPython) -> None:
    """I3: `concurrent.futures` ends its threads and carries out what was handed in."""
    printed = result_of(
        run_python,
        """
        import concurrent.futures, time
        pool = concurrent.futures.ThreadPoolExecutor(2)
        for number in range(4):
            pool.submit(lambda number: (time.sleep(0.01), print(number)), number)
        print("end")
        """,
    )
    assert printed == "end\n0\n1\n2\n3\n"


def test_deadlock_at_exit_is_told(run_python: RunPython) -> None:
    """G12: a thread that nobody can wake any more does not keep the program from ending, and is told of."""
    outcome = run_python(
        PATCH + "import threading; lock = threading.Lock(); lock.acquire()\n"
        "threading.Thread(target=lock.acquire).start(); print('end')"
    )
    assert outcome.stdout == "end\n"
    assert "LoopExit" in outcome.stderr and "LockType.acquire()" in outcome.stderr


# Fork


FORK = """
import os, threading, time
def child(check):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            check()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def only_me():
    me = threading.current_thread()
    assert threading.enumerate() == [me] and threading.main_thread() is me, threading.enumerate()
    assert me.ident == threading.get_ident() and me.is_alive()
    other = threading.Thread(target=int)
    other.start()
    other.join()
    with threading.Lock(), threading.RLock(), threading.Condition():
        pass
stop = threading.Event()
waiting = threading.Thread(target=stop.wait)
waiting.start()
"""


def test_fork(run_python: RunPython) -> None:
    """G15: in the child there is only the thread that forked; it is the main thread. The others are over for
    `threading`, and nothing is said of them."""
    result_of(
        run_python,
        FORK
        + """
def check():
    only_me()
    assert not waiting.is_alive()
    waiting.join(5)
    stop.set()
    time.sleep(0.01)
assert child(check) == 0
assert waiting.is_alive()
results = []
def from_thread():
    results.append(child(check))
thread = threading.Thread(target=from_thread)
thread.start()
thread.join()
from greenswitch import spawn
def known():
    threading.current_thread()
    from_thread()
spawn(from_thread).join()
spawn(known).join()
assert results == [0, 0, 0], results
stop.set()
""",
    )


def test_nobody_runs_inside_of_a_fork(run_python: RunPython) -> None:
    """G15: what is registered to be called at a fork is called without a switch in between, also while
    another thread hands work to an executor."""
    result_of(
        run_python,
        """
        import concurrent.futures.thread, os, threading, time
        forking = []
        os.register_at_fork(before=lambda: forking.append(1), after_in_parent=forking.pop)
        def watch():
            for _ in range(300):
                assert not forking, "somebody is in os.fork()"
                time.sleep(0)
        def fork(_):
            for _ in range(5):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
            return True
        watcher = threading.Thread(target=watch)
        watcher.start()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert all(pool.map(fork, range(4)))
        watcher.join()
        """,
    )


def test_fork_that_ends_as_a_program(run_python: RunPython) -> None:
    """G15: a child that goes on to its end, in the main thread or in another one."""
    printed = result_of(
        run_python,
        """
        import os, sys, threading
        def fork():
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                print("child", flush=True)
                threading.Thread(target=print, args=("child's thread",), kwargs={"flush": True}).start()
                return
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if len(sys.argv) > 1:
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        else:
            fork()
        """,
    )
    assert printed == "child\nchild's thread\n0\n"


# The standard library on top


def test_queues(run_python: RunPython) -> None:
    """G9: between threads, and with a native one."""
    printed = result_of(
        run_python,
        """
        import queue, threading, time
        from greenswitch import get_hub
        for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
            jobs, done = kind(3), []
            def work():
                while (job := jobs.get()) < 100:
                    time.sleep(0.001)
                    done.append(job)
                    jobs.task_done()
                jobs.task_done()
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads: thread.start()
            for number in range(20): jobs.put(number)
            jobs.join()
            for _ in threads: jobs.put(100)
            for thread in threads: thread.join()
            assert sorted(done) == list(range(20))
        simple = queue.SimpleQueue()
        get_hub().threadpool.spawn(simple.put, "from elsewhere")
        print(simple.get(timeout=30))
        try:
            simple.get(timeout=0.01)
        except queue.Empty:
            print("empty")
        """,
    )
    assert printed == "from elsewhere\nempty\n"


def test_executor(run_python: RunPython) -> None:
    """I3: `concurrent.futures` on greenlets: in one native thread, side by side."""
    result_of(
        run_python,
        """
        import concurrent.futures, threading, time
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            began = time.monotonic()
            def work(number):
                time.sleep(0.05)
                return number, threading.get_native_id()
            results = list(pool.map(work, range(20)))
            assert [number for number, _ in results] == list(range(20))
            assert {native for _, native in results} == {threading.get_native_id()}
            assert time.monotonic() - began < 0.9
            futures = [pool.submit(work, number) for number in range(3)]
            assert {future.result()[0] for future in concurrent.futures.as_completed(futures)} == {0, 1, 2}
        """,
    )


def test_logging(run_python: RunPython) -> None:
    """I3: the name of the thread in each record, also of greenlets that are none."""
    printed = result_of(
        run_python,
        """
        import logging, sys, threading
        from greenswitch import spawn
        logging.basicConfig(stream=sys.stdout, format="%(threadName)s %(message)s")
        logging.warning("one")
        thread = threading.Thread(target=logging.warning, args=("two",), name="worker")
        thread.start()
        thread.join()
        spawn(logging.warning, "three").get()
        """,
    )
    lines = printed.splitlines()
    assert lines[:2] == ["MainThread one", "worker two"]
    assert lines[2].startswith("Dummy-") and lines[2].endswith(" three")


def test_loops_of_asyncio_side_by_side(run_python: RunPython) -> None:
    """D4: one in each of several threads, which are all in one native thread; each knows its own loop, and
    who runs none knows that."""
    printed = result_of(
        run_python,
        """
        import asyncio, threading, time
        loops, met = set(), threading.Barrier(3)
        async def work(number):
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(met.wait)
            for _ in range(5):
                await asyncio.sleep(0.002)
                assert asyncio.get_running_loop() is loop and asyncio.current_task(loop)
            loops.add(loop)
            return number
        async def main(number):
            return await asyncio.gather(work(number), asyncio.sleep(0.01, number))
        results = {}
        def run(number):
            results[number] = asyncio.run(main(number))
        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads: thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                pass
            else:
                raise AssertionError("whose loop is this?")
        assert len(loops) == 3
        assert results == {number: [number] * 2 for number in range(3)}, results
        print("good")
        """,
    )
    assert printed == "good\n"


@pytest.mark.parametrize("where", ["main", "thread", "pool"])
def test_asyncio(run_python: RunPython, where: str) -> None:
    """D4: its loop in the main thread, in a thread that is a greenlet, and in a native thread of the pool; it
    hands work to threads."""
    printed = result_of(
        run_python,
        """
        import asyncio, sys, threading, time
        from greenswitch import get_hub
        async def work(number):
            await asyncio.sleep(0.001)
            return await asyncio.to_thread(lambda: (time.sleep(0.01), number)[1])
        async def main():
            return await asyncio.gather(*(work(number) for number in range(5)))
        def run():
            print(asyncio.run(main()))
        if sys.argv[1] == "main":
            run()
        elif sys.argv[1] == "thread":
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        else:
            get_hub().threadpool.apply(run)
        """,
        where,
    )
    assert printed == "[0, 1, 2, 3, 4]\n"


def test_socketserver_with_threads(run_python: RunPython) -> None:
    """I1: a threading server and its clients in one native thread."""
    result_of(
        run_python,
        """
        import socket, socketserver, threading
        class Echo(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    self.wfile.write(line)
        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 100
        with Server(("127.0.0.1", 0), Echo) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            answers = []
            def ask(number):
                with socket.create_connection(server.server_address) as sock, sock.makefile("rw") as file:
                    for turn in range(3):
                        file.write(f"{number} {turn}\\n")
                        file.flush()
                        answers.append(file.readline())
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            server.shutdown()
        assert sorted(answers) == sorted(f"{number} {turn}\\n" for number in range(30) for turn in range(3))
        """,
    )


def test_sigint_while_a_thread_serves() -> None:
    """I3: a program whose main thread waits for its threads ends on Ctrl-C as with native threads."""
    program = PATCH + textwrap.dedent(
        """
        import threading, time
        def forever():
            print("ready", flush=True)
            while True:
                time.sleep(0.001)
        thread = threading.Thread(target=forever, daemon=True)
        thread.start()
        thread.join()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT and errors.endswith("KeyboardInterrupt\n")
