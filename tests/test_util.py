"""Looking at what runs, and checks that others get to run (`greenswitch.util`; spec G12, G13).

What belongs here: the tree of greenlets, the report on a process, `assert_switches`, `wrap_errors`. What
never does: the monitor thread.
"""

from __future__ import annotations

import gc
import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenswitch import (
    Greenlet,
    Timeout,
    get_hub,
    getcurrent,
    gettrace,
    greenlet,
    kill,
    settrace,
    sleep,
    spawn,
    spawn_raw,
)
from greenswitch.event import Event
from greenswitch.local import local
from greenswitch.util import (
    GreenletTree,
    assert_switches,
    format_run_info,
    print_run_info,
    wrap_errors,
)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    gc.collect()
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


@pytest.fixture
def family() -> Iterator[list[Greenlet]]:
    """Three generations, all waiting for the same event."""
    over, members = Event(), list[Greenlet]()

    def live(children: int) -> None:
        if children:
            members.append(spawn(live, children - 1))
        over.wait()

    members.append(spawn(live, 2))
    for _ in range(4):
        sleep(0)
    yield members
    over.set()
    for member in members:
        member.join()


def find(tree: GreenletTree, item: object) -> GreenletTree | None:
    if tree.greenlet is item:
        return tree
    return next(filter(None, (find(child, item) for child in tree.child_trees)), None)


def test_the_tree_follows_who_spawned_whom(family: list[Greenlet]) -> None:
    tree = GreenletTree.current_tree()
    assert tree.root and tree.is_current_tree and tree.greenlet is getcurrent()
    at: Any = tree
    for member in family:
        at = next(child for child in at.child_trees if child.greenlet is member)
        assert not at.root and not at.is_current_tree and at.name == member.name
    assert at.child_trees == [] and find(tree, get_hub())
    assert next(one for one in GreenletTree.forest() if one.is_current_tree).greenlet is tree.greenlet


def test_the_tree_as_a_text(family: list[Greenlet]) -> None:
    tree: Any = GreenletTree.current_tree()
    first, second, third = (re.escape(repr(member)) for member in family)
    text = str(tree)
    assert text == tree.format(details=False) == "\n".join(tree.format_lines(details=False))
    assert re.search(
        rf"^ \+--- {first}\n( \|  |    )  \+--- {second}\n( \|  |    )       \+--- {third}$", text, re.M
    )
    assert len(text.splitlines()) == 1 + text.count("+---")
    assert text.splitlines()[0] == repr(getcurrent())


def test_details_of_a_tree(family: list[Greenlet]) -> None:
    data: Any = local()
    data.mine = "own value"
    family[0].spawn_tree_locals["shared"] = "tree value"  # type: ignore[index]
    tree = GreenletTree.current_tree()
    text, *same = (tree.format(*how) for how in ((), (True,), (tree.DEFAULT_DETAILS,), ({},)))
    assert same == [text] * 3
    assert text.count("'shared': 'tree value'") == 1 and "{'mine': 'own value'}" in text
    assert text.count("over.wait()") == 3 and text.count("in live") == 3 + 2
    assert "test_details_of_a_tree" in text and "/util.py" not in text
    plain = tree.format(details={"running_stacks": False, "spawning_stacks": False, "locals": False})
    assert not any(detail in plain for detail in ("Running:", "tree value", "own value"))
    assert plain.count("Parent:") == text.count("Parent:")
    short = tree.format(details={"running_stack_limit": 1, "spawning_stacks": False})
    assert short.count("over.wait()") == 0 and short.count("Running:") == text.count("Running:")


def test_states_in_the_tree() -> None:
    greenlets: list[Any] = [Greenlet(int), spawn(str), spawn(int), spawn(int, "x"), greenlet(int)]
    greenlets[1].join()
    greenlets[2].value = None
    hub, quiet = get_hub(), lambda *_: None
    hub.handle_error, loud = quiet, hub.handle_error  # type: ignore[method-assign]
    try:
        greenlets[3].join()
    finally:
        hub.handle_error = loud  # type: ignore[method-assign]
    tree = GreenletTree.current_tree()
    labels = [str(found).splitlines()[0] for one in greenlets if (found := find(tree, one))]
    ends = [label[len(repr(one)) :] for label, one in zip(labels, greenlets, strict=True)]
    assert ends == [
        "; not running",
        "; finished with value ''",
        "; finished",
        "; finished with exception ValueError(\"invalid literal for int() with base 10: 'x'\")",
        "; not running",
    ]


