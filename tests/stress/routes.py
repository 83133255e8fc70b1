"""Ways from Python through C into Python: each calls the function that it is given.

What belongs here: calls which put the interpreter's C code between two Python functions.  What never does:
what the function does.

Exceptions of the function come out of a route of ROUTES.  Out of one of SHIELDED they do not: what runs there
- deallocations, callbacks of weak references - must not raise.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import pickle
import re
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

Function = Callable[[], Any]


class Calls:
    """An object whose special methods call a function."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __reduce__(self) -> Any:
        self.function()
        return (int, ())

    def __eq__(self, other: object) -> bool:
        self.function()
        return False

    def __hash__(self) -> int:
        return 1

    def __format__(self, how: str) -> str:
        self.function()
        return how

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.function()
        raise StopIteration

    def __getattr__(self, name: str) -> Any:
        if name != "missing":
            raise AttributeError(name)
        return self.function()

    def __add__(self, other: object) -> Any:
        return self.function()


class Dies:
    """An object whose deallocation calls a function."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __del__(self) -> None:
        self.function()


def plainly(function: Function) -> None:
    function()


def by_sorted(function: Function) -> None:
    sorted([2, 1], key=lambda _: (function() and 0) or 0)


def by_list_sort(function: Function) -> None:
    def compare(left: int, right: int) -> int:
        function()
        return left - right

    [2, 1].sort(key=functools.cmp_to_key(compare))


def by_map(function: Function) -> None:
    list(map(lambda _: function(), [0]))  # noqa: C417 - a comprehension would call without map()


def by_filter(function: Function) -> None:
    next(filter(lambda _: function() or True, [0]))


def by_re_sub(function: Function) -> None:
    re.sub("x", lambda _: str(function() and ""), "axb")


def by_pickle(function: Function) -> None:
    pickle.dumps([Calls(function)])


def by_reduce(function: Function) -> None:
    functools.reduce(lambda *_: function(), [1, 2])


def by_dict_lookup(function: Function) -> None:
    {Calls(function): 1}.get(Calls(int))


def by_max(function: Function) -> None:
    max([1], key=lambda _: (function() and 0) or 0)


def by_json(function: Function) -> None:
    json.dumps([object()], default=lambda _: function() and None)


def by_format(function: Function) -> None:
    "{0:x}{0:d}".format(Calls(function))


def by_iterator(function: Function) -> None:
    list(Calls(function))


def by_addition(function: Function) -> None:
    sum([Calls(function)], start=Calls(function))


def by_attribute(function: Function) -> None:
    getattr(Calls(function), "missing", None)


def by_exec(function: Function) -> None:
    exec("function()", {"function": function})


def by_partial(function: Function) -> None:
    functools.partial(functools.partial(plainly), function)()


def by_cached(function: Function) -> None:
    functools.lru_cache(plainly)(function)


def by_print(function: Function) -> None:
    class File(io.StringIO):
        def write(self, text: str) -> int:
            function()
            return len(text)

    print("x", end="", file=File())


def by_class(function: Function) -> None:
    class Has:
        name = function()


def by_generator(function: Function) -> None:
    def generate() -> Generator[int, None, None]:
        function()
        yield 1
        function()

    def outer() -> Generator[int, None, None]:
        yield from generate()

    list(outer())


def by_async_generator(function: Function) -> None:
    async def generate() -> AsyncIterator[int]:
        function()
        yield 1
        function()

    async def drive() -> int:
        return sum([number async for number in generate()])

    try:
        drive().send(None)
    except StopIteration as end:
        assert end.value == 1


def by_all(function: Function) -> None:
    """A generator that C code resumes."""
    all(function() or True for _ in range(2))


ROUTES: list[Callable[[Function], None]] = [
    plainly,
    by_sorted,
    by_list_sort,
    by_map,
    by_filter,
    by_re_sub,
    by_pickle,
    by_reduce,
    by_dict_lookup,
    by_max,
    by_json,
    by_format,
    by_iterator,
    by_addition,
    by_attribute,
    by_exec,
    by_partial,
    by_cached,
    by_print,
    by_class,
    by_generator,
    by_async_generator,
    by_all,
]


def by_del(function: Function) -> None:
    Dies(function)


def is_freed_at_once(levels: int) -> bool:
    """Whether the trashcan lets containers be freed that many levels deep, here."""

    class Thing:
        pass

    thing = Thing()
    left = weakref.ref(thing)
    nested: Any = thing
    for _ in range(levels):
        nested = (nested,)
    del thing, nested
    return left() is None


def by_trashcan(function: Function) -> None:
    """Deep containers: CPython puts their deallocation off, and comes back to it on its way out.

    The function is called where it can free something of its own without that being put off, too."""

    def if_shallow() -> None:
        nonlocal called
        if called < 2 and is_freed_at_once(25):
            called += 1
            function()

    called = 0
    chain: Any = None
    for number in range(200):
        chain = [(chain, Dies(if_shallow) if number % 6 == 0 else None)]
    del chain


def by_weakref_callback(function: Function) -> None:
    thing = Calls(int)
    callback = weakref.ref(thing, lambda _: function())
    del thing
    assert callback() is None


def by_generator_close(function: Function) -> None:
    def generate() -> Generator[int, None, None]:
        try:
            yield 1
        except GeneratorExit:
            pass
        function()

    waiting = generate()
    next(waiting)
    del waiting


def by_assignment(function: Function) -> None:
    """An attribute's deallocation in the middle of an assignment."""
    holder = Calls(Dies(function))
    holder.function = int


SHIELDED: list[Callable[[Function], None]] = [
    by_del,
    by_trashcan,
    by_weakref_callback,
    by_generator_close,
    by_assignment,
]


def by_collection(function: Function) -> None:
    """The same in the middle of a garbage collection.  One that is under way already does nothing."""
    dies = Dies(function)
    dies.itself = dies  # type: ignore[attr-defined]
    del dies
    gc.collect()


def recursion() -> int:
    """How many calls of Python functions fit."""

    def deeper() -> None:
        nonlocal depth
        depth += 1
        deeper()

    depth = 0
    try:
        deeper()
    except RecursionError:
        pass
    return depth


def recursion_in_c() -> int:
    """The same, each through C code."""

    def deeper(_: object = None) -> None:
        nonlocal depth
        depth += 1
        max([1], key=deeper)

    depth = 0
    try:
        deeper()
    except RecursionError:
        pass
    return depth


def code_of(frame: Any) -> list[Any]:
    """The code of this frame and of all behind it."""
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return found


def code_here() -> list[Any]:
    return code_of(sys._getframe(1))
