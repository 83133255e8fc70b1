"""Being imported under other packages' names: after `install("greenlet")` every `import greenlet` in this
process gives greenswitch.

What belongs here: taking a name, and refusing to. What never does: which names there are (`table`), how the
import system is answered (`finder`, `metadata`), and what a name's package holds (the package here that is
called like it).
"""

from __future__ import annotations

import sys

from .finder import FINDER
from .table import ALIASES

__all__ = ["AliasError", "install", "installed"]


class AliasError(ImportError):
    """A name cannot be made to mean greenswitch; `name` is that name."""


def install(*names: str, force: bool = False) -> None:
    """Make later imports of the packages `names`, and of their submodules, give greenswitch in this process.
    `python -m greenswitch compat` lists the names that there are. A program that uses gevent and imports
    greenlet too needs both names: the real greenlet's greenlets know nothing of this hub.

    A submodule that greenswitch lacks is a ModuleNotFoundError, even where the real package is installed;
    only the real package's tests are still found, and run on greenswitch. `__version__` and
    `importlib.metadata.version` give the version whose interface is provided. Installing a name again does
    nothing.

    Raises AliasError, and has changed nothing, for a name that greenswitch does not stand in for, and where
    the real package is imported already. With `force` that package is forgotten instead: new imports get
    greenswitch, while modules that imported it before go on with the real one, and neither knows the other's
    greenlets.
    """
    for name in names:
        if name not in ALIASES:
            known = ", ".join(ALIASES)
            raise AliasError(f"greenswitch does not stand in for {name!r}, only for: {known}", name=name)
    new = [name for name in names if name not in FINDER.names]
    imported = [module for name in new for module in _modules_of(name)]
    if imported and not force:
        name = imported[0].partition(".")[0]
        path = getattr(sys.modules[imported[0]], "__file__", None) or "a place that is not a file"
        raise AliasError(
            f"{imported[0]!r} is imported already, from {path}: move greenswitch.compat.install({name!r}) "
            f"before the first import of {name} and of all that imports it",
            name=name,
        )
    for module in imported:
        del sys.modules[module]
    for name in new:
        FINDER.add(ALIASES[name])


def installed() -> tuple[str, ...]:
    """The names that mean greenswitch in this process."""
    return tuple(FINDER.names)


def _modules_of(name: str) -> list[str]:
    """What is imported of a package, itself first."""
    return sorted(module for module in sys.modules if module == name or module.startswith(f"{name}."))
