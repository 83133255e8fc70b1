"""What tests of every kind share: where the tests run, and programs in processes of their own.

What belongs here: fixtures that more than one folder of tests uses.  What never does: fakes and helpers of
one subject, which live beside its tests.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it wrote."""

    status: int  # as subprocess gives it: -N when signal N ended the program
    stdout: str
    stderr: str

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended the program; None if it ended by itself."""
        return signal.Signals(-self.status).name if self.status < 0 else None

    def check(self) -> Outcome:
        """This outcome, if the program succeeded; otherwise the test fails and shows all there is to see."""
        if self.status != 0:
            end = f"status {self.status}" if self.signal is None else self.signal
            pytest.fail(f"the program ended with {end}\n{self}", pytrace=False)
        return self

    def __str__(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class RunPython(Protocol):
    """Run a Python program in a process of its own and wait for its end.

    `program` is the source text, or the path of a script; `arguments` become its sys.argv[1:].
    `options` are the interpreter's own (`("-X", "dev")`), `environment` is added to this process's,
    `stdin` is what the program can read, `directory` is where it runs: a fresh one if not given.
    After `timeout` seconds the program and its children are killed and the test fails.
    """

    def __call__(
        self,
        program: str | Path,
        *arguments: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        directory: str | Path | None = None,
        timeout: float = 60,
    ) -> Outcome: ...


@pytest.fixture(scope="session", autouse=True)
def outside_of_the_source_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run in an empty directory: in the repository's, `import greenswitch` in a child process would find the
    sources, which have no compiled core, in place of the package that is installed."""
    before, directory = Path.cwd(), tmp_path_factory.mktemp("cwd")
    os.chdir(directory)
    yield directory
    os.chdir(before)


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """A function that runs a Python program in a process of its own; see RunPython."""

    def run(
        program: str | Path,
        *arguments: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        directory: str | Path | None = None,
        timeout: float = 60,
    ) -> Outcome:
        source = [str(program)] if isinstance(program, Path) else ["-c", program]
        process = subprocess.Popen(
            [sys.executable, *options, *source, *arguments],
            cwd=tmp_path if directory is None else directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            outcome = Outcome(-signal.SIGKILL, *process.communicate())
            pytest.fail(f"the program was still running after {timeout} s\n{outcome}", pytrace=False)
        return Outcome(process.returncode, stdout, stderr)

    return run


def pytest_report_header() -> str:
    """Say which greenswitch is being tested."""
    found = importlib.util.find_spec("greenswitch")
    return f"greenswitch: {'not installed' if found is None else found.origin}"
