"""Timeouts: when they come, to whom, as what, and what they leave behind.

What belongs here: `greenswitch.timeout`. What never does: how each wait is undone by one (`test_hub` and the
tests of the module that waits).
"""

from __future__ import annotations

import copy
import gc
import sys
import time
import weakref
from typing import Any

import pytest

from greenswitch import Timeout, get_hub, sleep, spawn, spawn_raw, with_timeout
from greenswitch.event import Event
from greenswitch.lock import Semaphore
from greenswitch.queue import Empty, Queue


def test_a_block_is_bounded() -> None:
    """G14."""
    start = time.monotonic()
    with pytest.raises(Timeout) as caught, Timeout(0.02) as timeout:
        assert timeout.pending
        sleep(30)
    assert caught.value is timeout and not timeout.pending
    assert 0.02 <= time.monotonic() - start < 10


def test_a_block_that_is_quick_enough() -> None:
    before = get_hub().loop.timer_count
    with Timeout(10) as timeout:
        sleep(0)
    assert not timeout.pending and get_hub().loop.timer_count == before


def test_it_comes_while_others_compute_and_only_to_its_greenlet() -> None:
    log: list[str] = []

    def other() -> None:
        while "timeout" not in log:
            sleep(0)
        log.append("other goes on")

    def run() -> None:
        try:
            with Timeout(0.01):
                Event().wait()
        except Timeout:
            log.append("timeout")

    spawn_raw(run)
    spawn(other).join()
    assert log == ["timeout", "other goes on"]


class Mine(Exception):
    pass


@pytest.mark.parametrize(
    ("exception", "raised"),
    [
        (None, Timeout),
        ("text", Timeout),
        (Mine, Mine),
        (Mine("given"), Mine),
        (KeyboardInterrupt, KeyboardInterrupt),
    ],
)
def test_what_is_raised(exception: Any, raised: type[BaseException]) -> None:
    with pytest.raises(raised) as caught, Timeout(0.001, exception):
        sleep(30)
    if isinstance(exception, BaseException):
        assert caught.value is exception


def test_false_ends_the_block_silently() -> None:
    reached = False
    with Timeout(0.001, False):
        sleep(30)
        reached = True
    assert not reached
    # Only its own block: elsewhere it is an exception.
    timeout = Timeout.start_new(0.001, False)
    with pytest.raises(Timeout) as caught:
        sleep(30)
    assert caught.value is timeout
    # And only its own timeout.
    with pytest.raises(ValueError), Timeout(10, False):
        raise ValueError


def test_none_never_comes() -> None:
    with Timeout(None) as timeout:
        assert not timeout.pending
        sleep(0.001)
    timeout.start()
    timeout.start()
    assert not timeout.pending
    timeout.cancel()


def test_nested_the_shorter_one_comes() -> None:
    with Timeout(0.02, False), Timeout(0.001, False):
        sleep(30)
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer, Timeout(0.02):
        sleep(30)
    assert caught.value is outer
    log: list[str] = []
    with Timeout(0.03, False):
        with Timeout(0.001, False):
            sleep(30)
        log.append("inner")
        sleep(30)
        log.append("never")
    assert log == ["inner"]


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all(seconds: float) -> None:
    """It comes at the first wait, not before."""
    log: list[int] = []
    with pytest.raises(Timeout), Timeout(seconds):
        log.append(1)
        sleep(30)
    assert log == [1]


def test_starting_and_cancelling() -> None:
    timeout = Timeout(0.005)
    assert not timeout.pending
    timeout.cancel()
    timeout.start()
    assert timeout.pending
    with pytest.raises(AssertionError, match="is already started; to restart it, cancel it first"):
        timeout.start()
    timeout.cancel()
    timeout.close()
    sleep(0.01)
    timeout.start()
    with pytest.raises(Timeout):
        sleep(30)
    assert not timeout.pending
    timeout.cancel()


