"""The standard streams of this moment as files that let other greenlets run.

What belongs here: `stdin`, `stdout` and `stderr`, made when they are asked for. What never does: the files
(`fileobject`).
"""

from __future__ import annotations

import sys
from typing import Any

from .fileobject import FileObjectBase, FileObjectThread

__all__ = ["stderr", "stdin", "stdout"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    stream = getattr(sys, name)
    # Already one of ours, or none at all.
    return stream if stream is None or isinstance(stream, FileObjectBase) else FileObjectThread(stream)
