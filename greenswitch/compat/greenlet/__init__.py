"""The package `greenlet`, as `greenswitch.compat` gives it: greenlet's names on greenswitch's switcher.

What belongs here: the names. What never does: behaviour, and relative imports, since this is executed under
the name `greenlet`. `greenlet._greenlet` is greenswitch's extension module.
"""

from __future__ import annotations

from greenswitch import _core as _greenlet
from greenswitch._core import (
    CLOCKS_PER_SEC,
    GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC,
    GREENLET_USE_STANDARD_THREADING,
    GREENLET_USE_TRACING,
    GreenletExit,
    enable_optional_cleanup,
    error,
    get_clocks_used_doing_optional_cleanup,
    getcurrent,
    gettrace,
    greenlet,
    name_as_greenlet,
    settrace,
)
from greenswitch._core import _greenlet_C_API as _C_API
from greenswitch.compat.table import ALIASES

# What programs print, log and match: the names that greenlet's own type and exceptions have.
name_as_greenlet()
del name_as_greenlet

__version__ = ALIASES["greenlet"].version

# What greenlet itself gives to `from greenlet import *`.
__all__ = [
    "_C_API",
    "GreenletExit",
    "__version__",
    "error",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
]
