"""The standard `time` module with a `sleep` that lets other greenlets run.

What belongs here: `sleep`. What never does: clocks of our own; everything else is the standard library's own.
"""

from __future__ import annotations

import time as _stdlib
from typing import TYPE_CHECKING, Any

from .hub import sleep as _sleep

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Let other greenlets run for `seconds`; 0 lets everybody run who is ready. With `ref` false the sleep
    does not keep the loop alive. ValueError if `seconds` is negative, as in the standard library."""
    if not seconds >= 0:
        raise ValueError(
            "sleep length must be non-negative" if seconds < 0 else "Invalid value NaN (not a number)"
        )
    _sleep(seconds, ref)


__implements__ = ["sleep"]
__imports__ = [name for name in vars(_stdlib) if name[0] != "_" and name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __imports__  # noqa: PLE0605
