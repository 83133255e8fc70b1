"""Every public name of gevent's modules is here, and can be called as there (spec D3).

What belongs here: names and signatures, compared with a list of those of gevent 26.9.0, `data/surface.json`.
What never does: what the names do.

The list: module -> name -> what it is, for a class also each of its public attributes; "" stands for the
class itself. A signature is written as its parameters: `name` is required, `name=` optional, `/name` can be
given by position only, `!name` by name only, `*` and `**` take the rest. Methods that sockets have in the
standard library are without one: there gevent's have other names for what can be given by position only.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, WrapperDescriptorType
from typing import Any

import pytest

import greenswitch
from greenswitch import get_hub, getcurrent
from greenswitch.threadpool import ThreadPool, ThreadResult
from greenswitch.util import GreenletTree, assert_switches

SURFACE: dict[str, dict[str, str | dict[str, str]]] = json.loads(
    (Path(__file__).parent / "data" / "surface.json").read_text(encoding="utf-8")
)

# Where gevent's name of a module is not ours.
HOMES = {"greenlet": "greenlets"}

# What is left out, with the reason.
LEFT_OUT = {
    **dict.fromkeys(
        (
            "fileobject.FileObject.__nonzero__",
            "fileobject.FileObjectBlock.__nonzero__",
            "fileobject.FileObjectPosix.__nonzero__",
            "fileobject.FileObjectThread.__nonzero__",
        ),
        "the name that Python 2 had for another method that is there",
    ),
    "monkey.main": "is what `python -m greenswitch.monkey` runs, and belongs to nobody else",
    "threadpool.ThreadPool.fork_watcher": "the pool sees by the process's number that it was forked",
    "threadpool.ThreadPool.manager": "threads are made and ended without a greenlet that does it",
    "threadpool.ThreadPool.task_queue": "calls stand in a native queue that is shared with nobody",
    "threadpool.ThreadResult.async_watcher": "the outcome comes back by the loop's call_threadsafe",
    "threadpool.ThreadResult.destroy_in_main_thread": "there is no watcher that would have to be destroyed",
}

# What cannot be called with all that gevent's signature takes, with the reason.
OTHER_SIGNATURES = {
    "monkey.api.patch_module": "the arguments with an underscore are for gevent's own modules",
    "monkey.patch_module": "the arguments with an underscore are for gevent's own modules",
    "monkey.patch_ssl": "the arguments with an underscore are for gevent's own modules",
    "monkey.patch_thread": "the arguments with an underscore are for gevent's own modules",
    "thread._make_thread_handle": "gevent's takes anything",
    "pool.Pool.start": "gevent hands the rest on to `add`, which takes no more than is named here",
    "subprocess.Popen.__exit__": "the parameters have the names of the standard library's",
    "threadpool.ThreadPoolExecutor": "gevent hands all on to the standard one, which takes what ours does",
}

# What is a property here that gives what can be called, with the reason.
PROPERTIES = {"hub.Hub.run": "the switcher calls it, once, and what runs must not hold the hub"}

# Attributes that are no attributes of the class are looked for in one of these.
EXAMPLES: dict[str, Callable[[], Any]] = {
    "GreenletTree": lambda: GreenletTree(getcurrent()),
    "Group": lambda: greenswitch.pool.Group(),  # type: ignore[attr-defined]
    "RLock": lambda: greenswitch.lock.RLock(),  # type: ignore[attr-defined]
    "ThreadPool": lambda: ThreadPool(1),
    "ThreadResult": lambda: ThreadResult(int, type("Hub", (), {"loop": get_hub().loop}), int),  # type: ignore
    "assert_switches": lambda: assert_switches().__enter__(),
}


def home(module: str) -> Any:
    if module == "greenswitch":
        return greenswitch
    return importlib.import_module(f"greenswitch.{HOMES.get(module, module)}")


def entries() -> list[tuple[str, str, str, str]]:
    """(module, name, attribute, what it is)"""
    found = []
    for module, names in SURFACE.items():
        for name, what in names.items():
            attributes = {"": what} if isinstance(what, str) else what
            found += [(module, name, attribute, kind) for attribute, kind in attributes.items()]
    return found


def path(module: str, name: str, attribute: str) -> str:
    return ".".join(filter(None, (module, name, attribute)))


def look_up(module: str, name: str, attribute: str) -> Any:
    """The thing itself; AttributeError if it is not there. Of a method, as it is called."""
    value = getattr(home(module), name)
    if not attribute:
        return value
    example = EXAMPLES.get(name)
    if example is not None and not hasattr(value, attribute):
        made = example()
        try:
            return getattr(made, attribute)
        finally:
            if isinstance(made, assert_switches):
                made.__exit__(KeyError, None, None)
            elif isinstance(made, ThreadResult):
                get_hub().loop.refs -= 1
    found = inspect.getattr_static(value, attribute)
    return found if isinstance(found, property) else getattr(value, attribute)


def ways_to_call(parameters: str) -> list[tuple[list[object], dict[str, object]]]:
    """Arguments that such a function takes: the fewest; all of them by position; all by name, unless
    any other name is taken too."""
    names = parameters.split()
    fewest: list[object] = [0 for name in names if name.isidentifier() or name[0] == "/" != name[-1] != "="]
    positional = [name.rstrip("=") for name in names if name[0] not in "*!"]
    by_name: dict[str, object] = {name.strip("!="): 0 for name in names if name[0] == "!"}
    ways = [(fewest, {}), ([0] * (len(positional) + 3 * ("*" in names)), dict(by_name))]
    if "**" not in names:
        by_name |= {name: 0 for name in positional if name[0] != "/"}
        ways.append(([0 for name in positional if name[0] == "/"], by_name))
    elif names == ["*", "**"]:
        ways.append(([0], {"anything": 0}))
    return ways


def misfits(function: Any, parameters: str, is_method: bool) -> list[str]:
    """Ways to call gevent's that ours does not take."""
    signature = inspect.signature(function)
    found = []
    for args, kwargs in ways_to_call(parameters):
        try:
            signature.bind(*([None] if is_method else []), *args, **kwargs)
        except TypeError as error:
            found.append(f"{parameters!r}, called with {args} and {kwargs}: {error}")
    return found


