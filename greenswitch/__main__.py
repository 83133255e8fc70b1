"""The command line: `python -m greenswitch`.

What belongs here: running a program as the interpreter would, after `compat` and `monkey` have prepared the
process; showing what `compat` provides. What never does: the preparations themselves.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple

from greenswitch import __version__, compat, monkey
from greenswitch.compat.table import ALIASES

USAGE = f"""\
usage: python -m greenswitch run [--as NAME[,NAME]] [--patch] (script.py | -m module) [argument ...]
       python -m greenswitch compat
       python -m greenswitch --help | --version

run      Run a program like `python script.py` or `python -m module` would.
         --as     have it find greenswitch when it imports these packages: {", ".join(ALIASES)}
         --patch  make the standard library cooperative first: greenswitch.monkey.patch_all()
compat   Show the packages that greenswitch stands in for, and what is provided of them.

`python -m greenswitch.bench --help` tells about the microbenchmarks.
"""

REFUSED = 2

# How the names of its files begin: where they are frozen, and where they are not.
IMPORT_SYSTEM = ("<frozen importlib", importlib.util.__file__)


class Refused(Exception):
    """The command cannot be carried out; the text is the sentence for whoever gave it."""


class Run(NamedTuple):
    """What `run` was asked for."""

    names: list[str]
    patch: bool
    module: str | None
    """None: `program` is a script."""
    program: list[str]
    """The script or module and its arguments."""


class Program(NamedTuple):
    """A program that is ready to run."""

    code: CodeType
    attributes: dict[str, Any]
    """What the interpreter would set in its `__main__`."""


def main(arguments: Sequence[str]) -> int | None:
    """Carry out a command. The exit status; None after a program that has come to its end."""
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    try:
        if command == "run":
            run(parse_run(rest))
            return None
        if command in {"-h", "--help", "help"}:
            print(USAGE, end="")
        elif command in {"-V", "--version"}:
            print(f"greenswitch {__version__}")
        elif command == "compat" and not rest:
            show_compat()
        else:
            asked = " ".join(arguments) if command else "no command"
            raise Refused(f"not understood: {asked}\n{USAGE.splitlines()[0]}")
    except Refused as refused:
        print(f"python -m greenswitch: {refused}", file=sys.stderr)
        return REFUSED
    return 0


def parse_run(words: list[str]) -> Run:
    """Read the words after `run`; those after the script or module are its own. Raises Refused."""
    names: list[str] = []
    patch = False
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if option == "--as":
            if not equals:
                if not words:
                    raise Refused("--as needs a name, as in: --as greenlet")
                value = words.pop(0)
            names += [name.strip() for name in value.split(",")]
        elif word == "--patch":
            patch = True
        elif word in {"-h", "--help"}:
            print(USAGE, end="")
            raise SystemExit
        elif word.startswith("-m"):
            module = [word[2:]] if len(word) > 2 else words[:1]
            if not module:
                raise Refused("-m needs the name of a module")
            return Run(names, patch, module[0], [module[0], *words[len(word) == 2 :]])
        elif word.startswith("-"):
            raise Refused(f"run has no option {word}")
        else:
            return Run(names, patch, None, [word, *words])
    raise Refused("run needs a script or -m and a module")


def show_compat() -> None:
    for alias in ALIASES.values():
        print(f"{alias.name} {alias.version}: import greenswitch as {alias.name}")
        rows = [(alias.name, f"greenswitch.compat.{alias.name}")]
        rows += alias.modules.items()
        rows += [(borrowed, f"the installed {alias.name}'s") for borrowed in alias.borrowed]
        for name, ours in rows:
            print(f"  {name:30} {ours}")


# Running a program


def run(asked: Run) -> None:
    """Run a program as this process's own: `__main__`, sys.argv and sys.path are its, and so is what it
    raises. Raises Refused where there is no program to run."""
    try:
        compat.install(*asked.names)
    except compat.AliasError as error:
        raise Refused(str(error)) from None
    if asked.patch:
        monkey.patch_all()
    try:
        sys.argv = [asked.program[0] if asked.module is None else "-m", *asked.program[1:]]
        program = find_script(asked.program[0]) if asked.module is None else find_module(asked.module)
        former = sys.modules["__main__"]
        module = sys.modules["__main__"] = ModuleType("__main__")
        # An interpreter's own __main__ has more or fewer of these, by its version.
        vars(module).update({key: value for key, value in program.attributes.items() if key in vars(former)})
        exec(program.code, vars(module))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
