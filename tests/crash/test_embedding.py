"""Interpreters inside of another program, which ends them with greenlets in every state.

What belongs here: a C program that starts and ends CPython, built in the test, and what it runs.  What never
does: how an interpreter ends that is a program of its own, which is in test_switcher.py.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import greenswitch

# Runs each of its arguments in an interpreter of its own, one after the other.
EMBEDDER = r"""
#include <Python.h>

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        Py_InitializeEx(0);
        if (PyRun_SimpleString(argv[i]) != 0) {
            return 1;
        }
        if (Py_FinalizeEx() != 0) {
            return 2;
        }
        printf("ended %d\n", i);
        fflush(stdout);
    }
    return 0;
}
"""

PRELUDE = """
import sys
sys.path[:0] = {path!r}
from greenswitch import GreenletExit, getcurrent, greenlet, settrace
main = getcurrent()
"""

PROGRAMS = {
    "nothing left": """
        assert greenlet(lambda: 5).switch() == 5
    """,
    "suspended, new, ended": """
        def wait():
            try:
                main.switch()
            finally:
                print('never')
        kept = [greenlet(wait) for i in range(10)]
        for g in kept[:5]:
            g.switch()
        kept[0].cycle = kept
        kept.append(greenlet(lambda: next(map(lambda _: wait(), [0]))))
        kept[-1].switch()
        ended = greenlet(int)
        ended.switch()
    """,
    "atexit": """
        import atexit
        def talk():
            told = main.switch('in atexit')
            return told * 2
        def at_exit():
            g = greenlet(talk)
            assert g.switch() == 'in atexit'
            print('told', g.switch(21), waiting.switch())
        waiting = greenlet(lambda: main.switch() or 'resumed')
        waiting.switch()
        atexit.register(at_exit)
    """,
    "threads": """
        import threading
        def in_thread():
            me = getcurrent()
            left.append(greenlet(lambda: me.switch()))
            left[-1].switch()
        left = []
        for i in range(5):
            thread = threading.Thread(target=in_thread)
            thread.start()
            thread.join()
    """,
    "a daemon thread": """
        import threading, time
        ready = threading.Event()
        def in_thread():
            other = greenlet(lambda: main.switch())
            greenlet(lambda: (ready.set(), time.sleep(60))).switch()
        threading.Thread(target=in_thread, daemon=True).start()
        assert ready.wait(20)
    """,
    "traced, refusing, with __del__": """
        class WithDel(greenlet):
            def __del__(self):
                pass
        def refuse():
            while True:
                try:
                    main.switch()
                except GreenletExit:
                    saved.append(getcurrent())
        saved = []
        for kind in greenlet, WithDel:
            g = kind(refuse)
            g.switch()
            del g
        assert len(saved) == 2
        settrace(lambda event, pair: None)
        sys.kept = saved
    """,
}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, linked with the CPython that runs the tests."""
    variables = sysconfig.get_config_vars()
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("there is no C compiler")
    directory = tmp_path_factory.mktemp("embedder")
    source, program = directory / "embedder.c", directory / "embedder"
    source.write_text(EMBEDDER, encoding="utf-8")
    name = f"python{sysconfig.get_config_var('LDVERSION')}"
    folders = [variables["LIBDIR"], variables["LIBPL"]]
    command = [*compiler, "-o", str(program), str(source), f"-I{sysconfig.get_paths()['include']}"]
    command += [f"-L{folder}" for folder in folders] + [f"-Wl,-rpath,{variables['LIBDIR']}", f"-l{name}"]
    command += shlex.split(f"{variables['LIBS']} {variables['SYSLIBS']} {variables['LINKFORSHARED']}")
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if process.returncode != 0:
        pytest.skip(f"lib{name} is not here, to embed it")
    return program


Embed = Callable[..., str]


@pytest.fixture
def embed(embedder: Path, tmp_path: Path) -> Embed:
    """Run programs in interpreters of one process, one after the other; what they print."""

    def run(*programs: str) -> str:
        path = [str(Path(greenswitch.__file__).parents[1])]
        sources = [PRELUDE.format(path=path) + dedent(program) for program in programs]
        process = subprocess.run(
            [str(embedder), *sources],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (process.returncode, process.stderr) == (0, ""), process
        assert "never" not in process.stdout
        return process.stdout

    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_interpreter_ends(name: str, embed: Embed) -> None:
    """Crash 4: whatever is suspended, the process goes on."""
    written = embed(PROGRAMS[name])
    assert written.endswith("ended 1\n")
    if name == "atexit":
        assert "told 42 resumed" in written


@pytest.mark.parametrize("name", PROGRAMS)
def test_interpreters_one_after_the_other(name: str, embed: Embed) -> None:
    """Crash 4: what an interpreter leaves behind is no harm to those that come after it."""
    assert embed(PROGRAMS[name], PROGRAMS["nothing left"], PROGRAMS[name]).endswith("ended 3\n")
