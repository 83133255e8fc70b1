"""Greenlets of the hub: start, end, results, links, kills, names, and waiting for many.

What belongs here: `greenswitch.greenlets`. What never does: groups and pools (`test_pool`), what gevent says
to the same programs (`differential`).
"""

from __future__ import annotations

import functools
import gc
import os
import re
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import greenswitch
from greenswitch import (
    Greenlet,
    GreenletExit,
    Timeout,
    config,
    get_hub,
    getcurrent,
    greenlet,
    iwait,
    joinall,
    kill,
    killall,
    sleep,
    spawn,
    spawn_later,
    spawn_raw,
    wait,
)
from greenswitch.event import AsyncResult, Event
from greenswitch.exceptions import BlockingSwitchOutError, InvalidSwitchError
from greenswitch.lock import Semaphore


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, BaseException]]:
    """The failures that are reported, instead of their being printed."""
    failures: list[tuple[object, BaseException]] = []

    def handle_error(context: object, type: type[BaseException], value: BaseException, tb: object) -> None:
        assert type is value.__class__
        failures.append((context, value))

    monkeypatch.setattr(get_hub(), "handle_error", handle_error)
    return failures


def fail(text: str = "failed") -> None:
    raise ValueError(text)


def shown(thing: object) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", repr(thing))


# Order


def test_greenlets_that_never_wait_run_one_after_another() -> None:
    """G1: each 0..4, in the order of the spawns."""
    log: list[tuple[greenlet, int]] = []

    def run(count: int) -> None:
        for number in range(count):
            log.append((getcurrent(), number))

    one, two, three = spawn(run, 5), spawn(run, 5), spawn(run, 5)
    one.join()
    two.join()
    three.join()
    assert log == [(who, number) for who in (one, two, three) for number in range(5)]


def test_greenlets_that_sleep_interleave() -> None:
    """G2: every round shows each once, in the order of the spawns; the time of one, not of three."""
    log: list[tuple[int, int]] = []

    def run(name: int) -> None:
        for number in range(3):
            log.append((name, number))
            sleep(0.1)

    start = time.monotonic()
    joinall([spawn(run, name) for name in range(3)])
    seconds = time.monotonic() - start
    assert log[:3] == [(0, 0), (1, 0), (2, 0)]
    assert [sorted(log[at : at + 3]) for at in (0, 3, 6)] == [[(n, r) for n in range(3)] for r in range(3)]
    assert 0.3 <= seconds < 0.6


def test_spawned_code_does_not_run_at_spawn() -> None:
    """G5."""
    log: list[str] = []
    made = spawn(log.append, "ran")
    assert log == [] and made.started and made and not made.ready() and not made.dead
    made.join()
    assert log == ["ran"] and not made.started and not made and made.ready() and made.dead


def test_spawn_later_runs_in_the_order_of_time() -> None:
    log: list[str] = []
    slow = spawn_later(0.02, log.append, "slow")
    quick = Greenlet.spawn_later(0.01, log.append, "quick")
    spawn(log.append, "now")
    assert slow.started and quick
    joinall([slow, quick])
    assert log == ["now", "quick", "slow"]
    with pytest.raises(TypeError, match="must be real number"):
        spawn_later("1", fail)  # type: ignore[arg-type]


def test_start_again_is_nothing() -> None:
    log: list[int] = []
    made = Greenlet(log.append, 1)
    assert not made.started and not made and not made.ready() and not made.dead
    made.start()
    made.start()
    made.start_later(0)
    made.join()
    made.start()
    made.start_later(0)
    sleep(0.001)
    assert log == [1]


def test_starting_from_a_thread_runs_in_its_own_hub() -> None:
    main = threading.get_ident()
    made = [Greenlet(threading.get_ident) for _ in range(3)]
    thread = threading.Thread(target=lambda: [one.start() for one in made])
    thread.start()
    assert [one.get(timeout=5) for one in made] == [main] * 3
    thread.join()


