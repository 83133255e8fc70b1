"""`python -m greenswitch`: a program under `run` sees what it sees without it (spec D2).

The same program is run by the interpreter alone and by `run`, and what it prints is compared; only what has
to differ is looked at by itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SHOW = """\
import __main__, os, sys
print(__name__, __file__, __package__, __doc__, __spec__ and __spec__.name, type(__loader__).__name__)
print(sys.argv, os.path.realpath(sys.path[0]), type(__builtins__).__name__)
print(sorted(vars(__main__)), vars(__main__) is globals(), sys.modules['__main__'] is __main__)
print(sys._getframe().f_code.co_filename, sys._getframe().f_code.co_flags)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the interpreter with these arguments, in the test's own directory."""

    def run(*arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *options, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def through(*arguments: str) -> list[str]:
    return ["-m", "greenswitch", "run", *arguments]


def files(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def without_frames_of_minus_m(text: str) -> str:
    """A traceback without the frames that the interpreter's own `-m` leaves in it."""
    own = r'  File "[^"]*(?:<frozen [a-z._]+>|runpy\.py)"[^\n]*\n(?:    [^\n]*\n)*'
    head = r"Traceback \(most recent call last\):\n"
    # What is left of the traceback of a syntax error is no traceback.
    return re.sub(f"^{head}(?=  File [^\n]*\n    .*\n *\\^\nSyntaxError)", "", re.sub(own, "", text))


# What a program sees


@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py"],
        ["script.py", "a", "-m", "--as", "x"],
        ["./script.py", "-h"],
        ["folder/linked.py"],
        ["directory", "a"],
        ["archive.zip", "-x"],
        ["compiled.pyc"],
        ["-m", "script", "a", "--patch"],
        ["-mscript"],
        ["-m", "package", "--help"],
        ["-m", "package.inner", "1"],
    ],
    ids=" ".join,
)
def test_program_sees_the_same(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    files(tmp_path, script=SHOW, directory__in____main__=SHOW)
    files(tmp_path, package__in____init__="", package__in____main__=SHOW, package__in__inner=SHOW)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "linked.py").symlink_to(tmp_path / "script.py")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    subprocess.run(
        [sys.executable, "-c", "import py_compile; py_compile.compile('script.py', 'compiled.pyc')"],
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    plain, ours = run(*arguments), run(*through(*arguments))
    assert plain.returncode == 0, plain.stderr
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, 0)


@pytest.mark.parametrize("option", ["-I", "-P"])
def test_safe_path_is_kept_safe(run: Run, tmp_path: Path, option: str) -> None:
    if option == "-P" and sys.version_info < (3, 11):
        pytest.skip("-P came with CPython 3.11")
    files(tmp_path, script="import sys, os; print(os.getcwd() in sys.path)", neighbour="")
    outcome = run(*through("script.py"), options=[option])
    if "No module named greenswitch" in outcome.stderr:
        pytest.skip("greenswitch is not installed, only on PYTHONPATH")
    assert (outcome.stdout, outcome.stderr) == ("False\n", "")


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('told why')",
        "import os; os._exit(5)",
        "def f(): 1/0\nf()",
        "try:\n    1/0\nexcept Exception as e:\n    raise KeyError('x') from e",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "raise KeyboardInterrupt",
        "def f(:",
        "import threading, time\ndef f():\n    time.sleep(0.1); import __main__; print(__main__.x)\n"
        "x = 'kept'\nthreading.Thread(target=f).start()",
        "import no_such_module",
        "import json\njson.loads('{')",
        "import warnings; warnings.warn('careful')",
        "from __main__ import missing",
    ],
)
@pytest.mark.parametrize("how", [["script.py"], ["-m", "script"]], ids=" ".join)
def test_program_ends_the_same(run: Run, tmp_path: Path, program: str, how: list[str]) -> None:
    files(tmp_path, script=program + "\n")
    plain, ours = run(*how), run(*through(*how))
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.stderr == without_frames_of_minus_m(plain.stderr)
    assert "greenswitch" not in ours.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next)\n1/0",
        "import sys\nsys.excepthook = lambda *a: 1/0\nraise KeyError(1)",
        "import atexit, sys\natexit.register(lambda: print(sys.last_traceback.tb_lineno))\n1/0",
    ],
)
def test_hooks_see_the_same(run: Run, tmp_path: Path, program: str) -> None:
    files(tmp_path, script=program + "\n")
    plain, ours = run("script.py"), run(*through("script.py"))
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def test_error_in_the_package_of_a_module(run: Run, tmp_path: Path) -> None:
    files(tmp_path, package__in____init__="import not_there\n", package__in__inner="")
    ours = run(*through("-m", "package.inner"))
    assert ours.returncode == 1
    assert ours.stderr == (
        "Traceback (most recent call last):\n"
        f'  File "{tmp_path}/package/__init__.py", line 1, in <module>\n'
        "    import not_there\nModuleNotFoundError: No module named 'not_there'\n"
    )


