"""Looking at what runs: every thread and every greenlet with its stack, and checks that others get to run.

What belongs here: what a person asks for who wants to understand a program, or a test that wants to be sure.
What never does: anything that greenlets need in order to run; nothing imports this module but on request.
"""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pprint import pformat
from types import FrameType, TracebackType
from typing import Any, TextIO

from ._core import getcurrent, gettrace, greenlet, settrace
from ._original import get_ident, perf_counter
from .hub import Hub, get_hub, helper_threads
from .local import all_local_dicts_for_greenlet

__all__ = ["GreenletTree", "assert_switches", "format_run_info", "print_run_info", "wrap_errors"]

_STARS = "*" * 80


class wrap_errors:
    """A function that returns what it fails with in place of raising it, if that is one of `errors`, an
    exception class or a tuple of them; otherwise it is as `func`, whose attributes it has."""

    def __init__(
        self,
        errors: type[BaseException] | tuple[type[BaseException], ...],
        func: Callable[..., Any],
    ) -> None:
        self._errors = errors
        self._func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._func(*args, **kwargs)
        except self._errors as error:
            return error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._func, name)

    def __str__(self) -> str:
        return str(self._func)

    def __repr__(self) -> str:
        return repr(self._func)


# Run info


def print_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    file: TextIO | None = None,
) -> None:
    """Print `format_run_info` to `file`, by default `sys.stderr`."""
    stream = sys.stderr if file is None else file
    lines = format_run_info(thread_stacks, greenlet_stacks, limit)
    stream.write("\n".join([*lines, ""]))


def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    current_thread_ident: int | None = None,
) -> list[str]:
    """Lines that show all native threads and all greenlets of the process, with their stacks unless
    `thread_stacks` or `greenlet_stacks` is false, of at most `limit` calls (None: `sys.tracebacklimit`, or
    all). The thread `current_thread_ident` is marked, by default the one that asks."""
    marked = get_ident() if current_thread_ident is None else current_thread_ident
    return [
        *_heading("Threads"),
        *_thread_lines(thread_stacks, limit, marked),
        *_heading("Greenlets"),
        *_greenlet_lines(greenlet_stacks, limit),
    ]


def _heading(text: str) -> list[str]:
    return [_STARS, f"* {text}", _STARS]


def _thread_lines(stacks: bool, limit: int | None, marked: int) -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    for ident, frame in frames.items():
        name = names.get(ident) or ("helper" if ident in helper_threads else "unnamed")
        yield f"Thread {ident:#x} ({name}){' (CURRENT)' if ident == marked else ''}"
        if stacks:
            yield from _stack_lines(frame, limit, own=ident == get_ident())
        yield ""
    # What is asked for last holds what was called first: these very frames.
    del frames, frame


def _greenlet_lines(stacks: bool, limit: int | None) -> Iterator[str]:
    details = {**GreenletTree.DEFAULT_DETAILS, "running_stacks": stacks, "running_stack_limit": limit}
    for tree in GreenletTree.forest():
        yield "---- Thread boundary"
        yield from tree.format_lines(details=details)


def _stack_lines(frame: Any, limit: int | None, own: bool) -> list[str]:
    """The stack that `frame` is the top of; `own`: without the part of it that is in this module."""
    while own and frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is None:
        return []
    return [line.rstrip() for line in "".join(traceback.format_stack(frame, limit)).splitlines()]


