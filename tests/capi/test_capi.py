"""The C API, used by extension modules in C, C++ and Cython that are compiled here.

What belongs here: what such a module sees, in processes of their own whose end is looked at; where greenlet
does not crash, the same as with greenlet. What never does: what Python sees alone.

D1, D2: compiled against our header, and compiled against greenlet's own and run unchanged under the name
`greenlet`.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import greenswitch
from greenswitch import _core, _include

if TYPE_CHECKING:
    from conftest import Outcome, RunPython

    Run = Callable[..., Outcome]

ON_GREENSWITCH = ["greenswitch", "unchanged"]
EVERYWHERE = ["greenlet", *ON_GREENSWITCH]


def comparable(text: str) -> str:
    """Without addresses, and without the difference that is meant."""
    return re.sub(r"0x[0-9a-f]+", "0x", text).replace("greenswitch.", "greenlet.")


# the slots

SLOTS = """
import threading
from slots import call
NULL = ...
G = greenlet.greenlet
main = greenlet.getcurrent()

def echo(*args, **kwargs):
    try:
        return "resumed", G.getcurrent().parent.switch(("started", args, kwargs))
    except BaseException as error:
        return "caught", repr(error), error.__traceback__.tb_next is not None

def dead():
    g = G(lambda: None)
    g.switch()
    return g

def suspended():
    g = G(echo)
    g.switch()
    return g

def traceback():
    try:
        1 / 0
    except ZeroDivisionError as error:
        return error.__traceback__

class Plain(G):
    pass

class Runner(G):
    def run(self, *args):
        return "run", args

def fails():
    1 / 0

