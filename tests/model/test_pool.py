"""Random programs of groups, pools and their maps (spec G10, G14).

What belongs here: a model of `Group` and `Pool`, and what must come out of `map`, `imap` and
`imap_unordered`.  What never does: pools of native threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from greenswitch import Greenlet, GreenletExit, getcurrent, killall, sleep
from greenswitch.event import Event
from greenswitch.pool import Group, Pool, PoolFull

if TYPE_CHECKING:
    from conftest import Operation, World

timeouts = st.sampled_from([None, None, None, None, 0, 1, 2, 3])
limits = st.sampled_from([None, None, None, None, None, 1, 2])
picks = st.integers(0, 1000)


class Machine(RuleBasedStateMachine):
    """A pool whose members work until they are told to end."""

    pool: Any = None

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()
        self.gates: dict[Greenlet, Event] = {}
        """What each waits for who is at work, from its first step on to its last."""
        self.most = 0
        self.members: list[Greenlet] = []

    def work(self) -> None:
        """What every member does."""
        me = getcurrent()
        assert isinstance(me, Greenlet)
        gate = self.gates[me] = Event()
        self.most = max(self.most, len(self.gates))
        try:
            gate.wait()
        finally:
            del self.gates[me]

    def spawn(self) -> Greenlet:
        member: Greenlet = self.pool.spawn(self.work)
        self.members.append(member)
        return member

    def teardown(self) -> None:
        try:
            self.at_the_end()
        finally:
            killall(self.members, block=False)
            self.world.end(self.pool)

    def at_the_end(self) -> None:
        """A last look, before all are killed."""


class CalmPool(Machine):
    """The model: who is in, who waits for a place in which order, and who waits for the end of all."""

    @initialize(size=st.sampled_from([None, 0, 1, 2, 3]))
    def make(self, size: int | None) -> None:
        self.size = size
        self.pool = Group() if size is None else Pool(size)
        self.inside = 0
        self.row: dict[Operation, float | None] = {}
        self.joining: dict[Operation, float | None] = {}
        self.expected: dict[Operation, Any] = {}

    def leave(self) -> None:
        """One ends. Whoever waits for the end of all is told at once if he was the last, although another one
        may come in because of it."""
        self.inside -= 1
        self.tell_joining()
        self.come_to_rest()

    def tell_joining(self) -> None:
        if not self.inside:
            for operation in self.joining:
                self.expected[operation] = ("value", True)
            self.joining.clear()

    def come_to_rest(self) -> None:
        now = self.world.now
        self.tell_joining()
        while self.row and (self.size is None or self.inside < self.size):
            operation = next(iter(self.row))
            del self.row[operation]
            self.expected[operation] = "in"
            self.inside += 1
        for operation, deadline in list(self.row.items()):
            if deadline is not None and deadline <= now:
                del self.row[operation]
                self.expected[operation] = PoolFull
        for operation, deadline in list(self.joining.items()):
            if deadline is not None and deadline <= now:
                del self.joining[operation]
                self.expected[operation] = ("value", False)
        self.world.rest()
        for operation in self.world.operations:
            expected = self.expected.get(operation, "pending")
            if expected == "in":
                assert operation.succeeded
            else:
                assert operation.outcome == expected, operation
        pool = self.pool
        assert len(pool) == len(pool.greenlets) == len(self.gates) == self.inside
        assert set(pool) == set(self.gates)
        if self.size is not None:
            assert pool.free_count() == self.size - self.inside
            assert pool.full() is (self.size == self.inside)
            assert self.most <= self.size
        else:
            assert not pool.full()

    def begin(self, function: Callable[[], Any]) -> Operation:
        return self.world.begin(function)

    @rule()
    def start(self) -> None:
        self.row[self.begin(self.spawn)] = None
        self.come_to_rest()

    @precondition(lambda self: self.size is not None)
    @rule(timeout=timeouts)
    def start_in_time(self, timeout: float | None) -> None:
        member = Greenlet(self.work)
        self.members.append(member)
        operation = self.begin(partial(self.pool.start, member, timeout=timeout))
        self.row[operation] = None if timeout is None else self.world.now + timeout
        self.come_to_rest()

    @rule(timeout=timeouts)
    def join(self, timeout: float | None) -> None:
        operation = self.begin(partial(self.pool.join, timeout=timeout))
        self.joining[operation] = None if timeout is None else self.world.now + timeout
        self.come_to_rest()

    @precondition(lambda self: self.gates)
    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        list(self.gates.values())[pick % len(self.gates)].set()
        self.leave()

    @precondition(lambda self: self.gates)
    @rule(pick=picks, by_pool=st.booleans())
    def kill_member(self, pick: int, by_pool: bool) -> None:
        member = list(self.gates)[pick % len(self.gates)]
        if by_pool:
            self.pool.killone(member, block=False)
        else:
            member.kill(block=False)
        self.leave()

    @precondition(lambda self: self.row or self.joining)
    @rule(pick=picks)
    def kill_waiting(self, pick: int) -> None:
        waiting = [*self.row, *self.joining]
        victim = waiting[pick % len(waiting)]
        self.row.pop(victim, None)
        self.joining.pop(victim, None)
        self.expected[victim] = "killed"
        self.world.kill(victim)
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()


class StormyPool(Machine):
    """Never more at work than there are places, and never a place that nobody gets."""

    @initialize(size=st.integers(1, 3))
    def make(self, size: int) -> None:
        self.size = size
        self.pool = Pool(size)
        self.starts: list[Operation] = []
        self.joins: list[Operation] = []
        self.looks: list[Operation] = []

    @rule(limit=limits)
    def start(self, limit: float | None) -> None:
        self.starts.append(self.world.begin(self.spawn, limit))

    @rule(timeout=timeouts, limit=limits)
    def join(self, timeout: float | None, limit: float | None) -> None:
        self.joins.append(self.world.begin(partial(self.pool.join, timeout), limit))

    @rule(timeout=timeouts, limit=limits)
    def wait_available(self, timeout: float | None, limit: float | None) -> None:
        self.looks.append(self.world.begin(partial(self.pool.wait_available, timeout), limit))

    @rule()
    def kill_all(self) -> None:
        self.world.move()
        self.pool.kill(block=False)

    @precondition(lambda self: self.members)
    @rule(pick=picks, gently=st.booleans())
    def end_member(self, pick: int, gently: bool) -> None:
        self.world.move()
        member = self.members[pick % len(self.members)]
        gate = self.gates.get(member)
        if gently and gate is not None:
            gate.set()
        else:
            member.kill(block=False)

    @precondition(lambda self: self.members)
    @rule(pick=picks)
    def discard(self, pick: int) -> None:
        """It goes on, and its place is free."""
        self.world.move()
        member = self.members[pick % len(self.members)]
        if member in self.pool:
            self.pool.discard(member)
            gate = self.gates.get(member)
            if gate is not None:
                gate.set()
            else:
                member.kill(block=False)

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans())
    def kill(self, pick: int, at_once: bool) -> None:
        pending = self.world.pending()
        (self.world.strike if at_once else self.world.kill)(pending[pick % len(pending)])

    @rule()
    def turn(self) -> None:
        self.world.turn()
        assert len(self.pool) <= self.size

    @rule(seconds=st.sampled_from([0.5, 1, 2]), look=st.booleans())
    def let_pass(self, seconds: float, look: bool) -> None:
        """Without a look what is done next is done while other timers are due."""
        self.world.let_pass(seconds)
        if look:
            self.check()

    @rule()
    def check(self) -> None:
        self.world.rest()
        assert set(self.pool) == set(self.gates)
        assert len(self.pool) <= self.size
        assert self.pool.free_count() == self.size - len(self.pool)
        if not self.pool.full():
            assert not any(operation.pending for operation in self.starts + self.looks)
        if not self.pool:
            assert not any(operation.pending for operation in self.joins)
        succeeded = sum(operation.succeeded for operation in self.starts)
        assert succeeded <= len(self.members)

    def at_the_end(self) -> None:
        self.check()
        # All places are there again when all have ended.
        for operation in self.world.pending():
            operation.greenlet.kill(block=False)
        self.pool.kill(block=False)
        self.world.rest()
        assert not self.pool and self.pool.free_count() == self.size
        for _ in range(self.size):
            assert not self.pool.full()
            self.spawn()
        assert self.pool.full() and not self.pool._semaphore.acquire(blocking=False)


@pytest.mark.parametrize("machine", [CalmPool, StormyPool])
def test_random_programs(
    machine: Callable[[type[World]], Machine], new_world: type[World], profile: settings
) -> None:
    """G10, G14: who is in and who waits, with kills and timeouts at every wait."""
    run_state_machine_as_test(partial(machine, new_world), settings=profile)  # type: ignore[arg-type]


class Failed(Exception):
    pass


def test_random_maps(new_world: type[World], profile: settings) -> None:
    """G10: every argument is worked on once, never more at a time than the pool and `maxsize` allow, and the
    results come in the order that was asked for; failures where they belong, the source's own one last."""
    tasks = st.lists(
        st.tuples(
            st.sampled_from([0, 1, 1, 2, 5]), st.sampled_from(["ends", "ends", "ends", "fails", "dies"])
        ),
        max_size=12,
    )

    @profile
    @given(
        tasks=tasks,
        size=st.sampled_from([None, 1, 2, 5]),
        maxsize=st.sampled_from([None, 1, 2, 5]),
        ordered=st.booleans(),
        source_fails=st.booleans(),
        slow=st.sampled_from([None, None, 1, 3]),
    )
    def run(
        tasks: list[tuple[float, str]],
        size: int | None,
        maxsize: int | None,
        ordered: bool,
        source_fails: bool,
        slow: float | None,
    ) -> None:
        world = new_world()
        world.hub.handle_error = lambda *failure: None  # type: ignore[method-assign]
        at_work = most = taken = begun = 0
        ends: list[int] = []

        def source() -> Any:
            yield from enumerate(tasks)
            if source_fails:
                raise Failed("source")

        def function(task: tuple[int, tuple[float, str]]) -> int:
            nonlocal at_work, most, begun
            number, (seconds, end) = task
            at_work += 1
            begun += 1
            assert maxsize is None or begun - taken <= maxsize
            most = max(most, at_work)
            try:
                sleep(seconds)
            finally:
                at_work -= 1
                ends.append(number)
            if end == "fails":
                raise Failed(number)
            if end == "dies":
                raise GreenletExit(number)
            return number

        pool = Group() if size is None else Pool(size)
        results: list[Any] = []
        try:
            iterator = (pool.imap if ordered else pool.imap_unordered)(function, source(), maxsize=maxsize)
            while True:
                try:
                    # As soon as it is asked for.
                    taken += 1
                    value = next(iterator)
                    results.append(value.args[0] if isinstance(value, GreenletExit) else value)
                except StopIteration:
                    break
                except Failed as error:
                    results.append(error.args[0])
                if slow is not None:
                    sleep(slow)
            with pytest.raises(StopIteration):
                next(iterator)
            if source_fails:
                assert results.count("source") == 1
                assert not ordered or results[-1] == "source"
                results.remove("source")
            assert sorted(ends) == list(range(len(tasks)))
            assert results == (list(range(len(tasks))) if ordered else ends)
            assert most <= (size or len(tasks))
            assert not pool
        finally:
            world.end(pool)

    run()


