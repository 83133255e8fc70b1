"""A random walk over everything that greenlets can do, in one thread.

What belongs here: what the greenlets of the walk do, at random.  What never does: what must come of it
(model.py), and how Python code is reached through C code (routes.py).

Every greenlet of a walk, main as well, is in `_live`: a loop of random actions which calls itself again,
straight or through C code.  All chance comes from one random.Random.
"""

from __future__ import annotations

import contextvars
import gc
import random
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

from model import ACTIVE, DEAD, NEW, InstanceOf, Message, Node, Thrown, Token, World
from routes import ROUTES, SHIELDED, by_collection, code_here, code_of, recursion, recursion_in_c

from greenswitch import GreenletExit, error, getcurrent, greenlet, settrace

DEPTH = 7  # of _live within itself
LEVELS = 150  # of calls below a greenlet that may start another one, which begins at that depth of the stack
POPULATION = 24

# From 3.12 on CPythons with assertions insist that hooks do not change while a function is suspended.
HOOKS_MAY_CHANGE = sys.version_info < (3, 12) or not hasattr(sys, "gettotalrefcount")

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)

# What threads have left to each other: greenlets, with the walk that they belong to.
flotsam: list[tuple[Walk, greenlet]] = []


# Functions of the module, which live for ever: up to CPython 3.12 a hook is called by a pointer that nobody
# counts, after code of locals that have just been dropped has run - and may have set another hook.


def _profile(frame: Any, event: str, argument: Any) -> None:
    pass


def _trace(frame: Any, event: str, argument: Any) -> Any:
    return _trace


def _aside(value: Any) -> Any:
    """The value, by way of a greenlet that the model does not know.  Whoever asks stays alive meanwhile."""
    me = getcurrent()
    result = greenlet(lambda: value).switch()
    assert me is getcurrent()
    return result


class Plain(greenlet):
    """A subclass with nothing of its own."""


class Looked(greenlet):
    """One whose `run` is looked up by Python code.  (A method would hold the greenlet as long as it runs.)"""

    __slots__ = ("born",)

    def __init__(self, born: Callable[..., Any]) -> None:
        self.born = born

    @property
    def run(self) -> Callable[..., Any]:
        return self.born


class Finalized(greenlet):
    """One whose deallocation switches, before it is killed."""

    def __del__(self) -> None:
        assert _aside(5) == 5