def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]
"""

CALLS = """
call("New", NULL, NULL)
call("New", echo, NULL)
call("New", 42, NULL)
call("New", None, NULL)
call("New", echo, main)
call("New", echo, None)
call("New", echo, G(echo))
call("New", echo, 42)
call("New", echo, G)
call("GetCurrent")
G(call).switch("GetCurrent")
call("Switch", NULL, NULL, NULL)
call("Switch", 42, NULL, NULL)
call("Switch", G, NULL, NULL)
call("Switch", None, NULL, NULL)
call("Switch", G(echo), NULL, NULL)
call("Switch", G(echo), (), NULL)
call("Switch", G(echo), (1,), NULL)
call("Switch", G(echo), (1, 2), NULL)
call("Switch", G(echo), (), {})
call("Switch", G(echo), NULL, {})
call("Switch", G(echo), (1,), {"a": 1})
call("Switch", G(echo), NULL, {"a": 1})
call("Switch", G(echo), (), [1])
call("Switch", G(echo), (), {1: 2})
call("Switch", suspended(), NULL, NULL)
call("Switch", suspended(), (), NULL)
call("Switch", suspended(), (1,), NULL)
call("Switch", suspended(), (None,), NULL)
call("Switch", suspended(), ((1, 2),), NULL)
call("Switch", suspended(), (1, 2), NULL)
call("Switch", suspended(), (), {})
call("Switch", suspended(), (1,), {})
call("Switch", suspended(), (), [1])
call("Switch", suspended(), NULL, {"a": 1})
call("Switch", suspended(), (), {1: 2})
call("Switch", suspended(), (1,), {"a": 1})
call("Switch", suspended(), (1, 2), {"a": 1})
call("Switch", suspended(), [1, 2], NULL)
call("Switch", suspended(), 5, NULL)
call("Switch", suspended(), None, NULL)
call("Switch", dead(), NULL, NULL)
call("Switch", dead(), (7,), NULL)
call("Switch", dead(), (7, 8), {"a": 1})
call("Switch", G(), NULL, NULL)
call("Switch", Plain(), NULL, NULL)
call("Switch", Plain(echo), (1,), NULL)
call("Switch", Runner(), (1,), NULL)
call("Switch", main, (1,), NULL)
call("Switch", main, NULL, NULL)
call("Switch", G(fails), NULL, NULL)
call("Switch", G(42), NULL, NULL)
call("Throw", NULL, ValueError, NULL, NULL)
call("Throw", 42, ValueError, NULL, NULL)
call("Throw", suspended(), ValueError, NULL, NULL)
call("Throw", suspended(), ValueError, None, None)
call("Throw", suspended(), ValueError, "x", NULL)
call("Throw", suspended(), ValueError, (1, 2), NULL)
call("Throw", suspended(), ValueError, ValueError(3), NULL)
call("Throw", suspended(), KeyError, ValueError(3), NULL)
call("Throw", suspended(), ValueError, NULL, traceback())
call("Throw", suspended(), ValueError(1), NULL, traceback())
call("Throw", suspended(), ValueError(1), None, NULL)
call("Throw", suspended(), ValueError(1), 2, NULL)
call("Throw", suspended(), ValueError, NULL, 5)
call("Throw", suspended(), ValueError(1), NULL, 5)
call("Throw", suspended(), 5, NULL, NULL)
call("Throw", suspended(), None, NULL, NULL)
call("Throw", suspended(), "text", NULL, NULL)
call("Throw", suspended(), int, NULL, NULL)
call("Throw", suspended(), greenlet.GreenletExit, NULL, NULL)
call("Throw", suspended(), greenlet.GreenletExit("v"), NULL, NULL)
call("Throw", G(echo), ValueError, NULL, NULL)
call("Throw", G(echo), greenlet.GreenletExit, NULL, NULL)
call("Throw", G(echo), greenlet.GreenletExit, "v", NULL)
call("Throw", dead(), ValueError("d"), NULL, NULL)
call("Throw", dead(), greenlet.GreenletExit, NULL, NULL)
call("Throw", main, ValueError("self"), NULL, NULL)
call("Throw", main, greenlet.GreenletExit("self"), NULL, NULL)
call("SetParent", 42, main)
call("SetParent", G(echo), NULL)
call("SetParent", G(echo), 42)
call("SetParent", G(echo), None)
call("SetParent", G(echo), G(echo))
call("SetParent", main, G(echo))
call("SetParent", one := G(echo), one)
call("SetParent", one := G(echo), G(echo, one))
call("SetParent", suspended(), main)
call("SetParent", dead(), main)
call("GetParent", NULL)
call("GetParent", 42)
call("GetParent", main)
call("GetParent", G(echo))
call("GetParent", dead())
call("GET_PARENT", suspended())
[call(what, NULL) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, 42) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, main) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, G()) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, suspended()) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, dead()) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, Runner()) for what in ("MAIN", "STARTED", "ACTIVE", "Check")]
[call(what, in_thread(dead)) for what in ("MAIN", "STARTED", "ACTIVE")]
[call(what, in_thread(suspended)) for what in ("MAIN", "STARTED")]
[in_thread(lambda: call("SetParent", g, greenlet.getcurrent())) for g in (suspended(), dead(), G(echo))]
[call("SetParent", in_thread(g), main) for g in (suspended, dead, G)]
[in_thread(lambda: call("Switch", g, NULL, NULL)) for g in (main, suspended(), G(echo))]
[in_thread(lambda: call("Throw", g, ValueError, NULL, NULL)) for g in (main, suspended(), G(echo))]
""".strip().splitlines()


@pytest.fixture(scope="module")
def with_greenlet() -> list[str]:
    """What greenlet says to each of the calls; asked for once."""
    return []


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
def test_each_call_gives_what_it_gives_with_greenlet(
    run: Run, variant: str, with_greenlet: list[str]
) -> None:
    program = SLOTS + "".join(f"print(repr({each}))\n" for each in CALLS)
    if not with_greenlet:
        with_greenlet += comparable(run("greenlet", "slots.c", program).check().stdout).splitlines()
    found = comparable(run(variant, "slots.c", program).check().stdout).splitlines()
    assert len(found) == len(with_greenlet) == len(CALLS)
    differences = [
        f"{call}\n  {ours}\nand with greenlet\n  {theirs}"
        for call, ours, theirs in zip(CALLS, found, with_greenlet, strict=True)
        if ours != theirs
    ]
    assert not differences, "\n".join(differences)


EXITED = "error: cannot switch to a different thread (which happens to have exited)"


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('call("Throw", suspended(), NULL, NULL, NULL)', "TypeError: bad argument type"),
        ('call("Throw", suspended(), NULL, ValueError(1), NULL)', "TypeError: bad argument type"),
        ('call("SetParent", NULL, main)', "-1 TypeError: bad argument type"),
        ('call("SetParent", NULL, NULL)', "-1 TypeError: bad argument type"),
        ('call("Switch", G(echo), [1, 2], NULL)', "('started', ([1, 2],), {})"),
        ('call("Switch", G(echo), 5, NULL)', "('started', (5,), {})"),
        ('call("Switch", G(echo), 5, {"a": 1})', "('started', (5,), {'a': 1})"),
        # While greenlet gets round to it, these are as if the thread had not ended.
        ('call("MAIN", in_thread(greenlet.getcurrent))', "1"),
        ('call("STARTED", in_thread(greenlet.getcurrent))', "1"),
        ('call("ACTIVE", in_thread(greenlet.getcurrent))', "0"),
        ('call("ACTIVE", in_thread(suspended))', "0"),
        ('call("Switch", in_thread(suspended), NULL, NULL)', EXITED),
        ('call("Switch", in_thread(lambda: G(echo)), NULL, NULL)', EXITED),
        ('call("Throw", in_thread(suspended), ValueError, NULL, NULL)', EXITED),
        ('call("Switch", suspended(), 5, {"a": 1})', "('resumed', ((5,), {'a': 1}))"),
    ],
)
def test_what_greenlet_cannot_be_asked(run: Run, variant: str, call: str, expected: str) -> None:
    """Each of these is a crash there, or depends on the moment."""
    assert run(variant, "slots.c", f"{SLOTS}print({call})").check().stdout.startswith(expected)


@pytest.mark.parametrize("variant", EVERYWHERE)
def test_constants(run: Run, variant: str) -> None:
    program = """
