"""How the microbenchmarks are timed.

What belongs here: warming up, how often, turn and turn about.  What never does: what is measured, printing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from time import perf_counter
from types import FunctionType
from typing import Any, TypeVar, cast

from greenswitch._core import keep_chunks

US = "greenswitch"

Switcher = Any  # a module with greenlet's API: greenswitch._core or greenlet

Function = TypeVar("Function", bound=Callable[..., Any])

Run = Callable[[int], float]
"""Do it so many times, or a few more; seconds for one, without what had to be prepared."""

Prepare = Callable[[Switcher], AbstractContextManager[Run]]
"""Make what a run needs and, in the end, take it away again."""


@dataclass(frozen=True)
class Benchmark:
    """One row of the table."""

    name: str
    """What `--only` takes; what stands before a dash is the name of a family."""

    text: str
    prepare: Prepare
    alone: str | None = None
    """What it measures, where that is not a property of every switcher and there is nothing to compare."""

    @property
    def family(self) -> str:
        return self.name.partition("-")[0]


def own(function: Function) -> Function:
    """The same function with code of its own, to be made for each switcher.

    CPython adapts code to what it has seen it call.  Code that greenlet's `switch` has been called by stays
    with the general way of calling, which is slower, when ours is called there afterwards.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace()
    copy = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    return cast(Function, copy)


def measure(
    benchmark: Benchmark, switchers: Mapping[str, Switcher], runs: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds for one operation in each of several runs of about so many seconds, for each switcher.

    They take turns, so that a noisy moment of the machine hits all alike.
    """
    with ExitStack() as stack:
        ready = {
            name: as_without_us(name, stack.enter_context(benchmark.prepare(each)))
            for name, each in switchers.items()
        }
        counts = {name: warm_up(run, seconds) for name, run in ready.items()}
        seen: dict[str, list[float]] = {name: [] for name in ready}
        for _ in range(runs):
            for name, run in ready.items():
                seen[name].append(run(counts[name]))
    return seen


def as_without_us(name: str, run: Run) -> Run:
    """The run of somebody else, who is not to profit from the memory that our core keeps for all."""
    if name == US:
        return run

    def by_itself(count: int) -> float:
        keep_chunks(False)
        try:
            return run(count)
        finally:
            keep_chunks(True)

    return by_itself


def warm_up(run: Run, seconds: float) -> int:
    """Run it more and more often, until it takes a good part of so many seconds; how often fills them."""
    count = 100
    while True:
        start = perf_counter()
        each = run(count)
        if perf_counter() - start > seconds / 5:
            return max(count, int(seconds / each))
        count *= 4
