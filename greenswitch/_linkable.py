"""Links: functions that are called, once, when an event, a result or a semaphore is ready.

What belongs here: keeping and calling links. What never does: greenlets that wait; those are kept apart, as
waiters, because being woken and giving up must exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .hub import Hub, get_hub, get_hub_if_any

__all__ = ["Linkable"]

_Link = Callable[[Any], object]


class Linkable:
    """The base of what can be linked to. A link is called in the hub of the thread that made it."""

    __slots__ = ("__weakref__", "_links")

    def __init__(self) -> None:
        self._links: dict[object, tuple[_Link, Hub]] | None = None

    def ready(self) -> bool:
        """Would a link be called now?"""
        raise NotImplementedError

    def _waiter_count(self) -> int:
        raise NotImplementedError

    @property
    def hub(self) -> Hub | None:
        """The hub of the current thread, if it has one. The object itself belongs to no thread."""
        return get_hub_if_any()

    def rawlink(self, callback: _Link) -> None:
        """Call `callback(self)` once in the hub, where it must not wait, when this is ready; from the loop
        even if it is ready already. TypeError if it cannot be called."""
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        links = self._links
        if links is None:
            self._links = links = {}
        link = (callback, get_hub())
        try:
            links.setdefault(callback, link)
        except TypeError:
            # Cannot be hashed.
            links[object()] = link
        if self.ready():
            self._notify_links()

    def unlink(self, callback: _Link) -> None:
        """Undo one `rawlink` of `callback`. Does nothing if there is none."""
        links = self._links
        if not links:
            return
        try:
            if links.pop(callback, None) is not None:
                return
        except TypeError:
            pass
        for key, (link, _) in list(links.items()):
            if link == callback:
                links.pop(key, None)
                return

    def linkcount(self) -> int:
        """How many links and waiting greenlets there are."""
        return self._waiter_count() + (len(self._links) if self._links else 0)

    def _notify_links(self) -> None:
        """Have every hub that has links here call them."""
        links = self._links
        if not links:
            return
        current = get_hub_if_any()
        for hub in dict.fromkeys(hub for _, hub in list(links.values())):
            call = partial(self._call_links, hub)
            if hub is current:
                hub.loop.ready.append(call)
            else:
                hub.loop.call_threadsafe(call)

    def _call_links(self, own: Hub) -> None:
        links = self._links
        if not links:
            return
        try:
            for key, (link, hub) in list(links.items()):
                # Whoever is called may unlink another one: only those still in there are called.
                if hub is own and links.pop(key, None) is not None:
                    try:
                        link(self)
                    except BaseException as error:
                        if own.loop.closed:
                            # It is the hub that is to end, here where a link has switched to somebody.
                            raise
                        trace = error.__traceback__
                        own.handle_error((link, self), type(error), error, trace and trace.tb_next)
        except BaseException:
            # Out of a signal handler, or a `handle_error` that somebody has replaced.
            own.loop.ready.append(partial(self._call_links, own))
            raise
