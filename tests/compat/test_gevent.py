"""`greenswitch.compat`: greenswitch under the name `gevent` (spec D3).

Each program runs in a process of its own, because a name can be taken only once in a process. Programs that
run on gevent too, and have to print the same, are in `test_programs`; how gevent's own tests fare is in
tests/conformance.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

needs_gevent = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed, so there is no real one"
)

INSTALLED = "from greenswitch import compat\ncompat.install('gevent')\n"
BOTH = "from greenswitch import compat\ncompat.install('greenlet', 'gevent')\n"
RUN = ("-m", "greenswitch", "run", "--as", "greenlet,gevent")


def test_the_name_gives_greenswitch(run_python: RunPython) -> None:
    program = """
import gevent, greenswitch, sys
from gevent import spawn, Timeout
assert sys.modules['gevent'] is gevent and gevent is not greenswitch
assert gevent.Greenlet is greenswitch.Greenlet and spawn is greenswitch.spawn
assert Timeout is greenswitch.Timeout and gevent.GreenletExit is greenswitch.GreenletExit
print(spawn(pow, 2, 5).get(), gevent.__version__, gevent.version_info[:3], compat.installed())
"""
    assert run_python(INSTALLED + program).check().stdout == "32 26.9.0 (26, 9, 0) ('gevent',)\n"


def test_modules_are_ours_under_both_names(run_python: RunPython) -> None:
    program = """
import importlib, sys
import greenswitch, greenswitch.event
before = greenswitch.event.__spec__
import gevent.event, gevent.monkey as patching, gevent.resolver.thread
from gevent import socket, greenlet, hub as hubs
from gevent.event import Event
assert gevent.event is greenswitch.event is sys.modules['gevent.event'] is sys.modules['greenswitch.event']
assert greenswitch.event.__spec__ is before and before.name == 'greenswitch.event'
assert Event is greenswitch.event.Event
assert patching is sys.modules['greenswitch.monkey'] and socket is sys.modules['greenswitch.socket']
assert greenlet is sys.modules['greenswitch.greenlets'] is sys.modules['gevent.greenlet']
assert greenswitch.greenlet is not greenlet, 'the class keeps its name in greenswitch'
assert gevent.resolver.thread is sys.modules['greenswitch.resolver.thread']
assert importlib.import_module('gevent.hub') is hubs is sys.modules['greenswitch.hub']
"""
    run_python(INSTALLED + program).check()


def test_all_modules_that_there_are(run_python: RunPython) -> None:
    """The alias looks into the package: what exists there is found under the name, whatever it is."""
    program = """
import importlib, pkgutil, sys
import gevent, greenswitch
hidden = {'aio', 'bench', 'compat', 'greenlets', 'integrations', 'loop'}
for found in pkgutil.iter_modules(greenswitch.__path__):
    name = f'gevent.{found.name}'
    if found.name in hidden or found.name.startswith('_'):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            assert error.name == name, error
            continue
        raise AssertionError(name)
    assert importlib.import_module(name) is sys.modules[f'greenswitch.{found.name}'], name
    print(found.name)
"""
    assert {"event", "hub", "monkey", "pool", "socket"} <= set(
        run_python(INSTALLED + program).check().stdout.split()
    )


def test_a_module_that_comes_later_needs_no_row(run_python: RunPython, tmp_path: Path) -> None:
    (tmp_path / "brandnew.py").write_text("from . import exceptions\nvalue = exceptions.__name__\n")
    (tmp_path / "folder").mkdir()
    program = f"""
import greenswitch
greenswitch.__path__.append({str(tmp_path)!r})
import gevent.brandnew, greenswitch.brandnew
print(gevent.brandnew is greenswitch.brandnew, gevent.brandnew.value, gevent.brandnew.__name__)
try:
    import gevent.folder
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_python(INSTALLED + program).check().stdout == (
        "True greenswitch.exceptions greenswitch.brandnew\ngevent.folder\n"
    )


def test_attributes(run_python: RunPython) -> None:
    """Programs use modules of gevent's that something else has imported."""
    program = """
import sys
import gevent
assert 'greenswitch.hub' not in sys.modules, 'nothing is loaded before it is used'
print(gevent.hub.get_hub is gevent.get_hub, gevent.event.Event.__module__, gevent.greenlet.Greenlet.__name__)
for name in ('loop', 'greenlets', 'made_up', '_util', '__wrapped__', 'gettrace', 'settrace'):
    assert not hasattr(gevent, name), name
try:
    gevent.made_up
except AttributeError as error:
    print(error, error.name)
assert set(gevent.__all__) <= set(dir(gevent))
from gevent import *
print(spawn is gevent.spawn, sleep is gevent.sleep)
"""
    assert run_python(INSTALLED + program).check().stdout == (
        "True greenswitch.event Greenlet\nmodule 'gevent' has no attribute 'made_up' made_up\nTrue True\n"
    )


