"""greenswitch: green threads for Python.

What belongs here: greenlet's names, ready at once, and gevent's top-level names, which load their modules
when they are first used - so that `from greenswitch import greenlet` costs no hub. What never does: code that
does something.
"""

from __future__ import annotations

from importlib import import_module
from sys import getswitchinterval, setswitchinterval

try:
    from ._core import _C_API as _C_API  # has to be here: its capsule's name is the way to it
except ModuleNotFoundError:
    raise ImportError(
        f"greenswitch in {__path__[0]} has no compiled core for this Python. If that is its source: install "
        "it, for example by `pip install .` there, and start Python in another directory"
    ) from None
from ._core import GreenletExit, error, getcurrent, gettrace, greenlet, settrace

# The name alone tells type checkers what is meant; importing `typing` would cost as much as the switcher.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._config import config
    from ._include import get_include
    from .greenlets import Greenlet, iwait, joinall, killall, spawn, spawn_later, wait
    from .hub import get_hub, idle, kill, reinit, signal_handler, sleep, spawn_raw
    from .os import fork
    from .timeout import Timeout, with_timeout

__version__ = "0.1.0"

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "config",
    "error",
    "fork",
    "get_hub",
    "get_include",
    "getcurrent",
    "getswitchinterval",
    "gettrace",
    "greenlet",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "setswitchinterval",
    "settrace",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "wait",
    "with_timeout",
]

_HOMES = {
    "Greenlet": "greenlets",
    "Timeout": "timeout",
    "config": "_config",
    "fork": "os",
    "get_hub": "hub",
    "get_include": "_include",
    "idle": "hub",
    "iwait": "greenlets",
    "joinall": "greenlets",
    "kill": "hub",
    "killall": "greenlets",
    "reinit": "hub",
    "signal_handler": "hub",
    "sleep": "hub",
    "spawn": "greenlets",
    "spawn_later": "greenlets",
    "spawn_raw": "hub",
    "wait": "greenlets",
    "with_timeout": "timeout",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
