"""The loop of asyncio that runs in a native thread, set aside while its greenlet waits.

What belongs here: taking it away and putting it back. What never does: asyncio itself, which is not imported
for this.

asyncio knows one running loop for each native thread, and from CPython 3.14 on one task that runs. While its
greenlet waits, the others are as to asyncio other threads: they may run loops of their own, are in none if
they do not, and have to wake the one that waits if they have something for it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["put_back", "set_aside"]


def set_aside() -> Any:
    """Take the running loop, and its task, away: for `put_back`; None if there is none."""
    asyncio: Any = sys.modules.get("_asyncio")
    if asyncio is None:
        return None
    loop = asyncio._get_running_loop()
    if loop is None:
        return None
    # Before 3.12 tasks cannot be swapped, and before 3.14 they are kept by their loops.
    swap = getattr(asyncio, "_swap_current_task", None)
    task = None if swap is None else swap(loop, None)
    asyncio._set_running_loop(None)
    return loop, task


def put_back(taken: Any) -> None:
    """Undo `set_aside`."""
    asyncio: Any = sys.modules["_asyncio"]
    loop, task = taken
    asyncio._set_running_loop(loop)
    if task is not None:
        asyncio._swap_current_task(loop, task)
