"""Programs that know greenlet and gevent only, one or more for each row of the specification: what they print
on those, they print on greenswitch under those names (spec D2, D3).

What belongs here: running the files in `programs`, unmodified, on both, and comparing. What never does: what
they print by itself, which is a matter of the tests of each module; times.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import demo
import pytest

if TYPE_CHECKING:
    from conftest import Outcome, RunPython

FOLDER = Path(__file__).resolve().parent / "programs"
PROGRAMS = sorted(FOLDER.glob("*.py"))
AS = ("-m", "greenswitch", "run", "--as", "greenlet,gevent")

ROWS = {
    *(f"S{n}" for n in range(1, 6)),
    *(f"G{n}" for n in range(1, 16)),
    *(f"L{n}" for n in range(1, 5)),
    *(f"I{n}" for n in range(1, 6)),
    *("D1", "D2", "D4"),
}

LOUD = {
    # Two greenlets fail, and each is reported once.
    "g7_results": ("LookupError: as it should", range(2, 3)),
    "g13_starved": ("compute> appears to be blocked", range(1, 100)),
}
"""What is on the standard error of both, within words of their own, and how often. Of others: nothing."""

needs_both = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None or importlib.util.find_spec("gevent") is None,
    reason="greenlet and gevent are not both installed: nothing to compare with",
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with the certificate of `localhost`, its key, and who has signed it."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed: no certificate")
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    authority.cert_pem.write_to_path(path, append=True)
    return str(path)


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with demo.slow_web_server() as address:
        yield address


@pytest.fixture
def arguments(program: Path, request: pytest.FixtureRequest) -> list[str]:
    """What a program is to be given."""
    if program.stem == "i4_waiting":
        return [request.getfixturevalue("certificate")]
    if program.stem == "i5_servers":
        pytest.importorskip("httptools", reason="httptools is not installed: no pywsgi")
    if program.stem.startswith("i2_"):
        server = request.getfixturevalue("web")
        return [f"{server}/{path}" for path in ("0.8/slow", "0.2/quick", "0.5/middle")]
    return []


def plain(outcome: Outcome) -> str:
    """What it printed, without addresses."""
    return re.sub(r"0x[0-9a-f]+", "0x", outcome.stdout)


@needs_both
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_prints_the_same(run_python: RunPython, program: Path, arguments: list[str]) -> None:
    """The rows that the programs' names begin with."""
    quiet = {"no_proxy": "127.0.0.1"}
    real = run_python(program, *arguments, environment=quiet).check()
    ours = run_python(program, *arguments, environment=quiet, options=AS).check()
    assert plain(real)
    assert plain(ours) == plain(real)
    if program.stem in LOUD:
        text, times = LOUD[program.stem]
        for outcome in (real, ours):
            assert outcome.stderr.count(text) in times, outcome
    else:
        assert (real.stderr, ours.stderr) == ("", "")


def test_every_row_has_a_program_that_knows_nothing_of_greenswitch() -> None:
    rows = set()
    for program in PROGRAMS:
        text = program.read_text(encoding="utf-8")
        head = (ast.get_docstring(ast.parse(text)) or "").partition(":")[0].split(", ")
        assert head[0].lower() == program.stem.partition("_")[0]
        assert re.search(r"^(import|from) (greenlet|gevent)", text, re.MULTILINE)
        assert "greenswitch" not in text
        rows |= set(head)
    assert rows == ROWS


@needs_both
def test_what_is_compared_are_two(run_python: RunPython, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import gevent, greenlet\n"
        "print(*[name.split('.')[0] for name in (gevent.get_hub.__module__, greenlet._greenlet.__name__)])\n",
        encoding="utf-8",
    )
    assert run_python(script).check().stdout == "gevent greenlet\n"
    assert run_python(script, options=AS).check().stdout == "greenswitch greenswitch\n"
