"""The microbenchmarks measure what they say, print a table and write the same figures (spec W2)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import greenswitch
from greenswitch import _core
from greenswitch.bench import __main__ as bench
from greenswitch.bench import compiled, hub, memory, switcher, timing

NAMES = [benchmark.name for benchmark in bench.TIMED]


def test_rows() -> None:
    """Those that the specification asks for, and no name twice."""
    assert len(set(NAMES)) == len(NAMES)
    assert {f"slice-{size}k" for size in ("0.25", "0.5", "1", "2", "4", "8", "16", "32", "64")} < {*NAMES}
    assert {"raw", "capi", "cdepth-0", "cdepth-10", "cdepth-50"} < {*NAMES}
    assert {"switch", "value", "several", "keywords", "ring-1000", "ring-100000"} < {*NAMES}
    assert {"depth-0", "depth-10", "depth-50", "depth-200", "throw", "spawn"} < {*NAMES}


def test_c_level_is_there_where_it_can_be() -> None:
    """It is an optional part of the build, which must not go missing unnoticed."""
    if importlib.util.find_spec("Cython") is None:
        pytest.skip("Cython, with which the C-level part is built, is not installed")
    assert compiled.MISSING is None


@pytest.mark.parametrize("benchmark", bench.TIMED, ids=NAMES)
def test_each_measures_something(benchmark: timing.Benchmark) -> None:
    if benchmark in compiled.BENCHMARKS and compiled.MISSING is not None:
        pytest.skip(compiled.MISSING)
    with benchmark.prepare(_core) as run:
        assert 1e-10 < run(1000) < 1e-3


@pytest.mark.parametrize("benchmark", bench.TIMED, ids=NAMES)
def test_each_can_be_measured_with_greenlet(benchmark: timing.Benchmark) -> None:
    greenlet = pytest.importorskip("greenlet")
    if benchmark in compiled.BENCHMARKS and compiled.MISSING is not None:
        pytest.skip(compiled.MISSING)
    with benchmark.prepare(greenlet) as run:
        assert run(100) > 0


@pytest.mark.parametrize("benchmark", switcher.BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_nothing_is_left_behind(benchmark: timing.Benchmark) -> None:
    """The greenlets that a benchmark has made have ended when the next one is measured."""
    made = []

    class Watched:
        getcurrent = staticmethod(_core.getcurrent)

        @staticmethod
        def greenlet(run: Any) -> _core.greenlet:
            if len(made) < 2000:
                made.append(_core.greenlet(run))
                return made[-1]
            return _core.greenlet(run)

    with benchmark.prepare(Watched) as run:
        run(100)
    assert all(greenlet.dead for greenlet in made)


def test_depth_is_that_of_the_frames() -> None:
    """One of the two greenlets is so many Python frames deep when it is switched to."""
    depths = []

    def answer(switch: Any) -> Any:
        frame, depth = sys._getframe(), 0
        while frame.f_back is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        while True:
            switch()

    for depth in (0, 10, 50):
        with switcher.two(switcher.drive_nothing, answer, switcher.at_depth(depth))(_core) as run:
            run(1)
    assert [depth - depths[0] for depth in depths] == [0, 10, 50]


def test_own_code() -> None:
    """Code that has adapted itself to one switcher is not used for another."""
    seen = []

    def count() -> int:
        seen.append(sys._getframe().f_code)
        return len(seen)

    copies = [timing.own(count), timing.own(count)]
    assert [copy() for copy in copies] == [1, 2]
    assert seen[0] is not seen[1]


def test_c_frames() -> None:
    """What is called below C frames hands through what it returns and raises; a switch may be made there."""
    _cbench = pytest.importorskip("greenswitch.bench._cbench")
    assert _cbench.below(50, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        _cbench.below(50, lambda: 1 // 0)
    for depth in (-1, 100_000):
        with pytest.raises(ValueError, match=f"between 0 and 10000, not {depth}"):
            _cbench.below(depth, lambda: 7)
    main = _core.getcurrent()
    deep = _core.greenlet(lambda: _cbench.below(50, main.switch))
    deep.switch()
    assert deep._stack_saved > 50 * 128
    deep.switch(8)
    assert deep.dead


def test_slices_are_as_large_as_said() -> None:
    _cbench = pytest.importorskip("greenswitch.bench._cbench")
    for size in (512, 4096, 65536):
        assert size - 16 <= _cbench.slices(size, 100)[1] <= size


def test_c_api_of_any_capsule() -> None:
    """Other objects than such capsules are refused."""
    _cbench = pytest.importorskip("greenswitch.bench._cbench")
    with pytest.raises(ValueError, match="PyCapsule"):
        _cbench.Switch(object())
    received = []
    main = _core.getcurrent()

    def count() -> None:
        while True:
            received.append(main.switch())

    greenlet = _core.greenlet(count)
    greenlet.switch()
    _cbench.Switch(_core._C_API)(greenlet, 3)
    assert received == [(), (), ()]
    greenlet.throw()


def test_turn_and_turn_about() -> None:
    """Those that are compared take turns, each as often as it needs to fill the time."""
    calls: list[str] = []
    counts: dict[str, set[int]] = {"quick": set(), "slow": set()}
    seconds = {"quick": 2**-20, "slow": 2**-18}

    def benchmark(api: str) -> contextlib.AbstractContextManager[timing.Run]:
        @contextlib.contextmanager
        def prepare() -> Iterator[timing.Run]:
            calls.append(f"{api} made")
            yield run
            calls.append(f"{api} gone")

        def run(count: int) -> float:
            calls.append(api)
            counts[api].add(count)
            until = time.perf_counter() + count * seconds[api]
            while time.perf_counter() < until:
                pass
            return seconds[api]

        return prepare()

    row = timing.Benchmark("made-up", "made up", benchmark)
    assert row.family == "made"
    seen = timing.measure(row, {"quick": "quick", "slow": "slow"}, 3, 2**-7)
    assert seen == {"quick": [2**-20] * 3, "slow": [2**-18] * 3}
    assert calls[:2] == ["quick made", "slow made"] and calls[-2:] == ["slow gone", "quick gone"]
    assert calls[-8:-2] == ["quick", "slow"] * 3
    assert max(counts["quick"]) == 2**13 and max(counts["slow"]) == 2**11


def test_a_peer_does_not_profit_from_us(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [True]
    seen = {}
    monkeypatch.setattr(timing, "keep_chunks", kept.append)

    def row(api: str) -> contextlib.AbstractContextManager[timing.Run]:
        @contextlib.contextmanager
        def prepare() -> Iterator[timing.Run]:
            def run(count: int) -> float:
                seen[api] = kept[-1]
                time.sleep(0.01)  # one that takes no time is run more and more often, for ever
                return 0.01

            yield run

        return prepare()

    benchmark = timing.Benchmark("made-up", "made up", row)
    timing.measure(benchmark, {timing.US: timing.US, "peer": "peer"}, 1, 0.01)
    assert seen == {timing.US: True, "peer": False}
    assert kept[-1]


def test_memory_counts_the_suspended() -> None:
    """More than the object, less than what a greenlet with a kernel page of its own would take."""
    assert 500 < memory.memory_in_a_process("greenswitch._core", 5000) < 4096


def test_memory_measures_what_is_imported_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not what the directory happens to hold that one is in: a source tree has no compiled core."""
    (tmp_path / "greenswitch").mkdir()
    (tmp_path / "greenswitch" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert memory.memory_in_a_process("greenswitch._core", 1000) > 0


def test_table_and_file(run_python: Any, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    code = "import sys; from greenswitch.bench.__main__ import main; sys.exit(main(sys.argv[1:]))"
    outcome = run_python(code, "--quick", "--json", str(file), timeout=240).check()
    figures = json.loads(file.read_text())
    left_out = compiled.BENCHMARKS if compiled.MISSING is not None else ()
    timed = [benchmark.name for benchmark in bench.TIMED if benchmark not in left_out]
    assert [row["name"] for row in figures["rows"]] == [*timed, memory.NAME]
    lines = outcome.stdout.splitlines()
    for row in figures["rows"]:
        (line,) = [line for line in lines if line.split()[:1] == [row["name"]]]
        assert row["text"] in line
        for who in {"greenswitch", "greenlet", "CPython"} & {*row}:
            assert 0 < row[who]["best"] <= row[who]["median"]
            assert f"{row[who]['best']:,.1f}" in line
        assert ("ratio" in row) == ({"greenswitch", "greenlet"} <= {*row})
    assert figures["versions"]["greenswitch"] == greenswitch.__version__
    assert figures["python"] == platform.python_version() and figures["python"] in lines[0]
    assert figures["processor"] and lines[1].startswith(figures["processor"])


def rows_of(printed: str) -> list[str]:
    """The names of the rows of a table."""
    _, _, table = printed.partition("\n\n")
    return [line.split()[0] for line in table.splitlines()[1:]]


@pytest.mark.parametrize(
    ("only", "rows"),
    [
        ("switch", ["switch"]),
        ("depth", ["depth-0", "depth-10", "depth-50", "depth-200"]),
        ("depth-50", ["depth-50"]),
        ("generator", ["generator"]),
        ("memory", ["memory"]),
    ],
)
def test_some_of_them(capsys: pytest.CaptureFixture[str], only: str, rows: list[str]) -> None:
    before = os.sched_getaffinity(0)
    assert bench.main(["--quick", "--only", only]) == 0
    assert rows_of(capsys.readouterr().out) == rows
    assert os.sched_getaffinity(0) == before


def test_without_greenlet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "PEER", "greenlet_that_is_not_there")
    assert bench.main(["--quick", "--only", "switch"]) == 0
    printed = capsys.readouterr().out
    assert "greenlet is not installed, so there is nothing to compare with: pip install greenlet\n" in printed
    assert "ratio" not in printed and rows_of(printed) == ["switch"]


def test_without_the_c_level(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence says what is missing; rows that need it are an error only if nothing else was asked for."""
    monkeypatch.setattr(compiled, "MISSING", "There is no C-level part.")
    monkeypatch.setattr(bench, "TIMED", (compiled.BENCHMARKS[0], switcher.BENCHMARKS[0]))
    monkeypatch.setattr(bench, "measure_memory", lambda *_: {"name": "memory", "text": "", "unit": "bytes"})
    assert bench.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "There is no C-level part.\n" in printed
    assert "raw" not in printed
    assert bench.main(["--quick", "--only", "raw"]) == 1
    assert capsys.readouterr().err == "There is no C-level part.\n"


def test_c_level_that_is_not_built(run_python: Any) -> None:
    program = """
import sys
sys.modules["greenswitch.bench._cbench"] = None
from greenswitch.bench.__main__ import main
sys.exit(main(["--quick", "--only", "slice-4k"]))
"""
    outcome = run_python(program)
    assert outcome.status == 1
    assert outcome.stderr.startswith(
        "The C-level rows need greenswitch.bench._cbench, which this installation"
    )
    assert outcome.stderr.endswith("pip install cython, and install greenswitch anew.\n")


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "nonsense"])
    assert ended.value.code == 2 and "nonsense" in capsys.readouterr().err
    assert bench.main(["--quick", "--only", "switch", "--json", "/nonexistent/figures.json"]) == 1
    assert "cannot write the figures to /nonexistent/figures.json" in capsys.readouterr().err


def test_memory_process_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert bench.main(["--quick", "--only", "memory"]) == 1
    assert capsys.readouterr().err.startswith("The process that measures memory has failed: ")


# The hub

HUB_NAMES = [benchmark.name for benchmark in hub.BENCHMARKS]


@pytest.mark.parametrize("package", ["greenswitch", "gevent"])
@pytest.mark.parametrize(
    "benchmark",
    [each for each in hub.BENCHMARKS if not each.name.endswith("-100000")],
    ids=lambda each: each.name,
)
def test_each_of_the_hub_measures_something(package: str, benchmark: timing.Benchmark) -> None:
    """And leaves the hub as it was: the same can be measured again."""
    pytest.importorskip(package)
    api = hub.load(package)
    for _ in range(2):
        with benchmark.prepare(api) as run:
            assert 1e-8 < run(100) < 1e-2


def test_nobody_waits_when_a_row_of_the_hub_is_measured() -> None:
    """Who was made for it has ended."""
    made: list[Any] = []
    api = hub.load("greenswitch")

    def spawn(*args: Any) -> Any:
        made.append(api.spawn(*args))
        return made[-1]

    watched = dataclasses.replace(api, spawn=spawn)
    for benchmark in hub.BENCHMARKS:
        if not benchmark.name.endswith("-100000"):
            with benchmark.prepare(watched) as run:
                run(10)
            assert made or benchmark.name in {"imap", "timeout"}, benchmark.name
            assert all(greenlet.dead for greenlet in made), benchmark.name
            made.clear()


def test_rows_of_the_hub() -> None:
    """Those that are promised, and no name twice."""
    assert len(set(HUB_NAMES)) == len(HUB_NAMES)
    assert {"spawn", "yield-1", "event", "queue", "queue-1", "semaphore-10", "imap", "timeout", "timers"} < {
        *HUB_NAMES
    }
    assert {f"{kind}-{count}" for kind in ("events", "queues", "sleeps") for count in (10, 1000, 100000)} < {
        *HUB_NAMES
    }


def test_some_of_the_hub(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert bench.main(["hub", "--quick", "--only", "timeout", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert rows_of(printed) == ["timeout"]
    (row,) = json.loads(file.read_text())["rows"]
    assert ("ratio" in row) == ("gevent" in row) == ("gevent" in printed.splitlines()[0])


def test_without_gevent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "HUB_PEER", "gevent_that_is_not_there")
    assert bench.main(["hub", "--quick", "--only", "yield-2"]) == 0
    printed = capsys.readouterr().out
    assert "is not installed, so there is nothing to compare with: pip install" in printed
    assert "ratio" not in printed and rows_of(printed) == ["yield-2"]


@pytest.mark.parametrize("arguments", [["hub", "--only", "memory"], ["--only", "timers"], ["hup"]])
def test_what_there_is_not(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.main(arguments)
    assert caught.value.code == 2 and "invalid choice" in capsys.readouterr().err
