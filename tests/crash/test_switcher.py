"""Programs that once crashed, hung or leaked, or whose like has crashed greenlet; each in its own process.

What belongs here: one program for each way to crash, and the table of the crashes that greenlet had to fix
(LINES), with the tests that show each.  What never does: chance, which is in tests/stress.

A program's name begins with the line that it is for; those without one are crashes of our own.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

TESTS = Path(__file__).parents[1]

# What greenlet had to fix: the line, and the tests for it outside of PROGRAMS.
LINES: dict[int, tuple[str, ...]] = {
    1: (),  # deallocation inside the trashcan switches greenlets
    2: (),  # the collector, __del__ or a callback of a weak reference switches in the middle of a switch
    3: (  # looking up `run` starts the same greenlet; the callable's __del__ switches
        "test_core.py::test_run_that_is_looked_up_may_start_the_greenlet",
        "test_core.py::test_run_whose_deletion_switches",
    ),
    4: (  # the end of threads, of the interpreter and of embedded interpreters, with greenlets in every state
        "crash/test_embedding.py::test_interpreter_ends",
        "test_core.py::test_a_thread_that_ends_kills_what_is_suspended_in_it",
        "capi/test_capi.py::test_while_the_interpreter_is_finalised",
    ),
    5: ("growth/test_growth.py::test_no_growth",),  # data stacks of greenlets that are never finished
    6: ("test_core.py::test_frames_below_c_calls",),  # f_back of frames of suspended greenlets
    7: (),  # settrace() with the tracer that is set
    8: (  # exceptions of C++ that cross greenlets; threads that are unwound by force
        "capi/test_capi.py::test_exceptions_of_several_greenlets",
        "capi/test_capi.py::test_native_thread_that_exits_amid_greenlets",
    ),
    9: (  # the first switch, broken by the optimiser
        "crash/test_build_variants.py::test_core_of_each_build",
        "c/run.sh::for level in -O0 -O2 -O3",
    ),
    10: ("crash/test_switcher.py::test_suspended_in_machine_code",),  # current_executor
    11: ("capi/test_capi.py::test_what_greenlet_cannot_be_asked",),  # references across threads; C's throw
    12: ("test_build_errors.py::free-threaded",),  # free-threading, which is refused
    13: (),  # the collector left switched off
}

PROGRAMS = {
    "a main that is left from a shallower place": """
        # The interpreter's specialised call takes less C stack than the general one, so that main's slice
        # begins above the stop of the greenlet that it switches to.
        def partner():
            switch = main.switch
            for i in range(40):
                trail.append(i)
                switch()
        trail = []
        g = greenlet(partner)
        for i in range(20):
            g.switch()
        assert trail == list(range(20)), trail
    """,
    "crash 1: the trashcan switches": """
        import gc
        class Switcher:
            def __del__(self):
                greenlet(lambda: gc.collect(0)).switch()
                waiting = greenlet(lambda: main.switch())
                waiting.switch()
        nested = []
        for i in range(50_000):
            nested = [nested, Switcher() if i % 1000 == 0 else None]
        del nested
    """,
    "crash 3: a run that another one hides switches when it goes": """
        class Hidden:
            def __del__(self):
                trail.append('gone in' if getcurrent() is g else 'gone outside')
                main.switch('from the hidden one')
        class G(greenlet):
            def __getattribute__(self, name):
                return ran if name == 'run' else greenlet.__getattribute__(self, name)
        def ran(*arguments):
            trail.append(arguments)
        trail = []
        g = G(Hidden())
        assert g.switch(1, 2) == 'from the hidden one'
        assert trail == ['gone in'] and g, trail
        g.switch()
        assert trail == ['gone in', (1, 2)] and g.dead, trail
    """,
    "crash 1: the trashcan is left half empty": """
        # Deallocations that were put off in one greenlet, while others free deep containers of their own.
        class Switcher:
            def __del__(self):
                trail.append(getcurrent())
                main.switch()
        def work():
            nested = []
            for i in range(2_000):
                nested = [nested, Switcher() if i % 100 == 0 else None]
            del nested
            return 'done'
        trail = []
        many = [greenlet(work) for i in range(5)]
        outcomes = []
        while not all(g.dead for g in many):
            for g in many:
                if not g.dead:
                    outcomes.append(g.switch())
                    deep = ()
                    for i in range(500):
                        deep = [deep]
        assert outcomes.count('done') == 5
        assert len(trail) == 5 * 20
    """,
    "crash 1: greenlets in the trashcan": """
        # Subclasses are put off themselves; they are suspended, and their ends free further ones.
        class Sub(greenlet):
            pass
        ended = []
        def work(nested):
            try:
                main.switch()
            finally:
                ended.append(len(ended))
                del nested
        for kind in greenlet, Sub:
            nested = None
            for i in range(300):
                g = kind(work)
                g.switch([nested])
                nested = (g, [nested])
            del nested, g
        assert len(ended) == 600, len(ended)
    """,
    "crash 2: a context that the collector has cleared": """
        # The collector clears garbage behind a greenlet that it does not ask to die, because a subclass has
        # __del__ or because it has been asked before; its code still runs when it is killed.
        import contextvars, gc
        variable = contextvars.ContextVar('variable')
        class WithDel(greenlet):
            def __del__(self):
                pass
        def end():
            variable.set('mine')
            try:
                main.switch()
            finally:
                seen.append(variable.get())
        def refuse():
            variable.set('mine')
            try:
                main.switch()
            except GreenletExit:
                kept.append(getcurrent())
            try:
                main.switch()
            finally:
                seen.append(variable.get())
        seen, kept = [], []
        for kind, run in (WithDel, end), (WithDel, refuse), (greenlet, refuse):
            g = kind(run)
            g.switch()
            g.itself = g
            del g
            gc.collect(); getcurrent()
            if kept:
                kept[0].itself = kept[0]
                kept.clear()
                gc.collect(); getcurrent()
        assert seen == ['mine'] * 3, seen
    """,
    "crash 2: a collection that is suspended in the middle": """
        # Nobody is killed before it is over, and who was given up and found again is not killed at all.
        import gc, weakref
        class Cyclic:
            def __del__(self):
                main.switch('in the collection')
        def work():
            garbage = Cyclic()
            garbage.itself = garbage
            del garbage
            gc.collect()
            getcurrent()
            return 'still here'
        g = greenlet(work)
        found = weakref.ref(g)
        assert g.switch() == 'in the collection'
        del g
        assert found().switch() == 'still here'
        gc.collect()
        assert found() is None
    """,
    "crash 2: code that runs in the middle of a switch": """
        import gc, weakref
        gc.set_threshold(1)
        class Node:
            def __del__(self):
                greenlet(lambda: None).switch()
        def work():
            for i in range(200):
                a = Node(); a.self = a
                weakref.ref(a, lambda _: greenlet(int).switch())
                main.switch(i)
        many = [greenlet(work) for i in range(20)]
        for i in range(150):
            for g in many:
                assert g.switch() == i
        del many, g
        assert gc.isenabled()
    """,
    "crash 3: the look-up of run ends, starts and drops": """
        import gc
        class Looked(greenlet):
            @property
            def run(self):
                if not trail:
                    trail.append('looked up')
                    action(self)
                return lambda *args: ('ran', args)
        def end(self):
            self.throw()
        def start(self):
            trail.append(self.switch('inner'))
        def new_parent(self):
            self.parent = greenlet(lambda *args: ('parent', args))
        def collect(self):
            gc.collect()
        def drop(self):
            holder.clear()
        ran = ('ran', ('outer',))
        expected = {end: 'outer', start: 'outer', new_parent: ('parent', (ran,)), collect: ran, drop: ran}
        for action in expected:
            trail = []
            holder = [Looked()]
            assert holder[0].switch('outer') == expected[action], action
            assert trail[1:] == ([('ran', ('inner',))] if action is start else [])
    """,
    "crash 4: exit with greenlets in every state": """
        import atexit, threading
        def wait():
            try:
                main.switch()
            finally:
                print('never at exit')
        kept = [greenlet(wait), greenlet(wait), greenlet(wait)]
        kept[0].switch(); kept[1].switch()
        done = greenlet(int); done.switch()
        def in_thread():
            global left
            me = getcurrent()
            left = greenlet(lambda: me.switch())
            left.switch()
        for i in range(5):
            t = threading.Thread(target=in_thread); t.start(); t.join()
        threading.Thread(target=lambda: (greenlet(lambda: __import__('time').sleep(30)).switch()),
                         daemon=True).start()
        atexit.register(lambda: print('atexit', greenlet(lambda: 'fine').switch()))
    """,
    "crash 4: exit from within a greenlet": """
        import sys
        def leave():
            sys.exit(0)
        greenlet(lambda: greenlet(leave).switch()).switch()
    """,
    "crash 4: what is left behind refers to modules that are cleared": """
        import sys, threading, weakref
        class Sub(greenlet):
            def __del__(self):
                print('never' if greenlet is None else 'deleted')
        class Late:
            def __del__(self):
                try:
                    getcurrent()
                except RuntimeError as refusal:
                    print(refusal)
                else:
                    print('a greenlet')
        def in_c(function):
            return max([1], key=lambda _: function())
        def wait():
            late = Late()
            try:
                main.switch()
            finally:
                print('never at exit')
        def handle():
            try:
                raise KeyError
            except KeyError:
                wait()
        def generate():
            yield wait()
        kept = [greenlet(f) for f in (wait, handle, lambda: list(generate()), lambda: in_c(wait))]
        kept.append(Sub(wait))
        for g in kept:
            g.switch()
        kept[0].cycle = kept
        sys.late = Late()
        sys.kept = kept
        sys.ref = weakref.ref(kept[1], lambda _: greenlet(print).switch('never at exit'))
    """,
    "crash 4: exit while a greenlet is killed, and with a tracer": """
        import atexit, sys
        from greenswitch import settrace
        def wait():
            try:
                main.switch()
            except GreenletExit:
                saved.append(getcurrent())
                main.switch()
        def at_exit():
            g = greenlet(lambda: main.switch('first') or 'second')
            print('atexit', g.switch(), g.switch(), saved[0].switch())
        saved = []
        g = greenlet(wait)
        g.switch()
        del g
        settrace(lambda event, pair: None)
        atexit.register(at_exit)
        other = greenlet(lambda: main.switch())
        other.switch()
        sys.setprofile(lambda *args: None)
    """,
    "crash 4: exit amid threads": """
        import threading, time
        def suspended(me):
            try:
                me.switch()
            finally:
                time.sleep(0)
        def in_thread():
            me = getcurrent()
            mine = [greenlet(suspended) for i in range(5)]
            for g in mine:
                g.switch(me)
            ready.release()
            greenlet(lambda: time.sleep(60)).switch()
        ready = threading.Semaphore(0)
        for i in range(5):
            threading.Thread(target=in_thread, daemon=True).start()
            ready.acquire()
    """,
    "crash 4: os._exit and signals in a greenlet": """
        import os, signal
        def end():
            g = greenlet(lambda: os._exit(7))
            g.switch()
        def die():
            greenlet(lambda: os.kill(os.getpid(), signal.SIGTERM)).switch()
        ends = []
        for action in end, die:
            pid = os.fork()
            if pid == 0:
                greenlet(action).switch()
            ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert ends == [7, -signal.SIGTERM], ends
    """,
    "crash 5: data stacks of greenlets that are never finished": """
        import resource
        def deep(n):
            return main.switch() if n == 0 else deep(n - 1)
        def make():
            for i in range(300):
                g = greenlet(deep)
                g.switch(100)
        make()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(30):
            make()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert after - before < 8_000, (before, after)
    """,
    "crash 6: walking frames while everybody is suspended": """
        import sys, traceback
        def wait():
            main.switch(sys._getframe())
        def run():
            sorted([1], key=lambda _: next(map(lambda _: wait(), [0])))
        many = [greenlet(run) for i in range(50)]
        frames = [g.switch() for g in many]
        for i in range(3):
            for f in frames:
                names = [s.name for s in traceback.extract_stack(f)]
                assert names == ['run', '<lambda>', '<lambda>', 'wait'], names
        for g in many[:25]:
            try:
                g.throw(KeyError)
            except KeyError:
                traceback.format_exc()
        del many, g
        for f in frames:
            f.f_back, f.f_locals, f.f_lineno
    """,
    "crash 6: frames of a main that is suspended while the locals of a function die": """
        # The function was called from C, so that the interpreter is between two frames of Python then.
        def overwrite(n):
            return max([n], key=lambda n: overwrite(n - 1) if n else 0)
        def names(frame):
            overwrite(30)
            found = []
            while frame is not None:
                found.append(frame.f_code.co_name)
                frame = frame.f_back
            return found
        def wait():
            try:
                main.switch()
            except GreenletExit:
                seen.append(names(main.gr_frame))
        def look():
            main.switch()
            seen.append(names(main.gr_frame))
            main.switch()
        class Switcher:
            def __del__(self):
                looking.switch()
        def killed_by_a_local(_):
            g = waiting.pop()
        def switched_by_a_local(_):
            switcher = Switcher()
        def run(function):
            sorted([1], key=function)
        seen, waiting, looking = [], [greenlet(wait)], greenlet(look)
        waiting[0].switch()
        looking.switch()
        run(killed_by_a_local)
        run(switched_by_a_local)
        assert seen == [['run', '<module>'], ['__del__', 'run', '<module>']], seen
    """,
    "crash 6: frames that outlive their greenlets": """
        import gc, sys, threading
        def names(frame):
            found = []
            while frame is not None:
                found.append(frame.f_code.co_name)
                frame = frame.f_back
            return found
        def wait(parent):
            mine = 'kept'
            parent.switch(sys._getframe())
        def run(parent):
            list(map(lambda _: wait(parent), [0]))
        frames = []
        def make():
            g = greenlet(run)
            frames.append(g.switch(getcurrent()))
            frames.append(g.gr_frame)
            assert names(frames[-1])[0] == 'wait' and names(frames[-1])[-1] == 'run'
            g.throw(GreenletExit)                        # ended
            g = greenlet(run)
            frames.append(g.switch(getcurrent()))
            g = None                                     # dropped
            left.append(greenlet(run))
            frames.append(left[-1].switch(getcurrent()))  # suspended, when its thread ends
        left = []
        for i in range(20):
            t = threading.Thread(target=make); t.start(); t.join()
            make()
        gc.collect()
        for frame in frames:
            assert names(frame)[0] == 'wait' and frame.f_locals['mine'] == 'kept'
        left.clear()
        gc.collect()
        for frame in frames:
            assert names(frame)[0] == 'wait' and frame.f_locals['mine'] == 'kept'
    """,
    "crash 7: the tracer that is set already": """
        from greenswitch import settrace, gettrace
        def tracer(event, pair): pass
        for i in range(1000):
            settrace(tracer)
        assert gettrace() is tracer
        settrace(None)
    """,
    "crash 8: native threads that end inside a greenlet": """
        import threading, _thread
        def leave():
            _thread.exit()
        def in_thread():
            greenlet(leave).switch()
        for i in range(20):
            t = threading.Thread(target=in_thread); t.start(); t.join()
    """,
    "crash 11: references across threads": """
        import gc, threading, weakref
        class Thing: pass
        refs = []
        def in_thread():
            me = getcurrent()
            thing = Thing(); refs.append(weakref.ref(thing))
            def run(x):
                me.switch()
            g = greenlet(run); g.switch(thing)
            del g
        for i in range(20):
            t = threading.Thread(target=in_thread); t.start(); t.join()
        gc.collect()
        assert [r() for r in refs] == [None] * 20
    """,
    "crash 13: the collector is not left switched off": """
        import gc
        for i in range(1000):
            g = greenlet(lambda: main.switch()); g.switch(); g.me = g; del g
        gc.collect()
        assert gc.isenabled() and gc.collect() >= 0
    """,
    "fork in a program with threads and suspended greenlets": """
        import os, threading, time
        inside, go = threading.Event(), threading.Event()
        def in_greenlet():
            inside.set(); go.wait(20)
        def in_thread():
            greenlet(in_greenlet).switch()
        t = threading.Thread(target=in_thread); t.start(); inside.wait(20)
        waiting = greenlet(lambda: main.switch('first')); waiting.switch()
        pid = os.fork()
        if pid == 0:
            waiting.switch()
            assert waiting.dead and greenlet(lambda: 5).switch() == 5
            os._exit(7)
        go.set(); t.join()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    """,
}

PRELUDE = "from greenswitch import greenlet, getcurrent, GreenletExit, error\nmain = getcurrent()\n"


TRACING_IS_SWITCHED = """
import sys