import slots
print(slots.pointers, slots.version)
print(slots.type is greenlet.greenlet, slots.error is greenlet.error, slots.exit is greenlet.GreenletExit)
"""
    assert run(variant, "slots.c", program).check().stdout == "12 1.0.0\nTrue True True\n"


@pytest.mark.parametrize("variant", EVERYWHERE)
def test_switching_from_c_many_times(run: Run, variant: str) -> None:
    """References are neither lost nor kept: each number is an object of its own."""
    program = """
import sys
import slots
main = greenlet.getcurrent()
def count():
    n = 10**9
    while True:
        n += 1
        main.switch(n)
counter = greenlet.greenlet(count)
counter.switch()
slots.switch_many(counter, 1000)
before = sys.getallocatedblocks()
print(slots.switch_many(counter, 100_000))
print(abs(sys.getallocatedblocks() - before) < 100)
"""
    total = sum(10**9 + 1001 + n for n in range(1, 100_001))
    assert run(variant, "slots.c", program).check().stdout == f"{total}\nTrue\n"


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
def test_while_the_interpreter_is_finalised(run: Run, variant: str) -> None:
    """The API says so, in place of making new thread state."""
    program = """
from slots import call
class Late:
    def __del__(self, call=call, print=print):
        print(call("GetCurrent"))
        print(call("New", None, ...))
import builtins
builtins.late = Late()
"""
    outcome = run(variant, "slots.c", program).check()
    assert outcome.stdout.splitlines() == ["RuntimeError: greenlet is being finalized"] * 2, outcome


# the documentation


def test_the_modules_that_the_documentation_shows(run: Run, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "c-api.md").read_text(encoding="utf-8")
    (in_c,) = re.findall(r"^```c\n(.*?)^```", page, flags=re.M | re.S)
    (in_cython,) = re.findall(r"^```cython\n(.*?)^```", page, flags=re.M | re.S)
    (tmp_path / "example.c").write_text(in_c, encoding="utf-8")
    (tmp_path / "counter.pyx").write_text(in_cython, encoding="utf-8")
    program = "import example; print(example.call(lambda: greenlet.getcurrent().parent.switch(6) * 7))"
    assert run("greenswitch", str(tmp_path / "example.c"), program).check().stdout == "6\n"
    program = "from counter import Counter; one = Counter(); print(one.switch(), one.switch())"
    assert run("greenswitch", str(tmp_path / "counter.pyx"), program).check().stdout == "1 2\n"


# a static type in C


@pytest.mark.parametrize("variant", EVERYWHERE)
def test_subclass_in_c(run: Run, variant: str) -> None:
    program = """
