"""Running a program as the interpreter would: a script or a module as this process's own `__main__`.

What belongs here: finding its code, making its `__main__`, reporting what it raises as its own. What never
does: reading a command line, and preparing the process for the program.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import pkgutil
import sys
import warnings
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple

__all__ = ["REFUSED", "Refused", "run_program"]

REFUSED = 2
"""The exit status of a command that cannot be carried out."""

# How the names of its files begin: where they are frozen, and where they are not.
IMPORT_SYSTEM = ("<frozen importlib", importlib.util.__file__)


class Refused(Exception):
    """The command cannot be carried out; the text is the sentence for whoever gave it."""


class Program(NamedTuple):
    """A program that is ready to run."""

    code: CodeType
    attributes: dict[str, Any]
    """What the interpreter would set in its `__main__`."""


def run_program(words: list[str], module: bool) -> None:
    """Run the script `words[0]` - the module of that name if `module` - with the rest as its arguments, as
    this process's own program: `__main__`, sys.argv and sys.path are its, and so is what it raises. Raises
    Refused where there is no program to run."""
    try:
        sys.argv = ["-m" if module else words[0], *words[1:]]
        program = find_module(words[0]) if module else find_script(words[0])
        former = sys.modules["__main__"]
        main = sys.modules["__main__"] = ModuleType("__main__")
        # An interpreter's own __main__ has more or fewer of these, by its version.
        vars(main).update({key: value for key, value in program.attributes.items() if key in vars(former)})
        exec(program.code, vars(main))
    except (Refused, SystemExit):
        raise
    except BaseException:
        report_as_of_the_program()
        raise


def find_script(path: str) -> Program:
    """A Python file, compiled or not, or a directory or an archive with a `__main__` in it."""
    absolute = os.path.join(os.getcwd(), path)
    finder = pkgutil.get_importer(absolute)
    if finder is not None:
        set_first_path(absolute)
        spec = finder.find_spec("__main__", None)
        if spec is None:
            raise Refused(f"there is no __main__ in {path!r}")
        return program_of(spec)
    set_first_path(os.path.dirname(os.path.realpath(path)))
    kind: type[SourceFileLoader | SourcelessFileLoader] = SourcelessFileLoader
    try:
        with io.open_code(absolute) as file:
            code = pkgutil.read_code(file)
        if code is None:
            kind = SourceFileLoader
            with io.open_code(absolute) as file:
                code = compile(file.read(), absolute, "exec", dont_inherit=True)
    except OSError as error:
        raise Refused(f"cannot open {path!r}: {error.strerror}") from None
    loader = kind("__main__", absolute)
    return Program(code, main_attributes(file=absolute, cached=None, loader=loader, package=None, spec=None))


def find_module(name: str) -> Program:
    """A module, or a package's `__main__`. Imports the packages that it is in."""
    if not name or name.startswith("."):
        raise Refused(f"-m needs the full name of a module, not {name!r}")
    parent = name.rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(name)
    except ImportError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the package's own import of something else
        hint = "; a script is run without -m" if name.endswith(".py") else ""
        raise Refused(f"{error}{hint}") from None
    if spec is None:
        raise Refused(f"No module named {name!r}")
    if spec.submodule_search_locations is not None:
        try:
            return find_module(f"{name}.__main__")
        except Refused:
            raise Refused(f"{name!r} is a package without __main__, which cannot be run") from None
    if parent and name in sys.modules:
        warnings.warn(
            f"{name!r} was imported by the package {parent!r} before it is run: there will be two of it",
            RuntimeWarning,
            stacklevel=2,
        )
    program = program_of(spec)
    sys.argv[0] = program.attributes["__file__"]
    return program


def program_of(spec: ModuleSpec) -> Program:
    """What a module's spec leads to."""
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise Refused(f"{spec.name!r} has no Python code to run")
    return Program(
        code,
        main_attributes(
            file=spec.origin, cached=spec.cached, loader=spec.loader, package=spec.parent, spec=spec
        ),
    )


def main_attributes(**given: object) -> dict[str, object]:
    """The attributes of `__main__`: those given, and those of every program."""
    attributes = {"name": "__main__", "doc": None, "annotations": {}, "builtins": builtins, **given}
    return {f"__{name}__": value for name, value in attributes.items()}


def set_first_path(folder: str) -> None:
    """Where a script's own modules are found, unless the interpreter was told not to look there."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder


def report_as_of_the_program() -> None:
    """Have the exception that is on its way out reported without the frames that lie below the program."""
    hook = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        traceback = sys.last_traceback = above_this_file(traceback)
        sys.excepthook = hook
        hook(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = report


def above_this_file(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the program's: past this file and what this file finds modules with."""
    here = above_this_file.__code__.co_filename
    program = traceback
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == here:
            program = traceback.tb_next
        traceback = traceback.tb_next
    while program is not None and program.tb_frame.f_code.co_filename.startswith(IMPORT_SYSTEM):
        program = program.tb_next
    return program
