"""What pyproject.toml cannot say: the extensions, that `.S` files are sources, the header for others, Cython.

What belongs here: the list of extensions and how they are compiled, and what else comes from csrc/.  What
never does: metadata, which is in pyproject.toml, and knowledge of CPython versions and machines, which is in
csrc/.  The `#error` sentences of the headers there are asked for before the build, so that a build which
cannot succeed ends with one sentence instead of pages from the compiler.

The core is C.  The microbenchmarks' module is Cython, and greenswitch works without it: where it cannot be
built, one line says so.  What Cython makes of it is kept out of the source tree and put into the source
distribution, which therefore needs a C compiler alone.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

# The first refuses machines, the second interpreters.
GUARDS = ("csrc/switch/gs_switch.h", "csrc/pystate/gs_pystate.h")

# What other extensions compile against, and where it goes in the package.
HEADER = "csrc/include/greenlet/greenlet.h"
HEADER_IN_PACKAGE = "include/greenlet/greenlet.h"

# Both machines' .S: each is empty on the other one, so that cross-compiling needs no choice here.
MACHINE = sorted(glob.glob("csrc/stack/*.c") + glob.glob("csrc/switch/*.S"))
DEPENDS = ["setup.py", *sorted(glob.glob("csrc/**/*.h", recursive=True))]
INCLUDES = ["csrc", "csrc/include"]
COMPILE = [
    "-std=c11",
    "-O2",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
]

CORE = Extension(
    "greenswitch._core",
    sources=[
        *MACHINE,
        *sorted(
            glob.glob("csrc/pystate/*.c") + glob.glob("csrc/cxxstate/*.c") + glob.glob("csrc/greenlet/*.c")
        ),
    ],
    depends=DEPENDS,
    include_dirs=INCLUDES,
    libraries=["dl"],  # dlopen() is in a library of its own before glibc 2.34
    extra_compile_args=COMPILE,
)

CBENCH_PYX = "csrc/bench/_cbench.pyx"
CBENCH = Extension(
    "greenswitch.bench._cbench",
    sources=[*MACHINE, "csrc/bench/gs_bench.c"],  # and what Cython makes of CBENCH_PYX
    depends=[*DEPENDS, CBENCH_PYX],
    include_dirs=INCLUDES,
    extra_compile_args=[*COMPILE, "-Wno-missing-field-initializers"],  # Cython knows an older CPython's
    optional=True,
)


def translate(directory: str) -> str | None:
    """Have Cython write the C of CBENCH_PYX under `directory`; its path.  None: Cython is not installed."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return None
    (extension,) = cythonize(CBENCH_PYX, build_dir=directory, quiet=True)
    return str(extension.sources[0])


class BuildExt(build_ext):
    """Build the extensions, or say in one sentence why that is impossible here."""

    def run(self) -> None:
        if sys.platform != "linux":
            refuse(f"its stack switch is written for Linux, and this system is {sys.platform!r}.")
        super().run()
        target = self.header_target()
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(HEADER, target)

    def get_outputs(self) -> list[str]:
        return [*super().get_outputs(), self.header_target()]

    def header_target(self) -> str:
        """Where the header goes: beside the compiled core, wherever that goes."""
        core = self.get_ext_fullpath(CORE.name)
        return os.path.join(os.path.dirname(core), *HEADER_IN_PACKAGE.split("/"))

    def build_extensions(self) -> None:
        self.compiler.src_extensions = [*self.compiler.src_extensions, ".S"]
        for guard in GUARDS:
            self.preprocess(guard)
        self.add_translated()
        super().build_extensions()

    def add_translated(self) -> None:
        """Complete CBENCH's sources, or leave it out."""
        shipped = CBENCH_PYX.replace(".pyx", ".c")
        translated = translate(self.build_temp) or (shipped if os.path.exists(shipped) else None)
        if translated is not None:
            CBENCH.sources = [*CBENCH.sources, translated]
            return
        self.extensions.remove(CBENCH)
        print(
            f"{CBENCH.name} is left out, and with it the C-level rows of `python -m greenswitch.bench`: "
            "it needs Cython (pip install cython).",
            file=sys.stderr,
        )

    def preprocess(self, header: str) -> None:
        """Run the preprocessor alone over `header`; SystemExit with a sentence if it complains."""
        compiler = self.compiler.compiler_so
        includes = [f"-I{path}" for path in [*CORE.include_dirs, *self.compiler.include_dirs]]
        try:
            process = subprocess.run(
                [*compiler, *includes, "-E", header],
                env={**os.environ, "LC_ALL": "C"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            refuse(
                f"there is no C compiler (running {compiler[0]!r}: {error.strerror}). Install gcc or clang, "
                "or name yours in the environment variable CC."
            )
        if process.returncode == 0:
            return
        errors = re.findall(r"error: (?:#error )?(.+)", process.stderr)
        if not errors:
            refuse(f"the C compiler {compiler[0]!r} does not work (exit status {process.returncode}).")
        if re.search(r"\b(Python|pyconfig)\.h\b", errors[0]):
            refuse(
                f"the C headers of {sys.executable} are missing ({errors[0]}). Install them: the package is "
                "python3-dev on Debian and Ubuntu, python3-devel on Fedora."
            )
        if re.search(r"No such file|file not found", errors[0]):
            refuse(
                f"the headers of the C library are missing ({errors[0]}). Install them: the package is "
                "libc6-dev on Debian and Ubuntu, glibc-devel on Fedora, musl-dev on Alpine."
            )
        refuse(errors[0].strip('"'))


class SDist(sdist):
    """The source distribution, with what Cython makes for those who do not have it."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        if not self.dry_run and translate(base_dir) is None:
            raise SystemExit("A source distribution is made with Cython: pip install cython")


def refuse(reason: str) -> None:
    """End the build."""
    raise SystemExit(f"greenswitch cannot be built: {reason}")


setup(ext_modules=[CORE, CBENCH], cmdclass={"build_ext": BuildExt, "sdist": SDist})