def test_module_that_its_package_has_imported(run: Run, tmp_path: Path) -> None:
    files(tmp_path, package__in____init__="from . import inner\n", package__in__inner="print(__name__)\n")
    ours = run(*through("-m", "package.inner"))
    assert ours.stdout == "package.inner\n__main__\n"
    assert "RuntimeWarning: 'package.inner' was imported by the package 'package'" in ours.stderr


def test_pickle_and_multiprocessing_find_the_main_module(run: Run, tmp_path: Path) -> None:
    program = """
import multiprocessing, pickle
class Thing:
    pass
def work(n):
    return n * n
if __name__ == '__main__':
    print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        print(pool.map(work, [2, 3]))
"""
    files(tmp_path, script=program)
    ours = run(*through("script.py"))
    assert (ours.stdout, ours.stderr) == ("True\n[4, 9]\n", "")


# Options


def test_as_greenlet(run: Run, tmp_path: Path) -> None:
    files(tmp_path, script="import greenlet, greenswitch\nprint(greenlet.greenlet is greenswitch.greenlet)\n")
    for options in (["--as", "greenlet"], ["--as=greenlet"], ["--as", "greenlet,greenlet", "--patch"]):
        ours = run(*through(*options, "script.py"))
        assert (ours.stdout, ours.stderr) == ("True\n", "")


def test_patch(run: Run, tmp_path: Path) -> None:
    files(tmp_path, script="import time\nprint(time.sleep.__module__)\n")
    assert run(*through("script.py")).stdout == "time\n"
    assert run(*through("--patch", "script.py")).stdout.startswith("greenswitch")


REFUSED = [
    (["run", "nope.py"], "cannot open 'nope.py': No such file or directory"),
    (["run", "empty"], "there is no __main__ in 'empty'"),
    (["run", "-m", "nope"], "No module named 'nope'"),
    (["run", "-m", "nope.deeper"], "No module named 'nope'"),
    (["run", "-m", "empty"], "'empty' is a package without __main__, which cannot be run"),
    (["run", "-m", ".relative"], "-m needs the full name of a module, not '.relative'"),
    (["run", "-m"], "-m needs the name of a module"),
    (["run"], "run needs a script or -m and a module"),
    (["run", "--as"], "--as needs a name, as in: --as greenlet"),
    (["run", "--frob", "script.py"], "run has no option --frob"),
    (["run", "--patch=x", "script.py"], "run has no option --patch=x"),
    (
        ["run", "--as", "greenlet,twisted", "script.py"],
        "greenswitch does not stand in for 'twisted', only for: greenlet, gevent",
    ),
    (
        ["run", "--as", "greenlet", "-m", "greenlet.made_up"],
        "No module named 'greenlet.made_up': greenswitch, which stands in for greenlet, has none",
    ),
    (["frobnicate"], "not understood: frobnicate"),
    (["compat", "x"], "not understood: compat x"),
    ([], "not understood: no command"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_refused_in_one_sentence(run: Run, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    files(tmp_path, script="print('ran')")
    (tmp_path / "empty").mkdir()
    outcome = run("-m", "greenswitch", *arguments)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.splitlines()[0] == f"python -m greenswitch: {sentence}"
    assert len(outcome.stderr.splitlines()) == (2 if "not understood" in sentence else 1)


def test_script_given_as_a_module(run: Run, tmp_path: Path) -> None:
    """The interpreter has imported the script by the time it knows better, and so have we."""
    files(tmp_path, script="")
    outcome = run(*through("-m", "script.py"))
    assert outcome.returncode == 2
    assert outcome.stderr.endswith("; a script is run without -m\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["run", "-h"]], ids=" ".join)
def test_help(run: Run, arguments: list[str]) -> None:
    outcome = run("-m", "greenswitch", *arguments)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("usage: python -m greenswitch run")


def test_version_and_table(run: Run) -> None:
    assert re.fullmatch(r"greenswitch \d+\.\d+\.\d+\n", run("-m", "greenswitch", "--version").stdout)
    table = run("-m", "greenswitch", "compat")
    assert table.returncode == 0
    assert re.search(r"^greenlet 3\.5\.6", table.stdout, re.M)
    assert re.search(r"^  greenlet\._greenlet +greenswitch\._core$", table.stdout, re.M)
    assert re.search(r"^  greenlet\.tests +the installed greenlet's$", table.stdout, re.M)
    assert re.search(r"^gevent 26\.9\.0", table.stdout, re.M)
    for name, ours in [("event", "event"), ("greenlet", "greenlets"), ("resolver.thread", "resolver.thread")]:
        assert f"\n  {'gevent.' + name:30} greenswitch.{ours}\n" in table.stdout
    assert not re.search(r"gevent\.(_|compat|bench|greenlets|monkey\.table)", table.stdout)
