"""The compiled core from outside: what its headers promise to the loader, and what a debugger sees.

What belongs here: the compiled files, read with readelf, objdump and gdb.  What never does: what a build
makes (test_build.py), and which symbols and libraries the core needs (tests/capi).

A note that says IBT (x86-64) or BTI (aarch64) promises a landing pad wherever an indirect branch leads.  One
that says SHSTK or GCS would promise that every return goes where its call came from, which is what a switch
of stacks is there to break.
"""

from __future__ import annotations

import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import greenswitch._core

ROOT = Path(__file__).resolve().parents[1]
CORE = str(greenswitch._core.__file__)
MACHINE = sorted(str(path) for room in ("stack/*.c", "switch/*.S") for path in (ROOT / "csrc").glob(room))
X86_64 = platform.machine() == "x86_64"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not here")
    return path


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def features(file: str) -> set[str]:
    """What the file's property note promises."""
    notes = output(tool("readelf"), "-nW", file)
    return set(re.findall(r"\w+", " ".join(re.findall(r"(?:x86|AArch64) feature: (.*)", notes))))


def machine_library(directory: Path, compiler: str, *options: str) -> str:
    """The stack and switch layers, linked without the system's start files, whose promises may differ."""
    library = str(directory / "machine.so")
    flags = ("-std=c11", "-O2", "-fPIC", "-shared", "-nostdlib", f"-I{ROOT / 'csrc'}")
    output(compiler, *options, *flags, "-o", library, *MACHINE)
    return library


def first_instruction(file: str, function: str, objdump: str) -> str:
    code = re.search(rf"<{function}>:\n.*?\t.*?\t(.*)", output(objdump, "-d", file))
    assert code is not None, f"{function} is not in {file}"
    return code[1].strip()


def test_stack_is_not_executable() -> None:
    """One assembler file without a word about it would make every stack of the process executable."""
    (flags,) = re.findall(r"GNU_STACK( .*)", output(tool("readelf"), "-lW", CORE))
    assert re.search(r" RW +0x", flags), flags


def test_no_segment_is_writable_and_executable() -> None:
    segments = re.findall(
        r"^ +LOAD .* 0x\w+ ([RWE ]{3}) 0x", output(tool("readelf"), "-lW", CORE), flags=re.M
    )
    assert "R E" in segments and "RWE" not in segments


def test_no_text_relocations() -> None:
    """Code that the loader has to write to is neither shared nor allowed everywhere."""
    dynamic = output(tool("readelf"), "-dW", CORE)
    assert "NEEDED" in dynamic and "TEXTREL" not in dynamic


def test_no_promise_about_shadow_stacks() -> None:
    assert not features(CORE) & {"SHSTK", "GCS"}


@pytest.mark.skipif(not X86_64, reason="IBT is x86-64's")
@pytest.mark.parametrize(
    ("protection", "promised"), [("full", {"IBT"}), ("branch", {"IBT"}), ("return", set()), ("none", set())]
)
def test_landing_pads_on_x86_64(tmp_path: Path, protection: str, promised: set[str]) -> None:
    """They are there, and promised, when the compiler is asked for them."""
    library = machine_library(tmp_path, tool("gcc"), f"-fcf-protection={protection}")
    assert features(library) == promised
    for function in ("gs_switch", "gs_start"):
        pad = first_instruction(library, function, tool("objdump")) == "endbr64"
        assert pad or not promised, f"{function} has no landing pad"


@pytest.mark.parametrize(
    ("protection", "promised"), [("standard", {"BTI"}), ("bti", {"BTI"}), ("none", set())]
)
def test_landing_pads_on_aarch64(tmp_path: Path, protection: str, promised: set[str]) -> None:
    compiler = "aarch64-linux-gnu-gcc" if X86_64 else "gcc"
    library = machine_library(tmp_path, tool(compiler), f"-mbranch-protection={protection}")
    assert features(library) == promised
    for function in ("gs_switch", "gs_start"):
        objdump = tool(compiler.replace("gcc", "objdump"))
        assert re.match(r"bti\s+c", first_instruction(library, function, objdump))


def test_debugger_sees_where_a_greenlet_begins(tmp_path: Path) -> None:
    """`bt` shows the frames of the greenlet, all of them, and nothing that it takes for more."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import signal
from greenswitch import getcurrent, greenlet

def deeper(levels):
    if levels:
        return deeper(levels - 1)
    inner = greenlet(lambda: main.switch())
    inner.switch()
    signal.raise_signal(signal.SIGUSR1)

main = getcurrent()
outer = greenlet(deeper)
outer.switch(3)
outer.switch()
""",
        encoding="utf-8",
    )
    quiet = (
        "-q",
        "-nx",
        "-batch",
        "-iex",
        "set debuginfod enabled off",
        "-iex",
        "set startup-with-shell off",
    )
    commands = ("handle SIGUSR1 stop nopass", "run", "bt", "info sharedlibrary _core", "kill")
    done = subprocess.run(
        [
            tool("gdb"), *quiet, *(word for command in commands for word in ("-ex", command)),
            "--args", sys.executable, str(program),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    if re.search(r"ptrace: Operation not permitted|Could not trace the inferior", said):
        pytest.skip("gdb may not trace processes here")
    assert f"received signal {signal.SIGUSR1.name}" in said, said
    frames = re.findall(r"^#(\d+) .*", said, flags=re.M)
    assert [int(number) for number in frames] == list(range(len(frames))) and len(frames) > 5, said
    assert "Backtrace stopped" not in said, said
    lines = re.findall(r"^#\d+ .*", said, flags=re.M)
    # The loop of a stripped interpreter has no name where its instructions call one another (3.15).
    assert any(re.search(r" in _?Py(Eval|Object_Call)", line) for line in lines), said
    assert not any(re.search(r"\b(?:main|_start|Py_RunMain|Py_BytesMain)\b \(", line) for line in lines), said
    (base,) = re.findall(r"^(0x[0-9a-f]+)\s+(0x[0-9a-f]+) .*_core", said, flags=re.M)
    last = re.match(r"#\d+ +(0x[0-9a-f]+) ", lines[-1])
    assert last is not None and int(base[0], 16) <= int(last[1], 16) < int(base[1], 16), said
