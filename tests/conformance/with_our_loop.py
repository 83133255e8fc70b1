"""Run a program with our loop in the place of asyncio's own: `with_our_loop.py PROGRAM [ARGUMENT ...]`.

What belongs here: putting the loop into all the places in which CPython's tests look for the standard one.
What never does: running tests (`record`).
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from selectors import BaseSelector
from typing import Any

from greenswitch import aio


class Loop(aio.EventLoop):
    """Some tests make loops with each of the standard selectors."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        if selector is not None:
            selector.close()
        super().__init__()


if __name__ == "__main__":
    unix: Any = asyncio.unix_events
    for module in (asyncio, unix):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, Loop)
    unix._UnixDefaultEventLoopPolicy._loop_factory = Loop
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