# Results


def test_a_result() -> None:
    """G7: a finished greenlet has a value."""

    def run(*args: int, **kwargs: int) -> object:
        return args, kwargs

    made = spawn(run, 1, 2, three=3)
    assert made.args == (1, 2) and made.kwargs == {"three": 3}
    assert not made.successful() and made.value is None and made.exception is None and made.exc_info is None
    assert made.get() == ((1, 2), {"three": 3})
    assert made.value == ((1, 2), {"three": 3}) and made.successful() and made.exception is None
    # What it was called with is let go.
    assert made.args == () and made.kwargs == {}
    made.join()


def test_a_failure_is_reported_once_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """G7: once with its traceback and the greenlet, and the others go on."""
    log: list[int] = []
    bad = spawn(fail, "told once")
    spawn(log.append, 1)
    sleep(0)
    err = capsys.readouterr().err
    assert log == [1]
    assert err.count("ValueError: told once") == 1
    assert "raise ValueError(text)" in err and os.path.dirname(str(greenswitch.__file__)) not in err
    assert re.search(r"Z <Greenlet at 0x[0-9a-f]+: fail\('told once'\)> failed with ValueError\n", err)
    assert not bad.successful() and bad.ready() and bad.value is None
    for attempt in (bad.get, bad.get):
        with pytest.raises(ValueError, match="told once") as caught:
            attempt()
        assert caught.value is bad.exception
    assert bad.exc_info is not None and bad.exc_info[:2] == (ValueError, bad.exception)
    bad.join()
    assert capsys.readouterr().err == ""


def test_a_call_that_does_not_fit_is_a_failure(reported: list[tuple[object, BaseException]]) -> None:
    bad = spawn(fail, 1, 2, 3)
    bad.join()
    ((context, error),) = reported
    assert context is bad and isinstance(error, TypeError)


def test_get_without_waiting_and_with_a_bound() -> None:
    made = spawn(sleep, 10)
    with pytest.raises(Timeout) as at_once:
        made.get(block=False)
    assert at_once.value.seconds is None
    with pytest.raises(Timeout, match=r"0.01 seconds"):
        made.get(timeout=0.01)
    assert made.join(timeout=0.01) is None and not made.ready()
    made.kill()


def test_the_failure_does_not_keep_the_greenlet(reported: list[tuple[object, BaseException]]) -> None:
    """No circle greenlet - traceback - frame - greenlet: the memory goes without a collection."""
    gc.collect()
    gc.disable()
    try:
        bad = spawn(fail)
        bad.join()
        gone = weakref.ref(bad)
        reported.clear()
        del bad
        assert gone() is None
    finally:
        gc.enable()


def test_a_subclass_defines_what_runs() -> None:
    class Squares(Greenlet):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def _run(self) -> int:
            return self.number**2

    made = Squares(7)
    made.start()
    assert made.get() == 49
    assert shown(Squares.spawn(3)) == "<Squares at 0x: _run>"

    class WithArguments(Greenlet):
        def _run(self, *args: int, **kwargs: int) -> object:
            return args, kwargs

    # The first argument is what runs, as always.
    assert WithArguments.spawn(lambda *a: a, 1).get() == (1,)
    nothing = Greenlet()
    nothing.start()
    assert nothing.get() is None
    replaced = Greenlet()
    replaced._run = lambda: "replaced"  # type: ignore[method-assign]
    replaced.start()
    assert replaced.get() == "replaced"


@pytest.mark.parametrize("make", [Greenlet, spawn, functools.partial(spawn_later, 0)])
def test_what_cannot_be_called_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="The run argument or self._run must be callable"):
        make(5)


def test_users_may_set_attributes_and_refer_weakly() -> None:
    made: Any = Greenlet(fail)
    made.anything = 5
    assert made.anything == 5 and weakref.ref(made)() is made


