"""What a stack switcher costs in C: the machine and stack layers of greenswitch, and the C API of any
module that has greenlet's.

The loops are compiled, in csrc/bench; building them takes Cython, and greenswitch does without.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter

from greenswitch.bench.switcher import Place, answer_nothing, drive_nothing, two
from greenswitch.bench.timing import Benchmark, Prepare, Run, Switcher

try:
    from greenswitch.bench import _cbench
except ImportError as error:
    MISSING: str | None = (
        f"The C-level rows need greenswitch.bench._cbench, which this installation lacks ({error}). "
        "It is built where Cython is installed: pip install cython, and install greenswitch anew."
    )
else:
    MISSING = None

KILOBYTES = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def raw(_: Switcher) -> AbstractContextManager[Run]:
    return nullcontext(_cbench.raw)


def raw_apart(_: Switcher) -> AbstractContextManager[Run]:
    return nullcontext(_cbench.raw_apart)


def start(_: Switcher) -> AbstractContextManager[Run]:
    return nullcontext(_cbench.start)


def slices(kilobytes: float) -> Prepare:
    """Two slices that both need so many kilobytes of the stack."""

    def prepare(_: Switcher) -> AbstractContextManager[Run]:
        return nullcontext(lambda count: _cbench.slices(int(1024 * kilobytes), count)[0])

    return prepare


def c_api(api: Switcher) -> AbstractContextManager[Run]:
    """Two greenlets that switch to each other by PyGreenlet_Switch, with no Python in between."""
    switch = _cbench.Switch(api._C_API)

    def first(count: int) -> float:
        second = api.greenlet(switch)
        second.switch(api.getcurrent(), sys.maxsize)
        rounds = -(-count // 2)
        start = perf_counter()
        switch(second, rounds)
        seconds = perf_counter() - start
        second.throw()
        return seconds / (2 * rounds)

    return nullcontext(lambda count: api.greenlet(first).switch(count))


def at_c_depth(depth: int) -> Place:
    """Answer below so many C frames."""
    return lambda answer: lambda switch: _cbench.below(depth, partial(answer, switch))


BENCHMARKS = (
    Benchmark("raw", "registers, between equal loops", raw, "greenswitch"),
    Benchmark("raw-apart", "registers, between two loops", raw_apart, "greenswitch"),
    Benchmark("start", "stack: start and end", start, "greenswitch"),
    *(
        Benchmark(f"slice-{size}k", f"stack: save and restore {size} KB", slices(size), "greenswitch")
        for size in KILOBYTES
    ),
    Benchmark("capi", "PyGreenlet_Switch, two greenlets", c_api),
    *(
        Benchmark(
            f"cdepth-{depth}",
            f"switch, one at C depth {depth}",
            two(drive_nothing, answer_nothing, at_c_depth(depth)),
        )
        for depth in (0, 10, 50)
    ),
)
