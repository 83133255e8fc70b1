"""The standard `builtins` module: nothing in it waits, so nothing in it is replaced.

What belongs here: the standard library's names, for who asks for gevent's module of this name. What never
does: functions of our own.
"""

from __future__ import annotations

import builtins as _stdlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


__implements__ = list[str]()
__imports__ = [name for name in vars(_stdlib) if name[0] != "_"]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __imports__  # noqa: PLE0605