import gc, weakref
import subclass
Counter = subclass.Counter
print(Counter.__mro__[1] is greenlet.greenlet, Counter.__basicsize__ - greenlet.greenlet.__basicsize__)
c = Counter()
print([c.switch(), c.switch(True), c.switch(None), c.count, bool(c), c.dead])
print(c.switch(False), c.count, c.dead)
c.anything = 1
print(c.__dict__, weakref.ref(c)() is c, c.other)

class Named(Counter):
    def __init__(self, name):
        super().__init__()
        self.name = name
    def run(self, *args):
        return self.name, super().run(*args)

n = Named("n")
print(n.switch(), n.count, n.switch(False))
del c, n
print(subclass.deallocated())
"""
    assert run(variant, "subclass.c", program).check().stdout.splitlines() == [
        "True 24",
        "[1, 2, 3, 3, True, False]",
        "-3 3 True",
        "{'anything': 1} True None",
        "1 1 ('n', -1)",
        "2",
    ]


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
def test_subclass_in_c_ends_before_its_fields_do(run: Run, variant: str) -> None:
    """A suspended one that nobody needs any more but its own `run`, a method: GreenletExit first, then the
    deallocator. Alone, in a cycle through its own fields, at the end of its thread."""
    program = """
import gc, threading
import subclass
Counter = subclass.Counter
def made():
    c = Counter()
    c.log = []
    c.switch()
    return c, c.log
def collect():
    for _ in range(2):
        gc.collect()
        greenlet.getcurrent()  # what a collection gives up is ended when the thread next runs greenlet code

c, log = made()
c.switch(False)
del c
print(log)

c, log = made()
del c
collect()
print(log)

c, log = made()
c.other = [c, {"more": c}]
c.anything = c
del c
collect()
print(log)

logs = []
def in_thread():
    c, log = made()
    logs.append(log)
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
collect()
print(logs[0])
print(subclass.deallocated())
"""
    ended = "['GreenletExit at 1', 'dealloc']"
    outcome = run(variant, "subclass.c", program).check()
    assert outcome.stdout.splitlines() == ["['dealloc']", ended, ended, ended, "4"], outcome


# C++


def names_handled(name: str) -> str:
    """What `handle` sees when it sees nothing but its own exceptions."""
    quiet = "0 in flight, handling"
    return f"{name} {name}' ({quiet} {name}') ({quiet} {name}) {name} ({quiet} none)"


PAUSES = {"from C++": "None", "from Python": "main.switch"}


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("seed", range(4))
def test_exceptions_of_several_greenlets(run: Run, variant: str, pause: str, seed: int) -> None:
    """Each greenlet handles its own exception, whatever the others throw between; crash list, row 8.
    (greenlet lets them meet: `throw;` throws the exception of another greenlet.)"""
    program = f"""
import random
import exceptions
main = greenlet.getcurrent()
order = random.Random({seed})
greenlets = {{name: greenlet.greenlet(exceptions.handle) for name in "abcde"}}
for name, g in greenlets.items():
    g.switch(name, {PAUSES[pause]})
    assert exceptions.state() == "0 in flight, handling none"
while greenlets:
    name = order.choice(list(greenlets))
    result = greenlets[name].switch()
    assert exceptions.state() == "0 in flight, handling none"
    if greenlets[name].dead:
        print(result)
        del greenlets[name]
print(exceptions.alive())
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    *lines, alive = outcome.stdout.splitlines()
    assert sorted(lines) == [names_handled(name) for name in "abcde"]
    assert alive == "0"


@pytest.mark.parametrize("variant", EVERYWHERE)
@pytest.mark.parametrize("pause", PAUSES)
def test_exceptions_one_greenlet_after_another(run: Run, variant: str, pause: str) -> None:
    program = f"""
import exceptions
main = greenlet.getcurrent()
for name in "ab":
    g = greenlet.greenlet(exceptions.handle)
    result = g.switch(name, {PAUSES[pause]})
    while not g.dead:
        result = g.switch()
    print(result)
print(exceptions.alive())
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    assert outcome.stdout.splitlines() == [names_handled("a"), names_handled("b"), "0"]


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
def test_every_way_out_of_a_catch_block(run: Run, variant: str) -> None:
    """Whoever is entered from a catch block finds no exception, and the block finds its own again."""
    program = """
