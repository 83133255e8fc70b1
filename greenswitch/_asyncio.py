"""What Python keeps of asyncio for each native thread, set aside while its greenlet waits.

What belongs here: taking it away and putting it back. What never does: asyncio itself, which is not imported
for this.

That is: the loop that runs, from CPython 3.14 on the task that runs (before, each loop has its own), and what
is to be done with asynchronous generators. While the greenlet of a loop waits, the others are as to asyncio
other threads: they may run loops of their own, are in none if they do not, and have to wake the one that
waits if they have something for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["apart", "put_back", "set_aside"]

_T = TypeVar("_T")

_ONE_TASK = sys.version_info >= (3, 14)


def set_aside() -> Any:
    """Take the running loop and what goes with it away: for `put_back`; None if there is none."""
    asyncio: Any = sys.modules.get("_asyncio")
    if asyncio is None:
        return None
    loop = asyncio._get_running_loop()
    if loop is None:
        return None
    task = None
    if _ONE_TASK and asyncio.current_task(loop) is not None:
        task = asyncio._swap_current_task(loop, None)
    hooks = sys.get_asyncgen_hooks()
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    return loop, task, hooks


def put_back(taken: Any) -> None:
    """Undo `set_aside`."""
    asyncio: Any = sys.modules["_asyncio"]
    loop, task, hooks = taken
    sys.set_asyncgen_hooks(*hooks)
    asyncio._set_running_loop(loop)
    if task is not None:
        asyncio._swap_current_task(loop, task)


def apart(wait: Callable[..., _T], *args: Any) -> _T:
    """`wait(*args)`, with the running loop set aside for as long as it takes."""
    taken = set_aside()
    try:
        return wait(*args)
    finally:
        if taken is not None:
            put_back(taken)
