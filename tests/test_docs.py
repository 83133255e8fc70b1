"""The README and the pages of docs/ are true as far as a machine can tell: their programs do what is said
there, what their commands name exists, and the pages can be built.

What belongs here: running what is printed there.  What never does: programs of its own.

A program is a block of Python, followed by a block of text: what it prints, on both streams together.  `...`
there stands for anything in one line, a line of `...` for any lines.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import greenswitch
from greenswitch.monkey.table import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README": README} | {
    str(path.relative_to(DOCS).with_suffix("")): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
}
PROGRAMS = [
    pytest.param(program, printed, id=f"{page} {number}")
    for page, text in PAGES.items()
    for number, (program, printed) in enumerate(
        re.findall(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```\n", text, flags=re.M | re.S), 1
    )
]
COMMANDS = sorted(
    {
        f"{page}: {line.strip()}"
        for page, text in PAGES.items()
        for block in re.findall(r"(?<=\n\n)(?: {4}.*\n)+(?=\n|$)", re.sub(r"```.*?```", "", text, flags=re.S))
        for line in block.splitlines()
        if not page.startswith("reference/")
    }
)
NEEDED = {"greenswitch.pywsgi": "httptools", "import greenlet\n\nfrom greenswitch import compat": "greenlet"}
OTHERS = {"cc", "celery", "gdb", "gunicorn", "pip", "pytest"}  # programs that need not be installed
LEFT_OUT = {"bench"}  # the reference is of what is imported, and this is a command


def run(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-u", "-c", program],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """How the programs of the tests that were asked for ended. Many of them sleep: four run at a time."""
    wanted = [item.callspec.params["program"] for item in request.session.items if is_of_a_program(item)]
    with ThreadPoolExecutor(4) as executor:
        yield {
            program: executor.submit(run, program, tmp_path_factory.mktemp("program")) for program in wanted
        }


def is_of_a_program(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and item.function is test_program


def pattern_of(printed: str) -> str:
    """What fits the text of a block, as a regular expression."""
    lines = []
    for line in printed.splitlines(keepends=True):
        lines.append(r"(?:.*\n)*?" if line == "...\n" else r"[^\n]*".join(map(re.escape, line.split("..."))))
    return "".join(lines)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == sum(page.count("```python\n") for page in PAGES.values()) > 20


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_program(
    runs: dict[str, Future[subprocess.CompletedProcess[str]]], tmp_path: Path, program: str, printed: str
) -> None:
    """One that differs is run once more, alone: what comes first may be up to how busy the machine is."""
    for name, package in NEEDED.items():
        if name in program and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package}, which the program needs, is not installed")
    ended = runs[program].result()
    if not re.fullmatch(pattern_of(printed), ended.stdout):
        ended = run(program, tmp_path)
    assert re.fullmatch(pattern_of(printed), ended.stdout), f"printed:\n{ended.stdout}\nnot:\n{printed}"
    assert ended.returncode == 0


@pytest.mark.skipif(
    shutil.which("cc") is None or importlib.util.find_spec("Cython") is None,
    reason="cc and Cython make extension modules",
)
@pytest.mark.parametrize(
    ("language", "name", "call", "printed"),
    [
        ("c", "example.c", "example.call(lambda: 42)", "42\n"),
        ("cython", "counter.pyx", "counter.Counter().switch()", "1\n"),
    ],
)
def test_extension_module(tmp_path: Path, language: str, name: str, call: str, printed: str) -> None:
    """What the page about the C API shows, compiled as it says there, for this Python."""
    page, module = PAGES["c-api"], name.partition(".")[0]
    (source,) = re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.M | re.S)
    (compiling,) = re.findall(r"^    (cc .*)$", page, flags=re.M)
    compiling = compiling.replace("$(python3-config --includes)", f"-I{sysconfig.get_path('include')}")
    compiling = compiling.replace("python -c", f"{shlex.quote(sys.executable)} -c")
    commands = [compiling.replace("example", module)]
    if language == "cython":
        assert f"`cython -3 {name}`" in page
        commands.insert(0, f"{shlex.quote(sys.executable)} -m cython -3 {name}")
    (tmp_path / name).write_text(source, encoding="utf-8")
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=120)
    assert run(f"import {module}; print({call})", tmp_path).stdout == printed


def test_the_line_that_takes_the_name_for_an_environment(tmp_path: Path) -> None:
    (line,) = re.findall(r"`\.pth`, with this line:\n\n```text\n(.*\n)```", PAGES["from-greenlet"])
    (tmp_path / "names.pth").write_text(line, encoding="utf-8")
    program = f"""
