"""What gevent's test tools take from `gevent._ffi.callback`: the class of a loop's callbacks.

What belongs here: finding it. What never does: anything that greenswitch itself needs.
"""

from __future__ import annotations

from greenswitch import get_hub

__all__ = ["callback"]

_one = get_hub().loop.run_callback(lambda: None)
_one.stop()
callback = type(_one)
