"""Random programs of a thread pool (spec G10, G14).

What belongs here: a model of `ThreadPool`.  What never does: how fast its threads come and go, which is the
system's affair.

The threads are real and so is the clock; nothing here waits for it to pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from greenswitch import GreenletExit, Timeout, get_hub, sleep, spawn
from greenswitch._original import allocate_lock
from greenswitch.event import AsyncResult
from greenswitch.threadpool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenswitch import Greenlet

picks = st.integers(0, 1000)


class Failed(Exception):
    pass


class Call:
    """A function for a thread, which works until it is told to end."""

    def __init__(self, machine: Machine, fails: bool) -> None:
        self.fails = fails
        self.begun = False
        self.machine = machine
        self.gate = allocate_lock()
        self.gate.acquire()

    def __call__(self) -> Call:
        self.begun = True
        self.gate.acquire()
        if self.fails:
            raise Failed
        return self


class Machine(RuleBasedStateMachine):
    """The model: calls at work, and greenlets that wait for a place in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = get_hub()
        self.reported = 0
        self.hub.handle_error = self.failed  # type: ignore[method-assign]
        self.refs = self.hub.loop.refs
        self.timers = self.hub.loop.timer_count
        self.pool: Any = None

    def failed(self, context: object, type: object, value: BaseException | None, tb: object) -> None:
        assert isinstance(value, (Failed, GreenletExit)), value
        self.reported += isinstance(value, Failed)

    @initialize(size=st.sampled_from([1, 2, 3]))
    def make(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPool(size)
        self.at_work: dict[Call, tuple[Greenlet, bool]] = {}
        """By whom it was begun, and whether that one waits for the end of it."""
        self.row: dict[Call, tuple[Greenlet, bool]] = {}
        self.joining: list[Greenlet] = []
        self.futures: list[tuple[AsyncResult[Call], Call]] = []
        self.expected: dict[Greenlet, Any] = {}

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with Timeout(20, AssertionError("does not come to rest"), ref=False):
            while not condition():
                sleep(0.0002)

    def come_to_rest(self) -> None:
        while self.row and len(self.at_work) < self.size:
            call = next(iter(self.row))
            self.at_work[call] = self.row.pop(call)
        self.wait_until(
            lambda: all(call.begun for call in self.at_work) and len(self.pool) == len(self.at_work)
        )
        if not self.at_work:
            for greenlet in self.joining:
                self.expected[greenlet] = None
            self.joining.clear()
        self.wait_until(lambda: all(greenlet.ready() for greenlet in self.expected))
        for greenlet, expected in self.expected.items():
            if isinstance(expected, type):
                assert isinstance(greenlet.exception or greenlet.value, expected)
            else:
                assert greenlet.value is expected and greenlet.exception is None
        assert not any(call.begun for call in self.row)
        waiting = [greenlet for greenlet, waits in self.at_work.values() if waits]
        waiting += [greenlet for greenlet, _ in self.row.values()] + self.joining
        assert not any(greenlet.ready() for greenlet in waiting)
        assert self.hub.loop.refs == self.refs + len(self.at_work)
        assert len(self.at_work) <= self.pool.size

    @rule(fails=st.booleans())
    def apply(self, fails: bool) -> None:
        call = Call(self, fails)
        self.row[call] = (spawn(self.pool.apply, call), True)
        self.come_to_rest()

    @rule(fails=st.booleans())
    def spawn(self, fails: bool) -> None:
        call = Call(self, fails)

        def begin() -> None:
            self.futures.append((self.pool.spawn(call), call))

        greenlet = spawn(begin)
        self.row[call] = (greenlet, False)
        self.come_to_rest()

    @precondition(lambda self: self.at_work)
    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        call = list(self.at_work)[pick % len(self.at_work)]
        greenlet, waits = self.at_work.pop(call)
        if waits:
            self.expected[greenlet] = Failed if call.fails else call
        call.gate.release()
        self.come_to_rest()

    @precondition(lambda self: self.at_work)
    @rule()
    def finish_all(self) -> None:
        """They come back in one turn, perhaps, with those who wait for a place behind them."""
        for call in list(self.at_work):
            greenlet, waits = self.at_work.pop(call)
            if waits:
                self.expected[greenlet] = Failed if call.fails else call
            call.gate.release()
        self.come_to_rest()

    @precondition(lambda self: self.row or self.joining or self.at_work)
    @rule(pick=picks, gently=st.booleans())
    def kill(self, pick: int, gently: bool) -> None:
        """Who waits for a place gives it up; who waits for an outcome leaves the call running."""
        waiting = [*self.row, *(call for call, (_, waits) in self.at_work.items() if waits), *self.joining]
        if not waiting:
            return
        victim = waiting[pick % len(waiting)]
        if isinstance(victim, Call):
            greenlet, _ = (self.row if victim in self.row else self.at_work)[victim]
            if victim in self.row:
                del self.row[victim]
            else:
                self.at_work[victim] = (greenlet, False)
        else:
            greenlet = victim
            self.joining.remove(victim)
        if gently:
            greenlet.kill(block=False)
            self.expected[greenlet] = GreenletExit
        else:
            greenlet.kill(Failed, block=False)
            self.expected[greenlet] = Failed
        self.come_to_rest()

    # Who joins may find the pool empty between the two.
    @precondition(lambda self: self.row and self.at_work and not self.joining)
    @rule(pick=picks)
    def finish_and_kill(self, pick: int) -> None:
        """The first of those who wait is given the place that comes free, and is struck before he runs."""
        first = next(iter(self.row))
        greenlet, _ = self.row[first]
        call = list(self.at_work)[pick % len(self.at_work)]
        ended, waits = self.at_work.pop(call)
        if waits:
            self.expected[ended] = Failed if call.fails else call
        done = self.pool._done

        def struck(*outcome: Any) -> None:
            self.pool._done = done
            done(*outcome)
            greenlet.throw(GreenletExit)

        self.pool._done = struck
        call.gate.release()
        del self.row[first]
        self.expected[greenlet] = GreenletExit
        self.come_to_rest()

    @rule()
    def join(self) -> None:
        self.joining.append(spawn(self.pool.join))
        self.come_to_rest()

    @rule(size=st.sampled_from([1, 2, 3, 4]))
    def change_size(self, size: int) -> None:
        self.pool.maxsize = self.size = size
        self.come_to_rest()

    def teardown(self) -> None:
        if self.pool is None:
            return
        try:
            while self.at_work or self.row:
                self.finish_all()
            self.come_to_rest()
            for result, call in self.futures:
                assert result.ready()
                assert isinstance(result.exception, Failed) if call.fails else result.value is call
            assert not len(self.pool) and not self.pool._waiting and not self.pool._joining
            assert self.hub.loop.refs == self.refs and self.hub.loop.timer_count == self.timers
            self.pool.kill()
            assert not self.pool.size
        finally:
            del self.hub.handle_error


def test_random_programs(profile: settings) -> None:
    """G10, G14: never more threads than places, places in the order of coming, every outcome to him who asked
    for it, with kills at every wait."""
    fewer = settings(profile, max_examples=max(20, profile.max_examples // 5), stateful_step_count=25)
    run_state_machine_as_test(Machine, settings=fewer)  # type: ignore[arg-type]
