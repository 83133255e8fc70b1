"""The package's face: names that are there, and load what they need when they are first used.

What belongs here: `greenswitch/__init__.py`. What never does: what the names do.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import greenswitch

if TYPE_CHECKING:
    from conftest import RunPython


def test_every_promised_name_is_there_and_is_its_homes() -> None:
    """D1, D3: greenlet's and gevent's names."""
    for name in greenswitch.__all__:
        value = getattr(greenswitch, name)
        home = "greenswitch." + greenswitch._HOMES.get(name, "_core")
        assert value is getattr(
            sys if name.endswith("switchinterval") else importlib.import_module(home), name
        )
    assert greenswitch.__all__ == sorted(greenswitch.__all__, key=lambda name: (not name[0].isupper(), name))
    assert set(greenswitch.__all__) <= set(dir(greenswitch))
    assert set(greenswitch._HOMES) <= set(greenswitch.__all__)
    assert greenswitch.__version__ == "0.1.0"


def test_without_a_core_it_says_what_to_do(run_python: RunPython, tmp_path: Path) -> None:
    """Who starts Python in the source tree finds that first."""
    source = tmp_path / "greenswitch"
    source.mkdir()
    shutil.copy(str(greenswitch.__file__), source)
    program = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport greenswitch"
    said = run_python(program).stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: greenswitch in {source} has no compiled core for this Python.")
    assert "`pip install .`" in said and "another directory" in said


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'greenswitch' has no attribute 'nonsense'"):
        _ = greenswitch.nonsense
    with pytest.raises(ImportError):
        from greenswitch import nonsense  # noqa: F401


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("from greenswitch import greenlet, getcurrent, GreenletExit, error, settrace", False),
        ("import greenswitch; greenswitch.greenlet(print)", False),
        ("from greenswitch import spawn", True),
        ("import greenswitch; greenswitch.sleep(0)", True),
        ("from greenswitch import queue; queue.Queue", True),
        ("from greenswitch import Timeout", True),
    ],
)
def test_the_hub_is_loaded_when_it_is_needed(statement: str, loaded: bool, run_python: RunPython) -> None:
    outcome = run_python(f"{statement}\nimport sys\nprint('greenswitch.hub' in sys.modules)").check()
    assert outcome.stdout == f"{loaded}\n"
