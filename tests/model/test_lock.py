"""Random programs of semaphores and locks (spec G8, G14).

What belongs here: a model of `Semaphore`, `BoundedSemaphore` and `RLock`.  What never does: locks between
native threads; they are in tests/test_lock.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from greenswitch import getcurrent
from greenswitch.lock import BoundedSemaphore, RLock, Semaphore

if TYPE_CHECKING:
    from conftest import Operation, World

timeouts = st.sampled_from([None, None, None, None, 0, 1, 2, 3])
limits = st.sampled_from([None, None, None, None, None, 1, 2])
picks = st.integers(0, 1000)
crowds = st.sampled_from([1, 1, 2, 3, 50])
"""How many do the same: more than a short row now and then."""
values = st.sampled_from([0, 1, 1, 2, 70])
"""70 permits are kept in another way than few."""


class Machine(RuleBasedStateMachine):
    lock: Any = None

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()

    def at_the_end(self) -> None:
        """A last look, before all who still wait are killed."""

    def afterwards(self) -> None:
        """And one when they are."""

    def teardown(self) -> None:
        try:
            self.at_the_end()
        finally:
            self.world.end(self.lock, look=self.afterwards)


class CalmSemaphore(Machine):
    """The model: a number, and who waits in which order, to take or to look."""

    @initialize(kind=st.sampled_from([Semaphore, BoundedSemaphore]), value=values)
    def make(self, kind: type[Semaphore], value: int) -> None:
        self.lock = kind(value)
        self.free = self.initial = value
        self.bounded = kind is BoundedSemaphore
        self.row: dict[Operation, tuple[str, float | None]] = {}
        self.expected: dict[Operation, Any] = {}

    def come_to_rest(self) -> None:
        while self.free and self.row:
            operation, (what, _) = next(iter(self.row.items()))
            del self.row[operation]
            self.expected[operation] = ("value", True if what == "take" else self.free)
            self.free -= what == "take"
        for operation, (what, deadline) in list(self.row.items()):
            if deadline is not None and deadline <= self.world.now:
                del self.row[operation]
                self.expected[operation] = ("value", False if what == "take" else 0)
        self.world.rest()
        for operation in self.world.operations:
            assert operation.outcome == self.expected.get(operation, "pending"), operation
        assert self.lock.counter == self.free
        assert self.lock.locked() is (not self.free) is not self.lock.ready()
        assert self.lock.linkcount() == len(self.row)

    def enter(self, function: Callable[[], Any], what: str, timeout: float | None) -> None:
        operation = self.world.begin(function)
        self.row[operation] = (what, None if timeout is None else self.world.now + timeout)
        if self.free and len(self.row) > 1:
            raise AssertionError("the model serves nobody")

    @rule(timeout=timeouts, crowd=crowds)
    def acquire(self, timeout: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.enter(partial(self.lock.acquire, timeout=timeout), "take", timeout)
            self.come_to_rest()

    @rule(timeout=timeouts)
    def wait(self, timeout: float | None) -> None:
        self.enter(partial(self.lock.wait, timeout), "look", timeout)
        self.come_to_rest()

    @rule()
    def acquire_without_waiting(self) -> None:
        assert self.lock.acquire(blocking=False) is (self.free > 0)
        self.free -= self.free > 0
        self.come_to_rest()

    @rule()
    def release(self) -> None:
        if self.bounded and self.free == self.initial:
            with pytest.raises(ValueError, match="too many times"):
                self.lock.release()
        else:
            self.lock.release()
            self.free += 1
        self.come_to_rest()

    @precondition(lambda self: self.row)
    @rule(pick=picks, several=st.sampled_from([1, 1, 40]))
    def kill(self, pick: int, several: int) -> None:
        for _ in range(min(several, len(self.row))):
            victim = list(self.row)[pick % len(self.row)]
            del self.row[victim]
            self.expected[victim] = "killed"
            self.world.kill(victim)
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()


class StormySemaphore(Machine):
    """Permits that were given out and those that are there are as many as ever; `with` gives back what it
    took, whatever strikes in it."""

    @initialize(kind=st.sampled_from([Semaphore, BoundedSemaphore]), value=st.sampled_from([0, 1, 1, 2, 66]))
    def make(self, kind: type[Semaphore], value: int) -> None:
        self.lock = kind(value)
        self.initial = value
        self.given = 0
        self.acquires: list[Operation] = []
        self.looks: list[Operation] = []
        self.blocks: list[Operation] = []
        self.inside = 0

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def acquire(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.acquires.append(self.world.begin(partial(self.lock.acquire, timeout=timeout), limit))

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def wait(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.looks.append(self.world.begin(partial(self.lock.wait, timeout), limit))

    @rule(seconds=st.sampled_from([0, 1, 2]), limit=limits)
    def sleep_in_block(self, seconds: float, limit: float | None) -> None:
        self.blocks.append(self.world.begin(partial(self.block, seconds), limit))

    def block(self, seconds: float) -> None:
        with self.lock:
            self.inside += 1
            try:
                self.world.let_pass(seconds)
            finally:
                self.inside -= 1

    @rule()
    def acquire_without_waiting(self) -> None:
        self.world.move()
        self.given -= self.lock.acquire(blocking=False)

    @rule(elsewhere=st.booleans())
    def release(self, elsewhere: bool) -> None:
        """By this greenlet, or in a thread without a hub, which hands the permit over at once."""
        self.world.move()
        if not isinstance(self.lock, BoundedSemaphore) or self.taken() > self.given:
            # Of a bounded one not what is taken in a block, which would fail then.
            if elsewhere:
                self.world.elsewhere(self.lock.release)
            else:
                self.lock.release()
            self.given += 1

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, elsewhere=st.booleans())
    def release_and_strike(self, pick: int, elsewhere: bool) -> None:
        """One who was handed a permit, most likely, and who has not run since."""
        self.release(elsewhere)
        pending = self.world.pending()
        self.world.strike(pending[pick % min(3, len(pending))])

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans(), several=st.sampled_from([1, 1, 40]))
    def kill(self, pick: int, at_once: bool, several: int) -> None:
        pending = self.world.pending()
        for number in range(min(several, len(pending))):
            victim = pending[(pick + number) % len(pending)]
            (self.world.strike if at_once else self.world.kill)(victim)

    @rule()
    def turn(self) -> None:
        self.world.turn()

    @rule(seconds=st.sampled_from([0.5, 1, 2]), look=st.booleans())
    def let_pass(self, seconds: float, look: bool) -> None:
        """Without a look what is done next is done while other timers are due."""
        self.world.let_pass(seconds)
        if look:
            self.check()

    @rule()
    def check(self) -> None:
        self.world.rest()
        self.count()
        waiting = [operation for operation in self.acquires + self.looks if operation.pending]
        assert not (waiting and self.lock.counter), "nobody let them in"
        for operations in (self.acquires, self.looks):
            first = min((operation.number for operation in operations if operation.pending), default=None)
            late = [
                operation
                for operation in operations
                if operation.outcome == ("value", True)
                and operation.waited
                and operation.number > (first or 0)
            ]
            assert first is None or not late, "passed over"

    def count(self) -> None:
        assert self.lock.counter + self.taken() + self.inside == self.initial + self.given

    def taken(self) -> int:
        return sum(operation.outcome == ("value", True) for operation in self.acquires)

    def at_the_end(self) -> None:
        self.check()

    def afterwards(self) -> None:
        assert not self.inside
        self.count()


class Actor:
    """A greenlet that does one thing after another, as it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: deque[Callable[[], Any]] = deque()
        self.idle: Callable[[], object] | None = None
        self.done: list[Any] = []
        self.operation = world.begin(self.run)
        world.rest()

    def run(self) -> None:
        while True:
            while not self.orders:
                self.idle = getcurrent().switch
                self.world.hub.switch()
            order = self.orders.popleft()
            try:
                self.done.append(order())
            except RuntimeError as error:
                self.done.append(type(error))

    def tell(self, order: Callable[[], Any]) -> None:
        self.orders.append(order)
        idle, self.idle = self.idle, None
        assert idle is not None
        self.world.loop.ready.append(idle)


