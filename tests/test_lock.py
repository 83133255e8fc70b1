"""Locks and semaphores: who gets a permit, and that none is ever lost.

What belongs here: `greenswitch.lock`. What never does: links, which are tested for all that has them in
`test_event`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from greenswitch import (
    Greenlet,
    GreenletExit,
    Timeout,
    get_hub,
    getcurrent,
    joinall,
    killall,
    sleep,
    spawn,
    spawn_raw,
)
from greenswitch.hub import BlockingSwitchOutError
from greenswitch.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


def test_permits_are_taken_and_given_back() -> None:
    semaphore = Semaphore(2)
    assert semaphore.counter == 2 and not semaphore.locked() and semaphore.ready()
    assert semaphore.acquire() and semaphore.acquire(blocking=False)
    assert semaphore.locked() and semaphore.counter == 0
    assert not semaphore.acquire(False) and not semaphore.acquire(timeout=0.001)
    assert not semaphore.acquire(timeout=0) and not semaphore.acquire(timeout=-1)
    assert semaphore.release() == 1 and semaphore.release() == 2 and semaphore.release() == 3
    assert Semaphore().counter == 1 and Semaphore(0).locked()


def test_counter_can_be_set() -> None:
    """L3: also below zero: then so many releases free nothing yet. Whoever waits gets what is added."""
    semaphore = Semaphore(3)
    semaphore.counter -= 5
    assert semaphore.counter == -2 and semaphore.locked() and not semaphore.acquire(blocking=False)
    semaphore.counter -= 1
    assert semaphore.counter == -3
    waiting = [spawn(semaphore.acquire) for _ in range(2)]
    sleep(0)
    for counter in (-2, -1, 0):
        assert semaphore.release() == 0
        sleep(0)
        assert semaphore.counter == counter and not any(each.ready() for each in waiting)
    semaphore.release()
    joinall(waiting[:1], timeout=10)
    assert [each.ready() for each in waiting] == [True, False] and semaphore.counter == 0
    semaphore.counter = 4
    joinall(waiting, timeout=10)
    assert waiting[1].value is True and semaphore.counter == 3
    with semaphore:
        assert semaphore.counter == 2
    semaphore.counter = 0
    assert semaphore.counter == 0 and semaphore.locked()

    many = Semaphore(1000)
    many.counter = 1
    assert many.acquire(blocking=False) and many.counter == 0 and not many.acquire(blocking=False)
    many.counter -= 2
    assert many.counter == -2
    many.counter += 5
    assert many.counter == 3


@pytest.mark.parametrize("many", [64, 65, 1000, 10**12])
def test_very_many_permits(many: int) -> None:
    semaphore = Semaphore(many)
    taken = sum(semaphore.acquire(False) for _ in range(100))
    assert taken == min(many, 100)
    assert semaphore.counter == many - taken
    semaphore.release()
    assert semaphore.counter == many - taken + 1 and semaphore.ready()


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), ("1", TypeError), (None, TypeError), (1.5, TypeError)]
)
def test_what_is_no_number_of_permits(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Semaphore(value)  # type: ignore[arg-type]


def test_mutual_exclusion_over_a_sleep() -> None:
    """G8: the ticket seller who sleeps with the lock held sells each ticket once."""
    tickets, sold = 30, list[tuple[str, int]]()
    lock = BoundedSemaphore(1)

    def seller(name: str) -> None:
        nonlocal tickets
        while True:
            with lock:
                if not tickets:
                    return
                left = tickets
                sleep(0)
                sold.append((name, left))
                tickets = left - 1

    joinall([spawn(seller, name) for name in "abc"])
    assert [number for _, number in sold] == list(range(30, 0, -1))


def test_who_waits_is_served_in_the_order_of_coming() -> None:
    semaphore, order = Semaphore(0), list[int]()

    def run(number: int) -> None:
        semaphore.acquire()
        order.append(number)

    made = [spawn(run, number) for number in range(20)]
    sleep(0)
    assert semaphore.linkcount() == 20
    for _ in range(20):
        semaphore.release()
    joinall(made)
    assert order == list(range(20)) and semaphore.counter == 0


@pytest.mark.parametrize("permits", [1, 3])
def test_nobody_starves(permits: int) -> None:
    """Greenlets that take it again the moment they gave it back leave it to those who wait, after a while."""
    semaphore = Semaphore(permits)
    count = [0] * 6
    stop = False

    def greedy(number: int) -> None:
        while not stop:
            with semaphore:
                count[number] += 1
                sleep(0)

    made = [spawn(greedy, number) for number in range(6)]
    for _ in range(2000):
        sleep(0)
    stop = True
    joinall(made)
    assert min(count) * 3 > max(count) > 0
    assert semaphore.counter == permits


def test_a_permit_is_free_until_the_loop_comes_to_who_waits() -> None:
    """gevent's: whoever asks first may have it; he who waits keeps his place."""
    semaphore = Semaphore(0)
    waiting = spawn(semaphore.acquire)
    sleep(0)
    semaphore.release()
    assert semaphore.counter == 1 and semaphore.acquire(blocking=False)
    sleep(0.001)
    assert not waiting.ready()
    semaphore.release()
    assert waiting.get() is True and semaphore.counter == 0


