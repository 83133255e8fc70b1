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
    """From dotted names below `name` to modules of ours that are called otherwise: one module object under
    both names."""
    borrowed: tuple[str, ...]
    """Dotted names of the installed package's that are used as they are: its tests, nothing else."""
    package: str | None = None
    """The package of ours whose modules, those that there are, are found below `name` by their own names."""
    withheld: frozenset[str] = frozenset()
    """Dotted names in `package` that are not found so: what it has beyond the package whose place it takes.
    Names with an underscore in front never are."""


ALIASES: Mapping[str, Alias] = {
    alias.name: alias
    for alias in (
        Alias(
            name="greenlet",
            version="3.5.6",
            modules={"greenlet._greenlet": "greenswitch._core"},
            borrowed=("greenlet.tests",),
        ),
        Alias(
            name="gevent",
            version="26.9.0",
            modules={"gevent.greenlet": "greenswitch.greenlets"},
            borrowed=("gevent.tests", "gevent.testing"),
            package="greenswitch",
            withheld=frozenset(
                {"aio", "bench", "compat", "greenlets", "integrations", "loop", "monkey.table"}
            ),
        ),
    )
}
"""The rows by name."""
