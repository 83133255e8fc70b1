"""Run the tests on every supported CPython of this machine, each in its own environment, and show a table.

What belongs here: finding interpreters and counting results.  What never does: how tests are run, which is
`make test`.  Usage: matrix.py [INTERPRETER...]; without arguments pyenv's root and PATH are searched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = "{:<9} {:>7} {:>7} {:>7}  {}"


def supported() -> list[str]:
    """The versions that the package says it is for, as "3.10"."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


def version_of(interpreter: str | Path) -> str | None:
    """ "3.10" for a CPython that runs, with the interpreter's lock; None for anything else."""
    code = (
        "import sys, sysconfig\n"
        "if sys.implementation.name == 'cpython' and not sysconfig.get_config_var('Py_GIL_DISABLED'):\n"
        "    print('%d.%d' % sys.version_info[:2])"
    )
    try:
        process = subprocess.run(
            [str(interpreter), "-I", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() or None


def candidates(version: str) -> list[Path]:
    """Where an interpreter of that version may be: newest of pyenv's first, then PATH."""
    found: list[Path] = []
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = subprocess.run([pyenv, "root"], stdout=subprocess.PIPE, text=True).stdout.strip()
        versions = Path(root, "versions").glob(f"{version}.*/bin/python")
        found += sorted(versions, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])])[::-1]
    on_path = shutil.which(f"python{version}")
    return found if on_path is None else [*found, Path(on_path)]


def interpreters(given: list[str]) -> dict[str, Path]:
    """One interpreter for each supported version that is there."""
    if given:
        paths = [Path(shutil.which(name) or name) for name in given]
        return {version: path for path in paths if (version := version_of(path)) is not None}
    chosen: dict[str, Path] = {}
    for version in supported():
        for path in candidates(version):
            if version_of(path) == version:
                chosen[version] = path
                break
    return chosen


def counts(report: Path) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped, by pytest's report."""
    total = failed = skipped = 0
    for suite in ET.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed, skipped


def run_tests(version: str, interpreter: Path) -> tuple[bool, str]:
    """Whether `make test` passed with that interpreter, and its row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.xml")
        process = subprocess.run(
            [
                os.environ.get("MAKE", "make"),
                "--no-print-directory",
                "test",
                f"VENV=.venv-{version}",
                f"PYTHON={interpreter}",
                f"PYTEST_ARGS=-q --junitxml={report}",
            ],
            cwd=ROOT,
        )
        if not report.exists():
            return False, COLUMNS.format(version, "-", "-", "-", "not tested: see the error above")
        passed, failed, skipped = counts(report)
    row = COLUMNS.format(version, passed, failed, skipped, interpreter)
    return process.returncode == 0, row


def main() -> int:
    """The exit status: 0 if every version that is here passed and at least one is."""
    chosen = interpreters(sys.argv[1:])
    rows, all_passed = [], bool(chosen)
    for version, interpreter in chosen.items():
        print(f"== CPython {version}: {interpreter}", flush=True)
        passed, row = run_tests(version, interpreter)
        rows.append(row)
        all_passed = all_passed and passed
    print(COLUMNS.format("version", "passed", "failed", "skipped", "interpreter"))
    for row in rows:
        print(row)
    for version in supported():
        if version not in chosen:
            print(f"{version} is not on this machine: skipped")
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
