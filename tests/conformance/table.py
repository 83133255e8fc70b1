"""The shape of the tables of expected outcomes.

What belongs here: what the tables of all peers have in common. What never does: the outcomes
(`expected_greenlet`, `expected_gevent`), and running anything.
"""

from __future__ import annotations

from typing import NamedTuple

ALL = (3, 10), (4, 0)


class Row(NamedTuple):
    """Tests that end otherwise than by passing."""

    file: str
    tests: str
    """Their names within the file, separated by spaces."""
    reason: str
    since: tuple[int, int] = ALL[0]
    """The first CPython version that the row is for."""
    before: tuple[int, int] = ALL[1]
    """The first one after that that it is not for."""


def names(rows: tuple[Row, ...], file: str, version: tuple[int, int]) -> dict[str, str]:
    """The tests of a file that rows name for a CPython version, each with the reason."""
    return {
        f"{file}.{test}": row.reason
        for row in rows
        if row.file == file and row.since <= version < row.before
        for test in row.tests.split()
    }