class Stop(Exception):
    pass

def hook(frame, event, argument):
    return hook

def wait():
    main.switch()

def run():
    try:
        wait()
    except Stop:
        main.switch("caught")
    next(map(lambda _: wait(), [0]))
    for i in range(3):
        main.switch(i)

for switch in sys.setprofile, sys.settrace:
    for first, then in (None, hook), (hook, None):
        g = greenlet(run)
        switch(first)
        g.switch()
        switch(then)
        assert g.throw(Stop) == "caught"
        switch(first)
        g.switch()
        switch(then)
        assert [g.switch() for i in range(3)] == [0, 1, 2]
        switch(first)
        g.switch()
        assert g.dead
        switch(None)
"""


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 15) and hasattr(sys, "gettotalrefcount"),
    reason="this CPython, with assertions, insists that tracing does not change while frames are suspended",
)
def test_tracing_is_switched_on_and_off_while_a_greenlet_is_suspended(run_python: RunPython) -> None:
    """CPython changes the code of functions for it, of those only that some thread is running."""
    outcome = run_python(PRELUDE + TRACING_IS_SWITCHED).check()
    assert (outcome.stdout, outcome.stderr) == ("", "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, run_python: RunPython) -> None:
    program = PRELUDE + dedent(PROGRAMS[name]) + "\nprint('end of program')\n"
    outcome = run_python(program, options=("-W", "ignore::DeprecationWarning")).check()
    if "exit from within" not in name:
        assert "end of program" in outcome.stdout
    assert "never" not in outcome.stdout
    if name.startswith("crash 4: exit with"):
        assert "atexit fine" in outcome.stdout
    if name.startswith("crash 4: exit while"):
        assert "atexit first" in outcome.stdout
    assert outcome.stderr == ""


def test_every_line_is_shown() -> None:
    """Each line of the list has a program here, or tests elsewhere that exist."""
    ours = {int(found[1]) for name in PROGRAMS if (found := re.match(r"crash (\d+):", name))}
    assert ours <= set(LINES)
    for line, elsewhere in LINES.items():
        assert line in ours or elsewhere
        for name in elsewhere:
            path, _, what = name.partition("::")
            assert what in (TESTS / path).read_text(encoding="utf-8"), name


def test_crash_4_a_start_when_the_modules_have_gone(run_python: RunPython) -> None:
    """What only the thread's state refers to dies after the interpreter has let go of its modules."""
    program = """
        import codecs, functools, os, threading
        from greenswitch import getcurrent, greenlet
        class Late:
            def __del__(self, greenlet=greenlet, write=os.write):
                greenlet(write).switch(1, b"late")
        local = threading.local()
        local.late = Late()
        getcurrent()
        codecs.register_error("late", functools.partial(print, local))
    """
    outcome = run_python(dedent(program)).check()
    assert (outcome.stdout, outcome.stderr) == ("late", "")


