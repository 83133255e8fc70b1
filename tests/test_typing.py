"""The types of the switcher: the stub agrees with what it describes, and a user's program is checked by it.

What belongs here: what type checkers see from outside.  What never does: the checking of our own sources,
which is `make lint`.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import greenswitch
from greenswitch import _core

PACKAGE = Path(greenswitch.__file__).parent

SAMPLE = """
from contextvars import Context
from types import FrameType

from greenswitch import GreenletExit, error, getcurrent, gettrace, greenlet, settrace


class Counter(greenlet):
    def __init__(self, limit: int) -> None:
        super().__init__(parent=getcurrent())
        self.limit = limit

    def run(self) -> int:
        for number in range(self.limit):
            self.parent.switch(number) if self.parent else None
        return self.limit


def trace(event: str, pair: tuple[greenlet, greenlet]) -> None:
    print(event, pair[0].dead, pair[1].dead)


settrace(trace)
counter = Counter(2)
first: int = counter.switch()
frame: FrameType | None = counter.gr_frame
context: Context | None = counter.gr_context
try:
    counter.throw(GreenletExit())
except error:
    pass
settrace(None)
print(first, frame, context, counter.dead, gettrace())
counter.gr_frame = None  # E: it cannot be set
counter.parent = 3  # E: it is a greenlet
greenlet(1)  # E: it is called
"""


def run(*command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MYPY_CACHE_DIR": str(directory / "cache")}
    if PACKAGE.parent.name != "site-packages":  # there mypy finds it, and does not want to be told
        environment["MYPYPATH"] = str(PACKAGE.parent)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def test_the_stub_describes_the_extension(tmp_path: Path) -> None:
    outcome = run("mypy.stubtest", "greenswitch._core", directory=tmp_path)
    assert outcome.returncode == 0, outcome.stdout


def docstrings(tree: ast.Module | ast.ClassDef, above: str = "") -> Iterator[tuple[str, str]]:
    """Every docstring of the stub, also the string after an attribute, with the name that it belongs to."""
    for before, node in zip([None, *tree.body], tree.body, strict=False):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if text := ast.get_docstring(node):
                yield above + node.name, text
            if isinstance(node, ast.ClassDef):
                yield from docstrings(node, f"{node.name}.")
        elif isinstance(node, ast.Expr) and isinstance(before, ast.AnnAssign):
            yield above + ast.unparse(before.target), ast.literal_eval(node.value)


def test_the_stub_says_of_the_extension_what_that_says_of_itself() -> None:
    """The documentation has it from the stub, `help()` from the extension: the same words."""
    stub = dict(docstrings(ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))))
    assert {"greenlet", "greenlet.switch", "greenlet.throw", "greenlet.dead", "getcurrent"} <= set(stub)
    for name, text in stub.items():
        value = _core
        for part in name.split("."):
            value = getattr(value, part)
        assert re.findall(r"\w+", text) == re.findall(r"\w+", value.__doc__ or ""), name


def test_a_users_program_is_checked(tmp_path: Path) -> None:
    """What is right passes mypy's strict mode; each line that says E is an error, and no other."""
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    outcome = run("mypy", "--strict", "--config-file=", "sample.py", directory=tmp_path)
    wrong = [number for number, line in enumerate(SAMPLE.splitlines(), 1) if "# E:" in line]
    found = [int(line.split(":")[1]) for line in outcome.stdout.splitlines() if ": error:" in line]
    assert found == wrong, outcome.stdout


def test_the_package_says_that_it_has_types() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()