class Walk(World):
    """A walk of so many steps, in the thread that makes it."""

    def __init__(self, label: str, seed: str, steps: int, kind: str) -> None:
        super().__init__(label, kind)
        self.dice = random.Random(seed)
        self.steps = steps
        self.sentinel = object()
        self.generators: list[Generator[None, None, None]] = []
        self.busy: list[Any] = []  # those of them that run, or are suspended by a switch
        self.frames: list[Any] = []
        self.profiling: Any = None
        self.tracing: Any = None
        self.traced: int | None = None  # the id of the last target that the greenlet tracer has seen

    # the walk as a whole

    def walk(self) -> None:
        self.main.variable = variable.get()
        while self.steps > 0:
            self._as_main(lambda: self._live(self.main, 0))
        sys.settrace(None)
        sys.setprofile(None)
        settrace(None)
        self.tracing = self.profiling = None

    def close(self) -> None:
        """End every greenlet that is left, by GreenletExit."""
        self.closing = True
        if self.collector is not None:
            self._end(self.collector)  # until then nobody is killed
        getcurrent()
        for node in list(self.nodes):
            self._end(node)
        getcurrent()
        patience = 100
        while self._suspended() and patience:
            if not self.exact:
                time.sleep(0.1)  # another thread, in the middle of a collection, has yet to give them up
            gc.collect()
            getcurrent()
            patience -= 1
        self._is_all_over()

    def abandon(self) -> None:
        """Leave everything as it is: the thread ends."""
        self.closing = True

    def after_the_end(self) -> None:
        """What must be so when the thread has ended."""
        for node in self.nodes:
            found = node.ref()
            self.demand(found is None or found.dead or node.state is NEW, f"{node} outlives its thread")
        self._is_all_over()

    def _suspended(self) -> list[Node]:
        return [node for node in self.nodes if node.state is ACTIVE and node is not self.main]

    def _is_all_over(self) -> None:
        self.demand(not self._suspended(), f"{self._suspended()} were not killed")
        self.demand(self.current is self.main, f"{self.current} is left running")
        self.demand(not self.unraisable, f"{self.unraisable} have not been reported")
        self._forget()

    def _end(self, node: Node) -> None:
        while node is not self.main and node.state is not DEAD:
            itself = node.ref()
            if itself is None:
                return
            self.handles[node.number] = itself
            del itself
            self._as_main(lambda: self._throw(self.main, node))

    def _forget(self) -> None:
        """Drop all references to greenlets and to their frames."""
        self.frames.clear()
        self.generators.clear()
        self.busy.clear()
        self.handles.clear()

    def _as_main(self, function: Callable[[], Any]) -> None:
        """Main does not end of what it is thrown."""
        try:
            function()
        except Thrown as exception:
            self._seen(exception)
        except GreenletExit:
            pass
        self.main.must_end = None

    # a greenlet's life

    def _born(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a greenlet runs."""
        assert self.leaving is not None
        origin = self.leaving.origin
        node.level = origin.level + 1
        self.arrive(node, Message(args, kwargs))
        args = kwargs = ()  # type: ignore[assignment]
        try:
            self._check(node)
            self._live(node, 0)
            result = self.sentinel if self.dice.randrange(2) else Token()
        except BaseException as exception:
            self.finish(node, Message(error=exception))
            raise
        self.finish(node, Message((result,)))
        return result

    def _live(self, node: Node, depth: int) -> None:
        """Some actions.  Locals are what they were, whatever has happened in between."""
        mine = [Token() for _ in range(3)]
        copy = tuple(mine)
        number = self.dice.random()
        text = repr(number)
        for _ in range(self.dice.randrange(1, 12)):
            if node.must_end is not None and node.shields == 0:
                end, node.must_end = node.must_end, None
                raise end
            if self._is_over(node):
                return
            self.steps -= 1
            try:
                getcurrent()  # whoever waits to be killed is killed now
                self._act(node, depth)
            except Thrown as exception:
                self._seen(exception)
                if self._is_over(node) or self.dice.randrange(2):
                    raise
                node.handled.append(exception)
                try:
                    if self.dice.randrange(3) == 0 and depth < DEPTH:
                        self._live(node, depth + 1)
                finally:
                    node.handled.pop()
            except GreenletExit as exception:
                node.handled.append(exception)
                try:
                    if not self._goes_on(node):
                        self._clean_up(node)
                        raise
                finally:
                    node.handled.pop()
            self.demand(tuple(mine) == copy and repr(number) == text, f"{node} has lost its locals")

    def _is_over(self, node: Node) -> bool:
        return self.closing or self.steps <= 0 or node.killer is not None or node.must_end is not None

    def _goes_on(self, node: Node) -> bool:
        """Whether GreenletExit is ignored.  One that is being killed must switch away to go on."""
        if self.closing or node.must_end is not None or self.dice.randrange(4):
            return False
        if node.killer is None:
            return True
        possible = node.killer is self.main and self.exact and self.collector is None and self.steps > 0
        if not possible or self.refusing is not None or node.shields or self.main.shields:
            return False
        self.refuse(node, getcurrent())
        self._hop(node)
        return True

    def _clean_up(self, node: Node) -> None:
        """What a finally clause might do.

        When all are ended it does nothing: those that wait to be killed are switched to then, and are not to
        find themselves among the dead."""
        if self.closing:
            return
        kind = self.dice.randrange(8)
        if kind < 3:
            token = Token()
            self.demand(_aside(token) is token, "a greenlet in a finally clause")
        elif kind < 5:
            self._drop()
        elif kind == 5 and node.killer is not None:
            raise self._new_exception(node)

    def _shielded(self, node: Node, function: Callable[[], Any]) -> None:
        """Call it where exceptions cannot get out."""
        if self._is_over(node) or not self._is_here(node):
            return
        node.shields += 1
        try:
            function()
        except Thrown as exception:
            self._seen(exception)
        except GreenletExit as exception:
            node.must_end = exception
        finally:
            node.shields -= 1

    def _is_here(self, node: Node) -> bool:
        """Whether this is in the code of that greenlet.

        Before CPython 3.13 what the trashcan has put off is done by whoever frees something next."""
        frame = sys._getframe()
        while frame is not None and frame.f_code not in (Walk._born.__code__, Walk.walk.__code__):
            frame = frame.f_back  # type: ignore[assignment]
        return frame is not None and frame.f_locals.get("node", self.main) is node

    def _seen(self, exception: Thrown) -> None:
        """An exception has come, in the context in which it was raised."""
        under = exception.under
        self.demand(exception.__context__ is under, f"the context of {exception!r} is not {under!r}")

    def _new_exception(self, node: Node) -> Thrown:
        exception = Thrown(Token())
        exception.under = node.handled[-1] if node.handled else None
        return exception

    # actions

    def _act(self, node: Node, depth: int) -> None:
        dice = self.dice.randrange(100)
        if dice < 30:
            self._hop(node)
        elif dice < 38:
            self._throw(node, None)
        elif dice < 50:
            self._make_greenlet(node)
        elif dice < 68:
            if depth < DEPTH:
                self._go_deeper(node, depth + 1)
        elif dice < 73:
            self._drop()
        elif dice < 76:
            self._adopt()
        elif dice < 79:
            raise self._new_exception(node)
        elif dice < 84:
            self._look()
        elif dice < 88:
            node.variable = Token()
            variable.set(node.variable)
        elif dice < 92:
            self._use_generator()
        elif dice < 94:
            gc.collect(self.dice.randrange(3))
        elif dice < 96:
            self._hook()
        elif dice < 97:
            self._misuse()
        elif dice < 98:
            self._recurse() if self.exact else self._flotsam()
        else:
            self.settle()

    def _reachable(self) -> list[Node]:
        return [node for node in self.nodes if node.number in self.handles or node is self.main]

    def _go_deeper(self, node: Node, depth: int) -> None:
        """Live on below a call that leads through C code, or below several of them."""

        def live() -> None:
            self._live(node, depth)

        function: Callable[[], None] = live
        calls = self.dice.choice((1, 1, 1, 2, 3, 12))
        for _ in range(calls):
            route = self.dice.choice(ROUTES)
            function = lambda route=route, inner=function: route(inner)  # type: ignore[misc]  # noqa: E731
        node.level += calls
        kind = self.dice.randrange(40)
        try:
            if kind < 26:
                function()
            elif kind < 30:
                self._in_a_context(node, function)
            elif kind == 30 and self.exact and self.collector is None:
                self.collector = node
                by_collection(lambda: self._shielded(node, live))
                self.collector = None
            else:
                self.dice.choice(SHIELDED)(lambda: self._shielded(node, live))
        finally:
            node.level -= calls

    def _in_a_context(self, node: Node, function: Callable[[], None]) -> None:
        before = node.variable
        try:
            contextvars.copy_context().run(function)
        finally:
            node.variable = before

    def _make_greenlet(self, node: Node) -> None:
        if len(self.nodes) > POPULATION:
            return

        def born(*args: Any, **kwargs: Any) -> Any:
            return self._born(new, args, kwargs)

        kind = self.dice.randrange(6)
        if kind == 0:
            made: greenlet = Plain(born)
        elif kind == 1:
            made = Looked(born)
        elif kind == 2 and self.exact:
            made = Finalized(born)
        else:
            made = greenlet(born)
        new = self.add(made, node)
        self.handles[new.number] = made
        if self.dice.randrange(4) == 0:
            made.gr_context = contextvars.copy_context()
            new.variable = node.variable
        if self.dice.randrange(5) == 0:
            made.__dict__["itself"] = made
            new.loose = True
        del made
        self.note("make", new)

    def _drop(self) -> None:
        """Give up the walk's reference to a greenlet."""
        getcurrent()
        victims = [each for each in self.nodes if each.number in self.handles and each is not self.refusing]
        if victims:
            victim = self.dice.choice(victims)
            self.note("drop", victim)
            del self.handles[victim.number]
            self.settle()

    def _adopt(self) -> None:
        """Give a greenlet another parent."""
        child, parent = self.dice.choice(self._reachable()), self.dice.choice(self._reachable())
        if child is self.main or child is self.refusing or child.killer is not None:
            return
        above: Node | None = parent
        while above is not None and above is not child:
            above = above.parent
        self.note("adopt", child, parent)
        hands = [child, parent]
        self.held += hands

        def child_to_adopt() -> greenlet:
            itself = self.greenlet_of(child)
            if above is None:
                # The last thing before it is so: a collection may come at any time before.
                child.parent = parent
            return itself

        try:
            child_to_adopt().parent = self.greenlet_of(parent)
        except ValueError as exception:
            self.demand(above is not None and "cyclic" in str(exception), f"{child}.parent: {exception}")
        else:
            self.demand(above is None, f"{child} is its own ancestor")
        self.let_go(hands)

    def _look(self) -> None:
        """Walk over frames of greenlets that are suspended, and keep some."""
        others = [each for each in self.nodes if each.pending is not None]
        other = self.dice.choice(others) if others else None
        itself = other.ref() if other is not None else None
        if other is not None and itself is not None:
            frame = itself.gr_frame
            del itself
            found = code_of(frame)
            if other.trail is not None:
                self.demand(found == other.trail, f"the frames of {other} are {found}, not {other.trail}")
            if self.dice.randrange(4) == 0:
                self.frames.append(frame)
        if self.dice.randrange(10) == 0:
            self.frames.append(sys._getframe())
        for frame in self.frames:
            code_of(frame)
        if len(self.frames) > 5:
            del self.frames[self.dice.randrange(5)]

    def _use_generator(self) -> None:
        """Resume a generator that any greenlet may resume, and which switches in the middle."""
        if len(self.generators) < 3:
            self.generators.append(self._generate())
        generator = self.dice.choice(self.generators)
        if generator in self.busy:
            try:
                next(generator)
            except ValueError as exception:
                self.demand("already executing" in str(exception), f"a generator: {exception}")
                return
            self.complain("a generator that was running could be resumed")
        self.busy.append(generator)
        try:
            if next(generator, "ended") == "ended":
                self.generators.remove(generator)
        except BaseException:
            self.generators.remove(generator)
            raise
        finally:
            self.busy.remove(generator)

    def _generate(self) -> Generator[None, None, None]:
        for _ in range(5):
            self._hop(self.current)
            yield

    def _hook(self) -> None:
        """Set or remove the thread's profile and trace functions, and greenlets' tracer."""
        kind = self.dice.randrange(4)
        if kind < 2 and not HOOKS_MAY_CHANGE:
            return
        if kind == 0:
            self.profiling = None if self.profiling else _profile
            sys.setprofile(self.profiling)
        elif kind == 1:
            self.tracing = None if self.tracing else _trace
            sys.settrace(self.tracing)
        elif kind == 2:
            self.traced = None
            settrace(self._tracer)
        else:
            settrace(None)

    def _tracer(self, event: str, pair: tuple[greenlet, greenlet]) -> None:
        origin, target = map(id, pair)
        self.demand(self.traced in (None, origin), "the tracer has missed a switch")
        self.demand(event in ("switch", "throw"), event)
        self.traced = target

    def _misuse(self) -> None:
        """What is refused has no effect."""
        target = self.dice.choice(self._reachable())
        self.held.append(target)
        throw: Any = self.greenlet_of(target).throw
        for wrong in ((5,), (KeyError("x"), "y"), (KeyError, "x", 5)):
            try:
                throw(*wrong)
            except TypeError:
                continue
            self.complain(f"throw{wrong} was accepted")
        del throw
        self.let_go([target])

    def _recurse(self) -> None:
        if self.tracing is None and self.profiling is None:
            self.demand(recursion() > 500, "no room for Python calls")
            self.demand(recursion_in_c() > 200, "no room for C calls")

    def _flotsam(self) -> None:
        """Leave a greenlet to other threads; drop one of theirs, and try to switch to it."""
        if self.handles and self.dice.randrange(2):
            victim = self.dice.choice([each for each in self.nodes if each.number in self.handles])
            victim.loose = True
            flotsam.append((self, self.handles.pop(victim.number)))
        try:
            owner, found = flotsam.pop(0)
        except IndexError:
            return
        if owner is not self:
            try:
                found.switch()
            except error:
                repr(found)
            else:
                self.complain("there was a switch into another thread")

    # switches

    def greenlet_of(self, node: Node) -> Any:
        """None: nobody has it any more."""
        found = self.handles.get(node.number)
        return node.ref() if found is None else found

    def _hop(self, node: Node) -> None:
        """switch() to somebody, with some arguments, and see what comes back."""
        if self._is_over(node):
            return
        getcurrent()
        targets = self._reachable()
        if node.level > LEVELS:
            targets = [each for each in targets if each.state is not NEW]
        target = self.dice.choice(targets)
        kind = self.dice.randrange(8)
        args: tuple[Any, ...] = tuple(Token() for _ in range((0, 1, 1, 1, 2, 3, 0, 2)[kind]))
        kwargs = {"key": Token()} if kind in (6, 7) else {}
        if kind == 2:
            args = (self.sentinel,)
        node.trail = code_here() if self.dice.randrange(8) == 0 else None
        if self.greenlet_of(target) is None:  # dropped meanwhile, by another thread or by what was collected
            return
        self.leave(node, target, Message(args, kwargs))
        try:
            if kind == 0:
                result = self.greenlet_of(target).switch()
            elif kind < 3:
                result = self.greenlet_of(target).switch(args[0])
            elif kind == 3:
                (result,) = map(self.greenlet_of(target).switch, args)
            else:
                result = self.greenlet_of(target).switch(*args, **kwargs)
        except BaseException as exception:
            self.arrive(node, Message(error=exception))
            if isinstance(exception, greenlet.error):
                # The switcher's own, which `arrive` takes where a collector has cleared somebody.
                return
            raise
        self.arrive(node, Message((result,)))
        self._check(node)

    def _throw(self, node: Node, target: Node | None) -> None:
        """throw() into this one, or somebody, in one of its forms, and see what comes back."""
        if self._is_over(node) and not (self.closing and node is self.main):
            return
        getcurrent()
        target = self.dice.choice(self._reachable()) if target is None else target
        # At the end one that is killed may be told from one that is thrown into by the exception itself.
        kind = 1 if self.closing else self.dice.randrange(6)
        thrown: tuple[Any, ...]
        error: Any
        if kind == 0:
            thrown, error = (), InstanceOf(GreenletExit)
        elif kind == 1:
            error = GreenletExit(Token())
            thrown = (error,)
        elif kind == 2:
            thrown, error = (Thrown,), InstanceOf(Thrown)
        elif kind == 3:
            thrown, error = (Thrown, Token(), None), InstanceOf(Thrown)
        elif kind == 4:
            error = Thrown(Token())
            thrown = (error,)
        else:
            try:
                raise self._new_exception(node)
            except Thrown as exception:
                error = exception
            thrown = (Thrown, error, error.__traceback__)
        if self.greenlet_of(target) is None:  # dropped meanwhile, by another thread or by what was collected
            return
        node.trail = None
        self.leave(node, target, Message(error=error))
        try:
            result = self.greenlet_of(target).throw(*thrown)
        except BaseException as exception:
            self.arrive(node, Message(error=exception))
            if isinstance(exception, greenlet.error):
                # The switcher's own, which `arrive` takes where a collector has cleared somebody.
                return
            raise
        self.arrive(node, Message((result,)))
        self._check(node)

    def _check(self, node: Node) -> None:
        """What belongs to the greenlet is as it was left; what belongs to the thread is the thread's."""
        self.demand(variable.get() is node.variable, f"{node} has another context")
        handled = node.handled[-1] if node.handled else None
        self.demand(sys.exc_info()[1] is handled, f"{node} handles {sys.exc_info()[1]!r}, not {handled!r}")
        self.demand(sys.getprofile() == self.profiling, "the profile function is another one")
        self.demand(sys.gettrace() == self.tracing, "the trace function is another one")