import exceptions
seen = set()
def suspended():
    here = greenlet.getcurrent()
    def body():
        try:
            while True:
                here.switch(seen.add(exceptions.state()))
        finally:
            seen.add(exceptions.state())
    g = greenlet.greenlet(body)
    g.switch()
    return g

def start():
    seen.add(greenlet.greenlet(exceptions.state).switch())
def resume():
    g = suspended()
    g.switch()
    g.switch(1, 2)
def throw():
    try:
        suspended().throw(ValueError)
    except ValueError:
        seen.add("ValueError")
def kill():
    suspended()
def switch_to_self():
    greenlet.getcurrent().switch()
def fail():
    try:
        greenlet.greenlet(5).switch()
    except TypeError:
        seen.add("TypeError")

for way in start, resume, throw, kill, switch_to_self, fail:
    print(way.__name__, exceptions.handle("x", way))
    print(way.__name__, greenlet.greenlet(exceptions.handle).switch("y", way))
print(sorted(seen), exceptions.alive())
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    *lines, last = outcome.stdout.splitlines()
    ways = "start resume throw kill switch_to_self fail".split()
    assert lines == [f"{way} {names_handled(name)}" for way in ways for name in "xy"]
    assert last == "['0 in flight, handling none', 'TypeError', 'ValueError'] 0"


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
@pytest.mark.parametrize("pause", PAUSES)
def test_switches_in_destructors_while_an_exception_passes(run: Run, variant: str, pause: str) -> None:
    """The count of exceptions in flight is each greenlet's own."""
    program = f"""
import exceptions
main = greenlet.getcurrent()
greenlets = [greenlet.greenlet(exceptions.unwind) for name in "abc"]
for name, g in zip("abc", greenlets):
    g.switch(name, {PAUSES[pause]})
    assert exceptions.state() == "0 in flight, handling none", exceptions.state()
for g in greenlets[::-1] + greenlets:
    result = g.switch()
    assert exceptions.state() == "0 in flight, handling none", exceptions.state()
    if g.dead:
        print(result)
print(exceptions.alive())
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    flight = "1 in flight, handling none; "
    expected = [f"{flight}{flight}{name} (0 in flight, handling none)" for name in "abc"]
    assert outcome.stdout.splitlines() == [*expected, "0"]


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
def test_a_runtime_that_comes_late(run: Run, variant: str) -> None:
    """Greenlets are in use before the first C++ extension is there, in two threads."""
    program = """
import threading
import _queue
def use():
    main = greenlet.getcurrent()
    def body():
        while True:
            main.switch()
    early = greenlet.greenlet(body)
    for _ in range(3):
        early.switch()
    barrier.wait()
    import exceptions
    gs = {name: greenlet.greenlet(exceptions.handle) for name in "ab"}
    for name, g in gs.items():
        g.switch(name, main.switch)
    while gs:
        for name, g in list(gs.items()):
            early.switch()
            result = g.switch()
            if g.dead:
                results.append(result)
                del gs[name]
