"""Looking names up without stopping the other greenlets.

What belongs here: what every resolver shares - its interface, and which questions need no look-up. What never
does: a way to look names up (one module each), the standard library's wrapping of results (`socket`).
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Protocol

__all__ = ["AbstractResolver", "is_address"]

Found = list[tuple[int, int, int, str, tuple[Any, ...]]]
"""What the C level's `getaddrinfo` gives: (family, type, protocol, canonical name, socket address) each."""


class AbstractResolver(Protocol):
    """The questions that a hub's resolver answers, each as the `socket` module's function of that name: the
    same results (plain numbers for families and types), the same errors. All of them may switch to other
    greenlets."""

    def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Found: ...

    def gethostbyname(self, hostname: str) -> str: ...

    def gethostbyname_ex(self, hostname: str) -> tuple[str, list[str], list[str]]: ...

    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]: ...

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]: ...

    def close(self) -> None:
        """Give back what the resolver holds."""


def is_address(host: object) -> bool:
    """Is `host` something that the system's calls take without looking it up: a numeric address, or one of
    the words for "any" and "broadcast"?"""
    if isinstance(host, (bytes, bytearray)):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    if not isinstance(host, str):
        return False
    if host == "" or host == "<broadcast>":
        return True
    try:
        inet_pton(AF_INET6 if ":" in host else AF_INET, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True
