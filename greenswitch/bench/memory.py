"""What a suspended greenlet takes of memory, for any module with greenlet's API.

Measured in a process of its own: what was freed before would be used again and not be counted.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import Any

from greenswitch.bench.timing import Switcher

NAME = "memory"
TEXT = "memory of a suspended greenlet"
COUNT = 100_000


def memory(api: Switcher, count: int) -> float:
    """Resident bytes for each of `count` greenlets that are suspended in a function of their own."""
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
        "from greenswitch.bench import memory\n"
        "print(memory.memory(importlib.import_module(sys.argv[1]), int(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, module, str(count), *sys.path]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout)
