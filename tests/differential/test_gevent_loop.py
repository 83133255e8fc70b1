"""The same program on gevent's loop and on ours: what it prints must be the same (spec D3).

What belongs here: watchers, `hub.wait`, waiters, signal handlers. Left out of the comparison: addresses, the
order of watchers of the same priority in one turn (gevent's is chance, ours is that of the events), the
handler that `signal.getsignal` shows while a watcher has the signal, the clock behind `loop.now` (gevent's is
the wall clock), whether an async watcher that is fed is pending.
"""

from __future__ import annotations

import importlib.util
import re
from textwrap import dedent
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed: nothing to compare with"
)

PRELUDE = """
import os, signal, sys, threading, time
import {module}
from {module} import core, get_hub, getcurrent, sleep, spawn, signal_handler
from {module}.hub import Waiter
hub = get_hub(); loop = hub.loop; out = []
hub.handle_error = lambda context, type, value, tb: out.append((context.__class__.__name__, type.__name__))

def show(function, *arguments, **keywords):
    try:
        print('->', repr(function(*arguments, **keywords)))
    except BaseException as exception:
        print('!!', type(exception).__name__, exception)

def note(what): return lambda *args: out.append((what, *args))

def flush(seconds=0.05):
    sleep(seconds); print(out); out.clear()

def state(*watchers):
    for w in watchers: print(type(w).__name__, w.active, w.pending, w.ref, w.priority, w.callback is None, w.args)

def all_kinds():
    return [loop.io(0, 1), loop.timer(1), loop.async_(), loop.signal(10), loop.idle(), loop.prepare(), loop.check(),
            loop.fork(), loop.stat('/')]
"""