@pytest.mark.parametrize(
    ("module", "name", "attribute", "kind"), entries(), ids=lambda value: str(value).split("(")[0]
)
def test_every_name_is_there_and_can_be_called_as_in_gevent(
    module: str, name: str, attribute: str, kind: str
) -> None:
    if {path(module, name, ""), path(module, name, attribute)} & set(LEFT_OUT):
        with pytest.raises(AttributeError):
            look_up(module, name, attribute)
        return
    value = look_up(module, name, attribute)
    if path(module, name, attribute) in PROPERTIES:
        assert isinstance(value, property)
        return
    what, _, rest = kind.partition("(")
    if what in ("class", "function"):
        assert callable(value)
        assert inspect.isclass(value) or what == "function"
    elif what == "method":
        assert callable(value)
    if rest:
        static = inspect.getattr_static(getattr(home(module), name), attribute, None) if attribute else None
        is_method = what == "method" and isinstance(static, (FunctionType, WrapperDescriptorType))
        found = misfits(value, rest[:-1], is_method)
        assert bool(found) == (path(module, name, attribute) in OTHER_SIGNATURES), found


def test_the_list_is_all_there_and_nothing_is_left_out_twice() -> None:
    paths = {path(module, name, attribute) for module, name, attribute, _ in entries()}
    known = paths | {path(module, name, "") for module, name, _, _ in entries()}
    assert {*LEFT_OUT, *OTHER_SIGNATURES, *PROPERTIES} <= known and len(paths) > 600
    assert all(re.fullmatch(r"[a-z].*[a-z]", reason) for reason in LEFT_OUT.values())
    assert len(SURFACE) >= 17


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        ("a b=", True),
        ("a b= c=", False),
        ("a", True),
        ("", False),
        ("a *", False),
        ("a d=", False),
        ("/a /b=", True),
        ("a !c", False),
    ],
)
def test_a_signature_that_does_not_fit_is_noticed(parameters: str, fits: bool) -> None:
    def function(a: int, b: int = 0, *, more: int = 0) -> None:
        pass

    assert (misfits(function, parameters, False) == []) is fits
