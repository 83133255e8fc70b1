"""Which names greenswitch can be imported under, as data.

What belongs here: one row for each top-level name. What never does: how an import is answered (`finder`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ALIASES", "Alias"]


class Alias(NamedTuple):
    """One package whose place greenswitch can take. Its top level is the folder here with its name."""

    name: str
    version: str
    """Of the package whose interface is provided."""
    modules: Mapping[str, str]
    """From dotted names below `name` to modules of ours: one module object under both names."""
    borrowed: tuple[str, ...]
    """Dotted names of the installed package's that are used as they are: its tests, nothing else."""


ALIASES: Mapping[str, Alias] = {
    alias.name: alias
    for alias in (
        Alias(
            name="greenlet",
            version="3.5.6",
            modules={"greenlet._greenlet": "greenswitch._core"},
            borrowed=("greenlet.tests",),
        ),
    )
}
"""The rows by name."""