def test_every_thread_has_its_tree() -> None:
    started, over = threading.Event(), threading.Event()
    mains: list[Any] = []

    def work() -> None:
        mains.append(getcurrent())
        kept = spawn(sleep, 10)
        sleep(0.001)
        started.set()
        over.wait()
        kept.kill()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    forest = GreenletTree.forest()
    over.set()
    thread.join()
    (tree,) = (tree for tree in forest if tree.greenlet is mains[0])
    assert tree.root and not tree.is_current_tree
    assert any(type(child.greenlet) is Greenlet for child in tree.child_trees)
    assert sum(tree.is_current_tree for tree in forest) == 1


def test_a_chain_of_a_thousand_generations() -> None:
    over = Event()
    members: list[Greenlet] = []

    def live(left: int) -> None:
        if left:
            members.append(spawn(live, left - 1))
        over.wait()

    members.append(spawn(live, 1500))
    while len(members) < 1501:
        sleep(0)
    lines = str(GreenletTree.current_tree()).splitlines()
    assert max(line.find("+---") for line in lines) == 1 + 5 * 1500
    over.set()
    for member in members:
        member.join()


def test_what_the_collector_does_not_show_is_in_the_tree() -> None:
    raw = spawn_raw(sleep, 10)
    sleep(0)
    gc.freeze()
    try:
        child = spawn(sleep)
        assert find(GreenletTree.current_tree(), child)
    finally:
        gc.unfreeze()
    assert find(GreenletTree.current_tree(), raw)
    kill(raw)
    child.kill()
    sleep(0)
    assert raw.dead


# Run info


def test_run_info(family: list[Greenlet]) -> None:
    lines = format_run_info()
    assert lines[1] == "* Threads" and "* Greenlets" in lines and all("\n" not in line for line in lines)
    text = "\n".join(lines)
    assert f"Thread {threading.get_ident():#x} (MainThread) (CURRENT)" in text
    assert text.count("over.wait()") == 3 and "in test_run_info" in text and "/util.py" not in text
    quiet = "\n".join(format_run_info(thread_stacks=False, greenlet_stacks=False, current_thread_ident=1))
    assert "in test_run_info" not in quiet and "(CURRENT)" not in quiet and repr(family[2]) in quiet
    short = "\n".join(format_run_info(limit=1))
    assert "over.wait()" not in short and short.count("suspend()") >= 3


def test_run_info_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    print_run_info(file=out)
    print_run_info(False, False)
    assert out.getvalue().startswith("*" * 80 + "\n* Threads\n") and out.getvalue().endswith("\n")
    assert capsys.readouterr().err.count("\n") < out.getvalue().count("\n")
    full = len(format_run_info())
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    assert len(format_run_info()) < full


# Checks


def test_a_block_that_lets_others_run() -> None:
    for arguments in ({}, {"max_blocking_time": 10}, {"hub_only": True}):
        with assert_switches(**arguments) as block:  # type: ignore[arg-type]
            assert block.hub is get_hub() and gettrace() is block.tracer
            sleep(0)
        assert gettrace() is None and block.tracer is None
    with assert_switches():
        greenlet(int).switch()
    with assert_switches(max_blocking_time=10):
        pass


def test_a_block_that_does_not() -> None:
    message = r"^no switch to another greenlet for \d\.\d+ s\n[*]+\n"
    with pytest.raises(AssertionError, match=message) as caught, assert_switches():
        pass
    assert "test_a_block_that_does_not" in str(caught.value)
    with pytest.raises(AssertionError, match="no switch to the hub for"), assert_switches(hub_only=True):
        greenlet(int).switch()
    for before, after in ((0.03, 0), (0, 0.03)):
        message = r"for 0\.\d+ s, 0\.0100 s are allowed"
        with pytest.raises(AssertionError, match=message), assert_switches(max_blocking_time=0.01):
            time.sleep(before)
            sleep(0)
            time.sleep(after)
    with pytest.raises(KeyError), assert_switches():
        raise KeyError
    assert gettrace() is None


def test_a_tracer_that_was_there_goes_on() -> None:
    events: list[str] = []
    settrace(lambda event, _: events.append(event))
    try:
        with assert_switches(), assert_switches(max_blocking_time=10):
            sleep(0)
        count = len(events)
        assert count >= 2
        sleep(0)
        assert len(events) == count + 2
    finally:
        settrace(None)


def test_errors_as_results() -> None:
    safe = wrap_errors(ValueError, int)
    assert safe("3") == 3 and isinstance(safe("x"), ValueError)
    assert isinstance(wrap_errors((TypeError, ValueError), int)([]), TypeError)
    with pytest.raises(TypeError):
        safe([])
    assert (repr(safe), str(safe), safe.__name__) == (repr(int), str(int), "int")
    worker = spawn(safe, "x")
    assert isinstance(worker.get(), ValueError) and worker.successful()
