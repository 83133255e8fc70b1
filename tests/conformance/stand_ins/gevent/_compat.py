"""What gevent's tests ask about the platform, under the name `gevent._compat`.

What belongs here: facts about CPython on Linux, and the standard library's names that they take from here.
What never does: anything that greenswitch itself needs.
"""

from __future__ import annotations

import os
from importlib import import_module
from io import StringIO as NativeStrIO
from time import get_clock_info, perf_counter
from types import TracebackType
from typing import Any, NoReturn

__all__ = [
    "LINUX",
    "OSX",
    "PURE_PYTHON",
    "PYPY",
    "WIN",
    "NativeStrIO",
    "get_clock_info",
    "get_this_psutil_process",
    "perf_counter",
    "reraise",
    "thread_mod_name",
]

LINUX = True
OSX = PYPY = WIN = False
PURE_PYTHON = False
"""Whether tests that are about gevent's Cython modules are to be skipped. They run, and fail where they look
for one of those: that is in the table, with all else that gevent passes and greenswitch does not."""

thread_mod_name = "_thread"


def reraise(kind: type[BaseException], value: BaseException, trace: TracebackType | None = None) -> NoReturn:
    """Raise the exception with that traceback."""
    raise value.with_traceback(trace)


def get_this_psutil_process() -> Any:
    """psutil's view of this process; None without psutil."""
    try:
        return import_module("psutil").Process(os.getpid())
    except ImportError:
        return None
