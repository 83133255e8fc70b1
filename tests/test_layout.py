"""The house's walls: who may import and include whom, kept true by reading the sources.

What belongs here: rules that hold for every source file, each with a made-up file that breaks it.  What never
does: what the code computes.

Imports.  Every Python module stands on a floor (FLOORS, the lowest first).  It may import modules of lower
floors, and modules of its own floor as long as no circle comes of it.  An import under `if TYPE_CHECKING:`
may not go up either - a module that needs the type of something above it takes a Protocol - but it may close
a circle on one floor, because nothing is executed.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

ROOT = Path(__file__).resolve().parents[1]

# A name stands for the module, or for the package and all that is in it.  Lowest floor first.
FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "_asyncio _config _core _include _original _run _waits exceptions",
        "loop",
        "hub",
        "greenlets timeout",
        "_executor _linkable _monitor event events local lock pool queue threadpool util",
        """
        _multiprocessing _streams builtins contextvars core fileobject os resolver select selectors signal
        socket ssl subprocess thread threading time
        """,
        "_http aio baseserver server pywsgi backdoor",
        "monkey",
        "__init__",
        "compat integrations",
        "__main__ bench",
    )
)

# Functions whose work it is to import by a name that is not known before, with the reason.
DYNAMIC_IMPORTS: dict[tuple[str, str], str] = {
    ("__init__", "__getattr__"): "the hub half of the package is loaded when it is first asked for",
    ("server", "_tls"): "who speaks no TLS does not load it",
    ("monkey", "_there"): "the modules whose names may be missing on a system are rows of the table",
    ("monkey", "_replace"): "the modules to patch, and those that replace them, are named in the table",
    ("monkey", "_plugins"): "importlib.metadata, which finds plugins, costs more than all of this",
    ("monkey", "get_original"): "its caller names the module",
    ("_config", "_load"): "what settings name, such as a resolver, stands above whoever reads them",
    ("threadpool", "__getattr__"): "the standard library's futures are imported when somebody wants them",
    ("hub", "_resolve"): "the monitor, which stands above the hub, is named there",
    ("bench", "find_peer"): "greenlet is measured beside us where it is installed",
    ("bench", "load"): "gevent's modules have the names of ours, and are measured beside us where they are",
    ("compat", "__getattr__"): "gevent's modules are loaded when they are first asked for",
    ("compat", "_find_ours"): "the packages in which modules with two names lie are not known before",
    ("compat", "create_module"): "the modules that have two names are in the table",
    ("compat", "find_distributions"): "importlib.metadata, which asks, costs more than all of compat",
}

# Which folders of csrc/ a file of a folder may include from, besides its own.
ROOMS: dict[str, frozenset[str]] = {
    "switch": frozenset(),
    "stack": frozenset({"switch"}),
    "pystate": frozenset(),
    "cxxstate": frozenset(),
    "include": frozenset(),
    "greenlet": frozenset({"stack", "pystate", "cxxstate", "include"}),
    "bench": frozenset({"switch", "stack", "include"}),
}
WITHOUT_PYTHON = {"switch", "stack", "cxxstate", "bench"}
KNOWS_VERSIONS = "pystate"
VERSION_TEST = re.compile(r"\b(?:PY_VERSION_HEX|PY_(?:MAJOR|MINOR|MICRO)_VERSION|Py_BUILD_CORE\w*)\b")


# reading Python


class Imports(ast.NodeVisitor):
    """What one module imports: the names, whether only for types, and inside which function."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.package = module.split(".") if is_package else module.split(".")[:-1]
        self.found: list[tuple[list[str], bool, str | None]] = []
        self.functions: list[str] = []
        self.for_types = False

    def _add(self, *names: str) -> None:
        self.found.append(([*names], self.for_types, self.functions[-1] if self.functions else None))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            above = self.package[: len(self.package) - node.level + 1]
            base = ".".join([*above, *filter(None, [base])])
        for alias in node.names:
            # The name may be a submodule or something in the module: the longest that exists counts.
            self._add(f"{base}.{alias.name}", base)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            self._add("")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        before = self.for_types
        self.for_types = before or ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        self.visit(node.test)
        for statement in node.body:
            self.visit(statement)
        self.for_types = before
        for statement in node.orelse:
            self.visit(statement)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    visit_FunctionDef = _visit_function
    visit_AsyncFunctionDef = _visit_function