import site
site.addsitedir({str(tmp_path)!r})
import greenlet, greenswitch
print(greenlet.greenlet is greenswitch.greenlet)
"""
    assert run(program, tmp_path).stdout == "True\n"


def test_text_that_differs_is_noticed() -> None:
    pattern = pattern_of("a ... (b)\n...\nend\n")
    assert re.fullmatch(pattern, "a 0x1 (b)\nend\n") and re.fullmatch(pattern, "a  (b)\n1\n2\nend\n")
    for other in ("a\n(b)\nend\n", "a 1 (b)\nend", "a 1 (b) c\nend\n", "a 1 (b)\nend\nmore\n"):
        assert not re.fullmatch(pattern, other)


def test_the_tutorial_shows_the_examples_as_they_are() -> None:
    """Below the name of an example stands all of it but its docstring."""
    shown = re.findall(r"^`(examples/\w+\.py)`\n\n```python\n(.*?)^```", PAGES["tutorial"], flags=re.M | re.S)
    assert len(shown) == PAGES["tutorial"].count("\n`examples/") > 5
    for path, program in shown:
        assert (ROOT / path).read_text(encoding="utf-8").endswith(f'"""\n\n{program}'), path


@pytest.mark.parametrize("command", COMMANDS)
def test_command_names_what_there_is(command: str) -> None:
    """Every line that is shown as a command starts a program that the reader has: a target of the Makefile, a
    module, a file of the repository."""
    words = command.partition(": ")[2].split()
    while "=" in words[0]:
        words.pop(0)  # a variable of the environment
    name, *rest = words
    if name == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert rest[0] in re.findall(r"^([a-z][\w-]*):", makefile, flags=re.M)
    elif name in {"python", "python3"}:
        if rest[0] == "-m":
            assert importlib.util.find_spec(rest[1]) is not None
            if "-m" in rest[2:] and "module" not in rest:
                module = rest[rest.index("-m", 2) + 1]
                assert module in OTHERS or importlib.util.find_spec(module.replace("gevent.", "greenswitch."))
        elif rest[0] not in {"-c", "script.py", "program.py"}:
            assert (ROOT / rest[0]).exists()
    else:
        assert name in OTHERS


def test_commands_in_the_text_exist() -> None:
    """Every `make` target and every source that a sentence names is there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.M))
    text = "\n".join(PAGES.values())
    named = set(re.findall(r"\bmake ([a-z][\w-]*)$", README.replace("`", "\n"), flags=re.M))
    named |= set(re.findall(r"`make ([a-z][\w-]*)", text))
    assert {"demo", "test"} <= named <= targets
    files = r"`(?:python3? )?((?:benchmarks|csrc|docs|examples|greenswitch|tests)/[\w./]+\.(?:py|c|h|S))\b"
    for path in re.findall(files, text):
        assert "XX" in path or (ROOT / path).exists(), path


def test_measured_numbers_are_those_of_the_results() -> None:
    section = README.partition("## How fast it is\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) > 10
    for row in rows:
        assert row in results


def test_links_of_the_readme_lead_somewhere() -> None:
    """mkdocs sees to those of the other pages."""
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / path).exists(), path


def test_supported_versions_are_those_of_the_metadata() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", metadata)
    assert f"| CPython | {', '.join(versions)} |" in README


def test_the_table_of_what_is_patched_has_every_word() -> None:
    words = re.findall(r"^\| ((?:`\w+`,? ?)+)\|", PAGES["patching"], flags=re.M)
    assert sorted(re.findall(r"\w+", " ".join(words))) == sorted(OPTIONS)


def test_the_reference_has_every_public_module() -> None:
    """Once each; a module of a package belongs to that, or stands for it."""
    described = re.findall(r"^::: greenswitch\.([\w.]+)", "\n".join(PAGES.values()), flags=re.M)
    there = {info.name for info in pkgutil.iter_modules(greenswitch.__path__)}
    assert len(described) == len(set(described))
    outermost = {name.partition(".")[0] for name in described}
    assert set(filter(is_public, outermost)) == set(filter(is_public, there)) - LEFT_OUT


def is_public(name: str) -> bool:
    return not name.startswith("_")


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocstrings_handlers") is None,
    reason="the documentation is built by mkdocs with mkdocstrings[python] (the extra `docs`)",
)
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    """Strictly, as `make docs` does: a link that leads nowhere, a page that no menu has, a name without a
    definition are errors."""
    ended = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict"),
            *("--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(tmp_path / "site")),
        ],
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    assert "greenswitch.greenlets.Greenlet.join" in (
        (tmp_path / "site/reference/greenlets.html").read_text(encoding="utf-8")
    )
