"""What gevent's tests take from `gevent._greenlet_primitives`.

What belongs here: finding greenlets. What never does: anything that greenswitch itself needs.
"""

from __future__ import annotations

import gc

from greenswitch import greenlet

__all__ = ["get_reachable_greenlets"]


def get_reachable_greenlets() -> list[greenlet]:
    """All greenlets that the garbage collector knows."""
    return [each for each in gc.get_objects() if isinstance(each, greenlet)]
