"""Executed by every interpreter that starts with this folder on its PYTHONPATH: makes greenswitch stand in.

What belongs here: taking the peer's names, so that the processes which its tests start test greenswitch as
well; finding the private modules that only gevent's tests need (`stand_ins`). What never does: anything else,
since it runs before every program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from greenswitch import compat

STAND_INS = Path(__file__).resolve().parents[1] / "stand_ins" / "gevent"
HOMES = {"gevent._": STAND_INS, "gevent.resolver._": STAND_INS / "resolver"}
"""Where the private modules are whose names begin so."""


class StandIns:
    """Finds gevent's private modules in their folder. What its package of test tools wants of public modules
    is put there by one of them, which is imported before that package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in ("gevent.testing", "gevent.tests"):
            import_module("gevent._additions")
        home = next((home for prefix, home in HOMES.items() if fullname.startswith(prefix)), None)
        if home is None:
            return None
        return PathFinder.find_spec(fullname, path if fullname.startswith("gevent._ffi.") else [str(home)])


aliases = os.environ["CONFORMANCE_ALIASES"].split(",")
compat.install(*aliases)
if "gevent" in aliases:
    sys.meta_path.insert(0, StandIns())