def test_the_spawning_greenlet_is_known_and_not_kept_alive() -> None:
    children: list[Greenlet] = []
    parent = spawn(lambda: children.append(spawn(sleep, 0)))
    parent.join()
    assert children[0].spawning_greenlet() is parent
    del parent
    gc.collect()
    assert children[0].spawning_greenlet() is None
    assert children[0].loop is get_hub().loop and children[0].parent is get_hub()


def calls_of(made: Greenlet) -> list[tuple[str, int]]:
    """Names and lines, relative to the function, of its spawning stack."""
    calls = []
    frame = made.spawning_stack
    while frame is not None:
        calls.append((frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))
        frame = frame.f_back
    return calls


class OwnInit(Greenlet):
    spawning_stack_limit = 3

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


def test_the_spawning_stack_is_that_of_the_moment() -> None:
    def deep(levels: int, make: Callable[..., Greenlet]) -> Greenlet:
        if levels:
            return deep(levels - 1, make)
        made = make(fail)
        # The line of the call is kept, not the one that the frame comes to.
        made.kill()
        return made

    for make in (Greenlet, spawn, functools.partial(spawn_later, 10)):
        made = deep(20, make)
        assert calls_of(made) == [("deep", 3)] + [("deep", 2)] * 9
        made = deep(2, make)
        assert calls_of(made)[:3] == [("deep", 3), ("deep", 2), ("deep", 2)]
        assert calls_of(made)[3][0] == "test_the_spawning_stack_is_that_of_the_moment"
        stack = made.spawning_stack
        assert stack is not None and stack.f_globals == stack.f_locals == {}
        printed = traceback.format_stack(stack)  # type: ignore[arg-type]
        assert printed[-1].splitlines()[0] == f'  File "{__file__}", line {stack.f_lineno}, in deep'
        assert "made = make(fail)" in printed[-1]
    for own in (OwnInit, OwnInit.spawn):
        assert calls_of(deep(20, own)) == [("__init__", 1), ("deep", 3), ("deep", 2)]


@pytest.mark.parametrize("limit", [0, 1, 2, 12, 1000])
def test_as_much_of_the_spawning_stack_as_is_asked_for(limit: int) -> None:
    class Limited(Greenlet):
        spawning_stack_limit = limit

    def deep(levels: int) -> Greenlet:
        return deep(levels - 1) if levels else Limited.spawn(sleep)

    calls = calls_of(deep(14))
    assert len(calls) == limit or (len(calls) > 15 and limit == 1000)
    assert calls[:15] == [("deep", 1)] * min(15, limit)


def test_a_tree_of_greenlets_shares_its_locals() -> None:
    seen: list[Any] = []

    def run(levels: int) -> None:
        seen.append(getcurrent())
        if levels:
            joinall([spawn(run, levels - 1), spawn(run, 0)])

    roots = [spawn(run, 2), spawn(run, 1), spawn(run, 0)]
    first, second, third = (root.spawn_tree_locals for root in [*roots[:2], Greenlet(fail)])
    assert first == second == third == {} and len({id(first), id(second), id(third)}) == 3
    first["mark"] = 1
    joinall(roots)
    trees = [one.spawn_tree_locals for one in seen]
    assert [sum(tree is other for tree in trees) for other in (first, second, third)] == [5, 3, 0]
    assert roots[2].spawn_tree_locals == {}
    get_hub().loop.run_callback(lambda: seen.append(spawn(sleep)))
    sleep(0)
    assert seen[-1].spawn_tree_locals == {} and seen[-1].spawning_greenlet() is get_hub()
    seen[-1].spawn_tree_locals = other = {"set": 1}
    assert seen[-1].spawn_tree_locals is other


def test_nothing_is_tracked_where_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "track_greenlet_tree", False)
    made: Any = spawn(sleep)
    assert made.spawning_greenlet is made.spawning_stack is made.spawn_tree_locals is None
    monkeypatch.undo()
    children: list[Greenlet] = []
    spawn(lambda: children.append(spawn(sleep))).join()
    assert children[0].spawning_stack is not None and children[0].spawn_tree_locals == {}


