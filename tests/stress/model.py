"""What ought to happen: who runs after a switch, what arrives there, who is freed when.

What belongs here: the rules of greenlets, in plain Python, and the comparison of every event with them.
What never does: chance (walk.py), and a look at greenlets to find out what they did, where the rules say it.

The model of one thread is a `World` of `Node`s, one for each greenlet.  Whoever is about to switch says so
(`leave`, `finish`); whoever wakes up says so (`arrive`), and then it must have been the one to wake, with
that message.  A node that wakes with GreenletExit out of turn has been killed, because its last reference is
gone: that must be so in the model, too.

References.  A greenlet is referred to by
  - its handle: the walk's own reference, in `World.handles`;
  - each greenlet whose parent it is, as long as that object exists;
  - each greenlet that is suspended in a switch to it: the call holds it;
  - the switcher, while it runs, and while it is being killed.
`settle` counts them and compares with the reference counts of the interpreter.  Where the time of a death is
not to be told - cycles, other threads, a garbage collection under way - the node is `loose`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from greenswitch import GreenletExit, getcurrent, greenlet
from greenswitch import error as Error

NEW, ACTIVE, DEAD = "new", "active", "dead"

KINDS = ("alone", "collected", "threads")


class Token:
    """A value that is handed over: equal to itself only, and watched."""

    __slots__ = ("__weakref__",)
    living: ClassVar[weakref.WeakSet[Token]] = weakref.WeakSet()

    def __init__(self) -> None:
        Token.living.add(self)


class Thrown(Exception):
    """What the walk throws and raises.  `under` is what was being handled where it was raised."""

    under: BaseException | None = None


class InstanceOf:
    """Equal to every instance of a class: for those that are made by throw(class)."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.kind)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Message:
    """What a switch hands over: arguments, or an exception."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    error: Any = None

    @property
    def is_exit(self) -> bool:
        kind = self.error.kind if isinstance(self.error, InstanceOf) else type(self.error)
        return self.error is not None and issubclass(kind, GreenletExit)

    def caught(self) -> Message:
        """GreenletExit that nobody has caught is the value of the greenlet."""
        return Message((self.error,)) if self.is_exit else self

    def result(self) -> Any:
        """What a pending switch returns."""
        if self.kwargs:
            return (self.args, self.kwargs) if self.args else self.kwargs
        return self.args[0] if len(self.args) == 1 else self.args


class Node:
    """A greenlet of the model."""

    def __init__(self, world: World, number: int, parent: Node | None) -> None:
        self.world = world
        self.number = number
        self.parent = parent
        self.state = NEW
        self.ref: Any = None  # a weak reference to the greenlet
        self.identity = 0  # its id()
        self.gone = False  # the object does not exist any more
        self.pending: Node | None = None  # whom it has switched to, since it was last resumed
        self.is_profiled = False  # in that switch: on some versions one more reference is held for the hook
        self.loose = False  # nobody knows when it will be freed
        self.is_haunted = False  # something that has been garbage may refer to it for a while
        self.killer: Node | None = None  # who dropped the last reference; set while it is dying of that
        self.interrupted: Departure | None = None  # what the killer was about to do
        self.is_foretold = False  # that it is being killed is known before it has said so
        self.former_parent: Node | None = None  # what is put back after the kill
        self.handled: list[BaseException] = []  # what its except clauses are busy with
        self.variable: Any = None  # the value of the world's context variable here
        self.trail: list[Any] | None = None  # the code of its frames, innermost first, when it was left
        self.must_end: BaseException | None = None  # GreenletExit that arrived where it cannot be raised
        self.shields = 0  # how many calls it is in that swallow exceptions
        self.level = 0  # how many calls deep it is, with those of the one that has started it

    def __repr__(self) -> str:
        return f"#{self.number}"

    def describe(self) -> str:
        names = ("parent", "pending", "killer", "former_parent", "loose", "must_end", "shields")
        held = " handle" if self.number in self.world.handles else ""
        said = [f"{name}={getattr(self, name)}" for name in names if getattr(self, name)]
        return f"{self} {self.state}{held} {' '.join(said)}"


@dataclass
class Departure:
    """A switch that has been announced and has not arrived."""

    origin: Node
    target: Node
    message: Message


class World:
    """The model of a thread's greenlets.

    `kind` is one of KINDS.  Alone, the time of every death is known; where the collector may come at any
    time, it is not; and where other threads free things, reference counts are not, either.
    `label` goes with every complaint, and says how to come to it again.
    """

    def __init__(self, label: str, kind: str) -> None:
        self.label = label
        self.kind = kind
        self.exact = kind == "alone"
        self.thread = threading.get_ident()
        self.nodes: list[Node] = []  # not those that are gone
        self.handles: dict[int, greenlet] = {}
        self.count = 0
        self.main = self.add(getcurrent(), None)
        self.main.state = ACTIVE
        self.current = self.main
        self.leaving: Departure | None = None
        self.refusing: Node | None = None  # what main is killing, and what has switched away instead
        self.unraisable: list[Any] = []  # exceptions that are going to be reported, not raised
        self.closing = False  # all come to their end, even those that are found by weak references only
        # By what the interpreter has taken up for operations; several greenlets may be in the middle of one.
        self.held: list[Node] = []
        self.collector: Node | None = None  # who is in the middle of a garbage collection that runs code
        self.events: deque[tuple[Any, ...]] = deque(maxlen=80)
        self.digest = 0  # of all events
        self.switches = 0
        self.kills = 0

    def add(self, itself: greenlet, parent: Node | None) -> Node:
        node = Node(self, self.count, parent)
        node.ref = weakref.ref(itself)
        node.identity = id(itself)
        self.count += 1
        self.nodes.append(node)
        return node

    # complaints

    def note(self, what: str, *nodes: Any) -> None:
        numbers = tuple(node.number if isinstance(node, Node) else node for node in nodes)
        self.events.append((what, *numbers))
        self.digest = hash((self.digest, len(what), ord(what[0]), *numbers)) & 0xFFFFFFFFFFFF

    def complain(self, text: str) -> NoReturn:
        """End the process: an exception would wander about between the greenlets."""
        lines = [f"stress: {text}", f"stress: {self.label}"]
        lines += [f"current {self.current}, leaving {self.leaving}"]
        lines += [f"  {' '.join(map(str, event))}" for event in self.events]
        lines += ["nodes:", *(f"  {node.describe()}" for node in self.nodes)]
        lines += traceback.format_stack()
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
        os._exit(3)

    def demand(self, condition: object, text: str) -> None:
        if not condition:
            self.complain(text)

    # switches

    def resolve(self, departure: Departure) -> tuple[Node, Message, list[Node]]:
        """Who wakes up, with what, and which new greenlets end without having run on the way there."""
        target, message, ended = departure.target, departure.message, []
        if target.state is DEAD:
            message = message.caught()
        while True:
            while target.state is DEAD or target in ended:
                assert target.parent is not None
                target = target.parent
            if target.state is ACTIVE or message.error is None:
                return target, message, ended
            ended.append(target)
            message = message.caught()

    def leave(self, origin: Node, target: Node, message: Message) -> None:
        """`origin` is about to switch to `target`."""
        self.demand(origin is self.current, f"{origin} runs, and not {self.current}")
        self.demand(self.leaving is None, f"{origin} leaves while somebody else is leaving")
        self.note("leave", origin, target, message.error is not None)
        self.switches += 1
        origin.pending = target
        origin.is_profiled = (sys.getprofile() or sys.gettrace()) is not None
        self.leaving = Departure(origin, target, message)
        self._wake_killer()

    def finish(self, node: Node, message: Message) -> None:
        """The code of `node` has ended; nothing but the way out is left of it."""
        self.demand(node is self.current, f"{node} ends, and {self.current} should be running")
        self.demand(self.leaving is None, f"{node} ends while somebody else is leaving")
        self.note("finish", node, message.error is not None)
        message = message.caught()
        node.state = DEAD
        if node.killer is None:
            assert node.parent is not None
            self.leaving = Departure(node, node.parent, message)
            self._wake_killer()
            return
        if message.error is not None:
            self.unraisable.append(message.error)
        self.current, node.killer = node.killer, None
        self.leaving, node.interrupted = node.interrupted, None
        node.parent, node.former_parent = node.former_parent, None

    def arrive(self, node: Node, actual: Message) -> None:
        """`node` runs again, or begins to run.  The message is what it sees."""
        departure = self.leaving
        if departure is not None:
            chosen, message, ended = self.resolve(departure)
            if node is self.main and not ended and self._may_be_cut_off(departure.target):
                chosen = node
            if node is self.main and any(
                each.state is NEW and each.gone and each.loose for each in (chosen, *ended)
            ):
                # The same of one that was never started: it has no thread any more.
                chosen, message = node, Message(error=InstanceOf(Error))
            if chosen is node and self._fits(node, message, actual):
                for skipped in ended:
                    skipped.state = DEAD
                if node.gone:
                    # Garbage, with somebody who leads to it and who has refused to be killed.
                    is_led_to = departure.origin.loose or self._may_be_cut_off(departure.target)
                    self.demand(is_led_to, f"{node} runs, and was freed")
                    node.gone, node.loose = False, True
                    self.nodes.append(node)
                self.leaving = None
                self.current = node
                node.state = ACTIVE
                node.pending = None
                self.note("arrive", node)
                return
        if actual.is_exit and node.is_foretold:
            node.is_foretold = False
            return
        if actual.is_exit and node.state is ACTIVE and node.killer is None:
            self._killed(node)
            return
        expected = departure if departure is None else self.resolve(departure)
        self.complain(f"{node} ({node.state}) received {actual}; expected was {expected}")

    def _may_be_cut_off(self, node: Node) -> bool:
        """May the collector have cleared a parent on the way from here, among garbage that was found again?
        Then it leads to main."""
        above: Node | None = node
        while above is not None and above.state is DEAD:
            if above.loose:
                return True
            above = above.parent
        return False

    def _fits(self, node: Node, message: Message, actual: Message) -> bool:
        if message.error is not None or actual.error is not None:
            return actual.error is not None and message.error == actual.error
        if node.state is NEW:
            return message.args == actual.args and (message.kwargs or {}) == (actual.kwargs or {})
        return bool(actual.args == (message.result(),))

    # kills

    def _killed(self, node: Node) -> None:
        """`node` has received GreenletExit from whoever has dropped its last reference: the one who was about
        to leave, or the one on the other side, whose call there has kept it, or has kept who left - or one
        that is itself being killed, and has not come to say so."""
        leaving = self.leaving
        if node is self.current and leaving is not None and self._killer_of(node) is leaving.origin:
            # Not reached by whoever was about to switch to it, but killed, and has killed before it said so.
            self.current = leaving.origin
        chosen, message, ended = (self.current, None, []) if leaving is None else self.resolve(leaving)
        victims, killer = [node], self._killer_of(node)
        self.note("struck", node, killer)
        while killer not in (self.current, chosen, *ended):
            victims.append(killer)
            killer = self._killer_of(killer)
        if leaving is not None and message is not None and (killer is not self.current or self.exact):
            passed = killer if killer in ended else None  # it is about to end, without having run
            for skipped in ended[: ended.index(passed) + 1] if passed is not None else ended:
                skipped.state = DEAD
            if passed is not None and passed.parent is not None:
                self.leaving = Departure(passed, passed.parent, leaving.message.caught())
                self.current = passed
            else:
                self.leaving = Departure(leaving.origin, chosen, message)
                self.current = chosen
            self.current.pending = None
        for victim in reversed(victims):
            self._kill(victim)
            victim.is_foretold = victim is not node

    def _kill(self, node: Node) -> None:
        """The current greenlet kills this one."""
        killer = self.current
        self.note("killed", node, killer)
        self.kills += 1
        self.demand(node.state is ACTIVE and node.killer is None, f"{node} ({node.state}) was killed")
        node.pending = None
        # What the killer was about to switch to it may just have dropped.
        pending, killer.pending = killer.pending, None
        self.demand(self.closing or node.loose or node not in self._anchored(), f"{node} was killed")
        killer.pending = pending
        node.loose = node.loose or node.ref() is None
        node.killer, node.interrupted = killer, self.leaving
        node.former_parent, node.parent = node.parent, killer
        self.current, self.leaving = node, None

    def _killer_of(self, node: Node) -> Node:
        """Whoever kills is the parent meanwhile."""
        # Its weak reference may be cleared, by the collector, but it runs: so the object is where it was.
        parent = ctypes.cast(node.identity, ctypes.py_object).value.parent
        # The newest: an older one may have been freed, and its place taken. Or one that was garbage, and is
        # led to all the same: as it starts, it kills what others have left to this thread to kill.
        found = [*reversed(self.nodes), *self._on_the_way()]
        killer = next((each for each in found if each.identity == id(parent)), None)
        if killer is None:
            self.complain(f"{node} was killed by {parent}")
        return killer

    def _on_the_way(self) -> Iterator[Node]:
        """Where the one who is leaving may come to: who is switched to, and all above."""
        above = None if self.leaving is None else self.leaving.target
        while above is not None:
            yield above
            above = above.parent

    def refuse(self, node: Node, itself: greenlet) -> None:
        """`node`, which is being killed by main, is not going to end: it has a reference to itself again."""
        assert node.killer is self.main
        self.note("refuse", node)
        above = node.former_parent
        # They may have been garbage together, which weak references do not survive.
        while above is not None and above is not self.main:
            above.loose = True
            above = above.parent
        self.handles[node.number] = itself
        node.ref = weakref.ref(itself)
        node.killer = None
        self.main.interrupted, node.interrupted = node.interrupted, None
        self.refusing = node

    def _wake_killer(self) -> None:
        """Where main, in the middle of a kill, is who wakes up, the message ends there."""
        refusing = self.refusing
        if refusing is None or self.leaving is None:
            return
        chosen, message, ended = self.resolve(self.leaving)
        if chosen is not self.main:
            return
        for skipped in ended:
            skipped.state = DEAD
        if message.error is not None:
            self.unraisable.append(message.error)
        self.note("swallow", self.leaving.origin)
        refusing.parent, refusing.former_parent = refusing.former_parent, None
        self.refusing = None
        self.current = self.main
        self.leaving, self.main.interrupted = self.main.interrupted, None

    def is_reported(self, error: BaseException | None) -> bool:
        """Whether this exception, which sys.unraisablehook has got, is one that nobody can be given."""
        if not self.unraisable or self.unraisable[0] != error:
            return False
        del self.unraisable[0]
        return True

    # references

    def let_go(self, hands: list[Node]) -> None:
        """An operation is over that held these."""
        for node in hands:
            self.held.remove(node)

    def _references(self) -> dict[Node, int]:
        """How many references there are to each greenlet, by the rules at the top of this file."""
        count = dict.fromkeys(self.nodes, 0)
        held = [node for node in self.nodes if node.number in self.handles]
        held += [self.main, self.current, *self.held]
        held += [self.refusing] if self.refusing is not None else []
        for node in self.nodes:
            held += [each for each in (node.parent, node.former_parent, node.pending) if each is not None]
        for node in held:
            count[node] = count.get(node, 0) + 1
        return count

    def _anchored(self) -> set[Node]:
        """What can be reached from references that no garbage collection may give up.

        What somebody has in his hands is not among it: he may just have dropped it."""
        found: set[Node] = set()
        ways = [node for node in self.nodes if node.number in self.handles]
        ways += [self.main, self.current]
        ways += [self.refusing] if self.refusing is not None else []
        ways += [node.pending for node in self.nodes if node.pending is not None]
        while ways:
            node = ways.pop()
            if node not in found:
                found.add(node)
                # Not the former parent of one that is being killed: they may have been given up together.
                # And the collector may have cut off the parents of those who were dead among garbage.
                is_cut = node.state is DEAD and node.loose
                ways += [node.parent] if node.parent is not None and not is_cut else []
        return found

    def settle(self) -> None:
        """Compare what is alive, and by how many references, with the model."""
        collects = gc.isenabled()
        gc.disable()  # not in the middle of this
        self._compare()
        if collects:
            gc.enable()

    def _compare(self) -> None:
        anchored = self._anchored()
        before, self.nodes = self.nodes, []
        for node in before:
            node.gone = node.ref() is None and node.killer is None
            is_lost = node.gone and node in anchored and not node.loose
            self.demand(not is_lost, f"{node} was freed while it was needed")
            # The collector clears weak references before it leaves a greenlet to be killed.
            if not node.gone or node.state is ACTIVE:
                node.gone = False
                self.nodes.append(node)
        count = self._references()
        self._haunt([node for node in before if node.gone], count)
        # In the middle of a collection, and of a kill, there may be more: objects whose weak references are
        # cleared already, and what an operation has taken up.
        strict = self.collector is None and self.current.killer is None
        for node in self.nodes:
            if node.loose or node.killer is not None:
                continue
            if node in anchored:
                real = sys.getrefcount(node.ref()) - 1
                extra = sum(each.pending is node and each.is_profiled for each in self.nodes)
                most = count[node] + extra if strict and not node.is_haunted else real
                least = count[node] - self.held.count(node)
                fits = least <= real <= most or self.kind == "threads"
                self.demand(fits, f"{node} has {real} references, not {count[node]}")
            elif self.exact and strict and not node.is_haunted:
                self.demand(count[node] > 0, f"{node} is alive without a reference")

    def _haunt(self, gone: list[Node], count: dict[Node, int]) -> None:
        """Mark what may still be referred to by objects whose weak references are cleared already: garbage,
        until it is freed, and what the trashcan has put off."""
        doubtful = self.current.shields > 0
        ways = [each for each in gone if doubtful or each.loose or each.is_haunted or count.get(each, 0) > 0]
        while ways:
            node = ways.pop()
            for above in (node.parent, node.former_parent):
                if above is not None and not above.is_haunted:
                    above.is_haunted = True
                    if above.gone:
                        ways.append(above)
