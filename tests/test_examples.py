"""Every example does what its row of the specification says, and the demo notices when one does not.

What belongs here: the examples as `make demo` runs them, and wrong outputs, wrong programs and wrong servers
that the demo must tell from right ones.  What never does: behaviour that no example shows.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo
import pytest

if TYPE_CHECKING:
    from conftest import RunPython

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


CASES = {case.program: case for case in demo.all_cases("http://web")}
PROGRAMS = [pytest.param(case.program, id=f"{case.row} {case.program}") for case in CASES.values()]


@pytest.fixture(scope="module", autouse=True)
def room_for_a_crowd() -> Iterator[None]:
    with demo.room_for_a_crowd():
        yield


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """A row of the table for each program, all made in one go: most of them sleep, at the same time."""
    with demo.slow_web_server() as web:
        return {row.case.program: row for row in demo.perform(demo.all_cases(web), limit=60)}


# the examples


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_shows_its_row(rows: dict[str, Any], program: str) -> None:
    """S1, S4, G1, G2, G4, G6, G8, G9, G10, I1, I2, as they are named by the test's id."""
    assert rows[program].ok, rows[program].seen


def test_every_example_is_run_and_described() -> None:
    files = {path.name for path in EXAMPLES.glob("*.py")} - {"demo.py"}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (\w+) \| \[(\w+\.py)\]\(\2\) \|", readme, flags=re.M)
    assert set(CASES) == files
    assert described == [(case.row, case.program) for case in CASES.values()]
    assert {row for row, _ in described} == {
        "S1",
        "S4",
        "G1",
        "G2",
        "G4",
        "G6",
        "G8",
        "G9",
        "G10",
        "I1",
        "I2",
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_needs_only_greenswitch_and_the_standard_library(program: str) -> None:
    tree = ast.parse((EXAMPLES / program).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names | {"greenswitch"}


# wrong outputs


def verdict(row: Any, **changes: object) -> str:
    """What the demo says of a good run that is changed in some way."""
    judged = demo.judge(row.case, dataclasses.replace(row.run, **changes))
    return "ok" if judged.ok else f"DIFFERS: {judged.seen}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_line_missing_changed_or_twice_is_noticed(rows: dict[str, Any], program: str) -> None:
    row = rows[program]
    good = list(row.run.lines)
    assert verdict(row) == "ok"
    for n, line in enumerate(good):
        assert verdict(row, lines=good[:n] + good[n + 1 :]) != "ok", f"line {n} is missing: {line}"
        assert verdict(row, lines=[*good[:n], "?" + line, *good[n + 1 :]]) != "ok", f"line {n} is new: {line}"
        assert verdict(row, lines=[*good[:n], line, *good[n:]]) != "ok", f"line {n} is there twice: {line}"
    assert verdict(row, lines=[good[-1], *good[1:-1], good[0]]) != "ok"
    assert verdict(row, lines=[]) != "ok"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bad_end_is_noticed(rows: dict[str, Any], program: str) -> None:
    row = rows[program]
    assert verdict(row, status=1, errors="Traceback ...\nKeyError\n") == "DIFFERS: exit status 1: KeyError"
    assert verdict(row, status=-11) == "DIFFERS: exit status -11: no message"
    assert verdict(row, errors="Warning: too late\n") == "DIFFERS: on stderr: Warning: too late"
    assert verdict(row, trouble="still running after 9 s") == "DIFFERS: still running after 9 s"


@pytest.mark.parametrize("program", ["g2_interleave.py", "i2_fetch_concurrent.py"])
def test_serial_time_is_noticed(rows: dict[str, Any], program: str) -> None:
    """G2, I2: everything printed in the right order, but one after the other."""
    row = rows[program]
    serial = {"g2_interleave.py": 15.0, "i2_fetch_concurrent.py": 2.1}[program]
    assert verdict(row, seconds=serial, lifetime=serial).startswith("DIFFERS: 1.00 of the")


@pytest.mark.parametrize("program", [name for name in CASES if name.startswith(("g2", "g4", "g6", "i2"))])
def test_sleep_that_does_not_sleep_is_noticed(rows: dict[str, Any], program: str) -> None:
    """G2, G4, G6, I2: the right lines at once."""
    row = rows[program]
    assert verdict(row, seconds=0.1, lifetime=0.2).startswith("DIFFERS: over after 0.20 s")


@pytest.mark.parametrize("program", [name for name in CASES if name.startswith("g6")])
def test_end_at_the_wrong_moment_is_noticed(rows: dict[str, Any], program: str) -> None:
    """G6: the right lines in the right time, but hello(1) ends together with hello(2)."""
    row = rows[program]
    late = row.run.lines.index("hello(1) ends")
    moments = [moment if n < late else row.run.moments[-1] for n, moment in enumerate(row.run.moments)]
    assert verdict(row, moments=moments).startswith("DIFFERS: ended after 0.0, 2.")


def test_wrong_order_of_greenlets_is_noticed(rows: dict[str, Any]) -> None:
    """G1, G2: each passes for the other neither, nor does a first round out of order."""
    taking_turns, interleaved = rows["g1_take_turns.py"], rows["g2_interleave.py"]
    assert verdict(taking_turns, lines=interleaved.run.lines).startswith("DIFFERS: line 2 is")
    assert verdict(interleaved, lines=taking_turns.run.lines).startswith("DIFFERS: line 2 is")
    lines = list(interleaved.run.lines)
    lines[3], lines[4] = lines[4], lines[3]
    assert verdict(interleaved, lines=lines).startswith("DIFFERS: line 1 is")
    lines = [line.replace("<Greenlet at", "<Greenlet 'x' at") for line in interleaved.run.lines]
    assert "in place of 'spawned <Greenlet at 0x...: f(5)>'" in verdict(interleaved, lines=lines)


THIRD_STARTS_EARLY = {"  nap(0.1) ends": "  nap(0.2) starts", "  nap(0.2) starts": "  nap(0.1) ends"}


@pytest.mark.parametrize(
    ("program", "change", "seen"),
    [
        (
            "g8_ticket_seller.py",
            lambda lines: [line.replace("ticket 9", "ticket 10") for line in lines],
            "DIFFERS: line 2 is '10', not '9'",
        ),
        (
            "g8_ticket_seller.py",
            lambda lines: [re.sub(r"window \d sells", "window 1 sells", line) for line in lines],
            "DIFFERS: only 1 of 3 windows sold anything",
        ),
        (
            "g9_bounded_queue.py",
            lambda lines: [line.replace("holds 3", "holds 4") for line in lines],
            "DIFFERS: the queue held 4",
        ),
        (
            "g9_bounded_queue.py",
            lambda lines: [line.replace("Ann is done", "Bob is done") for line in lines],
            "but taken by Ann",
        ),
        (
            "g10_pool.py",
            lambda lines: lines[:5] + [THIRD_STARTS_EARLY.get(line, line) for line in lines[5:]],
            "DIFFERS: line 3 is '  nap(0.2) starts', not '  nap(0.1) ends'",
        ),
        (
            "g10_pool.py",
            lambda lines: [*lines[:-9], *sorted(lines[-9:], key=lambda line: not line.startswith("  "))],
            "DIFFERS: imap_unordered gives its first result only at the end",
        ),
        (
            "g10_pool.py",
            lambda lines: [*lines[:-9], "0.1", *(line for line in lines[-9:] if line != "0.1")],
            "DIFFERS: imap_unordered gives 0.1 before its nap ends",
        ),
        (
            "g10_pool.py",
            lambda lines: [*lines[:-1], "0.1"],
            "DIFFERS: line 3 is '0.1', not '0.5'",
        ),
        (
            "i2_fetch_concurrent.py",
            lambda lines: [line for n in range(3) for line in (lines[n], lines[n + 3])],
            "DIFFERS: line 2 is",
        ),
        (
            "i2_fetch_serial.py",
            lambda lines: [lines[n] for n in (0, 2, 4, 3, 5, 1)],
            "DIFFERS: line 2 is 'GET ",
        ),
    ],
)
def test_wrong_output_is_noticed(
    rows: dict[str, Any], program: str, change: Callable[[list[str]], list[str]], seen: str
) -> None:
    """G8, G9, G10, I2: what the programs would print if their subject did not work."""
    assert seen in verdict(rows[program], lines=change(list(rows[program].run.lines)))


def test_report_names_what_differs(rows: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    good = rows["s1_ping_pong.py"]
    bad = demo.judge(good.case, dataclasses.replace(good.run, lines=["A 0", "A 1"]))
    assert demo.report([good, bad]) == 1
    printed = capsys.readouterr().out
    assert printed.endswith("\n1 of 2 examples differ: s1_ping_pong.py\n")
    assert re.findall(r"\b(?:ok|DIFFERS)$", printed, flags=re.M) == ["ok", "DIFFERS"]
    assert "line 2 is 'A 1', not 'B a'" in printed
    assert demo.report([good]) == 0
    assert capsys.readouterr().out.endswith("\n1 of 1 examples are as expected\n")


# wrong programs


@pytest.fixture
def copied_examples(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)


def spoil(program: Path, old: str, new: str) -> None:
    text = program.read_text(encoding="utf-8")
    assert old in text
    program.write_text(text.replace(old, new), encoding="utf-8")


def test_demo_succeeds_and_fails_by_its_exit_status(copied_examples: Path, run_python: RunPython) -> None:
    good = run_python(copied_examples / "demo.py", "S1", "S4")
    assert (good.status, good.stderr) == (0, ""), good
    assert good.stdout.endswith("\n2 of 2 examples are as expected\n")
    spoil(copied_examples / "s1_ping_pong.py", 'print("B"', 'print("A"')
    bad = run_python(copied_examples / "demo.py", "S1", "S4")
    assert (bad.status, bad.stderr) == (1, ""), bad
    assert bad.stdout.endswith("1 of 2 examples differ: s1_ping_pong.py\n")


def test_demo_has_no_such_row(copied_examples: Path, run_python: RunPython) -> None:
    outcome = run_python(copied_examples / "demo.py", "S99")
    assert outcome.status == 2
    assert "there is no example for S99" in outcome.stderr


def test_demo_ends_what_hangs(copied_examples: Path, run_python: RunPython) -> None:
    """A program that sleeps for ever, and one that computes for ever, are rows that differ."""
    (copied_examples / "s1_ping_pong.py").write_text('import time\nprint("A 0")\ntime.sleep(1e6)\n')
    (copied_examples / "s4_producer_consumer.py").write_text("while True: pass\n")
    outcome = run_python(copied_examples / "demo.py", "--limit", "1.5", "S1", "S4")
    assert outcome.status == 1, outcome
    told = " ".join(outcome.stdout.split())
    assert told.count("still running after") == 2
    assert "2 of 2 examples differ" in told


@pytest.mark.parametrize(
    ("old", "new", "limit", "seen"),
    [
        ("conn.sendall(data)", "conn.sendall(data.upper())", 60, "a client got b'ROUND 0"),
        ("spawn(handle, conn,", "handle(conn,", 1.5, "reset|still running"),
        ("except ConnectionError as error:", "except KeyError as error:", 60, "exit status|on stderr"),
        ("    listener.listen(1024)", "    return print('listening on 127.0.0.1:1')", 60, "refused"),
    ],
    ids=["changes bytes", "serves one only", "lets errors out", "does not listen"],
)
def test_demo_notices_a_wrong_echo_server(
    copied_examples: Path, old: str, new: str, limit: float, seen: str
) -> None:
    """I1: the server does not do for all clients what it should."""
    case = CASES["i1_echo_server.py"]
    spoil(copied_examples / case.program, old, new)
    row = demo.judge(case, demo.observe(case, limit, copied_examples))
    assert not row.ok
    assert re.search(seen, row.seen), row.seen


def test_demo_ends_a_server_that_goes_on_when_interrupted(copied_examples: Path) -> None:
    """I1."""
    case = dataclasses.replace(CASES["i1_echo_server.py"], clients=demo.port_in)
    spoil(copied_examples / case.program, 'print("bye")', "serve(0)")
    row = demo.judge(case, demo.observe(case, 1.5, copied_examples))
    assert not row.ok
    assert row.seen.startswith("still running after 1.5 s"), row.seen