def test_the_context_manager_waits_at_the_end() -> None:
    with spawn(sleep, 0.01) as made:
        assert not made.dead
    assert made.dead and made.successful()


def test_the_context_manager_kills_when_its_block_fails(reported: list[object]) -> None:
    with pytest.raises(ZeroDivisionError), spawn(sleep, 10) as made:
        sleep(0)
        raise ZeroDivisionError
    assert made.dead and isinstance(made.exception, ZeroDivisionError)


def test_spawn_callbacks() -> None:
    seen: list[Greenlet] = []
    Greenlet.add_spawn_callback(seen.append)
    try:
        made = [spawn(sleep, 0), spawn_later(0, sleep, 0)]
        assert seen == made
    finally:
        Greenlet.remove_spawn_callback(seen.append)
        Greenlet.remove_spawn_callback(seen.append)
    spawn(sleep, 0).join()
    assert seen == made


# Names and repr


class Shown:
    def method(self, *args: object) -> None:
        pass

    def __call__(self) -> None:
        pass

    def __repr__(self) -> str:
        return "<Shown>"


@pytest.mark.parametrize(
    ("arguments", "keywords", "text"),
    [
        ((fail,), {}, "fail"),
        ((fail, 5), {}, "fail(5)"),
        ((fail, "a"), {"k": [1]}, "fail('a', k=[1])"),
        ((fail,), {"k": 1}, "fail(k=1)"),
        ((lambda: None,), {}, "<lambda>"),
        ((Shown().method, 1), {}, "<bound method Shown.method of <Shown>>(1)"),
        ((Shown(),), {}, "<Shown>"),
        ((Shown,), {}, "Shown"),
        ((len, [1]), {}, "<built-in function len>([1])"),
        ((functools.partial(int, 2),), {}, "functools.partial(<class 'int'>, 2)"),
        ((fail, "x" * 100), {}, "fail('" + "x" * 49 + ")"),
        ((), {}, "_run"),
    ],
)
def test_repr_shows_the_call(arguments: tuple[Any, ...], keywords: dict[str, Any], text: str) -> None:
    """G3."""
    made = Greenlet(*arguments, **keywords)
    assert repr(made) == str(made) == f"<Greenlet at {id(made):#x}: {text}>"


def test_repr_of_a_finished_greenlet() -> None:
    """As gevent's: the call is let go in the end, unless it was shown before."""
    unseen, seen = spawn(sleep, 0), spawn(sleep, 0)
    assert shown(seen) == "<Greenlet at 0x: sleep(0)>"
    joinall([unseen, seen])
    assert shown(seen) == "<Greenlet at 0x: sleep(0)>"
    assert shown(unseen) == "<Greenlet at 0x: _run>"


def test_names_take_the_smallest_number_that_is_free() -> None:
    """G3: in its hub; free again when the greenlet is gone."""
    names: list[object] = []

    def work() -> None:
        first, second, third = (Greenlet(fail) for _ in range(3))
        assert shown(first) == "<Greenlet at 0x: fail>"
        names.extend([third.name, first.name, second.name, third.name, first.minimal_ident])
        names.append(shown(first))
        del first, third
        gc.collect()
        fourth, fifth = Greenlet(fail), Greenlet(fail)
        names.extend([fifth.name, fourth.name])
        second.name = "mine"
        names.append(shown(second))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert names[:5] == ["Greenlet-0", "Greenlet-1", "Greenlet-2", "Greenlet-0", 1]
    assert names[5] == '<Greenlet "Greenlet-1" at 0x: fail>'
    assert names[6:] == ["Greenlet-0", "Greenlet-1", '<Greenlet "mine" at 0x: fail>']


# Links


