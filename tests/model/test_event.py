"""Random programs of events and results (spec G7, G8, G14).

What belongs here: a model of `Event` and of `AsyncResult`.  What never does: events between native threads;
they are in tests/test_event.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from greenswitch import Timeout
from greenswitch.event import AsyncResult, Event

if TYPE_CHECKING:
    from conftest import Operation, World

timeouts = st.sampled_from([None, None, None, None, 0, 1, 2, 3])
limits = st.sampled_from([None, None, None, None, None, 1, 2])
picks = st.integers(0, 1000)
crowds = st.sampled_from([1, 1, 2, 3, 50])
"""How many do the same: more than a short row now and then."""


class Linked:
    """A link that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, source: object) -> None:
        self.calls += 1


class Machine(RuleBasedStateMachine):
    """What both have in common: who waits until when, and what each of them is to get."""

    subject: Any

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()
        self.subject = self.make()
        self.waiting: dict[Operation, tuple[float | None, Any, Callable[[], Any]]] = {}
        """Deadline, outcome when it passes, and what else the outcome is."""
        self.expected: dict[Operation, Any] = {}
        self.told: list[Operation] = []
        """Those who were told last, in the order in which they came."""
        self.links: list[Linked] = []
        self.called: dict[Linked, int] = {}

    def make(self) -> Any:
        raise NotImplementedError

    def happened(self) -> bool:
        raise NotImplementedError

    def wait_for(
        self,
        function: Callable[[], Any],
        timeout: float | None,
        late: Any,
        told: Callable[[], Any],
        crowd: int,
    ) -> None:
        for _ in range(crowd):
            operation = self.world.begin(function)
            deadline = None if timeout is None else self.world.now + timeout
            self.waiting[operation] = (deadline, late, told)
        self.come_to_rest()

    def tell(self) -> None:
        """It happens: to all who wait, and to the links."""
        for operation, (_, _, told) in self.waiting.items():
            self.expected[operation] = told()
        self.told = list(self.waiting)
        self.waiting.clear()
        for link in self.links:
            self.called[link] += 1
        self.links.clear()

    def come_to_rest(self) -> None:
        if self.happened():
            self.tell()
        for operation, (deadline, late, _) in list(self.waiting.items()):
            if deadline is not None and deadline <= self.world.now:
                del self.waiting[operation]
                self.expected[operation] = late
        self.world.rest()
        for operation in self.world.operations:
            assert operation.outcome == self.expected.get(operation, "pending"), operation
        assert {link: link.calls for link in self.called} == self.called
        assert self.subject.ready() is self.happened()
        assert self.subject.linkcount() == len(self.waiting) + len(self.links)
        ends = [operation.ended for operation in self.told]
        assert ends == sorted(ends), "not in the order in which they came"

    @precondition(lambda self: self.waiting)
    @rule(pick=picks, several=st.sampled_from([1, 1, 40]))
    def kill(self, pick: int, several: int) -> None:
        for _ in range(min(several, len(self.waiting))):
            victim = list(self.waiting)[pick % len(self.waiting)]
            del self.waiting[victim]
            self.expected[victim] = "killed"
            self.world.kill(victim)
        self.come_to_rest()

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def kill_and_tell(self, pick: int) -> None:
        """In one turn: the kill comes first, and counts."""
        victim = list(self.waiting)[pick % len(self.waiting)]
        del self.waiting[victim]
        self.expected[victim] = "killed"
        self.world.strike(victim)
        self.happen()

    def happen(self) -> None:
        raise NotImplementedError

    @rule()
    def rawlink(self) -> None:
        link = Linked()
        self.subject.rawlink(link)
        self.links.append(link)
        self.called[link] = 0
        self.come_to_rest()

    @precondition(lambda self: self.links)
    @rule(pick=picks)
    def unlink(self, pick: int) -> None:
        self.subject.unlink(self.links.pop(pick % len(self.links)))
        self.come_to_rest()

    @rule(seconds=st.sampled_from([0.5, 1, 2]))
    def let_pass(self, seconds: float) -> None:
        self.world.let_pass(seconds)
        self.come_to_rest()

    def teardown(self) -> None:
        self.world.end(self.subject)


