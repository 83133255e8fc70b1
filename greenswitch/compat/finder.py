"""What the import system is told about the names that mean greenswitch.

What belongs here: the finder for `sys.meta_path`, and the loader that gives one module two names. What never
does: which names those are (`table`), and who may take them (the package).

The package of a name is the one beside this file that is called like it, executed under that name: it needs
a `__version__` and a `__path__` of its own. What the table lists below it are the very modules of
greenswitch, so that a class, a lock or a patch is the same thing under both names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .table import Alias

if TYPE_CHECKING:
    from importlib.metadata import Distribution, DistributionFinder

__all__ = ["FINDER", "AliasFinder"]

HERE = os.path.dirname(os.path.abspath(__file__))


class SameModule:
    """Loads a module by importing it under its own name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put the alias's spec there.
        module.__spec__ = self.spec


class AliasFinder:
    """Answers for the names that it was given, and for no others."""

    def __init__(self) -> None:
        self.names: dict[str, Alias] = {}

    def add(self, alias: Alias) -> None:
        """Answer for this name from now on, before all other finders."""
        self.names[alias.name] = alias
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module under one of the names. None for others, and for what lies in a borrowed
        package, whose `path` is that of the installed one. Raises ModuleNotFoundError for what a name
        lacks, since going on to the next finder could only find the wrong thing."""
        alias = self.names.get(fullname.partition(".")[0])
        if alias is None or any(fullname.startswith(f"{borrowed}.") for borrowed in alias.borrowed):
            return None
        lacks = f"No module named {fullname!r}: greenswitch, which stands in for {alias.name}, has none"
        spec: ModuleSpec | None = None
        if fullname in alias.borrowed:
            spec = self._find_elsewhere(fullname)
            lacks = f"No module named {fullname!r}: it would come from an installed {alias.name}"
        elif fullname in alias.modules:
            # Any: importlib.abc, whose Loader it would have to derive from, costs more than this module.
            loader: Any = SameModule(alias.modules[fullname])
            spec = ModuleSpec(fullname, loader, origin=alias.modules[fullname])
        elif fullname == alias.name:
            spec = PathFinder.find_spec(fullname, [HERE])
        if spec is None:
            raise ModuleNotFoundError(lacks, name=fullname)
        return spec

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """What `importlib.metadata` asks for: a distribution of each name, with the version provided."""
        found: Iterator[Distribution] = import_module("greenswitch.compat.metadata").distributions(
            self.names, context
        )
        return found

    def _find_elsewhere(self, fullname: str) -> ModuleSpec | None:
        """The spec that the other finders have for a submodule; the packages above it are not imported."""
        path: Sequence[str] | None = None
        spec: ModuleSpec | None = None
        parts = fullname.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            found = (finder.find_spec(name, path) for finder in sys.meta_path if finder is not self)
            spec = next(filter(None, found), None)
            if spec is None:
                return None
            path = spec.submodule_search_locations
        return spec


FINDER = AliasFinder()
"""The one in `sys.meta_path`, once a name was installed."""