def test_links_are_called_in_their_order_from_the_loop(
    reported: list[tuple[object, BaseException]],
) -> None:
    log: list[object] = []

    def note(what: str) -> Callable[[Greenlet], None]:
        def link(source: Greenlet) -> None:
            log.append((what, source, getcurrent() is get_hub()))

        return link

    good, bad = spawn(int), spawn(fail)
    for made in (good, bad):
        made.link(note("link"))
        made.link_value(note("value"))
        made.link_exception(note("exception"))
        made.rawlink(note("raw"))
    good.join()
    bad.join()
    sleep(0)
    assert log == [
        ("link", good, False),
        ("value", good, False),
        ("raw", good, True),
        ("link", bad, False),
        ("exception", bad, False),
        ("raw", bad, True),
    ]
    del log[:]
    good.rawlink(note("late"))
    assert log == []
    sleep(0)
    assert log == [("late", good, True)]


def test_a_joiner_has_its_place_among_the_links() -> None:
    log: list[str] = []
    made = spawn(sleep, 0)
    made.rawlink(lambda _: log.append("first"))

    def joiner() -> None:
        made.join()
        log.append("joiner")

    spawn(joiner)
    sleep(0)
    made.rawlink(lambda _: log.append("last"))
    made.join()
    assert log == ["first", "joiner", "last"]


def test_links_may_wait_and_fail(reported: list[tuple[object, BaseException]]) -> None:
    log: list[str] = []
    made = spawn(int)

    def waits(source: Greenlet) -> None:
        sleep(0.001)
        log.append("waited")

    def bad_raw(source: Greenlet) -> None:
        raise LookupError("raw")

    made.link(waits)
    made.link(lambda _: fail("link"))
    made.rawlink(bad_raw)
    made.rawlink(lambda _: log.append("after"))
    made.join()
    sleep(0.01)
    assert log == ["after", "waited"]
    assert [str(error) for _, error in reported] == ["link", "raw"]
    assert isinstance(reported[1][0], tuple) and reported[1][0] == (bad_raw, made)


def test_a_report_that_fails_does_not_stop_the_other_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle_error(*args: object) -> None:
        raise LookupError("while reporting")

    monkeypatch.setattr(get_hub(), "handle_error", handle_error)
    for make in (lambda: spawn(sleep), Event):
        one: Any = make()
        called: list[object] = []
        one.rawlink(lambda _: int("x"))
        one.rawlink(called.append)
        joining = spawn(one.wait if isinstance(one, Event) else one.join)
        if isinstance(one, Event):
            sleep(0)
            one.set()
        with pytest.raises(LookupError, match="while reporting"):
            joining.join(5)
        joining.join(5)
        sleep(0)
        assert called == [one] and joining.ready()


def test_unlink() -> None:
    log: list[str] = []

    class Callback:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, source: object) -> None:
            log.append("unhashable")

    def callback(source: object) -> None:
        log.append("callback")

    unhashable = Callback()
    made = spawn(int)
    for link in (callback, callback, callback, unhashable, unhashable):
        made.link(link)
        made.rawlink(link)
    assert made.has_links()
    for _ in range(5):
        made.unlink(callback)
    made.unlink(unhashable)
    made.unlink(print)
    made.join()
    sleep(0)
    assert sorted(log) == ["callback", "unhashable", "unhashable", "unhashable"]
    other = spawn(int)
    other.rawlink(callback)
    other.unlink_all()
    assert not other.has_links()
    other.unlink_all()
    del log[:]
    other.join()
    assert log == []
    for method in (other.link, other.rawlink, other.link_value, other.link_exception):
        with pytest.raises(TypeError, match="Expected callable: 5"):
            method(5)  # type: ignore[arg-type]


def test_unlink_all_does_not_forget_who_joins() -> None:
    made = spawn(sleep, 0.001)
    joiner = spawn(made.join)
    sleep(0)
    made.unlink_all()
    joiner.join(timeout=5)
    assert joiner.successful()


