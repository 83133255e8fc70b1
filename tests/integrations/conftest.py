"""Programs of other projects, as processes that tests start, watch and end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

SECONDS = 60
"""For how long anything is waited for."""


class Program:
    """A running program; see `start`."""

    def __init__(self, arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str]) -> None:
        self.log = directory / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        """What it has written by now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has written what matches."""
        match = None

        def found() -> bool:
            nonlocal match
            match = re.search(pattern, self.said())
            return match is not None

        self.until(found, f"it never said {pattern!r}")
        assert match is not None
        return match

    def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for a condition, as long as the program runs."""
        end = time.monotonic() + SECONDS
        while not condition():
            if self.process.poll() is not None and not condition():
                pytest.fail(f"{otherwise}; it ended with {self.process.returncode}\n{self.said()}")
            if time.monotonic() > end:
                pytest.fail(f"{otherwise}\n{self.said()}")
            time.sleep(0.02)

    def end(self, signum: int = signal.SIGTERM, status: int = 0) -> str:
        """Send it a signal and wait until it ends with this status. What it said."""
        self.process.send_signal(signum)
        try:
            ended = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end\n{self.said()}")
        assert ended == status, self.said()
        return self.said()


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python with some arguments, in a directory of the test's own: `start("-m", "module", ...)`, with
    further environment variables as keywords. What it writes is kept; it is killed after the test, with all
    that it has started."""
    started: list[Program] = []

    def start(*arguments: str, **environment: str) -> Program:
        program = Program(arguments, tmp_path, environment)
        started.append(program)
        return program

    yield start
    for program in started:
        try:
            # The group is there until the last of them has ended.
            os.killpg(program.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        program.process.wait()
