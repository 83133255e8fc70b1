"""The standard `signal` module with a handler of SIGCHLD that gets on with the loop.

What belongs here: `signal` and `getsignal`. What never does: how a loop hears signals (`loop.signals`),
handlers that run in a greenlet of their own (`signal_handler` of the package).

Handlers are called by the interpreter, in the main thread, between two steps of whichever greenlet runs. A
handler of SIGCHLD usually waits for children; in the hub, which must not wait, it gets a greenlet of its own.
While the loop uses SIGCHLD itself, the handler stands behind the loop's and is called all the same.
"""

from __future__ import annotations

import signal as _stdlib
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from ._core import getcurrent, greenlet
from ._original import get_signal, set_signal
from .hub import Hub, get_hub_if_any
from .loop import signals

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


class _Handler:
    """A handler of SIGCHLD that may wait."""

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self.handler = handler

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        hub = get_hub_if_any()
        if hub is not None and getcurrent() is hub:
            hub.loop.call_threadsafe(lambda: greenlet(self._run, hub).switch(hub, signum))
        else:
            self.handler(signum, frame)

    def _run(self, hub: Hub, signum: int) -> None:
        try:
            self.handler(signum, None)
        except BaseException as error:
            hub.handle_error(self.handler, type(error), error, error.__traceback__)


def _given(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _Handler) else handler


def getsignal(signalnum: int) -> Any:
    """The handler of the signal, as it was given to `signal`."""
    return _given(
        get_signal(signalnum) if signalnum != _stdlib.SIGCHLD else signals.handler_behind(signalnum)
    )


def signal(signalnum: int, handler: Any) -> Any:
    """Have `handler(signum, frame)` called when the process receives the signal; the handler of before.
    Raises as the standard function: ValueError outside of the main thread, TypeError for what is no
    handler."""
    if signalnum != _stdlib.SIGCHLD:
        return set_signal(signalnum, handler)
    if callable(handler):
        handler = _Handler(handler)
    return _given(signals.set_handler_behind(_stdlib.SIGCHLD, handler))


__implements__ = ["getsignal", "signal"]
__imports__ = [name for name in vars(_stdlib) if name[0] != "_" and name not in globals()]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __imports__  # noqa: PLE0605
