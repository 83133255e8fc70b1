"""The package `gevent`, as `greenswitch.compat` gives it: gevent's top-level names and modules.

What belongs here: the names. What never does: behaviour, and relative imports, since this is executed under
the name `gevent`. Nothing is loaded before it is used. `import gevent` loads a part of gevent's modules, and
other imports load more, so programs use `gevent.event` without having imported it: here each is imported when
it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import greenswitch
from greenswitch.compat.finder import FINDER
from greenswitch.compat.table import ALIASES

# gevent imports greenlet. With that name taken too, this is what gives its type and exceptions their names.
if "greenlet" in FINDER.names:
    import_module("greenlet")


class _VersionInfo(NamedTuple):
    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


# What its repr begins with.
_VersionInfo.__name__ = "version_info"

__version__ = ALIASES["gevent"].version
_MAJOR, _MINOR, _MICRO = map(int, __version__.split("."))  # noqa: RUF048
version_info = _VersionInfo(_MAJOR, _MINOR, _MICRO, "final", 0)

_NAMES = """
    Greenlet GreenletExit Timeout config fork get_hub getcurrent getswitchinterval idle iwait joinall kill
    killall reinit setswitchinterval signal_handler sleep spawn spawn_later spawn_raw wait with_timeout
""".split()

# What gevent itself gives to `from gevent import *`, as far as there is such a thing.
__all__ = [name for name in _NAMES if name in greenswitch.__all__]


def __getattr__(name: str) -> object:
    if name in __all__:
        value: object = getattr(greenswitch, name)
        globals()[name] = value
        return value
    module = f"{__name__}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