def modules(package: Path) -> dict[str, Path]:
    """Every module under the package's folder by its dotted name; a package is named without `__init__`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def floor_of(name: str) -> int | None:
    """The floor of a dotted name inside the package; the package itself is `__init__`."""
    room = name.split(".")[1] if "." in name else "__init__"
    return next((number for number, floor in enumerate(FLOORS) if room in floor), None)


def python_violations(package: Path) -> list[str]:
    """Every breach of the rules by the modules of this package, one line each."""
    known = modules(package)
    root = package.name
    violations: list[str] = []
    needed: dict[str, set[str]] = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        if not (ast.get_docstring(tree) or "").strip():
            violations.append(f"{name}: no docstring")
        floor = floor_of(name)
        if floor is None:
            violations.append(f"{name}: stands on no floor")
            continue
        reader = Imports(name, path.name == "__init__.py")
        reader.visit(tree)
        needed[name] = set()
        room = name.split(".")[1] if "." in name else "__init__"
        for candidates, for_types, function in reader.found:
            if function is not None and (room, function) not in DYNAMIC_IMPORTS:
                violations.append(f"{name}: imports {candidates[0] or 'by name'} inside of {function}()")
            inside = [each for each in candidates if each == root or each.startswith(root + ".")]
            if not inside:
                continue
            target = next((each for each in inside if each in known or each in {root, f"{root}._core"}), None)
            if target is None:
                violations.append(f"{name}: imports {inside[0]}, which is not there")
                continue
            target_floor = floor_of(target)
            if target_floor is not None and target_floor > floor:
                violations.append(f"{name}: imports {target} from a floor above")
            elif not for_types and target != name:
                needed[name].add(target)
    violations += [f"circle: {' -> '.join(circle)}" for circle in circles(needed)]
    return violations


def circles(needed: dict[str, set[str]]) -> Iterator[list[str]]:
    """Every circle that a walk along the imports comes upon."""
    finished: set[str] = set()

    def walk(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in finished:
            for target in sorted(needed.get(name, ())):
                yield from walk(target, [*way, name])
            finished.add(name)

    for name in sorted(needed):
        yield from walk(name, [])


def missing_names(module: ModuleType) -> list[str]:
    """What the module's `__all__` promises and does not have, or promises twice."""
    promised = list(getattr(module, "__all__", ()))
    missing = [name for name in promised if not hasattr(module, name)]
    return missing + [name for name in sorted(set(promised)) if promised.count(name) > 1]


# reading C


def c_violations(csrc: Path) -> list[str]:
    """Every breach of the rules by the files under csrc/, one line each."""
    violations = []
    for path in sorted(csrc.rglob("*")):
        if path.suffix not in {".c", ".h", ".S"} or is_generated(path):
            continue
        where = path.relative_to(csrc)
        room = where.parts[0]
        text = path.read_text(encoding="utf-8")
        if not text.lstrip().startswith("/*"):
            violations.append(f"{where}: no header comment")
        if room not in ROOMS or len(where.parts) < 2:
            violations.append(f"{where}: stands in no room")
            continue
        code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
        for included in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', code, flags=re.M):
            if included.endswith(".c"):
                violations.append(f"{where}: includes the source {included}")
            if included == "Python.h" and room in WITHOUT_PYTHON:
                violations.append(f"{where}: includes Python.h")
            other = room_of(csrc, path, included)
            if other is not None and other != room and other not in ROOMS[room]:
                violations.append(f"{where}: includes {included} from {other}/")
        if room != KNOWS_VERSIONS:
            violations += [f"{where}: has {test}" for test in sorted(set(VERSION_TEST.findall(code)))]
    return violations


def is_generated(source: Path) -> bool:
    """Whether Cython has written this: source distributions carry it beside the .pyx."""
    return source.suffix == ".c" and source.with_suffix(".pyx").exists()


def room_of(csrc: Path, source: Path, included: str) -> str | None:
    """The folder of csrc/ that an include leads to, by the include paths of the build; None: elsewhere."""
    for base in (source.parent, csrc, csrc / "include"):
        target = (base / included).resolve()
        if target.is_file() and target.is_relative_to(csrc.resolve()):
            return target.relative_to(csrc.resolve()).parts[0]
    return None


