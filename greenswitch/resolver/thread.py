"""The system's own resolver, run in the hub's pool of native threads.

What belongs here: which question goes to a thread, which is answered on the spot. What never does: threads
(`threadpool`), questions of our own to a name server.
"""

from __future__ import annotations

from _socket import AI_NUMERICHOST, NI_NUMERICHOST, NI_NUMERICSERV, gaierror
from typing import Any, TypeVar

from .. import _original
from ..hub import Hub, get_hub
from ..threadpool import ThreadPool
from . import Found, is_address

__all__ = ["Resolver"]

_T = TypeVar("_T")


class Resolver:
    """`AbstractResolver` by the functions of the C library, in the threads of `hub.threadpool`.

    Numeric addresses are answered at once, without a thread. A greenlet that is killed while it waits leaves
    the look-up running; its result is thrown away.
    """

    def __init__(self, hub: Hub | None = None) -> None:
        self.pool: ThreadPool = (get_hub() if hub is None else hub).threadpool

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x} pool={self.pool!r}>"

    def close(self) -> None:
        """Nothing: the pool belongs to the hub."""

    def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Found:
        question = (host, port, family, type, proto, flags)
        if _is_number(port):
            if host is None or is_address(host):
                return _original.getaddrinfo(*question)
            if _may_be_numeric(host):
                try:
                    return _original.getaddrinfo(*question[:5], flags | AI_NUMERICHOST)
                except gaierror:
                    # A name that begins like a number.
                    pass
        return self.pool.apply(_original.getaddrinfo, question)

    def gethostbyname(self, hostname: str) -> str:
        if is_address(hostname):
            return _original.gethostbyname(hostname)
        return self.pool.apply(_original.gethostbyname, (hostname,))

    def gethostbyname_ex(self, hostname: str) -> tuple[str, list[str], list[str]]:
        if is_address(hostname) and hostname[:1].isdigit():
            return _original.gethostbyname_ex(hostname)
        return self.pool.apply(_original.gethostbyname_ex, (hostname,))

    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]:
        return self.pool.apply(_original.gethostbyaddr, (ip_address,))

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        if flags & NI_NUMERICHOST and flags & NI_NUMERICSERV:
            return _original.getnameinfo(sockaddr, flags)
        return self.pool.apply(_original.getnameinfo, (sockaddr, flags))


def _is_number(port: object) -> bool:
    """A port that needs no look-up among the services."""
    return port is None or isinstance(port, int) or (isinstance(port, (bytes, str)) and port.isdigit())


def _may_be_numeric(host: object) -> bool:
    """Every numeric form of an address begins with a digit (`127.1`, `0x7f.1`) or has a colon."""
    if isinstance(host, bytes):
        return host[:1].isdigit() or b":" in host
    return isinstance(host, str) and (host[:1].isdigit() or ":" in host)