# Waiting


def test_join_does_not_wait_for_what_is_done() -> None:
    made = spawn(int)
    made.join()
    log: list[int] = []
    spawn(log.append, 1)
    made.join()
    made.get()
    assert log == []


def test_many_join_one() -> None:
    made = spawn(sleep, 0.01)
    order: list[int] = []

    def joiner(number: int) -> None:
        made.join()
        order.append(number)

    joiners = [spawn(joiner, number) for number in range(100)]
    leavers = [spawn(made.join) for _ in range(100)]
    impatient = [spawn(made.get, timeout=0.001) for _ in range(10)]
    sleep(0)
    killall(leavers)
    get_hub().handle_error, kept = lambda *_: None, get_hub().handle_error  # type: ignore[method-assign]
    try:
        joinall(impatient)
    finally:
        get_hub().handle_error = kept  # type: ignore[method-assign]
    assert all(isinstance(one.exception, Timeout) for one in impatient)
    joinall(joiners)
    assert order == list(range(100))
    assert not made.has_links()


def test_a_joiner_that_is_killed_when_it_was_woken_already() -> None:
    made = spawn(sleep, 0)
    log: list[str] = []

    def joiner() -> None:
        try:
            made.join()
        finally:
            sleep(0)
            sleep(0.001)
            log.append("slept")

    victim = spawn(joiner)
    sleep(0)
    # It is done in this turn, and its joiner is in the ready queue; the kill comes before.
    made.rawlink(lambda _: None)
    made.unlink_all()
    get_hub().loop.ready.append(lambda: victim.throw(GreenletExit))
    victim.join()
    assert log == ["slept"] and made.dead


def test_a_foreign_switch_to_a_joiner() -> None:
    made = spawn(sleep, 0.01)
    victim = spawn(made.join)
    sleep(0)
    get_hub().handle_error, kept = lambda *_: None, get_hub().handle_error  # type: ignore[method-assign]
    try:
        get_hub().loop.run_callback(victim.switch, "wrong")
        victim.join()
    finally:
        get_hub().handle_error = kept  # type: ignore[method-assign]
    assert isinstance(victim.exception, InvalidSwitchError)
    made.join()


def test_no_join_in_a_callback_of_the_loop() -> None:
    made = spawn(sleep, 0.001)
    errors: list[BaseException] = []

    def callback() -> None:
        try:
            made.join()
        except BaseException as error:
            errors.append(error)

    get_hub().loop.run_callback(callback)
    made.join()
    assert [type(error) for error in errors] == [BlockingSwitchOutError]


def test_join_and_kill_from_another_thread() -> None:
    """S5: no switch to another thread's greenlet, but waiting for it and ending it."""
    running, doomed = spawn(sleep, 0.05), spawn(sleep, 100)
    sleep(0)
    log: list[object] = []

    def work() -> None:
        running.join()
        log.append(running.dead)
        doomed.kill()
        log.append(doomed.dead)
        log.append(running.get(timeout=1))

    thread = threading.Thread(target=work)
    thread.start()
    doomed.join()
    while thread.is_alive():
        sleep(0.001)
    assert log == [True, True, None]


def test_joinall() -> None:
    """G4: the list in the order of the ends; the time of the longest."""
    log: list[str] = []

    def run(name: str, seconds: float) -> None:
        log.append(f"{name}-start")
        sleep(seconds)
        log.append(f"{name}-end")

    start = time.monotonic()
    foo, bar = spawn(run, "foo", 0.2), spawn(run, "bar", 0.1)
    assert joinall([foo, bar]) == [bar, foo]
    assert 0.2 <= time.monotonic() - start < 0.3
    assert log == ["foo-start", "bar-start", "bar-end", "foo-end"]
    assert joinall([]) == []
    assert joinall([foo, foo]) == [foo, foo]


