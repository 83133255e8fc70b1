"""Building the extension modules of this folder, and running programs that use them.

What belongs here: compilers, include paths, and who stands under the name `greenlet`. What never does: what
the extensions do.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import greenswitch

if TYPE_CHECKING:
    from conftest import Outcome, RunPython

HERE = Path(__file__).parent
NAMES = "greenlet getcurrent GreenletExit error settrace gettrace"

# Programs begin with one of these.  After it, `greenlet` is the module to use.
ON_GREENLET = "import greenlet\n"
ON_GREENSWITCH = """
import sys
sys.modules["greenlet"] = None  # so that nothing takes it by mistake
import greenswitch as greenlet
"""
UNDER_THE_NAME = f"""
import sys, types
import greenswitch._core as core
greenlet = sys.modules["greenlet"] = types.ModuleType("greenlet")
for name in {NAMES.split()!r}:
    setattr(greenlet, name, getattr(core, name))
greenlet._C_API = core._greenlet_C_API
greenlet.__version__ = "3.5.6"
"""


# By name: whether it is compiled against greenlet's own header, and what the binary runs on.
VARIANTS = {
    "greenlet": (True, ON_GREENLET),
    "greenswitch": (False, ON_GREENSWITCH),
    "unchanged": (True, UNDER_THE_NAME),  # greenlet's binary on greenswitch
}


def compilers(variable: str, *usual: str) -> list[list[str]]:
    """The compilers that this machine has: the environment's, CPython's own, and the usual ones."""
    named = [os.environ.get(variable), sysconfig.get_config_var(variable), *usual]
    found: dict[str, list[str]] = {}
    for command in (shlex.split(each) for each in named if each):
        path = shutil.which(command[0])
        if path is not None:
            found.setdefault(os.path.realpath(path), command)
    return list(found.values())


COMPILERS = {
    "C": compilers("CC", "cc", "gcc", "clang"),
    "C++": compilers("CXX", "c++", "g++", "clang++"),
}


def include_directories() -> list[str]:
    """CPython's: as system headers, for whose warnings we do not answer."""
    paths = sysconfig.get_paths()
    return [f"-isystem{path}" for path in dict.fromkeys((paths["include"], paths["platinclude"]))]


def usable(language: str) -> list[list[str]]:
    """The compilers for this language; the test is skipped if there is none."""
    if not COMPILERS[language]:
        pytest.skip(f"there is no {language} compiler")
    return COMPILERS[language]


def compile_file(compiler: list[str], *arguments: str) -> None:
    """Run the compiler, with CPython's headers; the test fails with what it says if it is not content."""
    command = [*compiler, *arguments, *include_directories()]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if process.returncode != 0 or process.stderr:
        pytest.fail(f"{shlex.join(command)}\n{process.stdout}{process.stderr}", pytrace=False)


def their_include() -> str:
    found = importlib.util.find_spec("greenlet")
    if found is None or found.origin is None:
        pytest.skip("greenlet is not installed")
    # The header lies in the package itself, so this finds <greenlet/greenlet.h>.
    return str(Path(found.origin).parents[1])


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """build(file, theirs): the directory of the compiled module; each is compiled once."""
    done: dict[tuple[str, bool], Path] = {}

    def cythonized(directory: Path, source: Path) -> Path:
        pytest.importorskip("Cython")
        target = directory / source.with_suffix(".c").name
        # Where greenswitch/__init__.pxd is, is where Cython's own sys.path leads.
        command = [sys.executable, "-m", "cython", "-3", "-Werror", str(source), "-o", str(target)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if process.returncode != 0 or process.stderr:
            pytest.fail(f"{shlex.join(command)}\n{process.stdout}{process.stderr}", pytrace=False)
        return target

    def build(file: str, theirs: bool) -> Path:
        if (file, theirs) not in done:
            directory = tmp_path_factory.mktemp(f"{Path(file).stem}-{'theirs' if theirs else 'ours'}")
            source = HERE / file
            include = their_include() if theirs else greenswitch.get_include()
            strict = ["-Wall", "-Wextra", "-Werror", *([] if theirs else ["-Wpedantic"])]
            if source.suffix == ".pyx":
                source = cythonized(directory, source)
                strict = []
            language, standard = ("C++", "-std=c++17") if source.suffix == ".cpp" else ("C", "-std=c11")
            target = directory / (Path(file).stem + str(sysconfig.get_config_var("EXT_SUFFIX")))
            options = ["-shared", "-fPIC", "-O2", *strict, f"-I{include}"]
            compile_file(usable(language)[0], standard, *options, str(source), "-o", str(target))
            done[file, theirs] = directory
        return done[file, theirs]

    return build


@pytest.fixture
def run(run_python: RunPython, build: Callable[[str, bool], Path]) -> Callable[..., Outcome]:
    """run(variant, file, program): how the program ends that begins with the variant's prelude and finds
    the compiled `file`."""

    def run(variant: str, file: str, program: str, **options: Any) -> Outcome:
        theirs, prelude = VARIANTS[variant]
        path = f"import sys\nsys.path.insert(0, {str(build(file, theirs))!r})\n"
        return run_python(prelude + path + program, **options)

    return run


@pytest.fixture
def check_source(tmp_path: Path) -> Callable[..., None]:
    """check_source(language, text, *options): every compiler for the language takes it without a word."""

    def check_source(language: str, text: str, *options: str) -> None:
        source = tmp_path / {"C": "source.c", "C++": "source.cpp"}[language]
        source.write_text(text, encoding="utf-8")
        for compiler in usable(language):
            include = f"-I{greenswitch.get_include()}"
            compile_file(compiler, "-c", include, *options, str(source), "-o", str(tmp_path / "object"))

    return check_source
