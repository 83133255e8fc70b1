"""CPython's own tests of modules that are patched, from the package `test` of the interpreter that runs this
(spec I3): what passes unpatched passes patched, and what does not is in the table `expected_cpython`, with
the reason.

What belongs here: the comparison with the table. What never does: how the tests are run (`peers`).
"""

from __future__ import annotations

import importlib.util
import sys

import expected_cpython as expected
import peers
import pytest
from peers import CPYTHON, Results
from table import names

VERSION = sys.version_info[:2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socket") is None,
    reason="this CPython was installed without its tests: the package `test`",
)


@pytest.fixture(scope="module")
def all_results() -> dict[bool, dict[str, Results]]:
    """How they end, unpatched and patched. One that fails against the table when patched is run again by
    itself: many are given times that a machine which runs others beside them may not keep."""
    results = {patched: peers.run(CPYTHON, expected.FILES, patched) for patched in (False, True)}
    for file, ended in results[True].items():
        for test in losses(results[False][file], ended) - names(expected.FAILED, file, VERSION).keys():
            ended.update(peers.run_file(CPYTHON, test, True))
    return results


def losses(unpatched: Results, patched: Results) -> set[str]:
    """What passes unpatched only."""
    return {
        test
        for test, ended in unpatched.items()
        if ended.status == "passed" and (test not in patched or patched[test].status != "passed")
    }


@pytest.mark.parametrize("file", expected.FILES)
def test_file(all_results: dict[bool, dict[str, Results]], file: str) -> None:
    unpatched, patched = all_results[False][file], all_results[True][file]
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


def test_enough_of_them_pass(all_results: dict[bool, dict[str, Results]]) -> None:
    """So that the table cannot grow without anybody noticing: 9 of 10 that pass unpatched, those counted that
    are not run."""
    good = {
        patched: sum(end.status == "passed" for ended in results.values() for end in ended.values())
        for patched, results in all_results.items()
    }
    hanging = sum(len(names(expected.HANGING, file, VERSION)) for file in expected.FILES)
    assert good[True] / (good[False] + hanging) >= 0.9


def test_it_is_the_patched_library_that_is_tested() -> None:
    program = "import socket, threading; print(socket.socket.__module__, threading.Lock.__module__)"
    assert peers.printed(CPYTHON, True, program) == "greenswitch.socket greenswitch.thread\n"
    assert peers.printed(CPYTHON, False, program) == "socket _thread\n"
