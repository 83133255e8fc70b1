"""Events and results: who is woken, in which order, and what becomes of those who give up.

What belongs here: `greenswitch.event`, and the links of `greenswitch._linkable` on all that can be linked to.
What never does: locks and queues.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from greenswitch import GreenletExit, Timeout, get_hub, getcurrent, killall, sleep, spawn, spawn_raw, wait
from greenswitch.event import AsyncResult, Event
from greenswitch.lock import Semaphore


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


# Event


def test_an_event_is_set_and_cleared() -> None:
    event = Event()
    assert not event.is_set() and not event.isSet() and not event.ready()
    assert event.wait(0.001) is False
    event.set()
    event.set()
    assert event.is_set() and event.ready() and event.wait() is True and event.wait(0) is True
    event.clear()
    event.clear()
    assert not event.is_set()


def test_all_who_wait_are_woken_in_their_order() -> None:
    """G8."""
    event, log = Event(), list[object]()

    def run(number: int) -> None:
        log.append((number, event.wait()))

    for number in range(100):
        spawn_raw(run, number)
    sleep(0)
    assert event.linkcount() == 100
    event.set()
    assert log == []
    sleep(0)
    assert log == [(number, True) for number in range(100)]
    assert event.linkcount() == 0


def test_a_set_that_is_cleared_at_once_wakes_who_waited() -> None:
    event, log = Event(), list[object]()
    for _ in range(3):
        spawn_raw(lambda: log.append(event.wait(10)))
    sleep(0)
    event.set()
    event.clear()
    sleep(0)
    assert log == [True] * 3 and not event.is_set()


def test_those_who_give_up_are_not_woken() -> None:
    event = Event()
    waiting = [spawn(event.wait) for _ in range(3)]
    late = [spawn(event.wait, 0.001) for _ in range(3)]
    stays = spawn(event.wait)
    assert [one.get() for one in late] == [False] * 3
    killall(waiting)
    assert event.linkcount() == 1
    assert all(isinstance(one.value, GreenletExit) for one in waiting)
    event.set()
    assert stays.get() is True


def test_many_timeouts_leave_nothing_behind() -> None:
    """Whoever polls an event that never comes does not fill it."""
    event = Event()
    for _ in range(3000):
        event.wait(0)
    assert len(event._waiters) == 0
    joined = [spawn(event.wait, 0.001 + number / 1e6) for number in range(3000)]
    sleep(0)
    for one in joined:
        one.join()
    assert len(event._waiters) <= 64 and event.linkcount() == 0


def test_an_event_between_threads() -> None:
    """Set in one thread, it wakes the waiter in another one's loop, whoever has a hub or none."""
    there, back = Event(), Event()
    log: list[object] = []

    def work() -> None:
        log.append(there.wait(10))
        back.set()

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.02)
    there.set()
    assert back.wait(10) is True
    thread.join()
    assert log == [True]

    without_hub = Event()
    thread = threading.Thread(target=lambda: (time.sleep(0.02), without_hub.set()))
    thread.start()
    assert without_hub.wait()
    thread.join()


def test_no_wake_up_is_lost_between_threads() -> None:
    """A ping-pong of three threads, each waiting in its own hub."""
    events = [Event() for _ in range(3)]
    rounds = 500
    log: list[int] = []

    def work(me: int) -> None:
        for _ in range(rounds):
            assert events[me].wait(20)
            events[me].clear()
            log.append(me)
            events[(me + 1) % 3].set()

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    events[0].set()
    work(0)
    for thread in threads:
        thread.join()
    assert log == [0, 1, 2] * rounds


def test_texts() -> None:
    event = Event()
    assert str(event) == f"<Event at {id(event):#x} clear _links[0]>"
    event.set()
    assert " set " in str(event)
    result = AsyncResult[int]()
    assert str(result) == "<AsyncResult unset _links[0]>"
    result.set_exception(ValueError("x"))
    assert "exception=ValueError('x')" in str(result)
    result.set(5)
    assert "value=5" in str(result)
    assert event.hub is get_hub()


# AsyncResult


def test_a_result_is_waited_for() -> None:
    """G7."""
    result, log = AsyncResult[str](), list[object]()
    assert not result.ready() and not result.done() and not result.successful() and result.value is None
    for number in range(3):
        spawn_raw(lambda number=number: log.append((number, result.get())))
    sleep(0)
    spawn_raw(result.set, "value")
    assert result.get() == "value" and result.wait() == "value" and result.result() == "value"
    assert result.get_nowait() == "value" and result.ready() and result.done() and result.successful()
    assert log == [(number, "value") for number in range(3)]
    result.set_result("newer")
    assert result.value == "newer"
    assert result.cancel() is False and result.cancelled() is False


def test_an_exception_is_raised_in_all_who_wait() -> None:
    result, log = AsyncResult[None](), list[object]()

    def run() -> None:
        try:
            result.get()
        except ValueError as error:
            log.append(error)

    for _ in range(3):
        spawn_raw(run)
    sleep(0)
    error = ValueError("x")
    result.set_exception(error)
    assert result.wait() is None and not result.successful() and result.ready()
    assert result.exception is error and result.exc_info == (ValueError, error, None)
    with pytest.raises(ValueError, match="x"):
        result.get()
    sleep(0)
    assert log == [error] * 3


