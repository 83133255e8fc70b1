"""Who waits for what, since when, at which line: what a deadlock says.

What belongs here: the message of LoopExit and what it is made of. What never does: when LoopExit is raised,
which is tested with the hub.
"""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING

import pytest

from greenswitch import get_hub, getcurrent, greenlet, joinall, kill, sleep, spawn, spawn_raw
from greenswitch._waits import Wait, short_repr, waits_of
from greenswitch.event import Event
from greenswitch.exceptions import LoopExit
from greenswitch.lock import Semaphore
from greenswitch.queue import Queue

if TYPE_CHECKING:
    from conftest import RunPython


def line_of(function: object, text: str) -> int:
    lines, first = inspect.getsourcelines(function)  # type: ignore[arg-type]
    return first + next(number for number, line in enumerate(lines) if text in line)


def waits() -> list[Wait]:
    """Who waits, with this greenlet's own hub as the caller."""
    seen: list[list[Wait | str]] = []
    main = getcurrent()
    get_hub().loop.run_callback(lambda: seen.append(waits_of(main)))
    sleep(0.01)
    return [wait for wait in seen[0] if isinstance(wait, Wait)]


def wait_for_event(event: Event) -> None:
    event.wait()


def wait_for_queue(queue: Queue[int]) -> None:
    queue.get()


def wait_for_semaphore(semaphore: Semaphore) -> None:
    with semaphore:
        pass


def wait_a_while() -> None:
    sleep(100, ref=False)


def test_a_deadlock_says_who_waits_for_what_and_where() -> None:
    """G12."""
    assert threading.active_count() == 1
    event, queue, semaphore = Event(), Queue[int](), Semaphore(0)
    first = spawn(wait_for_event, event)
    first.name = "the first"
    others = [spawn(wait_for_queue, queue), spawn_raw(wait_for_semaphore, semaphore), spawn(wait_a_while)]
    with pytest.raises(LoopExit) as caught:
        joinall([first])
    message = str(caught.value)
    here = __file__
    expected = [
        ("the main greenlet", "joinall(", line_of(
            test_a_deadlock_says_who_waits_for_what_and_where, "joinall([first])"), "test_a_deadlock"),
        ('<Greenlet "the first"', f"Event.wait() of {event!r}", line_of(wait_for_event, ".wait"),
        "wait_for_event"), ("wait_for_queue", f"Queue.get() of {queue!r}", line_of(wait_for_queue, ".get"),
        "wait_for_queue"), (repr(others[1]), "of <Semaphore", line_of(wait_for_semaphore, "with"),
        "wait_for_semaphore"), ("wait_a_while", "sleep(100)", line_of(wait_a_while, "sleep"), "wait_a_while"),
    ]  # fmt: skip
    lines = message.splitlines()
    for who, what, line, function in expected:
        (found,) = [each for each in lines if f"at {here}:{line} in {function}" in each]
        assert who in found and what in found and " s, at " in found
    assert message.startswith("This operation would block forever\n\tHub: <Hub ")
    assert repr(caught.value) == message
    for each in [first, *others]:
        kill(each)
    sleep(0.01)


def test_since_when_is_exact_with_a_timer_and_a_bound_without() -> None:
    event = Event()
    sleep(0.01)
    timed, untimed = spawn(event.wait, 100), spawn(event.wait)
    asleep = spawn(sleep, 100)
    sleep(0.2)
    by_name = {wait.who: wait for wait in waits()}
    for greenlet_, exact in ((timed, True), (asleep, True), (untimed, False)):
        wait = by_name[repr(greenlet_)]
        assert wait.exact is exact and wait.seconds is not None and 0.2 <= wait.seconds < 20
        assert ("at most" in str(wait)) is not exact
    for each in (timed, untimed, asleep):
        each.kill()


def test_the_line_is_the_programs_and_not_the_standard_librarys(run_python: RunPython) -> None:
    program = """
import contextlib
from greenswitch.lock import Semaphore
def program():
    contextlib.ExitStack().enter_context(Semaphore(0))
try:
    program()
except Exception as error:
    print(type(error).__name__, [line.split(", at ")[1] for line in str(error).splitlines() if ", at " in
    line])
"""
    outcome = run_python(program).check()
    assert outcome.stdout == "LoopExit ['<string>:5 in program']\n"


def test_very_many_waits_are_counted(run_python: RunPython) -> None:
    program = """
from greenswitch import spawn
from greenswitch.event import Event
event = Event()
made = [spawn(event.wait) for _ in range(300)]
try:
    event.wait()
except Exception as error:
    print(len(str(error).splitlines()), str(error).splitlines()[-1].strip())
"""
    assert run_python(program).check().stdout == "104 and 201 greenlets more\n"


def test_a_repr_that_fails_spoils_nothing() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise KeyError("bad")

        def wait(self) -> None:
            Event().wait()

    assert short_repr(Bad()) == "<Bad whose repr failed with KeyError>"
    assert short_repr("x" * 1000) == "'" + "x" * 199 + "..."
    bad = spawn(Bad().wait)
    with pytest.raises(LoopExit, match="whose repr failed with KeyError"):
        Event().wait()
    bad.kill()


def test_joining_the_hub_collects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever joins expects the LoopExit, and does not pay for its message."""

    def fail(_: greenlet) -> None:
        raise AssertionError("collected")

    monkeypatch.setattr("greenswitch.hub.waits_of", fail)
    assert get_hub().join() is True


def test_greenlets_of_other_threads_are_left_out(run_python: RunPython) -> None:
    program = """
import threading
from greenswitch import get_hub, getcurrent, sleep, spawn
from greenswitch._waits import waits_of
from greenswitch.event import Event
inside, done = threading.Event(), threading.Event()
def work():
    one = spawn(Event().wait, 100)
    sleep(0.01)
    inside.set()
    done.wait()
    one.kill()
thread = threading.Thread(target=work)
thread.start()
inside.wait()
mine = spawn(sleep, 100)
main = getcurrent()
get_hub().loop.run_callback(lambda: print([wait.what for wait in waits_of(main)]))
sleep(0.01)
done.set()
thread.join()
"""
    assert run_python(program).check().stdout == "['sleep(0.01)', 'sleep(100)']\n"
