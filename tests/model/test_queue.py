"""Random programs of queues and channels (spec G9, G14).

What belongs here: a model of each kind of queue.  What never does: queues between native threads, which no
model follows step by step; they are in tests/test_queue.py.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable
from functools import partial
from queue import Empty, Full
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

from greenswitch.queue import (
    Channel,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)

if TYPE_CHECKING:
    from conftest import Operation, World

KINDS = (SimpleQueue, Queue, JoinableQueue, PriorityQueue, LifoQueue)
timeouts = st.sampled_from([None, None, None, None, 0, 1, 2, 3])
limits = st.sampled_from([None, None, None, None, None, 1, 2])
items = st.integers(0, 99)
picks = st.integers(0, 1000)
crowds = st.sampled_from([1, 2, 4])
"""How many do the same."""


class Waiting:
    """Somebody in a row of the model."""

    def __init__(
        self, operation: Operation, what: Any, deadline: float | None, expired: type[Exception]
    ) -> None:
        self.operation = operation
        self.what = what
        self.deadline = deadline
        self.expired = expired


class Machine(RuleBasedStateMachine):
    """What calm and storm have in common: a world, a queue and a number for each item."""

    queue: Any

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()
        self.queue = None
        self.made = 0

    def new_item(self, rank: int) -> tuple[int, int]:
        """Different from all others."""
        self.made += 1
        return rank, self.made

    def at_the_end(self) -> None:
        """A last look, before all who still wait are killed."""

    def afterwards(self) -> None:
        """And one when they are."""

    def teardown(self) -> None:
        try:
            self.at_the_end()
        finally:
            self.world.end(self.queue, look=self.afterwards)


class CalmQueue(Machine):
    """The model: what is in, in the order in which it will come out, and who waits in which order."""

    @initialize(
        kind=st.sampled_from(KINDS),
        maxsize=st.sampled_from([None, 1, 2, 3]),
        ranks=st.lists(items, max_size=4),
    )
    def make(self, kind: type[Any], maxsize: int | None, ranks: list[int]) -> None:
        self.kind = kind
        self.maxsize = maxsize
        self.inside: list[Any] = []
        initial = [self.new_item(rank) for rank in ranks]
        for item in initial:
            self.insert(item)
        self.queue = kind(maxsize, initial)
        self.getters: list[Waiting] = []
        self.putters: list[Waiting] = []
        self.joiners: list[Waiting] = []
        self.unfinished = len(initial)
        self.is_shutdown = False
        self.expected: dict[Operation, Any] = {}

    # The model

    def insert(self, item: Any) -> None:
        if issubclass(self.kind, PriorityQueue):
            insort(self.inside, item)
        elif issubclass(self.kind, LifoQueue):
            self.inside.insert(0, item)
        else:
            self.inside.append(item)

    def has_room(self) -> bool:
        return self.maxsize is None or len(self.inside) < self.maxsize

    def serve(self) -> None:
        """Everything that can go on goes on."""
        moved = True
        while moved:
            moved = False
            if self.getters and (self.inside or self.is_shutdown):
                moved = True
                getter = self.getters.pop(0)
                if not self.inside:
                    self.expected[getter.operation] = ShutDown
                else:
                    self.expected[getter.operation] = ("value", self.inside[0])
                    if getter.what == "take":
                        del self.inside[0]
            if self.putters and (self.is_shutdown or self.has_room()):
                moved = True
                putter = self.putters.pop(0)
                if self.is_shutdown:
                    self.expected[putter.operation] = ShutDown
                else:
                    self.insert(putter.what)
                    self.unfinished += 1
                    self.expected[putter.operation] = ("value", None)
        if not self.unfinished:
            for joiner in self.joiners:
                self.expected[joiner.operation] = ("value", True)
            self.joiners.clear()

    def expire(self) -> None:
        for row in (self.getters, self.putters, self.joiners):
            for waiting in list(row):
                if waiting.deadline is not None and waiting.deadline <= self.world.now:
                    row.remove(waiting)
                    late = ("value", False) if row is self.joiners else waiting.expired
                    self.expected[waiting.operation] = late

    def wait_in(
        self,
        row: list[Waiting],
        operation: Operation,
        what: Any,
        timeout: float | None,
        late: type[Exception],
    ) -> None:
        deadline = None if timeout is None else self.world.now + timeout
        row.append(Waiting(operation, what, deadline, late))
        self.come_to_rest()

    def come_to_rest(self) -> None:
        self.serve()
        self.expire()
        self.world.rest()
        self.compare()

    def compare(self) -> None:
        for operation in self.world.operations:
            assert operation.outcome == self.expected.get(operation, "pending"), operation
        queue = self.queue
        assert queue.qsize() == len(queue) == len(self.inside)
        assert queue.empty() is (not self.inside)
        assert queue.full() is (self.maxsize is not None and len(self.inside) >= self.maxsize)
        shown = sorted(queue.queue) if issubclass(self.kind, PriorityQueue) else list(queue.queue)
        assert shown == (self.inside[::-1] if issubclass(self.kind, LifoQueue) else self.inside)
        if issubclass(self.kind, Queue):
            assert queue.unfinished_tasks == self.unfinished
        assert f"getters[{len(self.getters)}]" in repr(queue) or not self.getters
        assert f"putters[{len(self.putters)}]" in repr(queue) or not self.putters

    # What is done

    @rule(rank=items, timeout=timeouts)
    def put(self, rank: int, timeout: float | None) -> None:
        item = self.new_item(rank)
        operation = self.world.begin(partial(self.queue.put, item, timeout=timeout))
        self.wait_in(self.putters, operation, item, timeout, Full)

    @rule(timeout=timeouts)
    def get(self, timeout: float | None) -> None:
        operation = self.world.begin(partial(self.queue.get, timeout=timeout))
        self.wait_in(self.getters, operation, "take", timeout, Empty)

    @rule(timeout=timeouts)
    def peek(self, timeout: float | None) -> None:
        operation = self.world.begin(partial(self.queue.peek, timeout=timeout))
        self.wait_in(self.getters, operation, "look", timeout, Empty)

    @rule(rank=items)
    def put_nowait(self, rank: int) -> None:
        item = self.new_item(rank)
        if self.is_shutdown:
            with pytest.raises(ShutDown):
                self.queue.put_nowait(item)
        elif self.has_room():
            self.queue.put_nowait(item)
            self.insert(item)
            self.unfinished += 1
        else:
            with pytest.raises(Full):
                self.queue.put_nowait(item)
        self.come_to_rest()

    @rule()
    def get_nowait(self) -> None:
        if self.inside:
            assert self.queue.get_nowait() == self.inside.pop(0)
        else:
            with pytest.raises(ShutDown if self.is_shutdown else Empty):
                self.queue.get_nowait()
        self.come_to_rest()

    @precondition(lambda self: issubclass(self.kind, Queue))
    @rule()
    def task_done(self) -> None:
        if self.unfinished:
            self.queue.task_done()
            self.unfinished -= 1
        else:
            with pytest.raises(ValueError, match="too many times"):
                self.queue.task_done()
        self.come_to_rest()

    @precondition(lambda self: issubclass(self.kind, Queue))
    @rule(timeout=timeouts)
    def join(self, timeout: float | None) -> None:
        operation = self.world.begin(partial(self.queue.join, timeout=timeout))
        self.wait_in(self.joiners, operation, None, timeout, Empty)

    @precondition(lambda self: issubclass(self.kind, Queue) and len(self.world.operations) > 5)
    @rule(immediate=st.booleans())
    def shutdown(self, immediate: bool) -> None:
        self.queue.shutdown(immediate)
        self.is_shutdown = True
        if immediate:
            self.unfinished -= min(self.unfinished, len(self.inside))
            self.inside.clear()
        self.come_to_rest()

    @precondition(lambda self: self.getters or self.putters or self.joiners)
    @rule(pick=picks)
    def kill(self, pick: int) -> None:
        waiting = self.getters + self.putters + self.joiners
        victim = waiting[pick % len(waiting)]
        for row in (self.getters, self.putters, self.joiners):
            if victim in row:
                row.remove(victim)
        self.expected[victim.operation] = "killed"
        self.world.kill(victim.operation)
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()


class StormyQueue(Machine):
    """What was put in successfully came out once or is still in."""

    @initialize(
        kind=st.sampled_from(KINDS), maxsize=st.sampled_from([None, 1, 2]), ranks=st.lists(items, max_size=1)
    )
    def make(self, kind: type[Any], maxsize: int | None, ranks: list[int]) -> None:
        self.kind = kind
        self.given: list[Any] = [self.new_item(rank) for rank in ranks]
        """By whom nobody waits for."""
        self.taken: list[Any] = []
        self.done = 0
        self.is_shutdown = False
        self.puts: list[tuple[Operation, Any]] = []
        self.gets: list[Operation] = []
        self.peeks: list[Operation] = []
        self.joins: list[Operation] = []
        self.queue = kind(maxsize, self.given)
        self.maxsize = maxsize

    @rule(rank=items, timeout=timeouts, limit=limits, crowd=crowds)
    def put(self, rank: int, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            item = self.new_item(rank)
            self.puts.append((self.world.begin(partial(self.queue.put, item, timeout=timeout), limit), item))

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def get(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.gets.append(self.world.begin(partial(self.queue.get, timeout=timeout), limit))

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def peek(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.peeks.append(self.world.begin(partial(self.queue.peek, timeout=timeout), limit))

    @rule(rank=items, elsewhere=st.booleans())
    def put_nowait(self, rank: int, elsewhere: bool) -> None:
        """By this greenlet, or in a thread without a hub."""
        self.world.move()
        item = self.new_item(rank)
        put = partial(self.queue.put_nowait, item)
        try:
            if elsewhere:
                self.world.elsewhere(put)
            else:
                put()
        except (Full, ShutDown):
            return
        self.given.append(item)

    @rule(elsewhere=st.booleans())
    def get_nowait(self, elsewhere: bool) -> None:
        """By this greenlet, or in a thread without a hub."""
        self.world.move()
        try:
            if elsewhere:
                self.world.elsewhere(lambda: self.taken.append(self.queue.get_nowait()))
            else:
                self.taken.append(self.queue.get_nowait())
        except (Empty, ShutDown):
            pass

    @precondition(lambda self: any(operation.pending for operation in self.gets + self.peeks))
    @rule(rank=items, pick=picks, elsewhere=st.booleans())
    def put_and_strike(self, rank: int, pick: int, elsewhere: bool) -> None:
        """One who was handed the item, most likely, and who has not run since."""
        self.put_nowait(rank, elsewhere)
        self.strike_first([operation for operation in self.gets + self.peeks if operation.pending], pick)

    @precondition(lambda self: any(operation.pending for operation, _ in self.puts))
    @rule(pick=picks, elsewhere=st.booleans())
    def get_and_strike(self, pick: int, elsewhere: bool) -> None:
        """One who was handed a place, most likely, and who has not run since."""
        self.get_nowait(elsewhere)
        self.strike_first([operation for operation, _ in self.puts if operation.pending], pick)

    def strike_first(self, pending: list[Operation], pick: int) -> None:
        pending.sort(key=lambda operation: operation.number)
        self.world.strike(pending[pick % min(2, len(pending))])

    @precondition(lambda self: issubclass(self.kind, Queue))
    @rule(limit=limits)
    def join(self, limit: float | None) -> None:
        self.joins.append(self.world.begin(self.queue.join, limit))

    @precondition(lambda self: issubclass(self.kind, Queue) and self.queue.unfinished_tasks)
    @rule()
    def task_done(self) -> None:
        self.world.move()
        self.queue.task_done()
        self.done += 1

    @precondition(lambda self: issubclass(self.kind, Queue) and len(self.world.operations) > 5)
    @rule()
    def shutdown(self) -> None:
        self.world.move()
        self.queue.shutdown()
        self.is_shutdown = True

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans())
    def kill(self, pick: int, at_once: bool) -> None:
        pending = self.world.pending()
        (self.world.strike if at_once else self.world.kill)(pending[pick % len(pending)])

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
        queue = self.queue
        put = self.given + [item for operation, item in self.puts if operation.succeeded]
        got = self.taken + [operation.value for operation in self.gets if operation.succeeded]
        inside = list(queue.queue)
        assert len(set(got)) == len(got), "given twice"
        assert Counter(put) == Counter(got) + Counter(inside)
        assert queue.qsize() == len(inside)
        assert all(operation.value in put for operation in self.peeks if operation.succeeded)
        if issubclass(self.kind, Queue):
            assert queue.unfinished_tasks == len(put) - self.done
            if not queue.unfinished_tasks:
                assert not any(operation.pending for operation in self.joins)
        takers = self.gets + self.peeks
        putters = [operation for operation, _ in self.puts]
        waits_to_put = any(operation.pending for operation in putters)
        waits_to_take = any(operation.pending for operation in takers)
        assert not (waits_to_take and (inside or self.is_shutdown))
        assert not (waits_to_put and (self.is_shutdown or self.maxsize is None or len(inside) < self.maxsize))
        assert_nobody_was_passed_over(takers)
        assert_nobody_was_passed_over(
            [operation for operation in putters if operation.pending or operation.waited]
        )
        assert queue.full() is (self.maxsize is not None and len(inside) >= self.maxsize)

    def at_the_end(self) -> None:
        self.check()

    def afterwards(self) -> None:
        put = self.given + [item for operation, item in self.puts if operation.succeeded]
        got = self.taken + [operation.value for operation in self.gets if operation.succeeded]
        assert Counter(put) == Counter(got) + Counter(self.queue.queue)
        # And neither was a place.
        if self.maxsize is not None and not self.is_shutdown:
            while not self.queue.empty():
                self.queue.get_nowait()
            for _ in range(self.maxsize):
                self.queue.put_nowait(self.new_item(0))
            with pytest.raises(Full):
                self.queue.put_nowait(self.new_item(0))


def assert_nobody_was_passed_over(operations: list[Operation]) -> None:
    """Who came first and still waits saw no one who came later being served."""
    first = min((operation.number for operation in operations if operation.pending), default=None)
    if first is not None:
        assert not [operation for operation in operations if operation.succeeded and operation.number > first]


class CalmChannel(Machine):
    """The model: those who wait to put or those who wait to get, never both."""

    @initialize()
    def make(self) -> None:
        self.queue = Channel()
        self.getters: list[Waiting] = []
        self.putters: list[Waiting] = []
        self.expected: dict[Operation, Any] = {}

    def come_to_rest(self) -> None:
        while self.getters and self.putters:
            getter, putter = self.getters.pop(0), self.putters.pop(0)
            self.expected[getter.operation] = ("value", putter.what)
            self.expected[putter.operation] = ("value", None)
        for row in (self.getters, self.putters):
            for waiting in list(row):
                if waiting.deadline is not None and waiting.deadline <= self.world.now:
                    row.remove(waiting)
                    self.expected[waiting.operation] = waiting.expired
        self.world.rest()
        for operation in self.world.operations:
            assert operation.outcome == self.expected.get(operation, "pending"), operation
        assert self.queue.balance == len(self.putters) - len(self.getters)

    @rule(rank=items, timeout=timeouts)
    def put(self, rank: int, timeout: float | None) -> None:
        item = self.new_item(rank)
        operation = self.world.begin(partial(self.queue.put, item, timeout=timeout))
        deadline = None if timeout is None else self.world.now + timeout
        self.putters.append(Waiting(operation, item, deadline, Full))
        self.come_to_rest()

    @rule(timeout=timeouts)
    def get(self, timeout: float | None) -> None:
        operation = self.world.begin(partial(self.queue.get, timeout=timeout))
        deadline = None if timeout is None else self.world.now + timeout
        self.getters.append(Waiting(operation, None, deadline, Empty))
        self.come_to_rest()

    @rule(rank=items)
    def put_nowait(self, rank: int) -> None:
        item = self.new_item(rank)
        if self.getters:
            self.queue.put_nowait(item)
            self.expected[self.getters.pop(0).operation] = ("value", item)
        else:
            with pytest.raises(Full):
                self.queue.put_nowait(item)
        self.come_to_rest()

    @rule()
    def get_nowait(self) -> None:
        if self.putters:
            putter = self.putters.pop(0)
            assert self.queue.get_nowait() == putter.what
            self.expected[putter.operation] = ("value", None)
        else:
            with pytest.raises(Empty):
                self.queue.get_nowait()
        self.come_to_rest()

    @precondition(lambda self: self.getters or self.putters)
    @rule(pick=picks)
    def kill(self, pick: int) -> None:
        row = self.getters or self.putters
        victim = row.pop(pick % len(row))
        self.expected[victim.operation] = "killed"
        self.world.kill(victim.operation)
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()


class StormyChannel(Machine):
    """What was given came out once, or is kept for the next; a giver who was killed may have given or not."""

    @initialize()
    def make(self) -> None:
        self.queue = Channel()
        self.given: list[Any] = []
        self.taken: list[Any] = []
        self.puts: list[tuple[Operation, Any]] = []
        self.gets: list[Operation] = []

    @rule(rank=items, timeout=timeouts, limit=limits, crowd=crowds)
    def put(self, rank: int, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            item = self.new_item(rank)
            self.puts.append((self.world.begin(partial(self.queue.put, item, timeout=timeout), limit), item))

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def get(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            self.gets.append(self.world.begin(partial(self.queue.get, timeout=timeout), limit))

    @rule(rank=items, elsewhere=st.booleans())
    def put_nowait(self, rank: int, elsewhere: bool) -> None:
        """By this greenlet, or in a thread without a hub."""
        self.world.move()
        item = self.new_item(rank)
        put = partial(self.queue.put_nowait, item)
        try:
            if elsewhere:
                self.world.elsewhere(put)
            else:
                put()
        except Full:
            return
        self.given.append(item)

    @rule(elsewhere=st.booleans())
    def get_nowait(self, elsewhere: bool) -> None:
        """By this greenlet, or in a thread without a hub."""
        self.world.move()
        try:
            if elsewhere:
                self.world.elsewhere(lambda: self.taken.append(self.queue.get_nowait()))
            else:
                self.taken.append(self.queue.get_nowait())
        except Empty:
            pass

    @precondition(lambda self: self.world.pending())
    @rule(rank=items, giving=st.booleans(), pick=picks, elsewhere=st.booleans())
    def meet_and_strike(self, rank: int, giving: bool, pick: int, elsewhere: bool) -> None:
        """One who has met another, most likely, and who has not run since."""
        pending = self.world.pending()
        if giving:
            self.put_nowait(rank, elsewhere)
        else:
            self.get_nowait(elsewhere)
        self.world.strike(pending[pick % min(2, len(pending))])

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans())
    def kill(self, pick: int, at_once: bool) -> None:
        pending = self.world.pending()
        (self.world.strike if at_once else self.world.kill)(pending[pick % len(pending)])

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
        surely = Counter(self.given + [item for operation, item in self.puts if operation.succeeded])
        ended = Counter(item for operation, item in self.puts if operation.outcome in ("killed", "struck"))
        got = Counter(self.taken + [operation.value for operation in self.gets if operation.succeeded])
        assert max(got.values(), default=1) == 1, "given twice"
        assert got <= surely + ended
        kept = surely - got
        waiting = [operation for operation, _ in self.puts if operation.pending]
        takers = [operation for operation in self.gets if operation.pending]
        assert not (takers and (waiting or kept)), "nobody brought them together"
        # What a killed giver gave to a killed taker is kept as well.
        assert len(kept) <= self.queue.balance - len(waiting) + len(takers) <= len(kept + (ended - got))
        assert_nobody_was_passed_over(self.gets)
        assert_nobody_was_passed_over([operation for operation, _ in self.puts])

    def at_the_end(self) -> None:
        self.check()
        expected = Counter(self.given + [item for operation, item in self.puts if operation.succeeded])
        expected -= Counter(self.taken + [operation.value for operation in self.gets if operation.succeeded])
        while self.queue.balance > 0 and self.world.move():
            expected -= Counter([self.queue.get_nowait()])
        assert not expected, "lost"


@pytest.mark.parametrize("machine", [CalmQueue, StormyQueue, CalmChannel, StormyChannel])
def test_random_programs(
    machine: Callable[[type[World]], Machine], new_world: type[World], profile: settings
) -> None:
    """G9, G14: items, order, bounds and tasks, with kills and timeouts at every wait."""
    run_state_machine_as_test(partial(machine, new_world), settings=profile)  # type: ignore[arg-type]
