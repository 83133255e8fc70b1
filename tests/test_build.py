"""What a build makes, with Cython and without.

What belongs here: which extensions come out of which sources.  What never does: builds that are refused
(test_build_errors.py), and what the extensions do.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

pytest.importorskip("setuptools", minversion="77.0.3")

ROOT = Path(__file__).resolve().parents[1]
QUIET = {"PYTHONWARNINGS": "ignore", "CFLAGS": "", "CPPFLAGS": ""}
NO_CYTHON = "sys.modules['Cython'] = sys.modules['Cython.Build'] = None"
RUN = "sys.argv[0] = 'setup.py'; runpy.run_path('setup.py', run_name='__main__')"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a build reads, without what Cython may have made before."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "csrc", copy / "csrc", ignore=shutil.ignore_patterns("_cbench.c"))
    shutil.copytree(ROOT / "greenswitch", copy / "greenswitch", ignore=shutil.ignore_patterns("*.so"))
    return copy


def built(tree: Path) -> set[str]:
    """The extensions that lie in the package."""
    return {path.name.split(".")[0] for path in (tree / "greenswitch").rglob("*.so")}


def test_without_cython(run_python: RunPython, checkout: Path) -> None:
    """The core is built, and one line says what is not."""
    code = f"import runpy, sys; {NO_CYTHON}; {RUN}"
    outcome = run_python(
        code, "--quiet", "build_ext", "--inplace", directory=checkout, environment=QUIET, timeout=120
    ).check()
    assert built(checkout) == {"_core"}
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("greenswitch.bench._cbench is left out") and line.endswith("(pip install cython).")


@pytest.fixture
def source_distribution(run_python: RunPython, checkout: Path) -> Path:
    """The archive that is made of the checkout."""
    pytest.importorskip("Cython")
    run_python(
        f"import runpy, sys; {RUN}", "--quiet", "sdist", directory=checkout, environment=QUIET, timeout=120
    ).check()
    assert not list(checkout.glob("csrc/bench/_cbench.c"))
    (archive,) = (checkout / "dist").iterdir()
    return archive


def test_source_distribution_needs_no_cython(
    run_python: RunPython, checkout: Path, source_distribution: Path
) -> None:
    """It carries what Cython makes, and the tree that it was made from does not."""
    with tarfile.open(source_distribution) as file:
        if sys.version_info >= (3, 12):
            file.extractall(checkout / "dist", filter="data")
        else:
            file.extractall(checkout / "dist")
    (unpacked,) = (path for path in (checkout / "dist").iterdir() if path.is_dir())
    code = f"import runpy, sys; {NO_CYTHON}; {RUN}"
    run_python(
        code, "--quiet", "build_ext", "--inplace", directory=unpacked, environment=QUIET, timeout=120
    ).check()
    assert built(unpacked) == {"_core", "_cbench"}
    program = "from greenswitch.bench import _cbench; print(0 < _cbench.raw(1000) < 1)"
    assert run_python(program, environment={"PYTHONPATH": str(unpacked)}).check().stdout == "True\n"


def test_source_distribution_installs_with_a_compiler_alone(
    run_python: RunPython, tmp_path: Path, source_distribution: Path
) -> None:
    """By pip, offline and where importing Cython fails; the microbenchmarks in C are there."""
    pytest.importorskip("pip")
    without = tmp_path / "without"
    (without / "Cython").mkdir(parents=True)
    (without / "Cython" / "__init__.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    installed = tmp_path / "installed"
    options = "--quiet --no-build-isolation --no-deps --no-index --no-cache-dir --target".split()
    pip = "import runpy, sys; sys.argv[0] = 'pip'; runpy.run_module('pip', run_name='__main__')"
    run_python(
        pip,
        "install",
        *options,
        str(installed),
        str(source_distribution),
        environment={**QUIET, "PYTHONPATH": str(without)},
        timeout=240,
    ).check()
    program = """
import greenswitch, runpy, sys
print(greenswitch.__file__)
sys.argv[1:] = ["--quick", "--only", "raw"]
runpy.run_module("greenswitch.bench", run_name="__main__")
"""
    shown = run_python(program, environment={"PYTHONPATH": str(installed)}).check().stdout
    assert shown.startswith(str(installed))
    assert "registers, between equal loops" in shown