# Interpreters beside the main one, which share its GIL: mod_wsgi runs each application in one.
BESIDE = """
import sys
_testcapi = __import__("_testcapi")
from greenswitch import GreenletExit, getcurrent, greenlet

PROGRAM = '''
import sys
sys.path[:] = {path!r}
from greenswitch import GreenletExit, getcurrent, greenlet
waits = greenlet(lambda: getcurrent().parent.switch(1))
print(greenlet(lambda: 5).switch(), waits.switch(), flush=True)
'''.format(path=sys.path)

def run():
    try:
        main.switch()
    except GreenletExit:
        return "exit"

main = getcurrent()
waits = greenlet(run)
waits.switch()
for _ in range(3):
    assert _testcapi.run_in_subinterp(PROGRAM) == 0
assert GreenletExit is greenlet.GreenletExit
assert waits.throw() == "exit"
"""


def test_crash_4_interpreters_beside_the_main_one(run_python: RunPython) -> None:
    pytest.importorskip("_testcapi", reason="this interpreter has no _testcapi, which makes interpreters")
    outcome = run_python(BESIDE).check()
    assert (outcome.stdout, outcome.stderr) == ("5 1\n" * 3, "")


# The k-th allocation of a thread's first getcurrent() fails, for each k; the next call finds nothing amiss.
NO_MEMORY = """
import _thread
_testcapi = __import__("_testcapi")
from greenswitch import getcurrent, greenlet

class Derived(greenlet):
    def __del__(self):
        self.dead

def fails(function, k):
    _testcapi.set_nomemory(k, k + 1)
    try:
        function()
    except (MemoryError, RuntimeError):
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False

def thread(k):
    # The dictionaries use up what CPython keeps for new ones.
    kept = [{str(i): i} for i in range(300)]
    failed.append(fails(getcurrent, k))
    seen.append(getcurrent())
    done.release()

failed, seen = [], []
done = _thread.allocate_lock()
done.acquire()
getcurrent()
for k in range(12):
    _thread.start_new_thread(thread, (k,))
    done.acquire()
assert failed[0] and not failed[-1] and len(set(map(id, seen))) == len(seen) == 12
made = [fails(Derived, k) for k in range(6)]
assert made[0] and not made[-1]
"""