def test_joinall_with_a_count_and_a_timeout() -> None:
    made = [spawn_later(number / 100, int) for number in (3, 1, 2)]
    assert joinall(made, count=1) == [made[1]]
    assert not made[0].has_links() and not made[2].has_links()
    assert joinall(made, timeout=0.0001) == [made[1]]
    assert set(joinall(iter(made), timeout=5)) == set(made)


def test_joinall_raises_the_first_failure(reported: list[tuple[object, BaseException]]) -> None:
    made = [spawn(sleep, 10), spawn_later(0.001, fail, "first"), spawn_later(0.02, fail, "second")]
    with pytest.raises(ValueError, match="first"):
        joinall(made, raise_error=True)
    killall(made)
    good = [spawn(int), spawn(int)]
    assert joinall(good, raise_error=True) == good


def test_wait_and_iwait() -> None:
    made = [spawn_later(number / 100, lambda number=number: number) for number in (3, 1, 2)]
    event, result = Event(), AsyncResult[int]()
    spawn_later(0.015, event.set)
    spawn_later(0.035, result.set)
    things: list[Any] = [*made, event, result]
    assert list(iwait(things)) == [made[1], event, made[2], made[0], result]
    assert list(iwait(made, count=2)) != [] and len(list(iwait(made, count=2))) == 2
    assert set(wait(made)) == set(made)
    assert list(iwait([Event()], timeout=0.001)) == [] and wait([Event()], timeout=0.001) == []
    assert list(iwait([])) == [] and wait([]) == []
    waiting = Event()
    for one in iwait([made[0], waiting], timeout=5):
        assert one is made[0]
        break
    gc.collect()
    assert waiting.linkcount() == 0


def test_one_that_is_waited_for_several_times_counts_as_often() -> None:
    kinds: list[tuple[Any, Any]] = [
        (Event(), Event.set),
        (AsyncResult(), AsyncResult.set),
        (Semaphore(0), Semaphore.release),
    ]
    for item, end in kinds:
        other = spawn(sleep)
        spawn(end, item)
        assert sorted(wait([item, other, item], timeout=5), key=id) == sorted([item, item, other], key=id)
        # It is ready now.
        assert wait([item, item], timeout=5) == [item, item]
        assert list(iwait([item, item, other, other], count=3, timeout=5))[:2] == [item, item]
        assert not item.linkcount() and not other.has_links()
    assert joinall([other, other], timeout=5) == [other, other]


def test_joinall_takes_what_cannot_fail() -> None:
    event, result = Event(), AsyncResult[int]()
    event.set()
    assert joinall([event, Semaphore()], raise_error=True)[0] is event  # type: ignore[type-var]
    result.set_exception(ValueError("of the result"))
    with pytest.raises(ValueError, match="of the result"):
        joinall([event, result], raise_error=True)  # type: ignore[type-var]


def test_wait_for_nothing_in_particular() -> None:
    """Until nothing is left to do in this thread."""
    log: list[int] = []
    spawn_later(0.01, log.append, 1)
    assert wait(timeout=0.001) is False and log == []
    assert wait() is True and log == [1]
    assert list(iwait(None)) == [True]


def test_a_greenlet_that_joins_itself_can_be_killed() -> None:
    made: list[Greenlet] = []
    made.append(spawn(lambda: made[0].join()))
    sleep(0.001)
    made[0].kill()
    assert made[0].dead


# Kills


def test_kill_of_one_that_does_not_run_yet() -> None:
    log: list[object] = []
    makers: list[Callable[..., Greenlet]] = [Greenlet, spawn, functools.partial(spawn_later, 0)]
    for make in makers:
        made = make(log.append, "ran")
        made.rawlink(lambda source: log.append(source))
        made.kill()
        # At once, without letting anybody run.
        assert made.dead and made.ready() and made.successful() and isinstance(made.value, GreenletExit)
        assert log == [] and not made.started
        sleep(0.001)
        assert log == [made]
        del log[:]
        made.start()
        made.kill()
        made.throw(ValueError)
        sleep(0.001)
        assert log == []
        assert isinstance(made.get(), GreenletExit)