# the rules hold here


def test_python_modules_keep_the_layering() -> None:
    assert len(modules(ROOT / "greenswitch")) > 10
    assert python_violations(ROOT / "greenswitch") == []


@pytest.mark.parametrize("exception", DYNAMIC_IMPORTS)
def test_exceptions_are_still_needed(monkeypatch: pytest.MonkeyPatch, exception: tuple[str, str]) -> None:
    monkeypatch.delitem(DYNAMIC_IMPORTS, exception)
    assert any(f"inside of {exception[1]}()" in line for line in python_violations(ROOT / "greenswitch"))


def test_c_files_keep_the_layering() -> None:
    assert {path.parent.name for path in (ROOT / "csrc").rglob("*.[ch]")} >= set(ROOMS) - {"include"}
    assert c_violations(ROOT / "csrc") == []


def test_build_does_not_open_cpython_to_every_file() -> None:
    """Py_BUILD_CORE on the command line would reach the rooms that must not see the interpreter's inside."""
    for name in ("setup.py", "Makefile", "pyproject.toml"):
        assert VERSION_TEST.findall((ROOT / name).read_text(encoding="utf-8")) == []


def test_every_name_in_all_exists() -> None:
    import greenswitch

    names = ["greenswitch"]
    names += [found.name for found in pkgutil.walk_packages(greenswitch.__path__, "greenswitch.")]
    # Those of integrations need other projects, and may patch the process that they are imported into.
    left_out = ("__main__", "integrations.celery", "integrations.gunicorn")
    checked = [importlib.import_module(name) for name in names if not name.endswith(left_out)]
    assert {module.__name__: missing for module in checked if (missing := missing_names(module))} == {}
    assert sum(hasattr(module, "__all__") for module in checked) > 5


def test_switcher_alone_does_not_load_the_hub(run_python: RunPython) -> None:
    program = """
import sys
from greenswitch import greenlet
print(sorted(name for name in sys.modules if name.startswith("greenswitch")))
"""
    assert run_python(program).check().stdout == "['greenswitch', 'greenswitch._core']\n"


# the rules are noticed when they are broken


