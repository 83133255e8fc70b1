"""What the import system is told about the names that mean greenswitch.

What belongs here: the finder for `sys.meta_path`, and the loader that gives one module two names. What never
does: which names those are (`table`), and who may take them (the package).

The package of a name is the one beside this file that is called like it, executed under that name: it needs
a `__version__` and a `__path__` of its own. What the table has below it are the very modules of greenswitch,
so that a class, a lock or a patch is the same thing under both names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from .table import Alias

if TYPE_CHECKING:
    from importlib.metadata import Distribution, DistributionFinder

__all__ = ["FINDER", "AliasFinder", "own_name"]

HERE = os.path.dirname(os.path.abspath(__file__))


def own_name(alias: Alias, fullname: str) -> str | None:
    """The name of the module of ours that would be `fullname`, whether or not there is one. None for what is
    not to be found below the alias."""
    if fullname in alias.modules or alias.package is None:
        return alias.modules.get(fullname)
    parts = fullname.split(".")[1:]
    inner = parts[:-1] if len(parts) > 1 and parts[-1] == "__main__" else parts
    heads = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    if heads & alias.withheld or any(part.startswith("_") for part in inner):
        return None
    return ".".join([alias.package, *parts])


class SameModule:
    """Loads a module by importing it under its own name."""

    def __init__(self, own: ModuleSpec) -> None:
        self.own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.own.name)
        self.own = module.__spec__ or self.own
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put the alias's spec there.
        module.__spec__ = self.own

    def get_code(self, fullname: str) -> CodeType | None:
        """What `python -m` runs."""
        # Any: which loader it is, is the import system's business.
        loader: Any = self.own.loader
        code: CodeType | None = loader.get_code(self.own.name)
        return code


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
        if fullname in alias.borrowed:
            spec = self._find_elsewhere(fullname)
            lacks = f"No module named {fullname!r}: it would come from an installed {alias.name}"
        elif fullname == alias.name and fullname not in alias.modules:
            spec = PathFinder.find_spec(fullname, [HERE])
        else:
            spec = self._find_ours(own_name(alias, fullname), fullname)
        if spec is None:
            raise ModuleNotFoundError(lacks, name=fullname)
        return spec

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """What `importlib.metadata` asks for: a distribution of each name, with the version provided."""
        found: Iterator[Distribution] = import_module("greenswitch.compat.metadata").distributions(
            self.names, context
        )
        return found

    def _find_ours(self, name: str | None, fullname: str) -> ModuleSpec | None:
        """The spec that gives the module `name` the name `fullname` as well."""
        if name is None:
            return None
        own = PathFinder.find_spec(name, import_module(name.rpartition(".")[0]).__path__)
        # A folder that is no package would be found too, and has no location.
        if own is None or not own.has_location:
            return None
        # Any: importlib.abc, whose Loader it would have to derive from, costs more than this module.
        loader: Any = SameModule(own)
        spec = ModuleSpec(fullname, loader, origin=own.origin)
        spec.submodule_search_locations = own.submodule_search_locations
        spec.has_location = True
        spec.cached = own.cached
        return spec

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
