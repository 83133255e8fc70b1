"""What was taken from a module before its names were replaced, and goes on to be used.

What belongs here: finding it, to be warned of. What never does: doing anything about it.

The standard library's own modules ask for names when they need them, so only the others are looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

__all__ = ["taken"]

_KNOWN = frozenset({*sys.stdlib_module_names, "gevent", "greenswitch"})


def taken(names: Iterable[Any], bases: Iterable[type]) -> list[str]:
    """`module.name` wherever a loaded module has one of `names` under a name of its own, or has derived a
    class from one of `bases`. What a module calls an original it keeps to give it back, not to use it."""
    by_identity = {id(one): one for one in names}
    found: set[str] = set()
    for module_name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _is_foreign(module_name):
            namespace = list(vars(module).items())
            mine = [name for name, value in namespace if id(value) in by_identity]
            found |= {f"{module_name}.{name}" for name in mine if "orig" not in name.lower()}
    for base in bases:
        found |= {f"{one.__module__}.{one.__qualname__}" for one in _derived(base)}
    return sorted(found)


def _derived(base: type) -> Iterator[type]:
    """The classes of other people. What they derive from ours is as good as ours."""
    one: type
    for one in type.__subclasses__(base):
        if _is_foreign(one.__module__):
            yield one
            yield from _derived(one)


def _is_foreign(module_name: str) -> bool:
    return module_name.partition(".")[0] not in _KNOWN