def test_wait_does_not_take() -> None:
    semaphore = Semaphore(0)
    assert semaphore.wait(timeout=0.001) == 0
    watching = [spawn(semaphore.wait) for _ in range(2)]
    taking = spawn(semaphore.acquire, timeout=10)
    behind = spawn(semaphore.wait, 0.01)
    sleep(0)
    semaphore.release()
    joinall([*watching, taking, behind])
    assert [one.value for one in watching] == [1, 1]
    assert taking.value is True and behind.value == 0 and semaphore.counter == 0
    semaphore.release()
    assert semaphore.wait() == 1


def test_who_was_handed_a_permit_and_is_killed_hands_it_on() -> None:
    semaphore = Semaphore(0)
    first, second = spawn(semaphore.acquire), spawn(semaphore.acquire)
    sleep(0)
    # Handed over without the loop, as after many overtakings or from another thread.
    semaphore._free.append(None)
    semaphore._serve()
    get_hub().loop.ready.appendleft(lambda: first.throw(GreenletExit))
    first.join()
    assert isinstance(first.value, GreenletExit)
    assert second.get(timeout=5) is True
    assert semaphore.counter == 0


def test_a_kill_or_a_timeout_in_the_row_leaves_no_trace() -> None:
    semaphore = Semaphore(0)
    made = [spawn(semaphore.acquire) for _ in range(2000)]
    late = [spawn(semaphore.acquire, timeout=0.001) for _ in range(2000)]
    last = spawn(semaphore.acquire)
    sleep(0.02)
    killall(made)
    joinall(late)
    assert semaphore.linkcount() == 1 and len(semaphore._waiters) <= 64
    semaphore.release()
    assert last.get(timeout=5) is True
    assert semaphore.counter == 0 and not semaphore._waiters


@pytest.mark.parametrize("permits", [1, 2, 5])
def test_random_kills_timeouts_and_releases_lose_no_permit(permits: int) -> None:
    """A walk: whatever happens to those who wait and hold, in the end all permits are there."""
    chance = random.Random(permits)
    semaphore = Semaphore(permits)
    inside = most = 0

    def run() -> None:
        nonlocal inside, most
        if chance.random() < 0.5:
            if not semaphore.acquire(timeout=chance.random() * 0.002):
                return
        else:
            semaphore.acquire()
        try:
            inside += 1
            most = max(most, inside)
            sleep(chance.choice([0, 0, 0.0005]))
        finally:
            inside -= 1
            semaphore.release()

    alive: list[Greenlet] = []
    for _ in range(1500):
        alive.append(spawn(run))
        if chance.random() < 0.4:
            alive.pop(chance.randrange(len(alive))).kill(block=chance.random() < 0.2)
        if chance.random() < 0.3:
            sleep(0)
    joinall(alive)
    sleep(0.01)
    assert most == permits and inside == 0
    assert semaphore.counter == permits and semaphore.linkcount() == 0