results = []
barrier = threading.Barrier(2)
threads = [threading.Thread(target=use) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("\\n".join(results))
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    assert sorted(outcome.stdout.splitlines()) == [names_handled(name) for name in "aabb"]


@pytest.mark.parametrize("variant", EVERYWHERE)
def test_exception_becomes_a_python_exception(run: Run, variant: str) -> None:
    """Through deep C++ frames with destructors, others switching in between, to the parent."""
    program = """
import exceptions
greenlets = [greenlet.greenlet(exceptions.wrapped) for _ in range(4)]
depth = 30
for number, g in enumerate(greenlets):
    g.switch(str(number), depth)
print(exceptions.alive())
for g in greenlets[::2] + greenlets[1::2]:
    try:
        g.switch()
    except RuntimeError as error:
        print(error, g.dead)
g = greenlet.greenlet(exceptions.wrapped)
g.switch("thrown into", 3)
try:
    g.throw(KeyError("in"))
except KeyError as error:
    print(error, g.dead)
g = greenlet.greenlet(exceptions.wrapped)
g.switch("killed", 3)
del g
print(exceptions.alive())
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    expected = ["124", "0 True", "2 True", "1 True", "3 True", "'in' True", "0"]
    assert outcome.stdout.splitlines() == expected


@pytest.mark.parametrize("variant", EVERYWHERE)
@pytest.mark.parametrize("where", ["unwrapped()", "greenlet.greenlet(unwrapped).switch()"])
def test_exception_that_nobody_catches_aborts(run: Run, variant: str, where: str) -> None:
    """It must not be caught in another greenlet, and not run off the end of the stack."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from exceptions import unwrapped
{where}
"""
    outcome = run(variant, "exceptions.cpp", program)
    assert outcome.status == -signal.SIGABRT, outcome
    assert "nobody catches this" in outcome.stderr


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
@pytest.mark.parametrize("stack", [0, 64])
@pytest.mark.parametrize("state", ["running", "suspended"])
def test_daemon_threads_at_exit(run: Run, variant: str, state: str, stack: int) -> None:
    """The interpreter unwinds their stacks, or leaves them hanging; with C++ frames in greenlets that run and
    in suspended ones.  Stacks above what the C library keeps for reuse are unmapped at once."""
    program = f"""
import threading, time
import exceptions
threading.stack_size({stack} << 20)
def use():
    main = greenlet.getcurrent()
    def sleeper():
        exceptions.guarded(lambda: time.sleep(0.05))
        exceptions.guarded(main.switch)
    gs = [greenlet.greenlet(sleeper) for _ in range(3)]
    if {state!r} == "suspended":
        for g in gs:
            g.switch()
    ready.release()
    while True:
        if {state!r} == "suspended":
            time.sleep(0.01)
        else:
            greenlet.greenlet(sleeper).switch()
ready = threading.Semaphore(0)
for _ in range(8):
    threading.Thread(target=use, daemon=True).start()
for _ in range(8):
    ready.acquire()
time.sleep(0.1)
print("done", flush=True)
"""
    for _ in range(3):
        outcome = run(variant, "exceptions.cpp", program).check()
        assert outcome.stdout == "done\n"


@pytest.mark.parametrize("variant", ON_GREENSWITCH)
@pytest.mark.parametrize("where", ["main", "greenlet", "deep"])
def test_native_thread_that_exits_amid_greenlets(run: Run, variant: str, where: str) -> None:
    """pthread_exit() unwinds the thread's stack, with suspended greenlets about."""
    program = f"""
import _thread, threading, time
import exceptions
_thread.stack_size(64 << 20)
def use():
    main = greenlet.getcurrent()
    others = [greenlet.greenlet(lambda: exceptions.guarded(main.switch)) for _ in range(3)]
    for g in others:
        g.switch()
    ready.release()
    def leave():
        exceptions.guarded(exceptions.exit_thread)
    if {where!r} == "main":
        leave()
    elif {where!r} == "greenlet":
        greenlet.greenlet(leave).switch()
    else:
        greenlet.greenlet(lambda: exceptions.guarded(greenlet.greenlet(leave).switch)).switch()
ready = threading.Semaphore(0)
for _ in range(4):
    _thread.start_new_thread(use, ())
for _ in range(4):
    ready.acquire()
time.sleep(0.2)
g = greenlet.greenlet(lambda: "still here")
print(g.switch(), flush=True)
"""
    outcome = run(variant, "exceptions.cpp", program).check()
    assert outcome.stdout == "still here\n"


# Cython


def test_cython_subclass(run: Run) -> None:
    program = """
import gc
import fields
from fields import Adder
def said():
    for _ in range(2):
        gc.collect()
        greenlet.getcurrent()  # what a collection gives up is ended when the thread next runs greenlet code
    lines = fields.log[:]
    fields.log.clear()
    return lines

print(Adder.__mro__[1] is greenlet.greenlet, Adder.__basicsize__ > greenlet.greenlet.__basicsize__)
a = Adder()
print([a.switch(1), a.switch(20), a.switch(300), a.total, a.switch(None), a.dead], said())
del a
print(said())

a = Adder()
a.switch(7)
del a  # its `run` is a method, which refers to it
print(said())

a = Adder()
a.switch(8)
a.other = a.anything = [a]
del a
print(said())

class Doubler(Adder):
    def run(self, first):
        return 2 * super().run(2 * first)
d = Doubler()
print(d.switch(4), d.switch(1), d.switch(None))
del d
print(said())

a = Adder(None, greenlet.greenlet())
del a
print(said())

a = Adder()
a.switch(9)
try:
    a.throw(KeyError)
except KeyError:
    print(a.dead, a.total, said())
"""
    outcome = run("greenswitch", "fields.pyx", program).check()
    assert outcome.stdout.splitlines() == [
        "True True",
        "[1, 21, 321, 321, -321, True] ['end 321 0.5']",
        "['dealloc 321 0.5']",
        "['end 7 0.5', 'dealloc 7 0.5']",
        "['end 8 0.5', 'dealloc 8 0.5']",
        "8 9 -18",
        "['end 9 0.5', 'dealloc 9 0.5']",
        "['dealloc 0 0.5']",
        "True 9 ['end 9 0.5']",
    ], outcome


def test_cython_names(run: Run) -> None:
    program = "import fields\nfor each in fields.names(lambda *a: a): print(each)"
    outcome = run("greenswitch", "fields.pyx", program).check()
    assert outcome.stdout.splitlines() == [
        *("True", "False", "True", "True", "False", "True", "True"),
        "(1, 2)",
        "",  # an instance of GreenletExit
        "cyclic parent chain",
        "GreenletChecker: Expected any type of greenlet, not NoneType",
        "True",
    ]


# the header


USES_EVERYTHING = """
#include <greenlet/greenlet.h>
#include <greenlet/greenlet.h>
#ifdef __cplusplus
extern "C"
#endif
PyObject *everything(PyObject *object);
PyObject *
everything(PyObject *object)
{
    PyGreenlet *greenlet = (PyGreenlet *)object;
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL || PyGreenlet_Import() < 0 || !PyGreenlet_Check(object)
        || !PyGreenlet_Check(greenlet)) {
        return NULL;
    }
    if (PyGreenlet_MAIN(greenlet) || PyGreenlet_STARTED(greenlet) || PyGreenlet_ACTIVE(greenlet)) {
        return PyGreenlet_Switch(greenlet, NULL, NULL);
    }
    if (PyGreenlet_GetParent(greenlet) == NULL || PyGreenlet_GET_PARENT(greenlet) == NULL
        || PyGreenlet_SetParent(greenlet, PyGreenlet_GetCurrent()) < 0) {
        return PyGreenlet_Throw(greenlet, PyExc_GreenletExit, PyExc_GreenletError, NULL);
    }
    if (Py_TYPE(object) == &PyGreenlet_Type && PyGreenlet_Type.tp_basicsize == sizeof(PyGreenlet)) {
        return (PyObject *)PyGreenlet_New(object, greenlet);
    }
    return NULL;
}
"""


@pytest.mark.parametrize("text", ["#include <greenlet/greenlet.h>\n", USES_EVERYTHING], ids=["alone", "used"])
@pytest.mark.parametrize(
    ("language", "standard"),
    [("C", "c11"), ("C", "gnu17"), ("C++", "c++11"), ("C++", "c++17"), ("C++", "c++20")],
)
def test_header_compiles_without_a_word(
    check_source: Callable[..., None], language: str, standard: str, text: str
) -> None:
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    for level in "-O0", "-O2":
        check_source(language, text, f"-std={standard}", level, *warnings)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], "greenswitch"),
        (["greenlet"], "greenswitch"),
        (["greenswitch"], "greenlet"),
        (["greenlet", "greenswitch"], "ImportError greenswitch"),
    ],
)
def test_whose_greenlets(
    build: Callable[[str, bool], Path], run_python: RunPython, missing: list[str], expected: str
) -> None:
    """A module built with our header: greenswitch's, whatever else is imported; greenlet's where there is no
    greenswitch; a readable error where there is neither."""
    pytest.importorskip("greenlet")
    program = f"""
import sys
sys.path.insert(0, {str(build("slots.c", False))!r})
for name in {missing!r}:
    sys.modules[name] = None
if "greenlet" not in {missing!r}:
    import greenlet
try:
    import slots
except ImportError as error:
    print("ImportError", *(name for name in ("greenswitch", "greenlet") if name in str(error)))
else:
    print(slots.type.__module__)
"""
    assert run_python(program).check().stdout == f"{expected}\n"