def test_kill_with_an_exception(reported: list[tuple[object, BaseException]]) -> None:
    given = ValueError("given")
    running, new = spawn(sleep, 10), Greenlet(sleep, 10)
    sleep(0)
    running.kill(given)
    new.kill(ValueError)
    assert running.exception is given and isinstance(new.exception, ValueError)
    assert not running.successful() and not new.successful()
    assert [context for context, _ in reported] == [running, new]


def test_kill_waits_for_the_end_or_not() -> None:
    """G14."""

    def stubborn() -> str:
        try:
            sleep(10)
        except GreenletExit:
            sleep(0.02)
        return "cleaned up"

    made = [spawn(stubborn) for _ in range(3)]
    sleep(0)
    made[0].kill(block=False)
    assert not made[0].dead
    made[1].kill(timeout=0.001)
    assert not made[1].dead
    made[2].kill()
    assert made[2].dead and made[2].value == "cleaned up"
    joinall(made)
    assert [one.value for one in made] == ["cleaned up"] * 3


def test_kill_of_oneself() -> None:
    log: list[str] = []

    def run() -> None:
        current = getcurrent()
        assert isinstance(current, Greenlet)
        current.kill()
        log.append("not reached")

    made = spawn(run)
    made.join()
    assert log == [] and isinstance(made.value, GreenletExit)


def test_throw_switches_at_once() -> None:
    log: list[str] = []

    def run() -> None:
        try:
            sleep(10)
        except LookupError:
            log.append("thrown")

    made = spawn(run)
    sleep(0)
    get_hub().loop.run_callback(made.throw, LookupError("x"))
    made.join()
    assert log == ["thrown"]


@pytest.mark.parametrize(
    ("args", "kind", "text"),
    [
        ((), GreenletExit, ""),
        ((ValueError,), ValueError, ""),
        ((ValueError("given"),), ValueError, "given"),
        ((ValueError, "text"), ValueError, "text"),
        ((ValueError, ValueError("value")), ValueError, "value"),
    ],
)
def test_throw_into_one_that_does_not_run_yet(
    args: tuple[Any, ...], kind: type[BaseException], text: str, reported: list[tuple[object, BaseException]]
) -> None:
    made = spawn(sleep, 10)
    made.throw(*args)
    assert made.dead
    error = made.value if kind is GreenletExit else made.exception
    assert type(error) is kind and str(error) == text


def test_killall() -> None:
    running = [spawn(sleep, 10) for _ in range(3)]
    sleep(0)
    new = [spawn(sleep, 10), Greenlet(sleep)]
    done = spawn(int)
    done.join()
    raw = spawn_raw(sleep, 10)
    killall([*running, *new, done, raw])
    assert all(one.dead for one in [*running, *new])
    sleep(0)
    assert raw.dead
    killall([])
    kill(done)
    with pytest.raises(Timeout, match=r"0.001 seconds"):
        killall([spawn_stubborn()], timeout=0.001)
    late = [spawn(sleep, 10)]
    sleep(0)
    killall(late, exception=GreenletExit, block=False)
    assert not late[0].dead
    joinall(late)


def spawn_stubborn() -> Greenlet:
    def run() -> None:
        try:
            sleep(10)
        except GreenletExit:
            sleep(0.01)

    made = spawn(run)
    sleep(0)
    return made


def test_a_hundred_thousand_alive_at_once() -> None:
    """S3: each suspended in Python code, then each resumed to its end; results right."""

    def run(number: int) -> int:
        sleep(0)
        event.wait()
        return number

    event = Event()
    count = 100_000
    made = [spawn(run, number) for number in range(count)]
    sleep(0)
    sleep(0)
    assert event.linkcount() == count
    event.set()
    joinall(made)
    assert [one.value for one in made] == list(range(count))
