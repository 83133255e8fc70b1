"""The loop of asyncio that runs in a native thread, set aside while its greenlet waits.

What belongs here: taking it away and putting it back. What never does: asyncio itself, which is not imported
for this.

asyncio knows one running loop for each native thread. While its greenlet waits, the others are as to asyncio
other threads: they may run loops of their own, are in none if they do not, and have to wake the one that
waits if they have something for it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["put_back", "set_aside"]


def set_aside() -> Any:
    """Take the running loop away: for `put_back`; None if there is none."""
    asyncio: Any = sys.modules.get("_asyncio")
    if asyncio is None:
        return None
    loop = asyncio._get_running_loop()
    if loop is not None:
        asyncio._set_running_loop(None)
    return loop


def put_back(loop: Any) -> None:
    """Undo `set_aside`."""
    asyncio: Any = sys.modules["_asyncio"]
    asyncio._set_running_loop(loop)
