"""Reading a file of hosts, under the name `gevent.resolver._hostsfile`.

What belongs here: the one question that gevent's tests of its resolvers ask. What never does: looking names
up, for which the system's resolver reads its own file of hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["HostsFile"]


class HostsFile:
    """The file at `fname`."""

    def __init__(self, fname: str) -> None:
        self.lines = Path(fname).read_text(encoding="utf-8", errors="replace").splitlines()

    def iter_all_host_addr_pairs(self) -> Iterator[tuple[str, str]]:
        """(host, address) for each name in the file."""
        for line in self.lines:
            address, *hosts = line.partition("#")[0].split() or [""]
            for host in hosts:
                yield host, address
