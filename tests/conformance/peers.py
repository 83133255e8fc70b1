"""The tests that greenlet installs with itself: running them, on greenlet or on greenswitch.

What belongs here: processes, time limits, reading what `record` has written. What never does: which outcome
is expected (`expected`), and any of their code: it is run from where it is installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"
TIME_LIMIT = 300.0
# Started first: the others fill the time that these take.
SLOW = ("test_leaks", "test_interpreter_shutdown", "test_greenlet")


# How greenlet's tests say that one which they mark as leaking did not leak.
NO_LEAK = "to leak but it did not"


class Ended(NamedTuple):
    """How one test ended."""

    status: str
    """passed, failed, skipped, or tight: only the leak that the test expects of greenlet was missing"""
    text: str


Results = dict[str, Ended]
"""By a test's name within the package of tests: `test_gc.TestGC.test_circular_greenlet`."""


def files() -> list[str]:
    """The names of the modules with tests that the installed greenlet has; none without a greenlet."""
    spec = find_spec("greenlet")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return sorted(path.stem for folder in folders for path in Path(folder, "tests").glob("test_*.py"))


def environment(on_greenswitch: bool, leaks: bool = True) -> dict[str, str]:
    """What the tests run with: nothing that greenlet's tests know a continuous integration by, because they
    leave out more there; and on greenswitch all child processes are to find it too."""
    known = ("GREENLET_", "GITHUB_", "TRAVIS", "APPVEYOR")
    cleaned = {name: value for name, value in os.environ.items() if not name.startswith(known)}
    if not leaks:
        cleaned["GREENLET_SKIP_LEAKCHECKS"] = "1"
    if on_greenswitch:
        cleaned["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SITE), cleaned.get("PYTHONPATH")]))
    return cleaned


def command(on_greenswitch: bool, *program: str) -> list[str]:
    """The command that runs a script or `-m module`, with its arguments."""
    through = ["-m", "greenswitch", "run", "--as", "greenlet"] if on_greenswitch else []
    return [sys.executable, *through, *program]


def run_file(file: str, on_greenswitch: bool, leaks: bool = True) -> Results:
    """Run one module of tests - or one test, by its name - in a process of its own, for at most TIME_LIMIT
    seconds. A test during which the process ended has failed, and those after it are missing. Without
    `leaks` the tests are not run again and again to see whether they leak."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        process = subprocess.Popen(
            command(on_greenswitch, str(HERE / "record.py"), f"greenlet.tests.{file}", str(record)),
            env=environment(on_greenswitch, leaks),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=TIME_LIMIT)
            end = f"the process ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            end = f"it was still running after {TIME_LIMIT:.0f} s"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    results: Results = {}
    for line in lines:
        test, status, text = json.loads(line)
        name = test.removeprefix("greenlet.tests.")
        if status == "started":
            status, text = "failed", f"{end}\n{output}"
        elif status == "failed" and NO_LEAK in text.splitlines()[-1]:
            status = "tight"
        results[name] = Ended(status, text)
    if process.returncode != 0:
        results.setdefault(f"{file}: the process", Ended("failed", f"{end}\n{output}"))
    return results


def run(chosen: Iterable[str], on_greenswitch: bool) -> dict[str, Results]:
    """Run modules of tests, as many at a time as there are cores."""
    ordered = sorted(chosen, key=lambda file: (file not in SLOW, file))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(ordered, pool.map(lambda file: run_file(file, on_greenswitch), ordered), strict=True))
