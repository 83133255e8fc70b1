"""Random programs against simple models: a hub whose time is ours to set, operations that end one way or
another, and what must hold when nothing moves any more.

What belongs here: what the random tests of every module share.  What never does: a model of one of them.

Each module has two machines.  The *calm* one lets everything come to rest after each step, so that its model
says exactly how every operation ends.  The *storm* does not: kills, timeouts and wake-ups meet in one turn of
the loop, and what is checked at rest is that nothing was lost or given twice, that nobody was passed over and
that nobody waits who could go.

`make test` runs the same few hundred programs each time.  MODEL_EXAMPLES=5000 runs as many for each machine,
others each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import greenswitch.hub
from greenswitch import Greenlet, GreenletExit, Timeout, sleep
from greenswitch._core import get_turn, set_turn
from greenswitch._original import allocate_lock, start_new_thread
from greenswitch.hub import Row, get_hub
from greenswitch.loop import Loop, WatcherLoop

_EXAMPLES = os.environ.get("MODEL_EXAMPLES")

settings.register_profile(
    "model",
    derandomize=_EXAMPLES is None,
    max_examples=int(_EXAMPLES or 200),
    stateful_step_count=40,
    database=None,
    deadline=None,
    # The machines do no input or output and are slow only under a sanitizer.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class FakePoller:
    """Has no descriptors; lets its clock go on instead of waiting."""

    def __init__(self) -> None:
        self.flags: dict[int, int] = {}
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def fileno(self) -> int:
        return -1

    def add_level(self, fd: int) -> None:
        pass

    def poll(self, timeout: float) -> Sequence[tuple[int, int]]:
        assert timeout >= 0, "would wait for ever"
        self.now += timeout
        return ()

    def close(self) -> None:
        pass


PENDING = "pending"
KILLED = "killed"
STRUCK = "struck"
TIMED_OUT = "timed out"


_AFTERMATH = 0.125


class Operation:
    """One call in a greenlet of its own, under a timeout of `limit` seconds; then another wait, which only
    time ends."""

    def __init__(self, world: World, function: Callable[[], Any], limit: float | None) -> None:
        self.number = len(world.operations)
        """Operations begin in this order."""
        self.begun: float | None = None
        self.ended: int | None = None
        """The how manieth to end."""
        self.waited = False
        """Did anybody else move between its beginning and its end?"""
        self._outcome: Any = PENDING
        self._world = world
        self._function = function
        self._limit = limit
        world.operations.append(self)
        self.greenlet = Greenlet.spawn(self._run)

    def _run(self) -> None:
        world = self._world
        mine = world.move()
        self.begun = world.now
        timeout = Timeout(self._limit)
        try:
            with timeout:
                self._outcome = ("value", self._function())
        except Timeout as error:
            self._outcome = STRUCK if error is timeout else TIMED_OUT
        except GreenletExit:
            self._outcome = KILLED
        except Exception as error:
            self._outcome = type(error)
        self.waited = world.moves != mine
        world.move()
        self.ended = world.ends = world.ends + 1
        # Whatever may still be on its way to it would now end another wait, which complains.
        world.hub.wait_seconds(_AFTERMATH)

    @property
    def outcome(self) -> Any:
        """PENDING; ("value", what was returned); the class of what was raised; TIMED_OUT by itself, STRUCK by
        the timeout around it, or KILLED."""
        if self._outcome is PENDING and self.greenlet.dead:
            # Before it began.
            return KILLED
        return self._outcome

    @property
    def pending(self) -> bool:
        return self.outcome is PENDING

    @property
    def value(self) -> Any:
        kind, value = self.outcome
        assert kind == "value"
        return value

    @property
    def succeeded(self) -> bool:
        return isinstance(self.outcome, tuple)

    def __repr__(self) -> str:
        return f"<{self.number}: {self._function!r} {self.outcome!r}>"


class World:
    """A hub of this thread with a clock of its own, while it lasts; all that runs in it."""

    def __init__(self) -> None:
        self._before = dict(greenswitch.hub.this_thread.__dict__)
        self._turn_before = get_turn()
        greenswitch.hub.this_thread.__dict__.clear()
        set_turn(None)
        self.poller = FakePoller()
        greenswitch.hub.this_thread.spare = WatcherLoop(
            clock=self.poller.clock, poller=lambda: self.poller, default=False
        )
        self.hub = get_hub()
        self.hub.handle_error = self._failed  # type: ignore[method-assign]
        self.loop = self.hub.loop
        assert self.now == self.loop.now(), "another loop's clock"
        self.failures: list[tuple[object, BaseException | None]] = []
        self.operations: list[Operation] = []
        self.moves = 0
        self.ends = 0

    def _failed(self, context: object, type: object, value: BaseException | None, tb: object) -> None:
        self.failures.append((context, value))

    @property
    def now(self) -> float:
        return self.poller.now

    def move(self) -> int:
        """Somebody does something; a number that no other move has."""
        self.moves += 1
        return self.moves

    def begin(self, function: Callable[[], Any], limit: float | None = None) -> Operation:
        self.move()
        return Operation(self, function, limit)

    def kill(self, operation: Operation) -> None:
        """From the loop, as `Greenlet.kill` does it."""
        self.move()
        operation.greenlet.kill(block=False)

    def strike(self, operation: Operation) -> None:
        """In the loop, as soon as it comes to it: before whoever is made ready meanwhile."""
        self.move()
        victim = operation.greenlet

        def throw() -> None:
            if victim.started and not victim.dead:
                victim.throw(GreenletExit)

        self.loop.ready.appendleft(throw)

    def elsewhere(self, function: Callable[[], object]) -> None:
        """Call `function`, which must not wait, in another native thread, and wait for that."""
        self.move()
        failed: list[BaseException] = []
        done = allocate_lock()
        done.acquire()

        def run() -> None:
            try:
                function()
            except BaseException as error:
                failed.append(error)
            done.release()

        start_new_thread(run, ())
        done.acquire()
        if failed:
            raise failed[0]

    def rest(self) -> None:
        """Let everybody run until nothing can happen at this moment any more."""
        self.move()
        self.hub.wait_idle()
        assert not self.failures

    def turn(self) -> None:
        """Let those run who are ready."""
        self.move()
        sleep(0)

    def let_pass(self, seconds: float) -> None:
        self.move()
        sleep(seconds)

    def pending(self) -> list[Operation]:
        return [operation for operation in self.operations if operation.pending]

    def end(self, *things: object, look: Callable[[], object] = lambda: None) -> None:
        """Kill all that is left. Nothing stays behind then: no timer, no callback, nobody in a row of
        `things`. Takes a last `look` before the hub goes."""
        try:
            for operation in self.operations:
                operation.greenlet.kill(block=False)
            self.rest()
            self.let_pass(2 * _AFTERMATH)
            self.rest()
            assert all(operation.greenlet.dead for operation in self.operations)
            assert (
                not self.loop.timer_count
                and not self.loop.ready
                and not self.loop.idlers
                and not self.loop.refs
            )
            for row in rows(things):
                assert not row.waiting(), row
            look()
        finally:
            self.hub.destroy()
            greenswitch.hub.this_thread.__dict__.update(self._before)
            set_turn(self._turn_before)
            self._before.clear()
            self._turn_before = None


def rows(things: Sequence[object]) -> Iterator[Row]:
    """All rows in the slots and attributes of these things and of what those refer to in the package."""
    seen: set[int] = set()
    left = list(things)
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Row):
            yield thing
        elif type(thing).__module__.startswith("greenswitch.") and not isinstance(thing, (Greenlet, Loop)):
            names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
            left += [getattr(thing, name) for name in names if hasattr(thing, name)]
            left += getattr(thing, "__dict__", {}).values()


@pytest.fixture
def new_world() -> type[World]:
    """What makes a world; each is to be ended."""
    return World


@pytest.fixture(scope="session")
def profile() -> settings:
    """How many programs to try, and which."""
    return settings.get_profile("model")
