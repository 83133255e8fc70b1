"""The same program on gevent and on greenswitch: what it prints must be the same (spec D3).

Left out of the comparison: addresses, times of day, the two packages' own names; and what of gevent is chance
or oddity: in which order waiters of a queue get their turns (ours: as they came), the order of sets, an RLock's 1
for True.
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
import sys, functools, time
import {module} as api
from {module} import (spawn, spawn_later, sleep, joinall, killall, iwait, wait, kill, getcurrent, Greenlet,
                      GreenletExit, Timeout, with_timeout, get_hub)
from {module} import event, lock, pool, queue, socket

def show(function, *arguments, **keywords):
    try:
        print('->', repr(function(*arguments, **keywords)))
    except BaseException as exception:
        print('!!', type(exception).__name__, exception)

def fail(text='failed'):
    raise ValueError(text)

quiet = lambda *_: None
get_hub().handle_error, loud = quiet, get_hub().handle_error
"""

PROGRAMS = {
    "repr (G3)": """
        def f(*a, **k): pass
        class C:
            def method(self): pass
            def __repr__(self): return 'C()'
        for g in [spawn(f, 5), spawn(f), spawn(f, 'x', y=2), spawn(C().method, 1), spawn(functools.partial(f, 1)),
                  spawn(lambda: 0), spawn(print), Greenlet(f), spawn_later(0.01, f, 3), Greenlet()]:
            print(repr(g), str(g) == repr(g))
        a, b, c = spawn(f), spawn(f), spawn(f)
        print(a.name, b.name, repr(b)); b.name = 'mine'; print(repr(b), repr(c))
        joinall([a, b]); print(repr(a), a.name); print(spawn(f).name, spawn(f).name)
    """,
    "order (G1, G5)": """
        def f(n):
            for i in range(3):
                print(n, i)
                if n == 2: sleep(0)
        gs = [spawn(f, n) for n in range(4)]
        print('spawned'); gs[3].join(); print('joined'); joinall(gs)
        spawn_later(0.02, print, 'later'); spawn_later(0.01, print, 'sooner'); spawn(print, 'now'); sleep(0.05)
    """,
    "results (G7)": """
        for make in (lambda: 7, fail, lambda: getcurrent().throw(), lambda: None):
            g = Greenlet(make)
            print(g.started, g.ready(), g.dead, g.successful(), g.value, g.exception)
            g.start(); print(g.started, bool(g), g.ready(), g.dead)
            g.join()
            print(g.started, bool(g), g.ready(), g.dead, g.successful(), repr(g.value), repr(g.exception))
            print([type(x).__name__ for x in g.exc_info or ()]); show(g.get); show(g.get, block=False)
        slow = spawn(sleep, 0.05); show(slow.get, block=False); show(slow.get, timeout=0.001); show(slow.join, 0.001)
        show(slow.get); show(slow.exc_info.__class__)
    """,
    "links (G7)": """
        out = []
        def note(name): return lambda g: out.append((name, g.successful()))
        a = spawn(lambda: 1); b = spawn(fail)
        for g in (a, b):
            g.link(note('link')); g.link_value(note('value')); g.link_exception(note('exception'))
            n = note('never'); g.link(n); g.unlink(n); g.rawlink(note('raw'))
        show(a.link, 5); show(a.rawlink, 5)
        joinall([a, b]); print(len(out)); sleep(0); print(out)
        a.link(note('late')); sleep(0); print(out[-1])
        r = event.AsyncResult(); spawn(lambda: 8).link(r); show(r.get)
        r = event.AsyncResult(); spawn(fail).link(r); show(r.get)
    """,
    "an AsyncResult that is set again (G8)": """
        import itertools
        steps = {'set': lambda r: r.set(7), 'none': lambda r: r.set(), 'result': lambda r: r.set_result(9),
                 'x': lambda r: r.set_exception(ValueError('x')), 'y': lambda r: r.set_exception(KeyError('y')),
                 'info': lambda r: r.set_exception(ValueError('z'), (ValueError, ValueError('z'), None))}
        for count in range(4):
            for names in itertools.product(steps, repeat=count):
                r = event.AsyncResult()
                for name in names: steps[name](r)
                print(names, r.ready(), r.done(), r.successful(), r.value, repr(r.exception), len(r.exc_info))
                show(r.get, block=False); show(r.result, 0); show(r.wait, 0)
                copy = event.AsyncResult()
                if r.ready(): copy(r); show(copy.get)
    """,
    "kill (G14)": """
        def stubborn():
            try: sleep(10)
            except GreenletExit: print('exit'); sleep(0.01); return 'cleaned'
        new = spawn(print, 'never'); new.kill(); print(new.dead, new.ready(), repr(new.value), new.successful())
        g = spawn(stubborn); sleep(0); g.kill(); print(repr(g.value))
        g = spawn(stubborn); sleep(0); g.kill(block=False); print(g.dead); g.join(); print(g.dead)
        g = spawn(sleep, 10); sleep(0); g.kill(ValueError('given')); print(repr(g.exception), g.successful())
        g = spawn(sleep, 10); sleep(0); g.kill(KeyError); print(repr(g.exception)); g.kill(); show(g.get)
        gs = [spawn(stubborn), spawn(sleep, 10), spawn(print)]; sleep(0); killall(gs); print([x.dead for x in gs])
        show(killall, []); show(joinall, []); show(kill, spawn(sleep, 1))
        me = getcurrent(); get_hub().loop.run_callback(me.throw, KeyError('into main')); show(sleep, 1)
    """,
    "joinall, wait, iwait": """
        def after(s, v):
            sleep(s); return v
        gs = [spawn(after, s / 100, s) for s in (3, 1, 2)]
        print([g.value for g in iwait(gs)])
        gs = [spawn(after, s / 100, s) for s in (3, 1, 2)]
        print([sorted(g.value for g in joinall(gs, **k)) for k in ({'count': 2}, {'timeout': 0.001})])
        print(sorted(g.value for g in wait(gs)))
        show(lambda: joinall([spawn(fail)], raise_error=True)); print(len(joinall([spawn(fail)])))
        show(lambda: list(iwait([], timeout=0.001))); show(wait, timeout=0.01)
        e = event.Event(); spawn_later(0.01, e.set); print(wait([e]) == [e])
    """,
    "timeouts (G14)": """
        def inside(*a, **k):
            with Timeout(*a, **k): sleep(0.05); return 'slept'
        for a in [(0.01,), (0.01, False), (0.01, KeyError('mine')), (0.01, KeyError), (1,), (None,), (0.01, None),
                  (0.01, 'text')]:
            show(inside, *a)
        for bad in ('abc', [1], object): show(inside, bad)
        t = Timeout(5); print(t.pending, t.seconds, str(t)); t.start(); print(t.pending); show(t.start)
        t.cancel(); print(t.pending); t.cancel(); t.close()
        show(with_timeout, 0.01, sleep, 1); show(with_timeout, 0.01, sleep, 1, timeout_value='value')
        show(with_timeout, 1, lambda: 'done'); show(with_timeout, 0.01, fail)
        outer = Timeout.start_new(0.01)
        try:
            with Timeout(1): sleep(1)
        except Timeout as e: print('outer' if e is outer else 'inner')
        x = Timeout.start_new(outer); print(x is outer); outer.close()
        print(str(Timeout(1)), str(Timeout()), str(Timeout(0.5, ValueError)))
    """,
    "events (G8)": """
        e = event.Event(); print(e.is_set(), e.ready(), e.wait(0.001)); out = []
        def waiter(n): out.append((n, e.wait()))
        gs = [spawn(waiter, n) for n in range(4)]; sleep(0); gs[2].kill(); e.set(); print(out); joinall(gs); print(out)
        e.clear(); print(e.wait(timeout=0.001), e.is_set())
        r = event.AsyncResult(); print(r.ready(), r.value, r.exception, r.successful()); show(r.get, block=False)
        show(r.get, timeout=0.001); spawn(r.set, 5); show(r.get); show(r.wait); print(r.ready(), r.successful())
        r = event.AsyncResult(); r.set_exception(KeyError('k')); show(r.get); show(r.wait); print(repr(r.exception))
        r = event.AsyncResult(); print(r.cancel(), r.cancelled(), r.done()); r.set(1); print(r.result(), r.done())
    """,
    "locks (G8)": """
        s = lock.Semaphore(2); print(s.locked(), s.acquire(), s.acquire(), s.locked(), s.acquire(blocking=False),
                                     s.acquire(timeout=0.001), s.counter); s.release(); print(s.counter)
        show(lock.BoundedSemaphore(1).release); show(lambda: lock.Semaphore(-1))
        out = []; m = lock.BoundedSemaphore(1)
        def hold(n):
            with m: out.append(n); sleep(0.001); out.append(n)
        gs = [spawn(hold, n) for n in range(5)]; sleep(0); gs[1].kill(); joinall(gs); print(out)
        r = lock.RLock(); print(bool(r.acquire()), bool(r.acquire())); g = spawn(r.acquire, blocking=False); show(g.get)
        r.release(); r.release(); show(spawn(r.acquire).get); show(r.release)
        d = lock.DummySemaphore(); print(d.acquire(), d.locked()); d.release()
    """,
    "queues (G9)": """
        q = queue.Queue(2); print(q.empty(), q.full(), q.qsize(), q.maxsize, len(q)); show(q.get, block=False)
        q.put(1); q.put(2); show(q.put, 3, block=False); show(q.put, 3, timeout=0.001); print(q.get(), q.peek(), q.get())
        show(q.get, timeout=0.001); out = []
        def consume(n):
            for i in range(3): out.append((n, q.get()))
        gs = [spawn(consume, n) for n in 'ab']; sleep(0)
        for i in range(6): q.put(i)
        joinall(gs); print(sorted(v for _, v in out))
        p = queue.PriorityQueue(); [p.put(x) for x in (3, 1, 2)]; print([p.get() for _ in range(3)])
        l = queue.LifoQueue(); [l.put(x) for x in (3, 1, 2)]; print([l.get() for _ in range(3)])
        j = queue.JoinableQueue(); j.put(1); j.put(2); show(j.join, timeout=0.001); j.get(); j.task_done(); j.task_done()
        show(j.join, timeout=0.1); show(j.task_done)
        c = queue.Channel(); g = spawn(c.put, 'through'); print(c.get(), g.ready()); g.join(); show(c.get, timeout=0.001)
        x = queue.Queue(items=[1, 2]); x.put(StopIteration); print(list(x))
        g = spawn(q.get); sleep(0); g.kill(); q.put('kept'); print(q.get())
    """,
    "pools (G10)": """
        p = pool.Pool(2); busy = []; most = []
        def work(n):
            busy.append(n); most.append(len(busy)); sleep(0.01 * (4 - n)); busy.remove(n); return n * n
        print(p.map(work, range(4)), max(most), list(p.imap(work, range(4))), sorted(p.imap_unordered(work, range(4))))
        print(p.apply(work, (3,)), p.apply_async(work, (2,)).get(), p.size, p.free_count(), len(p), p.full())
        show(p.map, fail, [1]); print(p.map_async(work, [1, 2]).get()); show(lambda: list(p.imap(fail, [1, 2])))
        g = pool.Group(); a = g.spawn(sleep, 0.01); print(len(g), a in g); g.join(); print(len(g), a in g)
        a = g.spawn(sleep, 10); sleep(0); g.kill(); print(len(g), a.dead); show(lambda: pool.Pool(-1))
        one = pool.Pool(1); one.spawn(sleep, 0.01); show(one.wait_available, timeout=0.001); one.join()
        print(one.wait_available())
    """,
    "where a greenlet comes from": """
        def frames(g):
            f = g.spawning_stack; found = []
            while f is not None: found.append((f.f_code.co_name, f.f_lineno)); f = f.f_back
            return found
        def deep(n, make): return deep(n - 1, make) if n else make(int)
        class Few(Greenlet): spawning_stack_limit = 2
        class Own(Greenlet):
            def __init__(self, *a): Greenlet.__init__(self, *a)
        for make in (spawn, Greenlet, functools.partial(spawn_later, 0.001), Few.spawn, Own):
            print(frames(deep(1, make)), len(frames(deep(20, make))))
        print(frames(spawn(int))[0][0], Greenlet.spawning_stack_limit, repr(spawn(int).spawning_greenlet() is getcurrent()))
        trees = []
        def live(n):
            me = getcurrent(); trees.append(me.spawn_tree_locals)
            if n: spawn(live, n - 1).join()
        a, b = spawn(live, 2), spawn(live, 1); a.spawn_tree_locals['x'] = 1; joinall([a, b]); print(trees)
        print(a.spawn_tree_locals is b.spawn_tree_locals, Greenlet().spawn_tree_locals)
        api.config.track_greenlet_tree = False; g = spawn(int)
        print(g.spawning_stack, g.spawning_greenlet, g.spawn_tree_locals); g.spawn_tree_locals = {1: 2}; print(g.spawn_tree_locals)
    """,
    "locals (G11)": """
        from {module}.local import local
        class Begun(local):
            kind = 'class'
            def __init__(self, *a, **k): print('init', a, k); self.a = a
            @property
            def both(self): return self.a * 2
            @both.setter
            def both(self, v): self.a = v
        x = Begun(1, y=2); x.a = 5; spawn(lambda: print(x.a, x.both, x.kind, sorted(x.__dict__))).join(); print(x.a)
        def change(): x.both = 3; x.kind = 'mine'; print(x.a, x.kind); del x.kind; print(x.kind); del x.a; show(lambda: x.a)
        spawn(change).join(); print(x.a, x.kind)
        class Slotted(local): __slots__ = ('s',)
        s = Slotted(); s.s = 1; s.d = 2; spawn(lambda: (print(s.s, hasattr(s, 'd')), setattr(s, 's', 3))).join(); print(s.s, s.d)
        class Gets(local):
            def __getattr__(self, n): return 'no ' + n
        g = Gets(); g.x = 1; print(g.x, g.y); spawn(lambda: print(g.x)).join()
        import copy; c = copy.copy(x); c.b = 1; print(c.a, hasattr(x, 'b'), 'b' in dir(c))
        for f in (lambda: setattr(x, '__dict__', {}), lambda: delattr(x, '__dict__')): print(type(__import__(
            '{module}.util', fromlist='x').wrap_errors(AttributeError, f)()).__name__)
    """,
    "contexts (G11)": """
        from contextvars import ContextVar, copy_context
        v = ContextVar('v', default=0); v.set(1); from {module}.threadpool import ThreadPool
        def seen(n): print(n, v.get()); v.set(n)
        for start in (spawn, functools.partial(spawn_later, 0.001), pool.Pool(1).spawn, api.spawn_raw, get_hub().loop.run_callback):
            start(seen, 'new'); sleep(0.01); print(v.get())
        spawn(copy_context().run, seen, 'copied').join(); print(v.get(), ThreadPool(1).apply(v.get))
        g = Greenlet(v.get); g.gr_context = copy_context(); g.start(); print(g.get())
    """,
    "util": """
        from {module}.util import wrap_errors, assert_switches, GreenletTree, format_run_info
        w = wrap_errors((ValueError, KeyError), int); print(w('3'), repr(w('x')), w, repr(w), w.__name__); show(w, [])
        def quiet(**k):
            with assert_switches(**k): pass
        def switches(**k):
            with assert_switches(**k): sleep(0)
        def fails():
            with assert_switches(): fail('mine')
        for k in ({}, {'max_blocking_time': 9}, {'hub_only': True}):
            for f in (quiet, switches):
                try: f(**k); print('fine')
                except AssertionError: print('AssertionError')
        show(fails); e = event.Event()
        def live(n):
            if n: spawn(live, n - 1)
            e.wait()
        for n in (2, 1): spawn(live, n); sleep(0); sleep(0); sleep(0); sleep(0)
        later = Greenlet(int); t = GreenletTree.current_tree(); print(t.root, t.is_current_tree, t.greenlet is getcurrent())
        print([l[:l.index('<')] + l.rsplit(': ')[-1] for l in str(t).splitlines() if 'live' in l])
        print([l for l in str(t).splitlines() if 'int' in l][0].rsplit(': ')[-1])
        print(str(t) == t.format(details=False), len(t.format_lines()) > len(t.format_lines(details=False)))
        print(isinstance(GreenletTree.forest(), list), GreenletTree.DEFAULT_DETAILS['running_stacks'])
        text = '\\n'.join(format_run_info()); print('Threads' in text, 'Greenlets' in text, text.count('e.wait()') >= 5)
    """,
    "thread pools (G10)": """
        import threading; from {module}.threadpool import ThreadPool, ThreadPoolExecutor
        p = ThreadPool(2); print(p.size, p.maxsize, len(p)); print(p.apply(pow, (2, 3)), p.spawn(pow, 2, 4).get(), p.size)
        show(p.apply, fail); show(lambda: p.spawn(fail).get()); print(p.map(abs, [-1, -2]), sorted(p.imap_unordered(abs, [-1, -2])))
        p.maxsize = 1; p.adjust(); sleep(0.05); print(p.size); p.size = 0; sleep(0.05); print(p.size)
        for bad in (lambda: setattr(p, 'size', 5), lambda: setattr(p, 'maxsize', -1), lambda: ThreadPool(-1)): show(
            lambda: type(__import__('{module}.util', fromlist='x').wrap_errors(Exception, bad)()).__name__)
        t = []; p = ThreadPool(1); w = threading.Thread(target=lambda: t.append(
            type(__import__('{module}.util', fromlist='x').wrap_errors(Exception, p.spawn)(int)).__name__)); w.start(); w.join(); print(t)
        x = ThreadPoolExecutor(2); f = x.submit(pow, 2, 3); print(f.result(), f.done(), f.cancelled(), f.exception())
        f = x.submit(fail, 'there'); show(f.result); print(list(x.map(abs, [-1, -2])))
        g = spawn(sleep, 0.01); f = x.submit(time.sleep, 0.1); print(f.result(), g.ready())
        x.shutdown(); print(isinstance(x, __import__('concurrent.futures').futures.ThreadPoolExecutor)); show(lambda: x.submit(int))
    """,
    "failures are reported once (G7)": """
        stream = __import__('io').StringIO(); sys.stderr = stream; get_hub().handle_error = loud
        def broken(n): raise KeyError(n)
        g = spawn(broken, 5); joinall([g]); sleep(0.01)
        lines = stream.getvalue().splitlines(); sys.stderr = sys.__stderr__
        print(lines[0], lines[-1] == '' , [l for l in lines if 'KeyError' in l])
    """,
    "sockets and their errors (I1)": """
        a, b = socket.socketpair(); a.sendall(b'abc'); print(b.recv(10)); b.settimeout(0.01); show(b.recv, 1)
        g = spawn(b.recv, 1); b.settimeout(None); sleep(0); a.close(); print(g.get()); b.close(); show(b.recv, 1)
        l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1); port = l.getsockname()[1]
        other = socket.socket(); show(other.bind, ('127.0.0.1', port)); other.close()
        c = socket.create_connection(('127.0.0.1', port)); s, _ = l.accept(); show(s.setblocking, 0); show(s.recv, 1)
        s.close(); print(c.recv(1)); c.close(); l.close(); show(socket.create_connection, ('127.0.0.1', port))
        x = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); x.settimeout(0.01); show(x.recvfrom, 1); x.close()
    """,
}


def normal(text: str) -> str:
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", text)
    text = re.sub(r"127\.0\.0\.1', \d+|127\.0\.0\.1:\d+", "ADDRESS", text)
    return re.sub(r"\b(greenswitch|gevent|greenlet)\.", "", text)


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_output(name: str, run_python: Any) -> None:
    outputs = []
    for module in ("gevent", "greenswitch"):
        program = PRELUDE.format(module=module) + dedent(PROGRAMS[name]).replace("{module}", module)
        outcome = run_python(program, options=("-W", "ignore")).check()
        outputs.append((normal(outcome.stdout).splitlines(), normal(outcome.stderr).splitlines()))
    assert outputs[0][0]
    assert outputs[1] == outputs[0]