def test_start_new() -> None:
    made = Timeout.start_new(10)
    assert made.pending and Timeout.start_new(made) is made
    made.cancel()
    assert Timeout.start_new(made) is made and made.pending
    made.cancel()
    with pytest.raises(Mine):
        Timeout.start_new(0, Mine)
        sleep(30)
    assert not Timeout.start_new().pending

    class Sub(Timeout):
        pass

    sub = Sub.start_new(10)
    assert type(sub) is Sub
    sub.cancel()


@pytest.mark.parametrize("bad", ["x", [1], 1j, object])
def test_what_is_no_number_is_refused(bad: Any) -> None:
    timeout = Timeout(bad)
    with pytest.raises(TypeError, match="must be real number, not"):
        timeout.start()
    assert not timeout.pending
    with pytest.raises(TypeError), timeout:
        pytest.fail("entered")
    with pytest.raises(TypeError):
        Timeout.start_new(bad)
    with pytest.raises(ValueError):
        Timeout(float("nan")).start()
    sleep(0)


def test_without_ref_it_does_not_keep_the_loop() -> None:
    from greenswitch.exceptions import LoopExit

    with pytest.raises(LoopExit), Timeout(1000, ref=False):
        Event().wait()


def test_to_a_greenlet_that_ended_it_does_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        Timeout.start_new(0.001)

    spawn(run)
    spawn_raw(run)
    sleep(0.01)
    assert capsys.readouterr().err == ""


def test_texts() -> None:
    assert [str(Timeout(*a)) for a in [(), (1,), (1.5,), (2, False), (2, "why"), (2, ValueError("x"))]] == [
        "",
        "1 second",
        "1.5 seconds",
        "2 seconds (silent)",
        "2 seconds: why",
        "2 seconds: x",
    ]
    timeout = Timeout(5, ValueError)
    assert repr(timeout) == f"<Timeout at {id(timeout):#x} seconds=5 exception={ValueError!r}>"
    timeout.start()
    assert repr(timeout).endswith(" pending>")
    timeout.cancel()
    assert timeout.seconds == 5 and timeout.exception is ValueError
    assert issubclass(Timeout, BaseException) and not issubclass(Timeout, Exception)
    assert copy.copy(Timeout(3)).seconds == 3


def test_with_timeout() -> None:
    assert with_timeout(10, lambda a, b: (a, b), 1, b=2) == (1, 2)
    assert with_timeout(None, int) == 0
    assert with_timeout(0.001, sleep, 30, timeout_value="late") == "late"
    assert with_timeout(0.001, sleep, 30, timeout_value=None) is None
    with pytest.raises(Timeout, match=r"0.001 seconds"):
        with_timeout(0.001, sleep, 30)
    with pytest.raises(TypeError):
        with_timeout(1, 5)  # type: ignore[arg-type]
    # A timeout of another origin passes through.
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        with_timeout(10, sleep, 30, timeout_value="late")
    assert caught.value is outer
    sleep(0.001)


def test_a_million_cancelled_timeouts_leave_nothing_behind() -> None:
    loop = get_hub().loop
    before = loop.timer_count
    # Something with a later time stays in the heap under them.
    kept = [Timeout.start_new(1000 + number, ref=False) for number in range(10)]
    batch: list[Timeout] = []
    for _ in range(1_000_000 // 200):
        batch = [Timeout.start_new(100) for _ in range(200)]
        for timeout in batch:
            timeout.cancel()
    gone = weakref.ref(batch[0])
    del batch, timeout
    gc.collect()
    assert gone() is None
    assert loop.timer_count == before + 10
    assert len(loop._timers) < 1000 and sys.getsizeof(loop._timers) < 64 * 1024
    for timeout in kept:
        timeout.cancel()


def test_a_silent_timeout_in_the_place_of_seconds() -> None:
    """It ends the wait as if its seconds had been given."""
    sleeper = spawn(sleep, 30)
    sleeper.join(Timeout(0.001, False))
    assert not sleeper.ready()
    assert Event().wait(Timeout(0.001, False)) is False
    with pytest.raises(Empty):
        Queue().get(timeout=Timeout(0.001, False))
    assert Semaphore(0).acquire(timeout=Timeout(0.001, False)) is False
    sleeper.kill()
