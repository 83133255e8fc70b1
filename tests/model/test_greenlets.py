"""Random programs of greenlets that wait for each other's ends (spec G7, G14).

What belongs here: a model of `Greenlet` from its start to its links, and of `wait` over several.  What never
does: groups.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from greenswitch import Greenlet, GreenletExit, joinall, killall
from greenswitch.event import Event

if TYPE_CHECKING:
    from conftest import Operation, World

timeouts = st.sampled_from([None, None, None, None, 0, 1, 2, 3])
limits = st.sampled_from([None, None, None, None, None, 1, 2])
picks = st.integers(0, 1000)


class Failed(Exception):
    pass


class Target(Greenlet):
    """Works until it is told how to end."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.fails = False
        self.links: list[Linked] = []

    def _run(self) -> Target:
        self.gate.wait()
        if self.fails:
            raise Failed
        return self


class Linked:
    """A link that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, source: Target) -> None:
        assert source.ready()
        self.calls += 1


class Ends(RuleBasedStateMachine):
    """Kills, ends and timeouts in one turn; looked at when all is at rest.

    A target that is killed and told to end in the same turn may do the one or the other, and then all who
    wait for it hear the same.
    """

    def __init__(self, new_world: type[World]) -> None:
        super().__init__()
        self.world = new_world()
        self.world.hub.handle_error = self.failed  # type: ignore[method-assign]
        self.targets: list[Target] = []
        self.reported: list[Any] = []
        self.waits: list[tuple[Operation, list[Target], str, float | None, float | None]] = []

    def failed(self, context: object, type: object, value: BaseException | None, tb: object) -> None:
        assert isinstance(value, Failed), (context, value)
        self.reported.append(context)

    def pick(self, pick: int) -> Target:
        return self.targets[pick % len(self.targets)]

    @rule(later=st.sampled_from([None, None, None, 0, 1, 2]))
    def start(self, later: float | None) -> None:
        self.world.move()
        target = Target()
        self.targets.append(target)
        if later is None:
            target.start()
        else:
            target.start_later(later)

    @precondition(lambda self: self.targets)
    @rule(pick=picks, fails=st.booleans())
    def end(self, pick: int, fails: bool) -> None:
        self.world.move()
        target = self.pick(pick)
        target.fails = target.fails or fails
        target.gate.set()

    @precondition(lambda self: self.targets)
    @rule(pick=picks, exception=st.sampled_from([GreenletExit, Failed]))
    def kill_target(self, pick: int, exception: type[BaseException]) -> None:
        self.world.move()
        self.pick(pick).kill(exception, block=False)

    @precondition(lambda self: self.targets)
    @rule(pick=picks, get=st.booleans(), timeout=timeouts, limit=limits, crowd=st.sampled_from([1, 1, 3]))
    def wait_for_one(
        self, pick: int, get: bool, timeout: float | None, limit: float | None, crowd: int
    ) -> None:
        target = self.pick(pick)
        for _ in range(crowd):
            function = partial(target.get if get else target.join, timeout=timeout)
            self.waits.append(
                (self.world.begin(function, limit), [target], "get" if get else "join", timeout, limit)
            )

    @precondition(lambda self: self.targets)
    @rule(some=st.lists(picks, max_size=4), timeout=timeouts, limit=limits)
    def wait_for_several(self, some: list[int], timeout: float | None, limit: float | None) -> None:
        targets = list(dict.fromkeys(self.pick(pick) for pick in some))
        operation = self.world.begin(partial(joinall, targets, timeout), limit)
        self.waits.append((operation, targets, "all", timeout, limit))

    @precondition(lambda self: self.world.pending())
    @rule(pick=picks, at_once=st.booleans())
    def kill(self, pick: int, at_once: bool) -> None:
        pending = self.world.pending()
        (self.world.strike if at_once else self.world.kill)(pending[pick % len(pending)])

    @precondition(lambda self: self.targets)
    @rule(pick=picks)
    def rawlink(self, pick: int) -> None:
        self.world.move()
        link = Linked()
        self.pick(pick).rawlink(link)
        self.pick(pick).links.append(link)

    @precondition(lambda self: self.targets)
    @rule(pick=picks)
    def unlink(self, pick: int) -> None:
        target = self.pick(pick)
        if target.links and not target.ready():
            target.unlink(target.links.pop())

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
        for target in self.targets:
            assert target.ready() is target.dead
            assert all(link.calls == target.ready() for link in target.links)
            assert self.reported.count(target) == (target.exception is not None)
            if target.ready():
                assert target.successful() is (target.exception is None)
                assert not target.has_links()
        for operation, targets, how, timeout, limit in self.waits:
            ended = all(target.ready() for target in targets)
            outcome = operation.outcome
            if operation.pending:
                assert not ended, "nobody told it"
            elif outcome in ("killed", "struck"):
                assert outcome == "killed" or limit is not None
            elif outcome == "timed out":
                assert how == "get" and timeout is not None
            elif outcome is Failed:
                assert how == "get" and isinstance(targets[0].exception, Failed)
            elif how == "get":
                assert operation.value is targets[0] or isinstance(operation.value, GreenletExit)
                assert targets[0].successful()
            elif how == "all":
                assert all(target.ready() for target in operation.value)
                assert len(operation.value) == len(targets) or timeout is not None
            else:
                assert ended or timeout is not None

    def teardown(self) -> None:
        try:
            self.check()
            if len(self.targets) % 2:
                # With the others the timers have no time to go by themselves.
                for target in self.targets:
                    target.gate.set()
                self.world.let_pass(4)
                self.check()
                assert all(target.ready() for target in self.targets)
                assert not self.world.pending()
        finally:
            killall(self.targets, block=False)
            self.world.end(*self.targets)


def test_random_programs(new_world: type[World], profile: settings) -> None:
    """G7, G14: one end, told once to everybody who waits, with kills and timeouts at every wait."""
    run_state_machine_as_test(partial(Ends, new_world), settings=profile)  # type: ignore[arg-type]