def test_get_include(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    directory = Path(greenswitch.get_include())
    header = directory / "greenlet" / "greenlet.h"
    assert directory.is_absolute()
    source = Path(__file__).parents[2] / "csrc" / "include" / "greenlet" / "greenlet.h"
    assert header.read_bytes() == source.read_bytes(), "the package has another header than the sources"
    monkeypatch.setattr(_include, "__file__", str(tmp_path / "_include.py"))
    with pytest.raises(FileNotFoundError, match="greenswitch's C header is not installed: .*greenlet.h in /"):
        greenswitch.get_include()


def test_capsules() -> None:
    """PyCapsule_Import() finds a capsule by the name that it has."""
    assert greenswitch._C_API is _core._C_API
    assert re.match(r'<capsule object "greenswitch._C_API" at 0x', repr(_core._C_API))
    assert re.match(r'<capsule object "greenlet._C_API" at 0x', repr(_core._greenlet_C_API))


# compiled extensions of others


def test_gevents_wheel(run_python: RunPython) -> None:
    """D2: gevent's compiled modules subclass our type and switch by our table."""
    pytest.importorskip("gevent")
    program = """
import sys, types
import greenswitch._core as core
greenlet = sys.modules["greenlet"] = types.ModuleType("greenlet")
for name in "greenlet getcurrent GreenletExit error settrace gettrace".split():
    setattr(greenlet, name, getattr(core, name))
greenlet._C_API, greenlet.__version__ = core._greenlet_C_API, "3.5.6"
import gevent, gevent.queue, gevent.pool
assert issubclass(gevent.Greenlet, core.greenlet)
queue = gevent.queue.Queue()
def put(n):
    for i in range(3):
        gevent.sleep(0.001)
        queue.put((n, i))
gevent.joinall([gevent.spawn(put, n) for n in range(3)])
print(sorted(queue.get() for _ in range(9)))
g = gevent.spawn(gevent.sleep, 100)
gevent.sleep(0)
g.kill()
print(g.dead, repr(g.value))
with gevent.Timeout(0.01, False):
    gevent.sleep(100)
print(gevent.pool.Pool(2).map(lambda n: gevent.sleep(0) or n * n, range(4)))
def fails():
    raise KeyError("in gevent")
g = gevent.spawn(fails)
g.join()
print(repr(g.exception))
"""
    outcome = run_python(program).check()
    assert outcome.stdout.splitlines() == [
        "[(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]",
        "True GreenletExit()",
        "[0, 1, 4, 9]",
        "KeyError('in gevent')",
    ]


# the compiled core itself


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name}, which comes with a compiler")
    return path


