"""What a stack switcher costs, for any module with greenlet's API.

Each benchmark takes the module and how often to do its operation, and returns seconds for one operation.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

Switcher = Any  # a module: greenswitch._core or greenlet


def switch_of_two(api: Switcher, count: int) -> float:
    """Two greenlets that switch to each other from plain functions."""
    there = api.getcurrent().switch

    def partner() -> None:
        while True:
            there()

    greenlet = api.greenlet(partner)
    back = greenlet.switch
    back()
    rounds = range(count // 2)
    start = perf_counter()
    for _ in rounds:
        back()
    return (perf_counter() - start) / count


def switch_with_value(api: Switcher, count: int) -> float:
    """The same, each switch handing a value over."""
    there = api.getcurrent().switch

    def partner(value: object) -> None:
        while True:
            value = there(value)

    greenlet = api.greenlet(partner)
    back = greenlet.switch
    back(None)
    rounds = range(count // 2)
    start = perf_counter()
    for number in rounds:
        back(number)
    return (perf_counter() - start) / count


def ring(api: Switcher, count: int, size: int = 1000) -> float:
    """A token that goes round a ring of greenlets, each of which knows its neighbour only."""
    main = api.getcurrent()

    def member(index: int) -> None:
        following = members[index + 1].switch if index + 1 < size else main.switch
        main.switch()
        while True:
            following()

    members: list[Any] = [api.greenlet(member) for _ in range(size)]
    for index, greenlet in enumerate(members):
        greenlet.switch(index)
    first = members[0].switch
    rounds = range(max(1, count // (size + 1)))
    first()
    start = perf_counter()
    for _ in rounds:
        first()
    return (perf_counter() - start) / (len(rounds) * (size + 1))


def spawn(api: Switcher, count: int) -> float:
    """Make a greenlet, run it to its end, forget it."""
    make = api.greenlet

    def nothing() -> None:
        pass

    rounds = range(count)
    start = perf_counter()
    for _ in rounds:
        make(nothing).switch()
    return (perf_counter() - start) / count


def memory(api: Switcher, count: int) -> float:
    """Resident bytes for each of `count` greenlets that are suspended in a function of their own.

    To be called in a fresh process: what was freed before would be used again and not be counted.
    """
    main = api.getcurrent()

    def sleeper() -> None:
        main.switch()

    make = api.greenlet
    greenlets: list[Any] = [None] * count
    for _ in range(100):
        make(sleeper).switch()
    gc.collect()
    before = resident_bytes()
    for index in range(count):
        greenlet = greenlets[index] = make(sleeper)
        greenlet.switch()
    used = resident_bytes() - before
    for greenlet in greenlets:
        greenlet.switch()
    return used / count


def resident_bytes() -> int:
    """This process's resident memory, from /proc."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_in_a_process(module: str, count: int) -> float:
    """`memory` of the module of that name, in a process of its own that finds the same modules."""
    code = (
        "import importlib, sys\n"
        "sys.path[:] = sys.argv[3:]\n"
        "from greenswitch.bench import switcher\n"
        "print(switcher.memory(importlib.import_module(sys.argv[1]), int(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, module, str(count), *sys.path]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout)


@dataclass(frozen=True)
class Benchmark:
    """One row of the table."""

    name: str
    text: str
    function: Callable[[Switcher, int], float]
    count: int


TIMED = (
    Benchmark("switch", "switch, two greenlets", switch_of_two, 400_000),
    Benchmark("value", "switch with a value", switch_with_value, 400_000),
    Benchmark("ring", "switch in a ring of 1,000", ring, 400_000),
    Benchmark("spawn", "create + run + finish", spawn, 50_000),
)
MEMORY_NAME = "memory"
MEMORY_TEXT = "memory of a suspended greenlet"
MEMORY_COUNT = 100_000
