"""The command line: `python -m greenswitch.monkey`, which runs a program with the standard library patched.

What belongs here: reading the words, which are those of `python -m gevent.monkey`. What never does: patching,
and running the program (`greenswitch._run`).
"""

from __future__ import annotations

import inspect
import sys

from greenswitch import monkey
from greenswitch._run import REFUSED, Refused, run_program

USAGE = """\
usage: python -m greenswitch.monkey [--[no-]NAME ...] [--verbose] [--module] (script | module) [argument ...]

Run a script, or with --module a module, after greenswitch.monkey.patch_all(). NAME is one of its words, such
as socket: --no-socket leaves that out; after --socket only what is named so is patched. --verbose tells what
was patched.
"""


def main(words: list[str]) -> int | None:
    """Carry out the command. The exit status; None after a program that has come to its end."""
    try:
        run(words)
    except Refused as refused:
        print(f"python -m greenswitch.monkey: {refused}", file=sys.stderr)
        return REFUSED
    return None


def run(words: list[str]) -> None:
    """Read the words, patch, run the program. Raises Refused, and what the program raises."""
    known = inspect.signature(monkey.patch_all).parameters
    wanted: dict[str, bool] = {}
    options = set()
    while words and words[0].startswith("-"):
        word = words.pop(0)
        name = word.removeprefix("--")
        if word in {"-h", "--help"}:
            print(USAGE, end="")
            raise SystemExit
        if word in {"--module", "--verbose"}:
            options.add(name)
        elif word.startswith("--no-") and word[5:] in known:
            wanted[word[5:]] = False
        elif word.startswith("--") and name in known:
            wanted[name] = True
        else:
            raise Refused(f"cannot patch {name!r}; what there is: {', '.join(known)}")
    if not words:
        raise Refused("a script is needed, or --module and a module")
    if True in wanted.values():
        wanted = {name: wanted.get(name, False) for name in known}
    try:
        monkey.patch_all(**wanted)
    except NotImplementedError as error:
        raise Refused(str(error)) from None
    if "verbose" in options:
        for module, names in monkey.saved.items():
            print(f"patched {module}: {' '.join(sorted(names))}", file=sys.stderr)
    run_program(words, "module" in options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