@needs_gevent
def test_no_top_level_name_is_made_up(run_python: RunPython) -> None:
    program = "import gevent; print(gevent.__all__)"
    real, ours = (eval(run_python(start + program).check().stdout) for start in ("", INSTALLED))
    assert set(ours) <= set(real)
    assert set(real) - set(ours) <= {
        "fork",
        "signal_handler",
        "config",
        "getswitchinterval",
        "setswitchinterval",
    }


def test_missing_modules_are_named(run_python: RunPython) -> None:
    program = """
for name in ('ares', 'libev.corecext', '_util', 'monkey.table', '__main__'):
    try:
        __import__(f'gevent.{name}')
    except ModuleNotFoundError as error:
        print(error.name, '|', error)
try:
    from gevent import libuv
except ImportError as error:
    print(type(error).__name__, 'libuv' in str(error))
try:
    import gevent.event.deeper
except ModuleNotFoundError as error:
    print(error.name)
"""
    lines = run_python(INSTALLED + program).check().stdout.splitlines()
    ours = "greenswitch, which stands in for gevent, has none"
    missing = ["gevent.ares", "gevent.libev", "gevent._util", "gevent.monkey.table", "gevent.__main__"]
    assert lines[:5] == [f"{name} | No module named {name!r}: {ours}" for name in missing]
    assert lines[5:] == ["ImportError True", "gevent.event.deeper"]


def test_a_module_that_fails_says_so(run_python: RunPython, tmp_path: Path) -> None:
    """What is wrong inside of a module does not look like there being no module."""
    (tmp_path / "broken.py").write_text("import not_installed_anywhere\n")
    program = f"""
import greenswitch
greenswitch.__path__.append({str(tmp_path)!r})
import gevent
try:
    gevent.broken
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_python(INSTALLED + program).check().stdout == "not_installed_anywhere\n"


@needs_gevent
def test_only_the_tests_come_from_the_installed_package(run_python: RunPython) -> None:
    program = """
import importlib.util, os
import gevent, greenswitch
ours = os.path.dirname(greenswitch.__file__)
for name in ('gevent', 'gevent.tests', 'gevent.testing', 'gevent.tests.lock_tests'):
    print(name, importlib.util.find_spec(name).origin.startswith(ours))
"""
    assert run_python(INSTALLED + program).check().stdout == (
        "gevent True\ngevent.tests False\ngevent.testing False\ngevent.tests.lock_tests False\n"
    )


@needs_gevent
def test_refuses_when_the_real_one_is_imported(run_python: RunPython) -> None:
    program = """
import gevent
from greenswitch import compat
try:
    compat.install('greenlet', 'gevent')
except compat.AliasError as error:
    print(error.name, compat.installed(), gevent.__file__ in str(error) or 'greenlet' in str(error))
"""
    assert run_python(program).check().stdout == "greenlet () True\n"


def test_both_names(run_python: RunPython) -> None:
    """gevent imports greenlet; with both names taken, its type and exceptions are called as there."""
    program = """
import gevent
import sys
assert 'greenlet' in sys.modules
import greenlet
assert gevent.getcurrent is greenlet.getcurrent and issubclass(gevent.Greenlet, greenlet.greenlet)
assert isinstance(gevent.get_hub(), greenlet.greenlet)
print(compat.installed(), gevent.GreenletExit, repr(gevent.getcurrent()).split()[0])
"""
    assert run_python(BOTH + program).check().stdout == (
        "('greenlet', 'gevent') <class 'greenlet.GreenletExit'> <greenlet.greenlet\n"
    )


def test_one_name_leaves_the_other(run_python: RunPython) -> None:
    program = """
import sys
import gevent
assert gevent.spawn(int).get() == 0
print('greenlet' in sys.modules, gevent.GreenletExit)
"""
    assert run_python(INSTALLED + program).check().stdout == ("False <class 'greenswitch.GreenletExit'>\n")


def test_metadata(run_python: RunPython) -> None:
    program = """
import gevent
from importlib.metadata import distribution, version
print(version('gevent'), version('GEVENT'), gevent.version_info)
print(distribution('gevent').metadata['Name'], distribution('gevent').files)
"""
    assert run_python(INSTALLED + program).check().stdout == (
        "26.9.0 26.9.0 version_info(major=26, minor=9, micro=0, releaselevel='final', serial=0)\n"
        "gevent None\n"
    )


def test_what_tools_see(run_python: RunPython) -> None:
    program = """
