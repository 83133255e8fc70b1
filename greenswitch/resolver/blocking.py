"""The system's own resolver, called on the spot: everybody waits.

What belongs here: handing on. What never does: a thread, which is what one asks for this resolver to be
without (`config.resolver = "block"`): in a process that may start none, or where names are found in a file.
"""

from __future__ import annotations

from .. import _original
from ..hub import Hub

__all__ = ["Resolver"]


class Resolver:
    """`AbstractResolver` by the functions of the C library. No greenlet runs during a look-up."""

    getaddrinfo = staticmethod(_original.getaddrinfo)
    gethostbyname = staticmethod(_original.gethostbyname)
    gethostbyname_ex = staticmethod(_original.gethostbyname_ex)
    gethostbyaddr = staticmethod(_original.gethostbyaddr)
    getnameinfo = staticmethod(_original.getnameinfo)

    def __init__(self, hub: Hub | None = None) -> None:
        """`hub` is there because every resolver is given one."""

    def close(self) -> None:
        """Nothing is held."""
