"""What gevent's package of test tools takes from `gevent._util`: attributes that are computed once.

What belongs here: those two. What never does: anything that greenswitch itself needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property as Lazy
from typing import Any

__all__ = ["Lazy", "LazyOnClass"]


class LazyOnClass:
    """Computed when it is first asked for, and then kept by the class."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute = compute
        self.name = compute.__name__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        value = self.compute(instance)
        setattr(owner, self.name, value)
        return value