def test_a_bare_greenlet_that_fails_with_its_permit_keeps_nobody_waiting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it raises comes out where the hub has served it, with more permits and waiters at hand."""
    semaphore = Semaphore(0)
    served: list[str] = []

    def fail() -> None:
        semaphore.acquire()
        served.append("bare")
        raise LookupError("told once")

    spawn_raw(fail)
    waiting = [spawn(semaphore.acquire), spawn(semaphore.acquire)]
    sleep(0)
    for _ in range(3):
        semaphore.release()
    joinall(waiting, timeout=5)
    assert served == ["bare"] and all(each.ready() for each in waiting) and semaphore.counter == 0
    assert capsys.readouterr().err.count("LookupError: told once") == 1


def test_no_waiting_in_a_callback_of_the_loop() -> None:
    semaphore, errors = Semaphore(0), list[BaseException]()

    def callback() -> None:
        assert not semaphore.acquire(blocking=False)
        try:
            semaphore.acquire()
        except BaseException as error:
            errors.append(error)
        semaphore.release()

    get_hub().loop.run_callback(callback)
    assert semaphore.acquire()
    assert [type(error) for error in errors] == [BlockingSwitchOutError]


def test_permits_between_threads() -> None:
    """G8, S5: threads with a hub, threads with greenlets, threads without: never more inside than permits,
    none is lost."""
    semaphore = Semaphore(2)
    lock = threading.Lock()
    inside = most = total = 0

    def enter() -> None:
        nonlocal inside, most, total
        with lock:
            inside += 1
            most = max(most, inside)
            total += 1

    def leave() -> None:
        nonlocal inside
        with lock:
            inside -= 1

    def use(rounds: int) -> None:
        for number in range(rounds):
            with semaphore:
                enter()
                sleep(0 if number % 3 else 0.0002)
                leave()

    def in_greenlets() -> None:
        joinall([spawn(use, 100) for _ in range(5)])

    def impatient() -> None:
        taken = 0
        while taken < 100:
            if semaphore.acquire(timeout=0.0003):
                enter()
                leave()
                semaphore.release()
                taken += 1

    threads = [threading.Thread(target=use, args=(100,)), threading.Thread(target=impatient)]
    threads += [threading.Thread(target=in_greenlets) for _ in range(2)]
    for thread in threads:
        thread.start()
    in_greenlets()
    for thread in threads:
        while thread.is_alive():
            sleep(0.001)
    assert most <= 2 and inside == 0 and total == 500 * 3 + 100 + 100
    assert semaphore.counter == 2 and semaphore.linkcount() == 0


def test_a_release_in_a_thread_without_a_hub_wakes() -> None:
    semaphore = Semaphore(0)
    thread = threading.Thread(target=lambda: (time.sleep(0.02), semaphore.release()))
    thread.start()
    assert semaphore.acquire() is True
    thread.join()


def test_a_with_block_takes_the_way_of_a_subclass() -> None:
    log: list[str] = []

    class Logged(Semaphore):
        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            log.append("acquire")
            return super().acquire(blocking, timeout)

        def release(self) -> int:
            log.append("release")
            return super().release()

    with Logged():
        pass
    assert log == ["acquire", "release"]


def test_a_bounded_semaphore_is_not_released_too_often() -> None:
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        semaphore.release()
    semaphore.acquire()
    with semaphore:
        pass
    waiting = spawn(semaphore.acquire)
    semaphore.acquire()
    sleep(0)
    assert semaphore.release() >= 0
    assert waiting.get(timeout=5)
    semaphore.release()
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()
    assert semaphore.counter == 2


def test_an_rlock_belongs_to_a_greenlet() -> None:
    lock = RLock()
    assert not lock.locked()
    assert lock.acquire() and lock.acquire(blocking=False)
    other = spawn(lock.acquire, blocking=False)
    assert other.get() is False
    assert spawn(lock.acquire, timeout=0.001).get() is False
    lock.release()
    assert lock.locked()
    waiting = spawn(lock.acquire)
    sleep(0)
    lock.release()
    assert waiting.get(timeout=5) is True and lock.locked()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()
    assert "_count=1" in repr(lock)
    with pytest.raises(RuntimeError):
        RLock().release()


def test_an_rlock_under_a_condition() -> None:
    """The standard library's Condition uses it as its own."""
    lock = RLock()
    lock.acquire()
    lock.acquire()
    assert lock._is_owned() and not spawn(lock._is_owned).get()
    state = lock._release_save()
    assert not lock.locked() and state == (2, getcurrent())
    lock._acquire_restore(state)
    lock.release()
    assert lock.locked()
    lock.release()
    with lock as taken:
        assert taken is True


def test_a_dummy_is_never_locked() -> None:
    dummy = DummySemaphore(5)
    with dummy:
        assert dummy.acquire() and dummy.acquire(blocking=False) and not dummy.locked() and dummy.ready()
        assert dummy.wait() == 1
    dummy.release()
    dummy.rawlink(print)
    dummy.unlink(print)
    assert repr(dummy) == "<DummySemaphore>"


def test_texts() -> None:
    semaphore = Semaphore(3)
    assert repr(semaphore) == f"<Semaphore at {id(semaphore):#x} counter=3 _links[0]>"
    assert semaphore.hub is get_hub()
