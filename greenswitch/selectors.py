"""The standard `selectors` module with the waits going through the hub.

What belongs here: which selector is the default one. What never does: waiting (`select`), and a selector of
our own: the standard classes keep the books, and ask our `epoll`, `poll` and `select`.

With `epoll` a selector's wait costs the same however many files it has: the loop borrows the one descriptor
of the epoll object.
"""

from __future__ import annotations

import selectors as _stdlib
from typing import TYPE_CHECKING, Any

from . import select as _select
from .hub import Hub, get_hub

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


class SelectSelector(_stdlib.SelectSelector):
    """The standard `SelectSelector`; `select()` lets other greenlets run."""

    _select = staticmethod(_select.select)


if hasattr(_select, "poll"):

    class PollSelector(_stdlib.PollSelector):
        """The standard `PollSelector`; `select()` lets other greenlets run."""

        _selector_cls = _select.poll


if hasattr(_select, "epoll"):

    class EpollSelector(_stdlib.EpollSelector):
        """The standard `EpollSelector`; `select()` lets other greenlets run."""

        _selector_cls = _select.epoll


_Best: Any = globals().get("EpollSelector") or globals().get("PollSelector") or SelectSelector


class DefaultSelector(_Best):  # type: ignore[misc]
    """The best of the selectors here. `hub` is there for gevent's sake: the hub of the thread that waits is
    the one in which it waits."""

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__()
        self._hub = hub

    @property
    def hub(self) -> Hub:
        return get_hub() if self._hub is None else self._hub


GeventSelector = DefaultSelector

__implements__ = [
    name
    for name in ("DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector")
    if name in globals()
]
__extensions__ = ["GeventSelector"]

# What cannot block is the standard library's own; the other selectors would stop the hub.
__imports__ = ["BaseSelector", "EVENT_READ", "EVENT_WRITE", "SelectorKey"]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = __implements__ + __extensions__ + __imports__  # noqa: PLE0605
