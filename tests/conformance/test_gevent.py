"""gevent's own tests, but for those that are left out with a reason, run on greenswitch under the name
`gevent` (spec D3): what must pass passes, and what does not is in the table `expected_gevent`.

What belongs here: the comparison with the table, and proof that it is greenswitch which is tested. What never
does: how the tests are run (`peers`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import expected_gevent as expected
import peers
import pytest
from peers import GEVENT
from table import names

VERSION = sys.version_info[:2]
LACKING = peers.lacking("gevent", "26.9.0", "greenlet", "httptools", "psutil", "zope.interface")

pytestmark = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))

TABLES = {"failed": expected.FAILED, "skipped": expected.SKIPPED + expected.LACKING}


def can_be_run(file: str) -> bool:
    """Two wait for name servers hundreds of times."""
    return file not in {"test__socket_dns", "test__socket_dns6"} or peers.name_servers_answer()


@pytest.fixture(scope="module")
def runs() -> Iterator[peers.Runs]:
    with peers.Runs(GEVENT, filter(can_be_run, expected.FILES), [True]) as made:
        yield made


_settled: dict[str, peers.Results] = {}


def outcome(runs: peers.Runs, file: str) -> peers.Results:
    """How they end. One that fails against the table is run again by itself: many of them are given times
    that a machine which runs others beside them may not keep."""
    if file not in _settled:
        known = names(expected.FAILED, file, VERSION)
        _settled[file] = peers.run_again(GEVENT, runs.of(file, True), True, known)
    return _settled[file]


def test_the_table_has_all_files() -> None:
    assert sorted(peers.files(GEVENT)) == sorted([*expected.FILES, *expected.BY_HAND, *expected.LEFT_OUT])


@pytest.mark.parametrize("file", expected.FILES)
def test_file(runs: peers.Runs, file: str) -> None:
    if not can_be_run(file):
        pytest.skip("this machine's name servers do not answer")
    results = outcome(runs, file)
    allowed = {status: names(rows, file, VERSION) for status, rows in TABLES.items()}
    either = names(expected.EITHER, file, VERSION)
    unexpected = []
    for test, ended in results.items():
        if test in either:
            continue
        if ended.status != "passed" and test not in allowed[ended.status]:
            unexpected.append(f"{test} {ended.status}: {ended.text}")
        elif ended.status == "passed" and test in allowed["failed"]:
            unexpected.append(f"{test} passed: its row is to go")
    named = {test for tests in (*allowed.values(), either) for test in tests}
    unexpected += [f"{test} is in the table and not in the file" for test in named - results.keys()]
    if len(results) != expected.FILES[file]:
        unexpected.append(f"{len(results)} tests ran and the table has {expected.FILES[file]}")
    assert not unexpected, "\n\n".join(unexpected)


def test_enough_of_them_pass(runs: peers.Runs) -> None:
    """So that the tables cannot grow without anybody noticing. What gevent itself skips does not count."""
    statuses = [
        ended.status for file in filter(can_be_run, expected.FILES) for ended in outcome(runs, file).values()
    ]
    missed = len(GEVENT.hanging) + len(peers.all_names(expected.LACKING))
    ran = len(statuses) - statuses.count("skipped") + missed
    assert statuses.count("passed") / ran >= 0.85


@pytest.mark.parametrize("on_greenswitch", [True, False])
def test_children_of_the_tests_run_on_the_same(tmp_path: Path, on_greenswitch: bool) -> None:
    """Some of gevent's tests look at what a child process says, and gevent's test tools start some."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import gevent, subprocess, sys\nimport gevent.testing\n"
        "print(gevent.get_hub.__module__)\n"
        "program = 'import gevent; print(gevent.get_hub.__module__)'\n"
        "print(subprocess.check_output([sys.executable, '-c', program], text=True), end='')\n",
        encoding="utf-8",
    )
    outcome = subprocess.run(
        peers.command(GEVENT, on_greenswitch, str(parent)),
        env=peers.environment(GEVENT, on_greenswitch),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    home = "greenswitch.hub" if on_greenswitch else "gevent._gevent_c_hub_local"
    assert outcome.stdout == f"{home}\n" * 2, outcome
