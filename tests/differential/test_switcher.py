"""The same program on greenlet and on greenswitch: what it prints must be the same (spec D1).

Left out of the comparison: addresses, the module's own name, and texts that the interpreter itself makes.
"""

from __future__ import annotations

import importlib.util
import re
from textwrap import dedent
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="greenlet is not installed: nothing to compare with"
)

PRELUDE = """
import sys, threading, time
import {module} as api
from {module} import greenlet, getcurrent, GreenletExit, error, settrace, gettrace
main = getcurrent()

def show(function, *arguments, **keywords):
    try:
        print('->', function(*arguments, **keywords))
    except BaseException as exception:
        print('!!', type(exception).__name__, exception)

def waiting(*values):
    here = getcurrent()
    made = greenlet(lambda: here.switch(*values))
    made.switch()
    return made
"""

PROGRAMS = {
    "states": """
        class Sub(greenlet): pass
        def running():
            print(repr(g), bool(g), g.dead)
            main.switch()
        print(repr(main), bool(main), main.dead, main.parent)
        g = greenlet(running)
        print(repr(g), bool(g), g.dead, repr(Sub()))
        g.switch(); print(repr(g), g.gr_frame is not None, main.gr_frame)
        g.switch(); print(repr(g), bool(g), g.dead, g.gr_frame)
    """,
    "run": """
        show(greenlet(None).switch); show(greenlet(5).switch); show(greenlet().switch)
        g = greenlet(); show(lambda: g.run)
        g.run = lambda: 'late'; del g.run; show(lambda: g.run); g.run = lambda: 'later'; show(g.switch)
        show(setattr, g, 'run', 1); show(delattr, g, 'run'); show(lambda: g.run)
        show(setattr, main, 'run', 1)
        show(lambda: greenlet(1, 2, 3)); show(lambda: greenlet(nonsense=1))
        class Method(greenlet):
            def run(self, x): return x * 2
        show(Method().switch, 4); show(Method(lambda: 1).switch)
    """,
    "parents": """
        a = greenlet(); b = greenlet(parent=a)
        show(setattr, a, 'parent', b); show(setattr, a, 'parent', a); show(setattr, a, 'parent', 5)
        show(setattr, a, 'parent', None); show(delattr, a, 'parent'); show(setattr, main, 'parent', a)
        show(lambda: greenlet(run=1, parent=5))
        p = greenlet(lambda *a: ('parent', a)); c = greenlet(lambda: (1, 2), parent=p); show(c.switch)
        dead = greenlet(int); dead.switch(); show(greenlet(lambda: 7, parent=dead).switch)
    """,
    "messages": """
        for args, kwargs in [((), {}), ((1,), {}), ((1, 2), {}), (((1,),), {}), (((),), {}), ((), {'a': 1}),
                             ((1,), {'a': 2}), (((1,),), {'a': 2}), ((1, 2), {'a': 3})]:
            show(main.switch, *args, **kwargs); show(waiting().switch, *args, **kwargs)
            show(greenlet(lambda *a, **k: (a, k)).switch, *args, **kwargs)
    """,
    "throwing": """
        for args in [(), (ValueError,), (ValueError('x'),), (ValueError, 'x'), (ValueError, ('x', 'y')), (5,),
                     (ValueError('x'), 'y'), (ValueError, 'y', 6), (1, 2, 3, 4), (GreenletExit, 'v'),
                     (GreenletExit('v'),), (KeyError, KeyError('same')), (ValueError, None, None)]:
            show(greenlet(lambda: 1).throw, *args); show(waiting().throw, *args)
            dead = greenlet(int); dead.switch(); show(dead.throw, *args)
        show(main.throw, ValueError, 'self'); show(greenlet().throw, KeyError)
    """,
    "contexts": """
        import contextvars
        v = contextvars.ContextVar('v')
        def run(): v.set('inner'); main.switch()
        g = greenlet(run); show(lambda: g.gr_context); g.switch(); show(lambda: g.gr_context[v])
        show(lambda: v.get('none')); show(setattr, g, 'gr_context', 5); show(delattr, g, 'gr_context')
        g.switch(); show(lambda: g.gr_context[v])
        def elsewhere():
            show(lambda: main.gr_context); show(setattr, main, 'gr_context', None)
        t = threading.Thread(target=elsewhere); t.start(); t.join()
    """,
    "threads": """
        w = waiting(); unstarted = greenlet()
        def elsewhere():
            global left, new, their_main
            their_main = getcurrent()
            show(w.switch); show(w.throw); show(greenlet(int, parent=w).switch); show(main.throw)
            show(setattr, unstarted, 'parent', getcurrent())
            mine = waiting(); show(setattr, mine, 'parent', main)
            left = waiting(); new = greenlet(int)
        t = threading.Thread(target=elsewhere); t.start(); t.join()
        time.sleep(0.2)  # greenlet notices the end of a thread a little later than join() does
        for g in (their_main, left, new):
            print(re.sub('otid=[^)]*', 'otid', repr(g))); show(g.switch); show(g.throw); print(g.dead, bool(g))
        show(greenlet(int, parent=left).switch); show(lambda: left.gr_frame); print(left.parent is their_main)
    """,
    "tracing": """
        def tracer(event, pair): print(event, ['main' if g is main else 'g' for g in pair])
        print(settrace(tracer)); main.switch(1)
        g = greenlet(lambda: main.switch(3)); g.switch(); g.switch(); show(g.switch, 3); show(g.throw, KeyError)
        show(greenlet(int).throw, KeyError); show(main.throw, KeyError)
        g = waiting(); del g
        print(gettrace() is tracer, settrace(None) is tracer, gettrace())
    """,
    "dying": """
        def run():
            try: main.switch()
            except BaseException as e: print('caught', type(e).__name__, getcurrent().parent is main); raise
        g = greenlet(run); g.switch(); del g
        def stubborn():
            try: main.switch()
            except GreenletExit: main.switch('no')
        g = greenlet(stubborn); g.switch(); del g
        sys.stderr.flush()
    """,
}


def normal(text: str) -> str:
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"\(nil\)", "0x", text)
    return text.replace("greenswitch.", "").replace("greenlet.", "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_output(name: str, run_python: Any) -> None:
    outputs = []
    for module in ("greenlet", "greenswitch"):
        program = "import re\n" + PRELUDE.format(module=module) + dedent(PROGRAMS[name])
        outcome = run_python(program).check()
        outputs.append((normal(outcome.stdout), normal(outcome.stderr)))
    assert outputs[0][0].count("\n") >= 3 or name == "dying"
    assert outputs[1] == outputs[0]
