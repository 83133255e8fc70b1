"""benchmarks/context_switch.py: a table where Boost.Context is, and a sentence where something is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "context_switch.py"
HEADER = "boost/context/detail/fcontext.hpp"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def has_boost() -> bool:
    if shutil.which("g++") is None:
        return False
    command = ["g++", "-E", "-x", "c++", "-include", HEADER, os.devnull]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_table_and_file(tmp_path: Path) -> None:
    if not has_boost():
        pytest.skip("g++ and Boost.Context's headers (libboost-context-dev) are not here")
    file = tmp_path / "figures.json"
    done = run("--runs", "1", "--json", str(file), CXX="g++")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(file.read_text())
    assert set(figures) == {"greenswitch", "fcontext", "ucontext"}
    for text, who in (
        ("gs_switch", "greenswitch"),
        ("jump_fcontext", "fcontext"),
        ("swapcontext", "ucontext"),
    ):
        (line,) = [line for line in done.stdout.splitlines() if text in line]
        for loops in ("same", "apart"):
            assert 0 < figures[who][loops]["best"] < 100_000
            assert f"{figures[who][loops]['best']:.1f}" in line


def test_no_compiler() -> None:
    done = run(CXX="/nonexistent/c++")
    assert done.returncode == 1
    assert done.stderr == (
        "'/nonexistent/c++' cannot be run (No such file or directory): "
        "install g++, or name a compiler in CXX.\n"
    )


def test_no_boost() -> None:
    """A compiler that finds no header at all."""
    done = run(CXX="/bin/false")
    assert done.returncode == 1
    assert done.stderr == (
        "Boost.Context's headers are not here: install libboost-context-dev (boost-devel on Fedora).\n"
    )
