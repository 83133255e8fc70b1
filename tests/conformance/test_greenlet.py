"""greenlet's own tests, run on greenswitch under the name `greenlet` (spec D2): what must pass passes, and
what does not is in the table `expected_greenlet`, with the reason.

What belongs here: the comparison with the table, and proof that it is greenswitch which is tested. What never
does: how the tests are run (`peers`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import expected_greenlet as expected
import peers
import pytest
from peers import GREENLET
from table import names

VERSION = sys.version_info[:2]
LACKING = peers.lacking("greenlet", "3.5.6", "objgraph", "psutil")

pytestmark = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))

TIGHT = [test for file in expected.FILES for test in names(expected.TIGHT, file, VERSION)]


@pytest.fixture(scope="module")
def all_results() -> dict[str, peers.Results]:
    return peers.run(GREENLET, expected.FILES, True)


def test_the_table_has_all_files() -> None:
    assert sorted(peers.files(GREENLET)) == sorted([*expected.FILES, *expected.LEFT_OUT])


@pytest.mark.parametrize("file", expected.FILES)
def test_file(all_results: dict[str, peers.Results], file: str) -> None:
    results = all_results[file]
    unexpected = []
    tables = {"failed": expected.FAILED, "skipped": expected.SKIPPED, "tight": expected.TIGHT}
    allowed = {status: names(rows, file, VERSION) for status, rows in tables.items()}
    for test, ended in results.items():
        if ended.status != "passed" and test not in allowed[ended.status]:
            unexpected.append(f"{test} {ended.status}: {ended.text}")
        elif ended.status == "passed" and test in allowed["failed"]:
            unexpected.append(f"{test} passed: its row is to go")
    named = {test for tests in allowed.values() for test in tests}
    unexpected += [f"{test} is in the table and not in the file" for test in named - results.keys()]
    if len(results) != expected.FILES[file]:
        unexpected.append(f"{len(results)} tests ran and the table has {expected.FILES[file]}")
    assert not unexpected, "\n\n".join(unexpected)


@pytest.mark.parametrize("test", TIGHT)
def test_without_asking_for_the_leak(test: str) -> None:
    """What these tests do besides leaking works."""
    results = peers.run_file(GREENLET, test, True, leaks=False)
    assert {name: ended.status for name, ended in results.items()} == {test: "passed"}


def test_enough_of_them_pass(all_results: dict[str, peers.Results]) -> None:
    """So that the table of failures cannot grow without anybody noticing."""
    statuses = [ended.status for results in all_results.values() for ended in results.values()]
    ran = len(statuses) - statuses.count("skipped")
    assert (statuses.count("passed") + statuses.count("tight")) / ran >= 0.95


def test_c_api_refuses_while_finalising_where_a_thread_has_greenlets(tmp_path: Path) -> None:
    """greenlet's own test of this has no greenlet in the thread."""
    script = tmp_path / "script.py"
    script.write_text(
        "import gc, greenlet\nfrom greenlet.tests import _test_extension\ngc.disable()\n"
        "main = greenlet.getcurrent()\nclass Late:\n"
        "    def __del__(self, getcurrent=_test_extension.getcurrent_api):\n"
        "        try:\n            print(getcurrent())\n"
        "        except RuntimeError as error:\n            print(error)\n"
        "late = Late()\nlate.cycle = late\ndel late\n",
        encoding="utf-8",
    )
    for on_greenswitch in (False, True):
        outcome = subprocess.run(
            peers.command(GREENLET, on_greenswitch, str(script)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (outcome.stdout, outcome.stderr) == ("greenlet is being finalized\n", "")


def test_unittest_from_the_command_line(tmp_path: Path) -> None:
    """The documented command."""
    outcome = subprocess.run(
        peers.command(
            GREENLET, True, "-m", "unittest", "greenlet.tests.test_weakref", "greenlet.tests.test_throw"
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr.endswith("\nOK\n") and "Ran 10 tests" in outcome.stderr


@pytest.mark.parametrize("on_greenswitch", [True, False])
def test_children_of_the_tests_run_on_the_same(tmp_path: Path, on_greenswitch: bool) -> None:
    """Many of greenlet's tests look at what a child process says: a script that their `run_script` starts, or
    a program given with -c."""
    script = tmp_path / "script.py"
    program = "import greenlet; print(greenlet._greenlet.__name__, greenlet._C_API)"
    script.write_text(program, encoding="utf-8")
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import subprocess, sys\nfrom greenlet.tests import TestCase\n"
        f"print(TestCase().run_script({str(script)!r}), end='')\n"
        "program = 'import greenlet; print(greenlet._greenlet.__name__)'\n"
        "print(subprocess.check_output([sys.executable, '-c', program], text=True), end='')\n",
        encoding="utf-8",
    )
    outcome = subprocess.run(
        peers.command(GREENLET, on_greenswitch, str(parent)),
        env=peers.environment(GREENLET, on_greenswitch),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    name = "greenswitch._core" if on_greenswitch else "greenlet._greenlet"
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith(f'{name} <capsule object "greenlet._C_API"'), outcome
    assert lines[1:] == [name], outcome
