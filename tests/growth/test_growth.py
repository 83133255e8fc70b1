"""Memory does not grow with the number of greenlets that there have been.

What belongs here: runs of growth.py, each in a process of its own.  What never does: what one greenlet takes.

GREENSWITCH_GROWTH=full goes the whole number of times that is promised, a minute for all; by default fewer.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

PROGRAM = Path(__file__).parent / "growth.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("growth", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COUNTS = {way.__name__: counts for way, counts in load().WAYS.items()}
FULL = os.environ.get("GREENSWITCH_GROWTH") == "full"

# No object is as small as that: what is left is the noise of pages.
BYTES = 16
GREENLETS_OF_A_THREAD = 10

# Loses a tuple for each greenlet.
LEAK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("growth", sys.argv[1])
growth = importlib.util.module_from_spec(spec)
spec.loader.exec_module(growth)
lost = []
def leak(count):
    for number in range(count):
        lost.append((number,))
print(growth.growth(leak, 50_000))
"""


def bytes_for_each(run_python: RunPython, program: Path | str, *arguments: str) -> float:
    # One heap for all threads: how many the C library makes, and when, is its affair.
    environment = {"MALLOC_ARENA_MAX": "1"}
    outcome = run_python(program, *arguments, environment=environment, timeout=300).check()
    return float(outcome.stdout.split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("way", COUNTS)
def test_no_growth(way: str, run_python: RunPython) -> None:
    """S3, and crash 5: data stacks, slices, references and threads' structures are given back."""
    promised, fewer = COUNTS[way]
    grown = bytes_for_each(run_python, PROGRAM, way, str(promised if FULL else fewer))
    assert grown < BYTES * (GREENLETS_OF_A_THREAD if way == "end_threads" else 1)


def test_growth_is_noticed(run_python: RunPython) -> None:
    assert bytes_for_each(run_python, LEAK, str(PROGRAM)) > BYTES