def test_the_traceback_of_an_exception_is_kept() -> None:
    def deep() -> None:
        raise ValueError("deep")

    result = AsyncResult[None]()
    try:
        deep()
    except ValueError as error:
        result.set_exception(error, (ValueError, error, error.__traceback__))
    with pytest.raises(ValueError) as caught:
        result.get()
    assert "deep" in [entry.name for entry in caught.traceback]


def test_get_with_a_bound() -> None:
    result = AsyncResult[int]()
    with pytest.raises(Timeout) as at_once:
        result.get(block=False)
    assert at_once.value.seconds is None
    with pytest.raises(Timeout, match=r"0.001 seconds"):
        result.get(timeout=0.001)
    with pytest.raises(Timeout):
        result.get_nowait()
    with pytest.raises(Timeout):
        result.result(timeout=0.001)
    assert result.wait(timeout=0.001) is None
    assert result.exc_info == ()


def test_a_result_as_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = AsyncResult[int](), AsyncResult[int]()
    spawn(lambda: 5).link(good)
    spawn(int, "no number").link(bad)
    assert good.get() == 5
    with pytest.raises(ValueError):
        bad.get()
    assert bad.exc_info[:1] == (ValueError,)
    taken = AsyncResult[int]()
    taken(good)
    assert taken.value == 5
    capsys.readouterr()


def test_a_result_between_threads() -> None:
    result = AsyncResult[int]()
    thread = threading.Thread(target=lambda: (time.sleep(0.02), result.set(5)))
    thread.start()
    assert result.get() == 5
    thread.join()


# Links


@pytest.mark.parametrize(
    ("make", "make_ready"),
    [
        (Event, lambda one: one.set()),
        (AsyncResult, lambda one: one.set()),
        (lambda: Semaphore(0), lambda one: one.release()),
    ],
    ids=["Event", "AsyncResult", "Semaphore"],
)
class TestLinks:
    def test_links_are_called_once_in_their_order(
        self, make: Callable[[], Event], make_ready: Callable[[Event], object]
    ) -> None:
        one, log = make(), list[object]()

        def link(source: object) -> None:
            log.append((source is one, getcurrent() is get_hub()))

        one.rawlink(link)
        one.rawlink(link)
        one.rawlink(lambda _: log.append("second"))
        assert one.linkcount() == 2
        make_ready(one)
        assert log == []
        sleep(0)
        assert log == [(True, True), "second"] and one.linkcount() == 0
        make_ready(one)
        sleep(0)
        assert len(log) == 2
        # Ready already: from the loop all the same.
        one.rawlink(link)
        assert len(log) == 2
        sleep(0)
        assert len(log) == 3

    def test_unlink(self, make: Callable[[], Event], make_ready: Callable[[Event], object]) -> None:
        class Unhashable:
            __hash__ = None  # type: ignore[assignment]

            def __call__(self, source: object) -> None:
                log.append("unhashable")

        one, log = make(), list[object]()
        kept, removed = Unhashable(), Unhashable()
        one.unlink(print)
        for link in (kept, removed, log.append):
            one.rawlink(link)
        one.unlink(removed)
        one.unlink(log.append)
        one.unlink(log.append)
        make_ready(one)
        sleep(0)
        assert log == ["unhashable"]
        # Between the moment that it is ready and the call.
        other = make()
        other.rawlink(log.append)
        make_ready(other)
        other.unlink(log.append)
        sleep(0)
        assert log == ["unhashable"]
        with pytest.raises(TypeError, match="Expected callable: 5"):
            one.rawlink(5)  # type: ignore[arg-type]

    def test_a_link_that_fails_is_reported(
        self,
        make: Callable[[], Event],
        make_ready: Callable[[Event], object],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        one, log = make(), list[object]()

        def bad(source: object) -> None:
            raise LookupError("told once")

        one.rawlink(bad)
        one.rawlink(lambda _: log.append("others"))
        make_ready(one)
        sleep(0)
        assert log == ["others"]
        err = capsys.readouterr().err
        assert err.count("LookupError: told once") == 1 and "failed with LookupError" in err

    def test_wait_for_several(self, make: Callable[[], Event], make_ready: Callable[[Event], object]) -> None:
        one, other = make(), make()
        get_hub().loop.call_later(0.001, lambda: make_ready(one))
        assert wait([other, one], count=1, timeout=10) == [one]
        assert other.linkcount() == 0

    def test_a_link_of_another_thread_is_called_there(
        self, make: Callable[[], Event], make_ready: Callable[[Event], object]
    ) -> None:
        one, log = make(), list[object]()
        linked = threading.Event()

        def work() -> None:
            one.rawlink(lambda _: log.append(threading.get_ident()))
            linked.set()
            deadline = time.monotonic() + 10
            while not log and time.monotonic() < deadline:
                sleep(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        linked.wait()
        make_ready(one)
        thread.join()
        assert log == [thread.ident]
