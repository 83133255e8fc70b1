"""What `importlib.metadata` says about the names that mean greenswitch.

What belongs here: the distribution that stands for an alias. What never does: anything that an import needs;
this module is loaded when `importlib.metadata` asks, because that costs more than all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, DistributionFinder
from os import PathLike
from pathlib import Path

from .table import Alias

__all__ = ["AliasDistribution", "distributions"]


class AliasDistribution(Distribution):
    """A distribution of the alias's name, of the version whose interface is provided, without files."""

    def __init__(self, alias: Alias) -> None:
        self._alias = alias

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return (
            f"Metadata-Version: 2.1\nName: {self._alias.name}\nVersion: {self._alias.version}\n"
            f"Summary: {self._alias.name}'s interface, provided by greenswitch\n"
        )

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return Path(__file__).parent / path


def distributions(names: Mapping[str, Alias], context: DistributionFinder.Context) -> Iterator[Distribution]:
    """Those of `names` that the context asks for: the one of its name, or all."""
    wanted = None if context.name is None else _normal(context.name)
    for name, alias in names.items():
        if wanted is None or wanted == _normal(name):
            yield AliasDistribution(alias)


def _normal(name: str) -> str:
    """A distribution's name with the spelling that all its spellings share."""
    return re.sub(r"[-_.]+", "-", name).lower()
