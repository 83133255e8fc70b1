"""A build that cannot succeed says so in one sentence, and ends with an error.

What belongs here: `setup.py build_ext` where something is missing or unknown.  What never does: builds that
succeed; every run of the tests is one.

Machines and interpreters are pretended by what the compiler sees, which is what decides: macros that are not
defined, and a Python.h that says something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

pytest.importorskip("setuptools", minversion="77.0.3")

ROOT = Path(__file__).resolve().parents[1]
QUIET = {"PYTHONWARNINGS": "ignore", "CFLAGS": "", "CPPFLAGS": ""}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a build reads."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "csrc", copy / "csrc")
    (copy / "greenswitch").mkdir()
    shutil.copy(ROOT / "greenswitch" / "__init__.py", copy / "greenswitch")
    return copy


def refusal(
    run_python: RunPython,
    tree: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    before: str = "",
) -> str:
    """What the build says when it ends: one line, without its beginning, which is always the same."""
    run = "sys.argv[0] = 'setup.py'\nrunpy.run_path('setup.py', run_name='__main__')"
    outcome = run_python(
        f"import runpy, sys\n{before}\n{run}",
        "--quiet",
        "build_ext",
        *arguments,
        directory=tree,
        environment={**QUIET, **(environment or {})},
    )
    assert outcome.status == 1, outcome
    assert outcome.stdout == ""
    (line,) = outcome.stderr.splitlines()
    beginning = "greenswitch cannot be built: "
    assert line.startswith(beginning)
    assert not list(tree.rglob("*.o")), "nothing is compiled before a refusal"
    return line.removeprefix(beginning)


def pretended_headers(tree: Path, **macros: str) -> str:
    """An include directory whose Python.h defines these macros and nothing else."""
    directory = tree / "pretended"
    directory.mkdir()
    text = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    (directory / "Python.h").write_text(text, encoding="utf-8")
    return f"--include-dirs={directory}"


def test_no_compiler(run_python: RunPython, tree: Path) -> None:
    said = refusal(run_python, tree, environment={"CC": "/nonexistent/cc"})
    assert said == (
        "there is no C compiler (running '/nonexistent/cc': No such file or directory). "
        "Install gcc or clang, or name yours in the environment variable CC."
    )


def test_compiler_that_does_not_work(run_python: RunPython, tree: Path) -> None:
    said = refusal(run_python, tree, environment={"CC": "false"})
    assert said == "the C compiler 'false' does not work (exit status 1)."


def test_no_python_headers(run_python: RunPython, tree: Path) -> None:
    """The interpreter is asked for its include directory, and names one that is empty."""
    empty = tree / "no-headers"
    before = f"""
import setuptools, distutils.sysconfig
distutils.sysconfig.get_python_inc = lambda *a, **k: {str(empty)!r}
"""
    said = refusal(run_python, tree, before=before)
    assert said.startswith("the C headers of /")
    assert "Python.h" in said
    assert said.endswith("the package is python3-dev on Debian and Ubuntu, python3-devel on Fedora.")


def test_no_headers_of_the_c_library(run_python: RunPython, tree: Path) -> None:
    """There is a Python.h, and it includes one that is not there."""
    option = pretended_headers(tree)
    with open(tree / "pretended" / "Python.h", "a", encoding="utf-8") as header:
        header.write("#include <stdlib-that-is-missing.h>\n")
    said = refusal(run_python, tree, option)
    assert said.startswith("the headers of the C library are missing (")
    assert "stdlib-that-is-missing.h" in said
    assert said.endswith("libc6-dev on Debian and Ubuntu, glibc-devel on Fedora, musl-dev on Alpine.")


def test_unsupported_machine(run_python: RunPython, tree: Path) -> None:
    said = refusal(run_python, tree, environment={"CFLAGS": "-U__x86_64__ -U__aarch64__"})
    assert said == "greenswitch runs on x86-64 and aarch64 only: there is no stack switch for this machine."


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_unsupported_system(run_python: RunPython, tree: Path, system: str) -> None:
    before = f"""
from setuptools.command.build_ext import build_ext
def finalize_options(self, original=build_ext.finalize_options):
    original(self)
    sys.platform = {system!r}
build_ext.finalize_options = finalize_options
"""
    said = refusal(run_python, tree, before=before)
    assert said == f"its stack switch is written for Linux, and this system is {system!r}."


@pytest.mark.parametrize(
    ("macros", "sentence"),
    [
        ({"PY_VERSION_HEX": "0x030918F0"}, "greenswitch needs CPython 3.10 or newer."),
        ({"PY_VERSION_HEX": "0x03FF00F0"}, "This CPython is newer than 3.15, the newest that this version"),
        ({"PY_VERSION_HEX": "0x030D00F0", "Py_GIL_DISABLED": "1"}, "does not support free-threaded CPython"),
        ({"PY_VERSION_HEX": "0x030A00F0", "PYPY_VERSION": '"7.3"'}, "greenswitch is for CPython: PyPy has"),
    ],
    ids=["too old", "too new", "free-threaded", "PyPy"],
)
def test_unknown_interpreter(
    run_python: RunPython, tree: Path, macros: dict[str, str], sentence: str
) -> None:
    said = refusal(run_python, tree, pretended_headers(tree, **macros))
    assert sentence in said
