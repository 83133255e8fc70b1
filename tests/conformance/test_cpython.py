"""CPython's own tests of modules that are patched, from the package `test` of the interpreter that runs this
(spec I3): what passes unpatched passes patched, and what does not is in the table `expected_cpython`, with
the reason.

What belongs here: the comparison with the table. What never does: how the tests are run (`peers`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

import expected_cpython as expected
import peers
import pytest
from peers import CPYTHON, Results, Runs
from table import names

VERSION = sys.version_info[:2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socket") is None,
    reason="this CPython was installed without its tests: the package `test`",
)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """How they end, unpatched and patched."""
    with Runs(CPYTHON, expected.FILES, (False, True)) as made:
        yield made


_settled: dict[str, tuple[Results, Results]] = {}


def outcome(runs: Runs, file: str) -> tuple[Results, Results]:
    """Unpatched, and patched. One that fails against the table when patched is run again by itself: many are
    given times that a machine which runs others beside them may not keep."""
    if file not in _settled:
        unpatched, patched = runs.of(file, False), runs.of(file, True)
        for test in losses(unpatched, patched) - names(expected.FAILED, file, VERSION).keys():
            patched.update(peers.run_file(CPYTHON, test, True))
        _settled[file] = unpatched, patched
    return _settled[file]


def losses(unpatched: Results, patched: Results) -> set[str]:
    """What passes unpatched only."""
    return {
        test
        for test, ended in unpatched.items()
        if ended.status == "passed" and (test not in patched or patched[test].status != "passed")
    }


@pytest.mark.parametrize("file", expected.FILES)
def test_file(runs: Runs, file: str) -> None:
    unpatched, patched = outcome(runs, file)
    assert f"{file}.process" not in unpatched
    allowed = names(expected.FAILED, file, VERSION)
    lost = losses(unpatched, patched)
    unexpected = [
        f"{test}: {patched[test].text if test in patched else 'missing'}" for test in lost - allowed.keys()
    ]
    unexpected += [
        f"{test} passed: its row is to go"
        for test in allowed
        if test in patched and patched[test].status == "passed"
    ]
    unexpected += [f"{test} is in the table and not in the file" for test in allowed.keys() - unpatched]
    assert not unexpected, "\n\n".join(unexpected)


def test_enough_of_them_pass(runs: Runs) -> None:
    """So that the table cannot grow without anybody noticing: 9 of 10 that pass unpatched, those counted that
    are not run."""
    here = there = 0
    for file in expected.FILES:
        unpatched, patched = outcome(runs, file)
        passed = {test for test, ended in unpatched.items() if ended.status == "passed"}
        here += len(passed - losses(unpatched, patched))
        there += len(passed) + len(names(expected.HANGING, file, VERSION))
    assert here / there >= 0.9


def test_it_is_the_patched_library_that_is_tested() -> None:
    program = "import socket, threading; print(socket.socket.__module__, threading.Lock.__module__)"
    assert peers.printed(CPYTHON, True, program) == "greenswitch.socket greenswitch.thread\n"
    assert peers.printed(CPYTHON, False, program) == "socket _thread\n"
