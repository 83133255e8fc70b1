"""benchmarks/echo.py, wsgi.py, tasks.py and results.py: tables and files, and a sentence where something is
missing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import greenswitch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        cwd=BENCHMARKS.parent,  # where people start them
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_echo(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("cc, a C compiler, is not here")
    file = tmp_path / "figures.json"
    names = ["greenswitch", "asyncio", "threads", "c"]
    options = ["--connections", "5,20", "--seconds", "0.3", "--rounds", "1", "--only", ",".join(names)]
    done = run("echo.py", *options, "--json", str(file), CC="cc")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(file.read_text())
    assert list(figures) == ["5", "20"]
    for connections, by_name in figures.items():
        assert f"\n{connections} connections\n" in done.stdout
        assert list(by_name) == names
        for name, one in by_name.items():
            assert one["rate"] > 0 <= one["cpu"] and one["p99"] > 0, name
            assert f"\n{name} " in done.stdout


def test_wsgi(tmp_path: Path) -> None:
    for program, found in (
        ("wrk", shutil.which("wrk")),
        ("httptools", importlib.util.find_spec("httptools")),
    ):
        if found is None:
            pytest.skip(f"{program} is not here")
    file = tmp_path / "figures.json"
    options = ["--connections", "5", "--seconds", "1", "--rounds", "1", "--only", "greenswitch"]
    done = run("wsgi.py", *options, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    one = json.loads(file.read_text())["5"]["greenswitch"]
    assert one["rate"] > 0 < one["p99"] and "\ngreenswitch " in done.stdout


def test_tasks(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    names = ["greenswitch", "asyncio", "threads"]
    options = ["--rounds", "1", "--seconds", "0.01", "--only", ",".join(names)]
    done = run("tasks.py", *options, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(file.read_text())
    for row, by_name in figures.items():
        assert f"\n{row} " in done.stdout and f"\n{row}: " in done.stdout
        for name, one in by_name.items():
            assert 0 < one["best"] <= one["median"] <= one["worst"], (row, name)
    assert [name for name in names if name in figures["queue"]] == names
    assert "threads" not in figures["give way"]


def test_results(tmp_path: Path) -> None:
    done = run(
        "results.py", "--quick", "--only", "switcher,depth,memory,tasks", "--out", str(tmp_path / "new")
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "new/RESULTS.md").read_text()
    assert text.startswith("# Measured\n") and f"greenswitch {greenswitch.__version__}" in text
    for title in (
        "The switcher",
        "Switch against depth",
        "Memory against number",
        "Tasks that wait for each other",
    ):
        assert f"\n## {title}\n" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert any(line.startswith("| 5 | ") for line in table) and any("| 1,000 | " in line for line in table)
    has_plots = importlib.util.find_spec("matplotlib") is not None
    assert (tmp_path / "new/plots/depth.svg").exists() is has_plots is ("](plots/depth.svg)" in text)


def test_what_is_missing(tmp_path: Path) -> None:
    done = run("echo.py", CC="/nonexistent/compiler")
    assert done.returncode == 1 and done.stderr.endswith("install a C compiler.\n")
    assert "Traceback" not in done.stderr
    done = run("wsgi.py", PATH=str(tmp_path))
    assert done.returncode == 1 and done.stderr.startswith("wrk is not installed")
    for script in ("echo.py", "wsgi.py"):
        done = run(script, "--only", "nonsense")
        assert done.returncode == 2 and "no server 'nonsense'" in done.stderr
    without = str(tmp_path)
    done = run("results.py", "--only", "wsgi", "--out", without, PATH=without)
    assert done.returncode == 0 and "Left out: wrk is not" in (tmp_path / "RESULTS.md").read_text()
    assert "Traceback" not in done.stderr
    done = run("results.py", "--only", "nonsense")
    assert done.returncode == 2 and "no part 'nonsense'" in done.stderr
    done = run("tasks.py", "--only", "nonsense")
    assert done.returncode == 2 and "nothing is called 'nonsense'" in done.stderr
