"""What pyproject.toml cannot say: the C extension, that `.S` files are sources, and the header for others.

What belongs here: the list of extensions and how they are compiled, and what else comes from csrc/.  What
never does: metadata, which is in pyproject.toml, and knowledge of CPython versions and machines, which is in
csrc/.  The `#error` sentences of the headers there are asked for before the build, so that a build which
cannot succeed ends with one sentence instead of pages from the compiler.
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

# The first refuses machines, the second interpreters.
GUARDS = ("csrc/switch/gs_switch.h", "csrc/pystate/gs_pystate.h")

# What other extensions compile against, and where it goes in the package.
HEADER = "csrc/include/greenlet/greenlet.h"
HEADER_IN_PACKAGE = "include/greenlet/greenlet.h"

CORE = Extension(
    "greenswitch._core",
    # Both machines' .S: each is empty on the other one, so that cross-compiling needs no choice here.
    sources=sorted(
        glob.glob("csrc/stack/*.c")
        + glob.glob("csrc/pystate/*.c")
        + glob.glob("csrc/cxxstate/*.c")
        + glob.glob("csrc/greenlet/*.c")
        + glob.glob("csrc/switch/*.S")
    ),
    depends=["setup.py", *sorted(glob.glob("csrc/**/*.h", recursive=True))],
    include_dirs=["csrc", "csrc/include"],
    libraries=["dl"],  # dlopen() is in a library of its own before glibc 2.34
    extra_compile_args=[
        "-std=c11",
        "-O2",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Werror=implicit-function-declaration",
        "-Werror=incompatible-pointer-types",
        "-Werror=int-conversion",
    ],
)


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
        super().build_extensions()

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
        if "Python.h" in errors[0]:
            refuse(
                f"the C headers of {sys.executable} are missing ({errors[0]}). Install them: the package is "
                "python3-dev on Debian and Ubuntu, python3-devel on Fedora."
            )
        refuse(errors[0].strip('"'))


def refuse(reason: str) -> None:
    """End the build."""
    raise SystemExit(f"greenswitch cannot be built: {reason}")


setup(ext_modules=[CORE], cmdclass={"build_ext": BuildExt})