def test_core_is_small(tmp_path: Path) -> None:
    stripped = tmp_path / "core.so"
    subprocess.run([tool("strip"), "-o", stripped, str(_core.__file__)], check=True)
    assert stripped.stat().st_size < 150 * 1024


def test_core_needs_next_to_nothing() -> None:
    core = str(_core.__file__)

    def say(*command: str) -> str:
        return subprocess.run([*command, core], capture_output=True, text=True, check=True).stdout

    dynamic = say(tool("readelf"), "-dW")
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    assert needed and not [name for name in needed if "c++" in name or "gcc" in name], needed
    symbols = say(tool("nm"), "-D")
    assert "PyInit__core" in symbols
    assert not re.findall(r"\b(?:_Z\w+|__cxa_(?!finalize)\w+|\w*@GLIBCXX\S*)", symbols)
    versions = [(int(major), int(minor)) for major, minor in re.findall(r"@GLIBC_(\d+)\.(\d+)", symbols)]
    assert max(versions, default=(2, 0)) <= (2, 17), "it would not run on the systems that wheels are for"
    defined = re.findall(r"^[0-9a-f]+ [A-Z] (\w+)", symbols, flags=re.M)
    assert defined == ["PyInit__core"], "nothing else is visible to other libraries"


def test_core_brings_no_cxx_runtime_along(run_python: RunPython) -> None:
    program = """
import greenswitch
greenswitch.greenlet(lambda: None).switch()
print([line.split()[-1] for line in open("/proc/self/maps") if "stdc++" in line or "c++abi" in line])
"""
    assert run_python(program).check().stdout == "[]\n"
