"""The microbenchmarks measure what they say, print a table and write the same figures (spec W2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenswitch import _core
from greenswitch.bench import __main__ as bench
from greenswitch.bench import switcher


@pytest.mark.parametrize("benchmark", switcher.TIMED, ids=lambda benchmark: benchmark.name)
def test_each_measures_something(benchmark: switcher.Benchmark) -> None:
    seconds = benchmark.function(_core, 4000)
    assert 1e-9 < seconds < 1e-3


def test_memory_counts_the_suspended() -> None:
    """More than the object, less than what a greenlet with a kernel page of its own would take."""
    assert 500 < switcher.memory_in_a_process("greenswitch._core", 5000) < 4096


def test_memory_measures_what_is_imported_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not what the directory happens to hold that one is in: a source tree has no compiled core."""
    (tmp_path / "greenswitch").mkdir()
    (tmp_path / "greenswitch" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert switcher.memory_in_a_process("greenswitch._core", 1000) > 0


def test_table_and_file(run_python: Any, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    code = "import sys; from greenswitch.bench.__main__ import main; sys.exit(main(sys.argv[1:]))"
    outcome = run_python(code, "--quick", "--json", str(file), timeout=120).check()
    figures = json.loads(file.read_text())
    names = [benchmark.name for benchmark in switcher.TIMED] + [switcher.MEMORY_NAME]
    assert [row["name"] for row in figures["rows"]] == names
    for row in figures["rows"]:
        assert row["text"] in outcome.stdout
        assert 0 < row["greenswitch"]["best"] <= row["greenswitch"]["median"]
    assert figures["versions"]["greenswitch"] == "0.1.0"


def test_one_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick", "--only", "switch"]) == 0
    assert capsys.readouterr().out.count("two greenlets") == 1


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "nonsense"])
    assert ended.value.code == 2 and "nonsense" in capsys.readouterr().err
    assert bench.main(["--quick", "--only", "switch", "--json", "/nonexistent/figures.json"]) == 1
    assert "cannot write the figures to /nonexistent/figures.json" in capsys.readouterr().err