TYPES_ONLY = '"""D."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n'


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"hub.py": '"""D."""\nfrom .queue import Queue\n', "queue.py": '"""D."""\n'},
            ["greenswitch.hub: imports greenswitch.queue from a floor above"],
        ),
        (
            {"loop/core.py": '"""D."""\nfrom .. import hub\n', "hub.py": '"""D."""\n'},
            ["greenswitch.loop.core: imports greenswitch.hub from a floor above"],
        ),
        (
            {"hub.py": '"""D."""\nfrom . import something_of_the_face\n'},
            ["greenswitch.hub: imports greenswitch from a floor above"],
        ),
        (
            {
                "hub.py": TYPES_ONLY + "    from .pool import P\n",
                "pool.py": '"""D."""\n',
            },
            ["greenswitch.hub: imports greenswitch.pool from a floor above"],
        ),
        (
            {"lock.py": '"""D."""\nimport greenswitch.event\n', "event.py": '"""D."""\nfrom . import lock\n'},
            ["circle: greenswitch.event -> greenswitch.lock -> greenswitch.event"],
        ),
        (
            {"pool.py": '"""D."""\ndef f():\n    from .hub import get_hub\n', "hub.py": '"""D."""\n'},
            ["greenswitch.pool: imports greenswitch.hub.get_hub inside of f()"],
        ),
        (
            {"pool.py": '"""D."""\nasync def f():\n    import json\n'},
            ["greenswitch.pool: imports json inside of f()"],
        ),
        (
            {"pool.py": '"""D."""\nimport importlib\ndef f(n):\n    importlib.import_module(n)\n'},
            ["greenswitch.pool: imports by name inside of f()"],
        ),
        ({"pool.py": '"""D."""\nfrom greenswitch.gone import x\n'}, ["x, which is not there"]),
        ({"pool.py": "import json\n"}, ["greenswitch.pool: no docstring"]),
        ({"shed.py": '"""D."""\n'}, ["greenswitch.shed: stands on no floor"]),
    ],
)
def test_python_breach_is_noticed(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    package = write(tmp_path / "greenswitch", files)
    found = python_violations(package)
    assert len(found) == len(expected)
    assert all(line.endswith(end) for line, end in zip(found, expected, strict=True)), found


def test_python_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    """What is allowed: down, sideways, a circle of types alone, and the face's lazy loading."""
    files = {
        "__init__.py": '"""D."""\nimport importlib\ndef __getattr__(n):\n    importlib.import_module(n)\n',
        "_original.py": '"""D."""\nimport time\n',
        "hub.py": '"""D."""\nfrom ._core import greenlet\nfrom . import _original\nfrom .loop import Loop\n',
        "loop/__init__.py": '"""D."""\nfrom .core import Loop\n',
        "loop/core.py": '"""D."""\nfrom .._original import monotonic\n',
        "lock.py": '"""D."""\nfrom .event import Event\nfrom greenswitch.hub import get_hub\n',
        "event.py": TYPES_ONLY + "    from .lock import Lock\n",
    }
    assert python_violations(write(tmp_path / "greenswitch", files)) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"greenlet/a.c": '/* */\n#include "stack/b.c"\n', "stack/b.c": "/* */\n"}, "includes the source"),
        ({"stack/a.h": "/* */\n#include <Python.h>\n"}, "includes Python.h"),
        ({"switch/a.h": "/* */\n  # include <Python.h>\n"}, "includes Python.h"),
        (
            {"stack/a.c": '/* */\n#include "pystate/b.h"\n', "pystate/b.h": "/* */\n"},
            "includes pystate/b.h from pystate/",
        ),
        (
            {"switch/a.h": '/* */\n#include "../stack/b.h"\n', "stack/b.h": "/* */\n"},
            "includes ../stack/b.h from stack/",
        ),
        (
            {"pystate/a.h": '/* */\n#include "greenlet/b.h"\n', "greenlet/b.h": "/* */\n"},
            "includes greenlet/b.h from greenlet/",
        ),
        (
            {"switch/a.h": "/* */\n#include <greenlet/b.h>\n", "include/greenlet/b.h": "/* */\n"},
            "includes greenlet/b.h from include/",
        ),
        ({"greenlet/a.c": "/* */\n#if PY_VERSION_HEX > 0x030D0000\n#endif\n"}, "has PY_VERSION_HEX"),
        ({"greenlet/a.c": "/* */\n#define Py_BUILD_CORE 1\n"}, "has Py_BUILD_CORE"),
        ({"stack/a.c": "#include <stdlib.h>\n"}, "no header comment"),
        ({"shed/a.c": "/* */\n"}, "stands in no room"),
    ],
)
def test_c_breach_is_noticed(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = c_violations(write(tmp_path, files))
    assert len(found) == 1, found
    assert expected in found[0]


def test_c_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    files = {
        "switch/s.h": "/* Python.h is not for us. */\n#include <stddef.h>\n",
        "stack/s.c": '/* Not for us: PY_VERSION_HEX */\n#include "switch/s.h" // Py_BUILD_CORE\n',
        "pystate/p.h": "/* */\n#define Py_BUILD_CORE\n#include <Python.h>\n#if PY_VERSION_HEX > 1\n#endif\n",
        "greenlet/g.c": '/* */\n#include "pystate/p.h"\n#include "g.h"\n',
        "greenlet/g.h": "/* */\n",
        "bench/b.pyx": '"""D."""\n',
        "bench/b.c": "/* Generated by Cython */\n#include <Python.h>\n#if PY_VERSION_HEX > 1\n#endif\n",
    }
    assert c_violations(write(tmp_path, files)) == []


def test_missing_name_is_noticed() -> None:
    module = ModuleType("made_up")
    module.__dict__.update(__all__=["here", "gone", "twice", "twice"], here=1, twice=2)
    assert missing_names(module) == ["gone", "twice"]


def test_loading_the_hub_is_noticed(tmp_path: Path, run_python: RunPython) -> None:
    """The check by a fresh interpreter sees what an import brings along."""
    write(tmp_path / "house", {"__init__.py": "from . import hub\n", "hub.py": ""})
    program = "import sys, house; print('house.hub' in sys.modules)"
    assert run_python(program, directory=tmp_path).check().stdout == "True\n"
