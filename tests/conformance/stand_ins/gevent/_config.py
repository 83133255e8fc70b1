"""What gevent's tests take from `gevent._config`, as far as there is something like it.

What belongs here: which loops there are, and reading a yes or a no. What never does: settings, which are
`greenswitch.config`'s.
"""

from __future__ import annotations

from greenswitch import config, core

__all__ = ["Loop", "config", "validate_bool"]

_WORDS = {"1": True, "on": True, "yes": True, "true": True, "0": False, "off": False, "no": False, "": False}


class Loop:
    """The setting `loop`."""

    def get_options(self) -> dict[str, type | ImportError]:
        """greenswitch's loop in the place of gevent's best one; none in the places of its others."""
        absent = ImportError("greenswitch has one loop")
        return {"libev-cext": core.loop, "libev-cffi": absent, "libuv-cffi": absent, "libuv": absent}


def validate_bool(value: object) -> bool:
    """What an environment variable says. ValueError if it is no yes and no no."""
    if isinstance(value, str):
        try:
            return _WORDS[value.strip().lower()]
        except KeyError:
            raise ValueError(f"{value!r} is neither yes nor no") from None
    return bool(value)