class CalmRLock(Machine):
    """The model: an owner, how often he took it, and who waits."""

    @initialize(actors=st.integers(2, 4))
    def make(self, actors: int) -> None:
        self.lock = RLock()
        self.actors = [Actor(self.world) for _ in range(actors)]
        self.owner: Actor | None = None
        self.count = 0
        self.row: dict[Actor, float | None] = {}
        self.expected: dict[Actor, list[Any]] = {actor: [] for actor in self.actors}

    def idle(self, pick: int) -> Actor | None:
        free = [actor for actor in self.actors if actor not in self.row]
        return free[pick % len(free)] if free else None

    def come_to_rest(self) -> None:
        if self.owner is None and self.row:
            self.owner = next(iter(self.row))
            self.count = 1
            del self.row[self.owner]
            self.expected[self.owner].append(True)
        for actor, deadline in list(self.row.items()):
            if deadline is not None and deadline <= self.world.now:
                del self.row[actor]
                self.expected[actor].append(False)
        self.world.rest()
        for actor in self.actors:
            assert actor.done == self.expected[actor]
        assert self.lock.locked() is (self.owner is not None)

    @rule(pick=picks, timeout=timeouts)
    def acquire(self, pick: int, timeout: float | None) -> None:
        actor = self.idle(pick)
        if actor is None:
            return
        actor.tell(partial(self.lock.acquire, timeout=timeout))
        if self.owner is actor:
            self.count += 1
            self.expected[actor].append(True)
        else:
            self.row[actor] = None if timeout is None else self.world.now + timeout
        self.come_to_rest()

    @rule(pick=picks)
    def acquire_without_waiting(self, pick: int) -> None:
        actor = self.idle(pick)
        if actor is None:
            return
        actor.tell(partial(self.lock.acquire, blocking=False))
        taken = self.owner in (None, actor)
        self.expected[actor].append(taken)
        if taken:
            self.owner = actor
            self.count += 1
        self.come_to_rest()

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        actor = self.idle(pick)
        if actor is None:
            return
        actor.tell(self.lock.release)
        if self.owner is not actor:
            self.expected[actor].append(RuntimeError)
        else:
            self.expected[actor].append(None)
            self.count -= 1
            if not self.count:
                self.owner = None
        self.come_to_rest()

    @precondition(lambda self: self.owner is not None and self.owner not in self.row)
    @rule()
    def release_by_the_owner(self) -> None:
        assert self.owner is not None
        self.release(self.actors.index(self.owner) if not self.row else self.rank(self.owner))

    def rank(self, actor: Actor) -> int:
        return [each for each in self.actors if each not in self.row].index(actor)

    @precondition(lambda self: self.row)
    @rule(pick=picks)
    def kill(self, pick: int) -> None:
        """One who waits; another one takes his part."""
        victim = list(self.row)[pick % len(self.row)]
        del self.row[victim]
        self.world.kill(victim.operation)
        self.world.rest()
        assert victim.operation.outcome == "killed"
        self.actors[self.actors.index(victim)] = new = Actor(self.world)
        self.expected[new] = []
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()


@pytest.mark.parametrize("machine", [CalmSemaphore, StormySemaphore, CalmRLock])
def test_random_programs(
    machine: Callable[[type[World]], Machine], new_world: type[World], profile: settings
) -> None:
    """G8, G14: permits and their order, with kills and timeouts at every wait."""
    run_state_machine_as_test(partial(machine, new_world), settings=profile)  # type: ignore[arg-type]
