"""The exceptions of waiting and switching, by gevent's names.

What belongs here: exception classes that more than one module raises. What never does: a queue's or a
socket's own.
"""

from __future__ import annotations

from typing import Any

from ._core import GreenletExit

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "GreenletExit",
    "HubDestroyed",
    "InvalidSwitchError",
    "InvalidThreadUseError",
    "LoopExit",
]


class LoopExit(Exception):
    """Nothing can ever wake the main greenlet again.

    The arguments are a sentence, the hub, and who waits for what, one `greenswitch._waits.Wait` each. `hub`
    is the hub or None.
    """

    @property
    def hub(self) -> Any:
        return self.args[1] if len(self.args) == 3 else None

    def __repr__(self) -> str:
        if len(self.args) == 3:
            sentence, hub, waiting = self.args
            lines = "".join(f"\n\t\t{wait}" for wait in waiting) or "\n\t\t[]"
            return f"{sentence}\n\tHub: {hub!r}\n\tHandles:{lines}"
        return super().__repr__()

    def __str__(self) -> str:
        return repr(self) if len(self.args) == 3 else super().__str__()


class BlockingSwitchOutError(AssertionError):
    """A call that waits was made by the hub itself, inside a callback of the loop."""


class InvalidSwitchError(AssertionError):
    """A waiting greenlet was switched to by somebody else than the one it waits for."""


class ConcurrentObjectUseError(AssertionError):
    """Two greenlets use an object at once that only one can use."""


class InvalidThreadUseError(RuntimeError):
    """An object was used from a thread that it does not belong to."""


class HubDestroyed(GreenletExit):
    """Raised in greenlets whose hub is destroyed.

    `destroy_loop` says whether the loop goes with it.
    """

    def __init__(self, destroy_loop: bool = False) -> None:
        super().__init__(destroy_loop)
        self.destroy_loop = destroy_loop