def test_no_memory_for_a_thread_or_a_greenlet(run_python: RunPython) -> None:
    pytest.importorskip("_testcapi", reason="this interpreter has no _testcapi, which lets allocations fail")
    outcome = run_python(NO_MEMORY).check()
    assert (outcome.stdout, outcome.stderr) == ("", "")


# The copy of a stack needs more memory than there is, when another thread has asked for its greenlets since.
NO_MEMORY_TO_LEAVE = """
import ctypes, resource, sys, threading
from greenswitch import getcurrent, greenlet

libc = ctypes.CDLL(None)
if hasattr(libc, "mallopt"):
    libc.mallopt(-8, 1)  # M_ARENA_MAX: no memory that is set aside for the other thread

sys.setrecursionlimit(10000)

def deep(n, function):
    return sorted([0], key=lambda _: deep(n - 1, function)) if n else function()

def size():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))

def thread():
    assert getcurrent() is not main
    ready.set()
    go_on.wait()
    getcurrent()
    asked.set()

def give_up():
    go_on.set()
    asked.wait()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    resource.setrlimit(resource.RLIMIT_AS, (size() + 16384, limits[1]))
    try:
        holder.clear()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert getcurrent() is diver

main = getcurrent()
ready, go_on, asked = (threading.Event() for _ in range(3))
other = threading.Thread(target=thread, daemon=True)
other.start()
ready.wait()
holder = [greenlet(main.switch)]
holder[0].switch()
sys.unraisablehook = lambda report: print(report.exc_type.__name__)
diver = greenlet(lambda: deep(200, give_up))
diver.switch()
other.join()
"""


