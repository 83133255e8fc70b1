"""CPython's own tests of asyncio, run on greenswitch's loop (spec D4): whatever passes on the standard loop
passes, but for what is in the table `expected_asyncio`, with the reason.

What belongs here: the comparison. What never does: how the tests are run (`peers`).

Every CPython has tests of its own, so it is not a number that is compared: a test that fails is run again by
itself, on our loop and on the standard one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import expected_asyncio as expected
import peers
import pytest
from peers import ASYNCIO
from table import names

VERSION = sys.version_info[:2]
FILES = [file for file in peers.files(ASYNCIO) if file not in expected.LEFT_OUT]

pytestmark = pytest.mark.skipif(not FILES, reason="CPython's own tests of asyncio are not installed")


@pytest.fixture(scope="module")
def runs() -> Iterator[peers.Runs]:
    with peers.Runs(ASYNCIO, FILES, [True]) as made:
        yield made


@pytest.mark.parametrize("file", FILES)
def test_file(runs: peers.Runs, file: str) -> None:
    known = names(expected.FAILED, file, VERSION)
    results = runs.of(file, True)
    unexpected = []
    for test, ended in results.items():
        if ended.status != "failed" or test in known:
            continue
        again = peers.run_file(ASYNCIO, test, True).get(test, ended)
        if again.status == "failed":
            there = peers.run_file(ASYNCIO, test, False).get(test)
            if there is None or there.status != "failed":
                unexpected.append(f"{test}: {again.text}")
    passed = {test for test, ended in results.items() if ended.status == "passed"}
    unexpected += [f"{test} passed: its row is to go" for test in known if test in passed]
    assert not unexpected, "\n\n".join(unexpected)
    assert passed


def test_it_is_our_loop_that_is_tested(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys\n"
        "async def main(): return type(asyncio.get_running_loop())\n"
        "print(issubclass(asyncio.run(main()), sys.modules['greenswitch.aio'].EventLoop))\n"
        "print(asyncio.SelectorEventLoop.__mro__[1].__module__, sys.argv[1:])\n",
        encoding="utf-8",
    )
    outcome = subprocess.run(
        peers.command(ASYNCIO, True, str(program), "argument"), capture_output=True, text=True, timeout=60
    )
    assert outcome.stdout.splitlines() == ["True", "greenswitch.aio.loop ['argument']"], outcome