import importlib.util, inspect, pickle
import gevent, gevent.event, gevent.exceptions, gevent.timeout
spec = importlib.util.find_spec('gevent')
print(spec.name, spec.origin == gevent.__file__, spec.submodule_search_locations == list(gevent.__path__))
print(repr(gevent).startswith("<module 'gevent' from "), gevent.__name__, gevent.__package__)
print(inspect.getmodule(gevent) is gevent, inspect.getmodule(gevent.event.Event) is gevent.event)
print(inspect.getsource(gevent.event.Event)[:11], inspect.getmodule(gevent.spawn).__name__)
below = importlib.util.find_spec('gevent.event')
print(below.origin == gevent.event.__file__, importlib.util.find_spec('gevent.resolver.thread') is not None)
for thing in (gevent.Timeout, gevent.event.Event, gevent.spawn_raw, gevent.exceptions.LoopExit):
    assert pickle.loads(pickle.dumps(thing)) is thing, thing
# what another process has pickled under the real gevent
print(pickle.loads(b'cgevent.timeout\\nTimeout\\n.') is gevent.Timeout)
print(pickle.loads(b'cgevent.exceptions\\nLoopExit\\n.') is gevent.exceptions.LoopExit)
"""
    lines = run_python(INSTALLED + program).check().stdout.splitlines()
    assert lines[:3] == ["gevent True True", "True gevent gevent", "True True"]
    assert lines[3:] == ["class Event greenswitch.greenlets", "True True", "True", "True"]


# Programs that are not touched


def test_patching_under_both_names_is_one(run_python: RunPython) -> None:
    program = """
import gevent.monkey
gevent.monkey.patch_all()
import socket, time, greenswitch.monkey, greenswitch.socket, greenswitch.time
print(socket.socket is greenswitch.socket.socket, time.sleep is greenswitch.time.sleep)
print(greenswitch.monkey.is_module_patched('socket'), gevent.monkey.saved is greenswitch.monkey.saved)
"""
    assert run_python(INSTALLED + program).check().stdout == "True True\nTrue True\n"


def run_as(run_python: RunPython, tmp_path: Path, *words: str, script: str) -> str:
    """What `python WORDS` prints, in a directory with this script."""
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    starter = "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n"
    outcome = run_python(starter, *words, directory=tmp_path)
    assert (outcome.status, outcome.stderr) == (0, ""), outcome
    return outcome.stdout


PATCHED = """\
import sys, time
print(__name__, sys.argv, time.sleep.__module__.split('.')[0], 'gevent' in sys.modules)
"""


@pytest.mark.parametrize(
    "program",
    [["script.py", "a", "--b"], ["--module", "script", "a", "--b"], ["--no-socket", "script.py", "a", "--b"]],
)
def test_monkey_module_runs_a_program(run_python: RunPython, tmp_path: Path, program: list[str]) -> None:
    """`python -m gevent.monkey script.py`, through --as."""
    stdout = run_as(run_python, tmp_path, *RUN, "-m", "gevent.monkey", *program, script=PATCHED)
    path = str(tmp_path / "script.py") if "--module" in program else "script.py"
    assert stdout == f"__main__ {[path, 'a', '--b']} greenswitch True\n"


@needs_gevent
def test_monkey_module_as_gevents(run_python: RunPython, tmp_path: Path) -> None:
    program = ("-m", "gevent.monkey", "script.py", "a")
    script = "import sys, time\nprint(__name__, sys.argv, time.sleep.__name__)\n"
    real = run_as(run_python, tmp_path, *program, script=script)
    assert run_as(run_python, tmp_path, *RUN, *program, script=script) == real


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "a script is needed, or --module and a module"),
        (["--frobnicate", "script.py"], "cannot patch 'frobnicate'; what there is: socket, dns, "),
        (["absent.py"], "cannot open 'absent.py': No such file or directory"),
        (["--module", "absent"], "No module named 'absent'"),
    ],
)
def test_monkey_module_refuses_in_a_sentence(run_python: RunPython, words: list[str], sentence: str) -> None:
    starter = "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n"
    outcome = run_python(starter, "-m", "greenswitch.monkey", *words)
    assert outcome.status == 2
    assert outcome.stderr.startswith(f"python -m greenswitch.monkey: {sentence}")


def test_monkey_module_tells(run_python: RunPython, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import time, socket; print(time.sleep.__module__, socket.socket.__module__)"
    )
    starter = "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n"
    words = ("-m", "greenswitch.monkey", "--time", "--verbose", "script.py")
    outcome = run_python(starter, *words, directory=tmp_path).check()
    assert outcome.stdout == "greenswitch.time socket\n"
    assert outcome.stderr == "patched time: sleep\n"
    helped = run_python(starter, "-m", "greenswitch.monkey", "--help").check()
    assert helped.stdout.startswith("usage: python -m greenswitch.monkey ")
