"""The programs of the README and of docs/asyncio.md do what is said there.

What belongs here: running what is printed there.  What never does: programs of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README": README, "asyncio": (ROOT / "docs" / "asyncio.md").read_text(encoding="utf-8")}
# Each program is followed by what it prints.
EXAMPLES = [
    example
    for page in PAGES.values()
    for example in re.findall(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```\n", page, flags=re.M | re.S)
]


def test_every_program_says_what_it_prints() -> None:
    assert len(EXAMPLES) == sum(page.count("```python\n") for page in PAGES.values()) > len(PAGES)


@pytest.mark.parametrize(("program", "printed"), EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_program(run_python: RunPython, program: str, printed: str) -> None:
    outcome = run_python(program).check()
    assert (outcome.stdout, outcome.stderr) == (printed, "")


def test_commands_exist() -> None:
    """Every `make` target that the README names is one of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.M))
    named = set(re.findall(r"\bmake ([a-z][\w-]*)$", README.replace("`", "\n"), flags=re.M))
    assert {"demo", "test"} <= named <= targets


def test_supported_versions_are_those_of_the_metadata() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", metadata)
    assert f"| CPython | {', '.join(versions)} |" in README
