"""The command line: `python -m greenswitch`.

What belongs here: reading the command; having `compat` and `monkey` prepare the process for a program;
showing what `compat` provides. What never does: preparing anything, and running the program (`_run`).
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from greenswitch import __version__, compat, monkey
from greenswitch._run import REFUSED, Refused, run_program
from greenswitch.compat.finder import own_name
from greenswitch.compat.table import ALIASES, Alias

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


class Run(NamedTuple):
    """What `run` was asked for."""

    names: list[str]
    patch: bool
    module: bool
    """Is it a module that is to run, and not a script?"""
    program: list[str]
    """The script or module and its arguments."""


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
            return Run(names, patch, True, [module[0], *words[len(word) == 2 :]])
        elif word.startswith("-"):
            raise Refused(f"run has no option {word}")
        else:
            return Run(names, patch, False, [word, *words])
    raise Refused("run needs a script or -m and a module")


def run(asked: Run) -> None:
    """Run a program under the names and with the patches that it is to have. Raises Refused where there is no
    program to run, and what the program raises."""
    try:
        compat.install(*asked.names)
    except compat.AliasError as error:
        raise Refused(str(error)) from None
    if asked.patch:
        monkey.patch_all()
    run_program(asked.program, asked.module)


def show_compat() -> None:
    for alias in ALIASES.values():
        print(f"{alias.name} {alias.version}: import greenswitch as {alias.name}")
        rows = [(alias.name, f"greenswitch.compat.{alias.name}")]
        rows += sorted(modules_below(alias))
        rows += [(borrowed, f"the installed {alias.name}'s") for borrowed in alias.borrowed]
        for name, ours in rows:
            print(f"  {name:30} {ours}")


def modules_below(alias: Alias) -> Iterator[tuple[str, str]]:
    """The modules that are found below an alias: the name there, and ours. Imports none of them."""

    def walk(path: Sequence[str], above: str) -> Iterator[tuple[str, str]]:
        # Any: pkgutil's finders are of several kinds.
        finder: Any
        for finder, name, is_package in pkgutil.iter_modules(path):
            fullname = f"{above}.{name}"
            ours = own_name(alias, fullname)
            if ours is not None and fullname not in alias.modules:
                yield fullname, ours
                if is_package:
                    yield from walk(finder.find_spec(name).submodule_search_locations, fullname)

    yield from alias.modules.items()
    if alias.package is not None:
        yield from walk(sys.modules[alias.package].__path__, alias.name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
