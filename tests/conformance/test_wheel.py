"""gevent as it is installed, compiled for greenlet, with greenswitch in the place of greenlet (spec D2): what
passes of gevent's own tests on greenlet passes on greenswitch, but for what is in the table `expected_wheel`.

What belongs here: the comparison. What never does: how the tests are run (`peers`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import expected_wheel as expected
import peers
import pytest
from peers import WHEEL, Results, Runs
from table import names

VERSION = sys.version_info[:2]
LACKING = peers.lacking("gevent", "26.9.0", "greenlet", "httptools", "psutil", "zope.interface")

pytestmark = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """How they end on greenlet and on greenswitch."""
    with Runs(WHEEL, expected.FILES, (False, True)) as made:
        yield made


_settled: dict[str, tuple[set[str], Results]] = {}


def outcome(runs: Runs, file: str) -> tuple[set[str], Results]:
    """What passes on greenlet, and how all end on greenswitch."""
    if file not in _settled:
        passed = {test for test, ended in runs.of(file, False).items() if ended.status == "passed"}
        ours = runs.of(file, True)
        # One that fails on greenlet too is not run again; a process's end is no test, and is.
        known = {*names(expected.FAILED, file, VERSION), *(ours.keys() - passed - {f"{file}.process"})}
        _settled[file] = passed, peers.run_again(WHEEL, ours, True, known)
    return _settled[file]


def both_pass(passed: set[str], ours: Results) -> set[str]:
    return {test for test in passed if test in ours and ours[test].status == "passed"}


def test_the_files_are_there() -> None:
    assert set(expected.FILES) <= set(peers.files(WHEEL))


@pytest.mark.parametrize("file", expected.FILES)
def test_file(runs: Runs, file: str) -> None:
    passed, ours = outcome(runs, file)
    known = names(expected.FAILED, file, VERSION)
    either = names(expected.EITHER, file, VERSION)
    both = both_pass(passed, ours)
    unexpected = [
        f"{test}: {ours[test].text if test in ours else 'missing'}"
        for test in passed - both - known.keys() - either.keys()
    ]
    unexpected += [f"{test} passed: its row is to go" for test in known if test in both]
    assert not unexpected, "\n\n".join(unexpected)


def test_enough_of_them_pass(runs: Runs) -> None:
    """So that the table cannot grow without anybody noticing."""
    outcomes = [outcome(runs, file) for file in expected.FILES]
    there = sum(len(passed) for passed, _ in outcomes)
    here = sum(len(both_pass(*each)) for each in outcomes)
    assert there > 800
    assert here / there >= 0.98


def test_it_is_gevents_own_code_on_our_greenlets() -> None:
    program = (
        "import gevent, greenlet, subprocess, sys\n"
        "print(gevent.get_hub.__module__, gevent.Greenlet.__bases__, greenlet._greenlet.__name__)\n"
        "if __name__ == '__main__' and sys.argv[0] != '-c':\n"
        "    text = open(__file__).read()\n"
        "    print(subprocess.check_output([sys.executable, '-c', text], text=True), end='')\n"
    )
    line = "gevent._gevent_c_hub_local (<class 'greenlet.greenlet'>,) "
    for on_greenswitch, module in ((True, "greenswitch._core"), (False, "greenlet._greenlet")):
        assert peers.printed(WHEEL, on_greenswitch, program) == f"{line}{module}\n" * 2
