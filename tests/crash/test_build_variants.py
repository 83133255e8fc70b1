"""The extension, built with other compilers and at other levels than usual, and a core of the tests on it.

What belongs here: builds that must work.  What never does: builds that must not (tests/test_build_errors.py),
and the C layers by themselves (tests/c).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

pytest.importorskip("setuptools", minversion="77.0.3")

ROOT = Path(__file__).resolve().parents[2]
STRESS = ROOT / "tests" / "stress"
# Without the one that takes longest.
CORE = (str(ROOT / "tests" / "test_core.py"), "-k", "not many_at_once")


@pytest.mark.parametrize(("compiler", "level"), [("gcc", "-O0"), ("gcc", "-O3"), ("clang", "-O3")])
def test_core_of_each_build(compiler: str, level: str, run_python: RunPython, tmp_path: Path) -> None:
    """Crash 9: an optimiser that keeps something across a switch, and none at all."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not here")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("csrc", "greenswitch"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    # setup.py asks for a level of its own, and what it asks for comes last.
    setup = (tree / "setup.py").read_text(encoding="utf-8")
    assert '"-O2",' in setup
    (tree / "setup.py").write_text(setup.replace('"-O2",', f'"{level}",'), encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "CC": f"{compiler} -pthread", "CFLAGS": level, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    assert list((tree / "greenswitch").glob("_core*.so"))
    environment = {"PYTHONPATH": str(tree)}
    where = run_python("import greenswitch._core as core; print(core.__file__)", environment=environment)
    assert where.check().stdout.startswith(str(tree))
    program = "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
    options = ("-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"))
    run_python(program, *options, *CORE, environment=environment, timeout=300).check()
    stress = ("--kind", "alone", "--round", "variants", "--seed", "-", "--steps", "1000")
    run_python(STRESS, *stress, environment=environment, timeout=300).check()
