"""Run the tests of one module and write down how each one ended: `record.py MODULE FILE [TEST ...]`. The
tests named are left out.

What belongs here: what runs in the process that is tested, which may end at any moment, so every line is
written at once. What never does: imports beyond the standard library's, and judging the results (`expected`).
"""

from __future__ import annotations

import faulthandler
import json
import os
import runpy
import sys
import unittest
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TextIO


class Recorder(unittest.TestResult):
    """Writes [test, status, text] per test, with the status "started" before the others."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file

    def write(self, test: unittest.TestCase, status: str, text: str = "") -> None:
        print(json.dumps([test.id(), status, text]), file=self.file, flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.write(test, "started")

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.write(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.write(test, "skipped", reason)

    def addFailure(self, test: unittest.TestCase, error: Any) -> None:
        self.write(test, "failed", self._exc_info_to_string(error, test))  # type: ignore[attr-defined]

    addError = addFailure

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: Any) -> None:
        if error is not None:
            self.addFailure(test, error)

    def addExpectedFailure(self, test: unittest.TestCase, error: Any) -> None:
        self.write(test, "passed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.write(test, "failed", "passed, and is marked as one that fails")


class Script(unittest.TestCase):
    """The one test of a module that has none: it does its work when it is run."""

    def __init__(self, module: str) -> None:
        super().__init__("run_script")
        self.module = module

    def id(self) -> str:
        return f"{self.module}.script"

    def run_script(self) -> None:
        # What lies beside a script can be imported by its name alone.
        spec = find_spec(self.module)
        if spec is not None and spec.origin is not None:
            sys.path.insert(0, os.path.dirname(spec.origin))
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code:
                raise


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def main(module: str, path: str, *left_out: str) -> None:
    del sys.argv[1:]
    # The stacks of a hang, which is ended by SIGABRT, are to be seen whatever became of the standard error.
    faulthandler.enable(os.dup(2))
    if module.startswith("test."):
        # CPython's own: no network, nothing that takes very long.
        import_module("test.support").use_resources = ()
    with open(path, "w", encoding="utf-8") as file:
        tests = unittest.defaultTestLoader.loadTestsFromName(module)
        if tests.countTestCases() == 0:
            tests.addTest(Script(module))
        if left_out:
            tests = unittest.TestSuite(test for test in each(tests) if test.id() not in left_out)
        tests.run(Recorder(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
