"""The random stress, for some seconds: no crash, no lost value, and the model agrees with what happened.

What belongs here: runs of `python tests/stress` in processes of their own.  What never does: the walk itself,
which is in the files beside this one.  `make stress` runs it for longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

STRESS = Path(__file__).parent
OPTIONS = ("-X", "faulthandler")

# The model is told that a switch() returns nothing, whatever is handed over.
WRONG_MODEL = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
del sys.argv[1]
import model
model.Message.result = lambda self: None
runpy.run_path(sys.path[0], run_name="__main__")
"""


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_stress(seed: int, run_python: RunPython) -> None:
    """S1-S5 and the crash list at once."""
    arguments = ("--seed", str(seed), "--seconds", "7.5")
    outcome = run_python(STRESS, *arguments, options=OPTIONS, timeout=300).check()
    assert outcome.stdout.startswith(f"seed {seed}\n")
    assert outcome.stderr == ""


def test_a_seed_gives_one_walk(run_python: RunPython) -> None:
    """In one thread, so that what has gone wrong can be looked at again."""
    arguments = ("--kind", "alone", "--round", "again", "--seed", "-", "--steps", "1000")
    first, second = (run_python(STRESS, *arguments, options=OPTIONS).check().stdout for _ in range(2))
    assert first == second
    assert " 0 switches" not in first


def test_a_disagreement_is_noticed(run_python: RunPython) -> None:
    """It ends the stress, and says how to come to it again."""
    outcome = run_python(WRONG_MODEL, str(STRESS), "--seed", "5", "--kind", "alone")
    assert outcome.status == 3
    assert "repeat with: --kind alone --round 5.0 --steps 2000" in outcome.stderr