class CalmEvent(Machine):
    is_set = False

    def make(self) -> Event:
        return Event()

    def happened(self) -> bool:
        return self.is_set

    @rule(timeout=timeouts, crowd=crowds)
    def wait(self, timeout: float | None, crowd: int) -> None:
        self.wait_for(
            partial(self.subject.wait, timeout), timeout, ("value", False), lambda: ("value", True), crowd
        )

    @rule()
    def set(self) -> None:
        self.happen()

    def happen(self) -> None:
        self.subject.set()
        self.is_set = True
        self.come_to_rest()

    @rule()
    def clear(self) -> None:
        self.subject.clear()
        self.is_set = False
        self.come_to_rest()

    @rule()
    def set_and_clear(self) -> None:
        """Whoever waits is told all the same."""
        self.subject.set()
        self.tell()
        self.subject.clear()
        self.is_set = False
        self.come_to_rest()


class CalmResult(Machine):
    value: Any = None
    error: Exception | None = None
    has_value = False  # then no exception counts, whether it came before or after
    is_done = False

    def make(self) -> AsyncResult[int]:
        return AsyncResult()

    def happened(self) -> bool:
        return self.is_done

    def told_to_get(self) -> Any:
        return ("value", self.value) if self.has_value else type(self.error)

    def told_to_wait(self) -> Any:
        return ("value", self.value)

    @rule(timeout=timeouts, crowd=crowds)
    def get(self, timeout: float | None, crowd: int) -> None:
        self.wait_for(
            partial(self.subject.get, timeout=timeout), timeout, "timed out", self.told_to_get, crowd
        )

    @rule(timeout=timeouts)
    def wait(self, timeout: float | None) -> None:
        self.wait_for(partial(self.subject.wait, timeout), timeout, ("value", None), self.told_to_wait, 1)

    @rule()
    def get_nowait(self) -> None:
        if not self.is_done:
            with pytest.raises(Timeout):
                self.subject.get_nowait()
        elif not self.has_value:
            assert self.error is not None
            with pytest.raises(type(self.error)):
                self.subject.get_nowait()
        else:
            assert self.subject.get_nowait() == self.value
        self.come_to_rest()

    @rule(value=st.integers(0, 9))
    def set(self, value: int) -> None:
        self.value, self.has_value = value, True
        self.subject.set(value)
        self.is_done = True
        self.come_to_rest()

    def happen(self) -> None:
        self.set(0)

    @rule(error=st.sampled_from([KeyError(), ValueError(), OSError()]))
    def set_exception(self, error: Exception) -> None:
        self.error = error
        self.subject.set_exception(error)
        self.is_done = True
        self.come_to_rest()

    def come_to_rest(self) -> None:
        super().come_to_rest()
        assert self.subject.value == self.value
        assert self.subject.exception is self.error
        assert self.subject.successful() is self.has_value
        assert self.subject.done() is self.is_done


class StormyEvent(RuleBasedStateMachine):
    """Who waits when it is set, or comes while it is set, is told unless something strikes him first."""

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()
        self.event = Event()
        self.waits: list[tuple[Operation, bool]] = []
        """Each with whether something may end it otherwise."""
        self.told: set[Operation] = set()
        """They waited when it was set."""

    @rule(timeout=timeouts, limit=limits, crowd=crowds)
    def wait(self, timeout: float | None, limit: float | None, crowd: int) -> None:
        for _ in range(crowd):
            operation = self.world.begin(partial(self.event.wait, timeout), limit)
            self.waits.append((operation, timeout is not None or limit is not None))

    @rule(elsewhere=st.booleans())
    def set(self, elsewhere: bool) -> None:
        self.world.move()
        self.told.update(operation for operation, _ in self.waits if operation.pending and operation.begun)
        if elsewhere:
            self.world.elsewhere(self.event.set)
        else:
            self.event.set()

    @rule()
    def clear(self) -> None:
        self.world.move()
        self.event.clear()

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans(), several=st.sampled_from([1, 1, 40]))
    def kill(self, pick: int, at_once: bool, several: int) -> None:
        pending = self.world.pending()
        for number in range(min(several, len(pending))):
            victim = pending[(pick + number) % len(pending)]
            self.waits = [(operation, struck or operation is victim) for operation, struck in self.waits]
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
        pending = self.world.pending()
        assert not self.event.is_set() or not pending
        assert not self.told.intersection(pending)
        for operation, struck in self.waits:
            assert struck or operation.pending or operation.outcome == ("value", True), operation
        assert self.event.linkcount() == len(pending)

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            self.world.end(self.event)


@pytest.mark.parametrize("machine", [CalmEvent, CalmResult, StormyEvent])
def test_random_programs(
    machine: Callable[[type[World]], RuleBasedStateMachine], new_world: type[World], profile: settings
) -> None:
    """G7, G8, G14: who waits is told once, in his turn, with kills and timeouts at every wait."""
    run_state_machine_as_test(partial(machine, new_world), settings=profile)  # type: ignore[arg-type]
