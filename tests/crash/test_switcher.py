"""Programs that once crashed, hung or leaked, or whose like has crashed greenlet; each in its own process.

The numbers are those of the list of crashes that greenlet had to fix.
"""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import Any

import pytest

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


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, run_python: Any) -> None:
    program = PRELUDE + dedent(PROGRAMS[name]) + "\nprint('end of program')\n"
    outcome = run_python(program, options=("-W", "ignore::DeprecationWarning")).check()
    if "exit from within" not in name:
        assert "end of program" in outcome.stdout
    assert "never at exit" not in outcome.stdout
    if name.startswith("crash 4: exit with"):
        assert "atexit fine" in outcome.stdout
    assert outcome.stderr == ""


@pytest.mark.parametrize("used", ["", "greenlet(main.switch).switch()"])
def test_crash_4_getcurrent_while_finalising(used: str, run_python: Any) -> None:
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
def test_suspended_in_machine_code(run_python: Any) -> None:
    """Crash 10: with PYTHON_JIT=1."""
    outcome = run_python(PRELUDE + SUSPENDED_IN_MACHINE_CODE, environment={"PYTHON_JIT": "1"}).check()
    assert outcome.stdout.splitlines() == ["a loop", "a branch of a loop", "what a loop calls"]
    assert outcome.stderr == ""