class GreenletTree:
    """One greenlet and those that it spawned, each with those that it spawned.

    Attributes of the greenlet are attributes of the tree.
    """

    DEFAULT_DETAILS: Mapping[str, Any] = {
        "running_stacks": True,
        "running_stack_limit": None,
        "spawning_stacks": True,
        "locals": True,
    }
    """What `format` shows besides the greenlets: where each one is, by how many calls at most, where it was
    spawned, and its `greenswitch.local` objects and those of its tree of greenlets."""

    is_current_tree: bool
    """Is this the tree of the current thread's main greenlet?"""

    def __init__(self, greenlet: greenlet) -> None:
        self.greenlet = greenlet
        self.is_current_tree = False
        self.child_trees: list[GreenletTree] = []

    def add_child(self, tree: GreenletTree) -> None:
        """Put `tree` under this one. Does nothing if it is this one."""
        if tree is not self:
            self.child_trees.append(tree)

    @property
    def root(self) -> bool:
        """Is it a thread's main greenlet?"""
        return self.greenlet.parent is None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.greenlet, name)

    @classmethod
    def forest(cls) -> list[GreenletTree]:
        """The trees of all main greenlets of the process: all greenlets that exist, each under the one that
        spawned it - or, where that is gone or not known, under its thread's main greenlet.

        Looks at every object that there is, which takes a while.
        """
        trees = {id(found): cls(found) for found in gc.get_objects() if isinstance(found, greenlet)}
        current = _main_of(getcurrent())
        forest = []
        work = list(trees.values())
        for tree in work:
            main = _main_of(tree.greenlet)
            if main is tree.greenlet:
                tree.is_current_tree = main is current
                forest.append(tree)
                continue
            spawner = getattr(tree.greenlet, "spawning_greenlet", None)
            above = spawner() if spawner is not None else None
            if above is None:
                above = main
            if id(above) not in trees:
                # The collector does not show what was frozen, or was made meanwhile by another thread.
                trees[id(above)] = missing = cls(above)
                work.append(missing)
            trees[id(above)].add_child(tree)
        return forest

    @classmethod
    def current_tree(cls) -> GreenletTree:
        """The tree of the current thread's main greenlet; see `forest`."""
        return next(tree for tree in cls.forest() if tree.is_current_tree)

    def format(self, details: bool | Mapping[str, Any] = True) -> str:
        """The tree as a text; `details` as for `format_lines`."""
        return "\n".join(self.format_lines(details))

    def format_lines(self, details: bool | Mapping[str, Any] = True) -> list[str]:
        """The tree as lines. `details` says what to show, by the keys of DEFAULT_DETAILS, which hold where a
        key is missing; False: nothing but the greenlets."""
        if isinstance(details, Mapping):
            details = {**self.DEFAULT_DETAILS, **details}
        elif details:
            details = self.DEFAULT_DETAILS
        else:
            details = {}
        lines = []
        # Not by recursion: a greenlet that spawned the next, and so on, may go very deep.
        todo: list[tuple[GreenletTree, str, int, str]] = [(self, "", 0, ":" if self.child_trees else " ")]
        while todo:
            tree, bars, depth, mark = todo.pop()
            lines.append((f"{bars[:-5]} +--- " if depth else "") + tree._label())
            margin = f" {mark}".ljust(6 * (depth + 1))
            lines += [(margin + line).rstrip() for line in tree._details(details)]
            children: list[tuple[GreenletTree, str, int, str]] = []
            for child in tree.child_trees:
                last = child is tree.child_trees[-1]
                below = mark if depth else " " if last else ":"
                children.append((child, bars + ("     " if last else " |   "), depth + 1, below))
            todo += reversed(children)
        return lines

    def __str__(self) -> str:
        return self.format(details=False)

    def _label(self) -> str:
        """The greenlet, and its state if that is another than running."""
        item: Any = self.greenlet
        label = str(item)
        if item:
            return label
        if not (item.ready() if hasattr(item, "ready") else item.dead):
            return f"{label}; not running"
        if getattr(item, "exception", None) is not None:
            return f"{label}; finished with exception {_short(item.exception)}"
        if getattr(item, "value", None) is not None:
            return f"{label}; finished with value {_short(item.value)}"
        return f"{label}; finished"

    def _details(self, details: Mapping[str, Any]) -> Iterator[str]:
        item: Any = self.greenlet
        if not details:
            return
        yield f"Parent: {item.parent!r}"
        if details["running_stacks"]:
            own = item is getcurrent()
            frame: FrameType | None = sys._getframe() if own else item.gr_frame
            stack = _stack_lines(frame, details["running_stack_limit"], own)
            yield from _block("Running:", stack)
        if details["spawning_stacks"]:
            stack = _stack_lines(getattr(item, "spawning_stack", None), None, own=False)
            yield from _block("Spawned at:", stack)
        if details["locals"]:
            tree_locals = getattr(item, "spawn_tree_locals", None)
            if tree_locals and tree_locals is not _tree_locals_of_spawner(item):
                yield "Spawn Tree Locals"
                yield from pformat(tree_locals).splitlines()
            own_locals = [entry for entry in all_local_dicts_for_greenlet(item) if entry[1]]
            if own_locals:
                yield "Greenlet Locals:"
            for (kind, address), values in own_locals:
                yield f"  Local {kind} at {address:#x}"
                yield from (f"    {line}" for line in pformat(values).splitlines())


def _main_of(item: greenlet) -> greenlet:
    parent = item.parent
    while parent is not None:
        item, parent = parent, parent.parent
    return item


def _tree_locals_of_spawner(item: Any) -> object:
    spawner = item.spawning_greenlet and item.spawning_greenlet()
    return getattr(spawner, "spawn_tree_locals", None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _block(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return [title, *lines] if lines else []


# Checks


class _FailedToSwitch(AssertionError):
    """A block of `assert_switches` did not let others run."""


class assert_switches:
    """A context manager: AssertionError, with `format_run_info`, unless the greenlet lets others run in the
    `with` block.

    Without `max_blocking_time` one switch in the whole block is enough; with it, no more than that many
    seconds may pass between the beginning, each switch and the end, and a quicker block need not switch at
    all. With `hub_only` switches to other greenlets than the hub do not count.
    """

    hub: Hub
    """The hub of the thread; in the block."""

    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None:
        self.max_blocking_time = max_blocking_time
        self.hub_only = hub_only
        self.tracer: Callable[[str, tuple[greenlet, greenlet]], None] | None = None
        """What is called at each switch, in the block."""
        self._former: Callable[..., Any] | None = None
        self._me: greenlet
        self._since = 0.0
        self._longest = 0.0
        self._switches = 0

    def __enter__(self) -> assert_switches:
        self.hub = get_hub()
        self._me = getcurrent()
        self._longest = 0.0
        self._switches = 0
        self._former = gettrace()
        self.tracer = partial(_trace, self, self._former)
        settrace(self.tracer)
        self._since = perf_counter()
        return self

    def _switched(self, origin: greenlet, target: greenlet) -> None:
        if target is self._me:
            self._since = perf_counter()
        elif origin is self._me and (not self.hub_only or target is self.hub):
            self._switches += 1
            self._longest = max(self._longest, perf_counter() - self._since)

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._longest = max(self._longest, perf_counter() - self._since)
        if gettrace() is self.tracer:
            settrace(self._former)
        self.tracer = self._former = None
        if t is not None:
            return
        limit = self.max_blocking_time
        if self._switches == 0 if limit is None else self._longest > limit:
            whom = "the hub" if self.hub_only else "another greenlet"
            allowed = "" if limit is None else f", {limit:.4f} s are allowed"
            report = "\n".join(format_run_info())
            raise _FailedToSwitch(f"no switch to {whom} for {self._longest:.4f} s{allowed}\n{report}")


def _trace(
    owner: assert_switches,
    former: Callable[..., Any] | None,
    event: str,
    switch: tuple[greenlet, greenlet],
) -> None:
    owner._switched(*switch)
    if former is not None:
        former(event, switch)
