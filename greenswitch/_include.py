"""Where the C header is.

What belongs here: what a build of an extension module on top of greenswitch asks. What never does: what a
program that runs asks.
"""

from __future__ import annotations

import os

__all__ = ["get_include"]

_HEADER = os.path.join("greenlet", "greenlet.h")


def get_include() -> str:
    """The directory to compile with as `-I`, so that `#include <greenlet/greenlet.h>` finds the C API.

    FileNotFoundError: this installation has no header, as when the package was put together by hand.
    """
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")
    if not os.path.isfile(os.path.join(directory, _HEADER)):
        raise FileNotFoundError(
            f"greenswitch's C header is not installed: there is no {_HEADER} in {directory}. "
            "Build or install greenswitch again; its build puts the header there."
        )
    return directory