PROGRAMS = {
    "life": """
        for w in all_kinds():
            state(w); w.start(print, 1); state(w); w.start(print, 2); state(w)
            show(w.start, None); show(w.start, 5); show(setattr, w, 'callback', 5)
            show(setattr, w, 'priority', 1); w.ref = False; state(w)
            w.stop(); w.stop(); state(w); w.priority = 1; w.close(); w.close(); state(w)
            w.start(print); state(w); w.close(); show(setattr, w, 'args', 5)
    """,
    "what cannot be": """
        show(loop.io, -1, 1); show(loop.timer, 1, -1); show(loop.signal, 0); show(loop.signal, 1000)
        for call in (lambda: loop.io('x', 1), lambda: loop.io(0, 64), lambda: loop.timer('x'), lambda: loop.stat(5),
                     lambda: loop.stat(b'/'), lambda: loop.run_callback(), lambda: core.loop(['port', 'blabla'])):
            try: call(); print('made')
            except Exception as error: print(type(error).__name__)
        print([loop.timer(1, priority=p).priority for p in (-9, -2, 0, 2, 9, None)])
        def elsewhere():
            other = get_hub().loop
            print(other.default, get_hub().main_hub); show(other.child, 1)
        t = threading.Thread(target=elsewhere); t.start(); t.join()
    """,
    "priority": """
        ws = [loop.timer(0.01, priority=p) for p in (-2, 0, 2, 1, -1)]
        for w in ws: w.start(note(w.priority))
        time.sleep(0.03); flush(); state(*ws)
    """,
    "timers": """
        began = time.time()
        def when(): out.append(round((time.time() - began) / 0.1))
        t = loop.timer(0.1, 0.2); t.start(when); print(t.active); flush(0.56); t.stop()
        began = time.time(); t.again(when); flush(0.45); t.stop()
        t = loop.timer(0.3); t.again(when); state(t); t.start(when); t.again(when); state(t)
        t = loop.timer(0.1); t.start(when); t.start(note('later')); flush(0.15); state(t)
        t = loop.timer(-1); t.start(note('past')); flush(); t = loop.timer(0); t.start(note('now')); flush()
        with loop.timer(0.01) as t: t.start(note('never'))
        flush(); t = loop.timer(5.5); print(t.at); t.start(print); t.stop(); print(t.at)
    """,
    "stop and start in callbacks": """
        a, b = loop.timer(0.01, priority=1), loop.timer(0.01)
        a.start(lambda: (out.append('a'), b.stop())); b.start(note('b')); time.sleep(0.02); flush(); state(a, b)
        def again(): out.append(1); len(out) < 3 and a.start(again)
        a.start(again); flush(); state(a)
        a.start(lambda: a.start(note('changed'), 1)); flush(); state(a)
        a.start(a.close); flush(); state(a)
        r = loop.timer(0.01, 0.01); r.start(lambda: (out.append('r'), r.stop())); flush(); state(r)
        c = loop.run_callback(note('callback'), 1); print(bool(c), c.pending); flush(); print(bool(c), c.pending)
        c = loop.run_callback(note('callback')); c.stop(); print(bool(c)); flush()
        c = loop.run_callback(note('first')); loop.run_callback_threadsafe(note('second')); flush()
    """,
    "exceptions": """
        def bad(*args): raise KeyError(args)
        t = loop.timer(0.01); t.start(bad); flush(); state(t)
        t = loop.timer(0.01, 0.01); n = []
        def twice(): n.append(1); len(n) == 2 and t.stop(); bad()
        t.start(twice); flush(); state(t)
        r, w = os.pipe(); i = loop.io(r, 1); i.start(bad); os.write(w, b'x'); flush(); state(i)
        a = loop.async_(); a.start(bad); a.send(); flush(); print(a.active); a.stop()
        loop.run_callback(bad); flush()
    """,
    "io": """
        r, w = os.pipe()
        def read(*args): out.append((*args, os.read(r, 1)))
        i = loop.io(r, 1); i.start(read, 'x', pass_events=True); os.write(w, b'abc'); flush(); i.stop()
        j = loop.io(w, 2)
        def write(*args): out.append(args); j.stop()
        j.start(write, pass_events=True); flush(); state(i, j)
        i.start(read, pass_events=True); os.close(w)
        def end(*args): out.append((args, os.read(r, 1))); i.stop()
        i.start(end, 'end', pass_events=True); flush()
        import socket; a, b = socket.socketpair(); k = loop.io(a.fileno(), 3)
        def both(events): out.append(events); k.stop()
        k.start(both, pass_events=True); b.send(b'x'); flush()
        i.fd = 5; i.events = 2; print(i.fd, i.events & 3); i.fd = a.fileno(); i.start(print)
        try: i.fd = 6
        except AttributeError: print('read-only')
    """,
    "feed": """
        for w in all_kinds():
            w.feed(1, note('fed'), 1); print(w.pending or type(w) is core.async_, w.active); flush(); state(w)
        t = loop.timer(10); t.feed(1, note('fed')); t.stop(); flush()
    """,
    "async": """
        a = loop.async_(); a.start(note('a')); a.send(); a.send(); flush(); a.send_ignoring_arg(1); flush()
        threading.Thread(target=a.send).start(); flush(); a.stop(); a.send(); flush()
        print(getattr(loop, 'async')().active)
    """,
    "every turn": """
        order = []
        p, c = loop.prepare(), loop.check()
        p.start(order.append, 'prepare'); c.start(order.append, 'check'); sleep(0.01); p.stop(); c.stop()
        print(order[:2], order.count('prepare') - order.count('check') in (0, 1))
        i = loop.idle(); i.start(lambda: (out.append('idle'), i.stop()))
        loop.run_callback(out.append, 'callback'); flush()
    """,
    "children": """
        r, w = os.pipe()
        def child(code):
            pid = os.fork()
            if not pid: os.close(w); os.read(r, 1); os._exit(code)
            return pid
        pid = child(3); c = loop.child(pid); print(c.pid == pid, c.rpid, c.rstatus)
        def until(count):
            while len(out) < count: sleep(0.01)
        c.start(lambda: out.append((c.rpid == pid, c.rstatus))); os.close(w); until(1); flush(); print(c.active, c.rpid == pid)
        show(os.waitpid, pid, 0); c.stop()
        r, w = os.pipe(); c = loop.child(0); c.start(lambda: out.append(c.rstatus)); pids = [child(1), child(2)]; os.close(w); until(2)
        print(sorted(out)); out.clear(); c.stop()
    """,
    "stat": """
        name = os.path.join(os.getcwd(), 'watched'); open(name, 'w').close(); s = loop.stat(name, 0.1)
        def sizes(): out.append([x and x.st_size for x in (s.prev, s.attr)])
        s.start(sizes); print(s.path == name, s.attr.st_size); sleep(0.15)
        with open(name, 'w') as f: f.write('abc')
        flush(0.4); os.unlink(name); flush(0.4); print(s.attr); s.stop(); print(s.active)
    """,
    "signals": """
        s = loop.signal(signal.SIGUSR1); s.start(note('s'), 1); os.kill(os.getpid(), signal.SIGUSR1); flush()
        os.kill(os.getpid(), signal.SIGUSR1); flush(); s.stop()
        show(signal_handler, signal.SIGUSR1, 1)
        def handler(*args, **kw): sleep(0.01); out.append((args, kw)); sys.stdout.flush()
        h = signal_handler(signal.SIGUSR1, handler, 1, a=2); print(h.ref)
        os.kill(os.getpid(), signal.SIGUSR1); flush(); h.ref = True; print(h.ref); h.ref = False; h.cancel()
        def failing(): raise ValueError('from the handler')
        h = signal_handler(signal.SIGALRM, failing)
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.05); show(sleep, 0.2)
        h.cancel()
    """,
    "waiting for watchers": """
        t = loop.timer(0.01); show(hub.wait, t); state(t)
        for close in (False, True):
            t = loop.timer(5); spawn(hub.cancel_wait, t, ValueError('cancelled'), close); show(hub.wait, t); state(t)
        t = loop.timer(5); spawn(hub.cancel_waits_close_and_then, [t], KeyError, print, 'then', 1)
        show(hub.wait, t); sleep(0); state(t)
        t = loop.timer(5); hub.cancel_wait(t, ValueError, True); sleep(0); state(t)
        g = spawn(hub.wait, t); sleep(0); print(t.active); g.kill(); print(t.active)
        show(hub.switch_out); print(type(loop) is hub.loop_class is core.loop)
        print(hub.periodic_monitoring_thread, hub.thread_ident == threading.get_ident(), hub.exception_stream is sys.stderr)
        class C: pass
        a, b = C(), C(); g = hub.ident_registry.get_ident; print(g(a), g(b), g(a)); del a; print(g(C()), g(b))
    """,
    "waiters": """
        w = Waiter(); print(w, w.ready(), w.successful(), w.exc_info, w.value, w.greenlet)
        w.switch(5); print(w, w.ready(), w.successful(), w.exc_info, w.value, w.get(), w.get()); w.clear(); print(w)
        w.throw(ValueError('q')); print(w, w.ready(), w.successful(), w.exc_info, w.value); show(w.get); w.clear()
        w.throw(KeyError); print(w.exc_info); w.clear(); w.switch_args(1, 2); show(w.get); w.clear()
        g = spawn(w.get); sleep(0); print(w.greenlet is g)
        try: w.get()
        except Exception as error: print(type(error).__name__)
        loop.run_callback(w.switch, 9); g.join(); print(g.value); w.clear()
        g = spawn(w.get); sleep(0); loop.run_callback(w.throw, TypeError, 'text'); g.join(); print(repr(g.exception))
        errors = []
        def in_loop():
            try: Waiter().get()
            except BaseException as error: errors.append(type(error).__name__)
        loop.run_callback(in_loop); sleep(0.01); print(errors)
    """,
    "a loop of its own": """
        other = core.loop(default=False); print(other.default, other.MINPRI, other.MAXPRI)
        other.run(); other.run_callback(print, 'callback'); other.run()
        t = other.timer(0.05); t.start(print, 'timer'); other.run(); u = other.timer(5, ref=False); u.start(print, 'never')
        other.run(); t.start(other.break_); s = other.timer(0.2); s.start(print, 'late'); other.run(); print('broken')
        other.run(once=True); other.run(nowait=True); other.run(); print(other.activecnt, other.pendingcnt)
        other.ref(); print(other.activecnt); other.unref(); print(other.activecnt); other.destroy()
        print(core.loop('select' if 'select' in core.supported_backends() else None, default=False).default)
        loop.run_callback(print, 'in the hub\\'s'); loop.run(nowait=True)
    """,
}


def normal(text: str) -> str:
    text = re.sub(r"0x[0-9a-f]+", "0x", text).replace("'Callback'", "'callback'")
    return re.sub(r"\b(greenswitch|gevent|greenlet)\.(?:hub\.|_gevent_c_waiter\.)?", "", text)


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_output(name: str, run_python: Any) -> None:
    # More than once, because some of them round times, and a busy machine is late for either.
    for _ in range(3):
        outputs = []
        for module in ("gevent", "greenswitch"):
            program = PRELUDE.format(module=module) + dedent(PROGRAMS[name])
            outcome = run_python(program, options=("-W", "ignore")).check()
            outputs.append((normal(outcome.stdout).splitlines(), normal(outcome.stderr).splitlines()))
        if outputs[0] == outputs[1]:
            break
    assert outputs[0][0]
    assert outputs[1] == outputs[0]