def test_random_abandoned_maps(new_world: type[World], profile: settings) -> None:
    """G10: an iterator that was used, or bounds its results, and that nobody has any more begins no more
    work; of one that was not used all the work is done. The pool's places are free in the end."""

    @profile
    @given(
        count=st.integers(0, 10),
        takes=st.integers(0, 4),
        size=st.sampled_from([1, 2, 5]),
        maxsize=st.sampled_from([None, 1, 2]),
        ordered=st.booleans(),
    )
    def run(count: int, takes: int, size: int, maxsize: int | None, ordered: bool) -> None:
        world = new_world()
        begun: Counter[int] = Counter()

        def function(number: int) -> int:
            begun[number] += 1
            sleep(1)
            return number

        pool = Pool(size)
        try:
            iterator = (pool.imap if ordered else pool.imap_unordered)(
                function, range(count), maxsize=maxsize
            )
            for _ in range(min(takes, count)):
                next(iterator)
            before = sum(begun.values())
            in_pool = len(pool)
            del iterator
            world.rest()
            if min(takes, count) or maxsize is not None:
                assert sum(begun.values()) <= max(before, in_pool) + size
                after = sum(begun.values())
            else:
                after = count
            world.let_pass(30)
            assert sum(begun.values()) == after and not pool and pool.free_count() == size
            assert max(begun.values(), default=1) == 1
        finally:
            world.end(pool)

    run()