def test_no_memory_to_leave_a_deep_stack(run_python: RunPython) -> None:
    pytest.importorskip("_ctypes", reason="this interpreter has no ctypes, which speaks to the allocator")
    outcome = run_python(NO_MEMORY_TO_LEAVE).check()
    assert outcome.stdout == "MemoryError\n"
    assert "GreenletExit did not kill" in outcome.stderr


@pytest.mark.parametrize("used", ["", "greenlet(main.switch).switch()"])
def test_crash_4_getcurrent_while_finalising(used: str, run_python: RunPython) -> None:
    program = f"""
        import gc, os
        from greenswitch import greenlet, getcurrent
        gc.disable()
        if {used!r}:
            main = getcurrent()
            exec({used!r})
        class Late:
            def __del__(self, getcurrent=getcurrent, write=os.write):
                try:
                    write(1, repr(getcurrent()).encode())
                except RuntimeError as error:
                    write(1, str(error).encode())
        late = Late()
        late.cycle = late
        del late
    """
    outcome = run_python(dedent(program)).check()
    assert (outcome.stdout, outcome.stderr) == ("greenlet is being finalized", "")


# Machine code of a loop is freed when it is no longer valid and no thread is running it.  `waits` is
# suspended in such code, again and again, while main throws away what has been compiled so far, `waits` too.
SUSPENDED_IN_MACHINE_CODE = """
import _opcode, gc, sys
COUNTS = "def count(n):\\n for i in range(n): pass"
WAITS = {
    "a loop": "for i in range(n): total += i; switch()",
    "a branch of a loop": '''
for i in range(n):
    if i % 2:
        total += i
        switch()
    else:
        total += i + 1 - 1
        switch()
''',
    "what a loop calls": "for i in range(n): total += max([i], key=lambda i: (switch(), i)[1])",
}

def make(name, source):
    functions = {}
    exec(source, functions)
    return functions[name]

def is_compiled(code):
    for offset in range(0, len(code.co_code), 2):
        try:
            return _opcode.get_executor(code, offset).is_valid()
        except ValueError:
            pass
    return False

def throw_away():
    sys.settrace(lambda *_: None)
    sys.settrace(None)

def compile_others():
    for i in range(150):
        make("count", COUNTS)(6_000)

def run(body):
    inner = [" " + line for line in ["total = 0", *body.splitlines(), "return total"]]
    waits = make("waits", "\\n".join(["def waits(n, switch):", *inner]))
    g, dropped = greenlet(waits), greenlet(waits)
    compiled = 0
    for other in g, dropped:
        other.switch(20_000, main.switch)
        for i in range(9_000):
            other.switch()
    for turn in range(8):
        compiled += is_compiled(waits.__code__)
        throw_away()
        compile_others()
        throw_away()
        compile_others()
        gc.collect()
        for i in range(1_000):
            g.switch()
        if turn == 3:
            del dropped, other
    while g:
        total = g.switch()
    assert total == sum(range(20_000)), total
    assert compiled, "no machine code was thrown away"

for kind in WAITS:
    run(WAITS[kind])
    print(kind)
"""


@pytest.mark.skipif(
    not getattr(getattr(sys, "_jit", None), "is_available", bool)(),
    reason="this interpreter has no just-in-time compiler",
)
def test_suspended_in_machine_code(run_python: RunPython) -> None:
    """Crash 10: with PYTHON_JIT=1."""
    outcome = run_python(PRELUDE + SUSPENDED_IN_MACHINE_CODE, environment={"PYTHON_JIT": "1"}).check()
    assert outcome.stdout.splitlines() == ["a loop", "a branch of a loop", "what a loop calls"]
    assert outcome.stderr == ""
