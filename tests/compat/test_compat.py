"""`greenswitch.compat`: greenswitch under the name `greenlet` (spec D2).

Each program runs in a process of its own, because a name can be taken only once in a process. How greenlet's
own tests fare is in tests/conformance.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from greenswitch.compat.table import ALIASES

if TYPE_CHECKING:
    from conftest import RunPython

needs_greenlet = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="greenlet is not installed, so there is no real one"
)

INSTALLED = "from greenswitch import compat\ncompat.install('greenlet')\n"

# reference names of greenlet 3.5.6, without dunders that every module has
PUBLIC = """
    greenlet getcurrent GreenletExit error settrace gettrace _C_API __version__ GREENLET_USE_GC
    GREENLET_USE_TRACING GREENLET_USE_CONTEXT_VARS GREENLET_USE_STANDARD_THREADING CLOCKS_PER_SEC
    enable_optional_cleanup get_clocks_used_doing_optional_cleanup
""".split()
EXTENSION = """
    greenlet getcurrent GreenletExit error settrace gettrace _C_API GREENLET_USE_GC GREENLET_USE_TRACING
    GREENLET_USE_CONTEXT_VARS GREENLET_USE_STANDARD_THREADING CLOCKS_PER_SEC enable_optional_cleanup
    get_clocks_used_doing_optional_cleanup get_pending_cleanup_count get_total_main_greenlets set_thread_local
""".split()


def test_the_name_gives_greenswitch(run_python: RunPython) -> None:
    program = """
import greenlet, greenswitch, sys
from greenlet import greenlet as G, getcurrent
assert G is greenswitch.greenlet and greenlet.GreenletExit is greenswitch.GreenletExit
assert sys.modules['greenlet'] is greenlet and greenlet is not greenswitch
main = getcurrent()
print(G(lambda a: main.switch(a + 1)).switch(41), greenlet.__version__, compat.installed())
"""
    assert run_python(INSTALLED + program).check().stdout == "42 3.5.6 ('greenlet',)\n"


def test_reprs_and_messages_say_greenlet(run_python: RunPython) -> None:
    program = """
import greenlet
print(repr(greenlet.getcurrent()).split()[0], greenlet.greenlet, greenlet.error, greenlet.GreenletExit)
try:
    greenlet.greenlet(parent=3)
except TypeError as refusal:
    print(refusal)
raise greenlet.error("said so")
"""
    outcome = run_python(INSTALLED + program)
    assert outcome.stdout == (
        "<greenlet.greenlet <class 'greenlet.greenlet'> <class 'greenlet.error'> "
        "<class 'greenlet.GreenletExit'>\n"
        "GreenletChecker: Expected any type of greenlet, not int\n"
    )
    assert outcome.stderr.endswith("\ngreenlet.error: said so\n")


def test_every_name_is_there(run_python: RunPython) -> None:
    program = f"""
import greenlet
print([name for name in {PUBLIC} if not hasattr(greenlet, name)])
print([name for name in {EXTENSION} if not hasattr(greenlet._greenlet, name)])
import greenlet as module
from greenlet import *
print(greenlet is module.greenlet, __version__, GreenletExit is module.GreenletExit)
"""
    assert run_python(INSTALLED + program).check().stdout == "[]\n[]\nTrue 3.5.6 True\n"


@needs_greenlet
def test_no_name_of_greenlet_is_missed(run_python: RunPython) -> None:
    """Both modules' namespaces beside the real ones, so that a new name in greenlet is noticed."""
    names = "import greenlet; print([*dir(greenlet), '|', *dir(greenlet._greenlet)])"
    real, ours = (run_python(start + names).check().stdout for start in ("", INSTALLED))
    assert set(eval(real)) - set(eval(ours)) == {"UnswitchableGreenlet"}


def test_submodules_are_ours_under_both_names(run_python: RunPython) -> None:
    program = """
import sys, greenswitch._core
before = greenswitch._core.__spec__
import greenlet._greenlet
assert greenlet._greenlet is greenswitch._core is sys.modules['greenlet._greenlet']
assert greenswitch._core.__spec__ is before and before.name == 'greenswitch._core'
from greenlet import _greenlet
assert _greenlet is greenswitch._core
"""
    run_python(INSTALLED + program).check()


def test_missing_submodule_is_named(run_python: RunPython) -> None:
    program = """
for name in ('greenlet.platform', 'greenlet._greenlet.deeper', 'greenlet.made_up.deeper'):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name, '|', error)
try:
    from greenlet import platform
except ImportError as error:
    print(type(error).__name__, 'platform' in str(error))
"""
    lines = run_python(INSTALLED + program).check().stdout.splitlines()
    ours = "greenswitch, which stands in for greenlet, has none"
    assert lines[0] == f"greenlet.platform | No module named 'greenlet.platform': {ours}"
    assert lines[1].startswith("greenlet._greenlet.deeper | No module named")
    assert lines[2] == f"greenlet.made_up | No module named 'greenlet.made_up': {ours}"
    assert lines[3] == "ImportError True"


@needs_greenlet
def test_only_the_tests_come_from_the_installed_package(run_python: RunPython) -> None:
    program = """
import importlib.util, os
import greenswitch
ours = os.path.dirname(greenswitch.__file__)
spec = importlib.util.find_spec('greenlet.tests.test_weakref')
import greenlet.tests, greenlet
print(greenlet.__file__.startswith(ours), greenlet.tests.__file__.startswith(ours))
print(spec.origin.startswith(ours), greenlet.tests.RawGreenlet is greenlet.greenlet)
"""
    assert run_python(INSTALLED + program).check().stdout == "True False\nFalse True\n"


def test_tests_of_a_greenlet_that_is_not_installed(run_python: RunPython) -> None:
    program = """
import sys
sys.path[:] = [path for path in sys.path if 'site-packages' not in path]
import greenlet
try:
    import greenlet.tests
except ModuleNotFoundError as error:
    print(error.name, '|', error)
"""
    # -S keeps even an installed greenlet out, so greenswitch's own folder has to be named.
    found = importlib.util.find_spec("greenswitch")
    assert found is not None and found.origin is not None
    path = found.origin.rsplit("/greenswitch/", 1)[0]
    link = f"import importlib.util, sys\nspec = importlib.util.spec_from_file_location('greenswitch', '{path}"
    link += "/greenswitch/__init__.py')\nmodule = importlib.util.module_from_spec(spec)\n"
    link += "sys.modules['greenswitch'] = module\nspec.loader.exec_module(module)\n"
    stdout = run_python(link + INSTALLED + program, options=("-S", "-I")).check().stdout
    assert stdout == (
        "greenlet.tests | No module named 'greenlet.tests': it would come from an installed greenlet\n"
    )


@needs_greenlet
def test_refuses_when_the_real_one_is_imported(run_python: RunPython) -> None:
    program = """
import greenlet, sys
real = greenlet
from greenswitch import compat
try:
    compat.install('greenlet')
except compat.AliasError as error:
    assert isinstance(error, ImportError) and error.name == 'greenlet'
    assert greenlet.__file__ in str(error) and "move greenswitch.compat.install('greenlet')" in str(error)
    print(compat.installed(), sys.modules['greenlet'] is real)
compat.install('greenlet', force=True)
import greenlet
print(greenlet is real, greenlet._greenlet is real._greenlet, compat.installed())
"""
    assert run_python(program).check().stdout == "() True\nFalse False ('greenlet',)\n"


def test_refuses_unknown_names_and_then_changes_nothing(run_python: RunPython) -> None:
    program = """
import sys
from greenswitch import compat
before = list(sys.meta_path)
try:
    compat.install('greenlet', 'grenlet')
except compat.AliasError as error:
    print(error.name, '|', error)
print(compat.installed(), sys.meta_path == before)
"""
    known = ", ".join(ALIASES)
    assert run_python(program).check().stdout == (
        f"grenlet | greenswitch does not stand in for 'grenlet', only for: {known}\n() True\n"
    )


def test_twice_is_once(run_python: RunPython) -> None:
    program = """
import sys
import greenlet
compat.install('greenlet')
compat.install('greenlet', 'greenlet')
import greenlet as again
print(again is greenlet, sum(type(finder).__name__ == 'AliasFinder' for finder in sys.meta_path))
print(type(sys.meta_path[0]).__name__)
"""
    assert run_python(INSTALLED + program).check().stdout == "True 1\nAliasFinder\n"


def test_metadata(run_python: RunPython) -> None:
    program = """
import sys
assert 'importlib.metadata' not in sys.modules, 'installing a name costs importlib.metadata'
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
import greenlet
print(version('greenlet'), version('GreenLet'), greenlet.__version__)
found = distribution('greenlet')
print(found.metadata['Name'], found.files, found.requires, 'greenswitch' in found.metadata['Summary'])
print(sorted({d.version for d in distributions(name='greenlet')})[-1], 'greenlet' in
      {d.metadata['Name'] for d in distributions()})
try:
    version('no-such-distribution')
except PackageNotFoundError:
    print('others as ever', version('pytest') != '')
"""
    assert run_python(INSTALLED + program).check().stdout == (
        "3.5.6 3.5.6 3.5.6\ngreenlet None None True\n3.5.6 True\nothers as ever True\n"
    )


def test_what_tools_see(run_python: RunPython) -> None:
    program = """
import copy, importlib, importlib.util, inspect, pickle
import greenlet
print(greenlet.__spec__.name, importlib.util.find_spec('greenlet').origin == greenlet.__file__)
print(repr(greenlet).startswith("<module 'greenlet' from "), greenlet.__name__, greenlet.__package__)
print(inspect.getmodule(greenlet) is greenlet, inspect.getsource(greenlet)[:24])
print(inspect.getmodule(greenlet.greenlet), importlib.reload(greenlet) is greenlet)
for thing in (greenlet.GreenletExit, greenlet.error, greenlet.greenlet, greenlet.getcurrent):
    assert pickle.loads(pickle.dumps(thing)) is thing, thing
gone = pickle.loads(pickle.dumps(greenlet.GreenletExit(1, 'two')))
print(type(gone) is greenlet.GreenletExit, gone.args, type(copy.copy(greenlet.error('x'))) is greenlet.error)
# what another process has pickled under the real greenlet
print(pickle.loads(b'cgreenlet\\nGreenletExit\\n.') is greenlet.GreenletExit)
"""
    lines = run_python(INSTALLED + program).check().stdout.splitlines()
    assert lines[0] == "greenlet True"
    assert lines[1] == "True greenlet greenlet"
    assert lines[2] == 'True """The package `greenlet'
    assert lines[3].startswith("<module 'greenlet' from ") and lines[3].endswith("True")
    assert lines[4:] == ["True (1, 'two') True", "True"]


def test_a_new_name_is_a_row(run_python: RunPython) -> None:
    """What the next name needs: a row, and modules that exist. Those stay what they are under their own."""
    program = """
import sys
from greenswitch import compat
from greenswitch.compat import table
table.ALIASES['made_up'] = table.Alias(
    name='made_up', version='1.2', borrowed=(),
    modules={'made_up': 'greenswitch.compat', 'made_up.event': 'greenswitch.event',
             'made_up.core': 'greenswitch.loop'},
)
compat.install('made_up')
import made_up.event, made_up.core, greenswitch.event, greenswitch.loop.core
assert made_up.event is greenswitch.event and made_up.core is greenswitch.loop
assert greenswitch.event.__spec__.name == 'greenswitch.event'
assert made_up.event.Event is greenswitch.event.Event
from importlib.metadata import version
print(version('made-up'))
for absent in ('made_up.absent', 'made_up.table'):
    try:
        __import__(absent)
    except ModuleNotFoundError as error:
        print(error)
"""
    assert run_python(program).check().stdout == (
        "1.2\nNo module named 'made_up.absent': greenswitch, which stands in for made_up, has none\n"
        "No module named 'made_up.table': greenswitch, which stands in for made_up, has none\n"
    )


def test_other_imports_are_untouched(run_python: RunPython) -> None:
    program = """
import greenlet_like_name_that_is_not_there
"""
    outcome = run_python(INSTALLED + program)
    assert outcome.status == 1
    assert outcome.stderr.endswith("No module named 'greenlet_like_name_that_is_not_there'\n")


def test_probes(run_python: RunPython) -> None:
    """The names that greenlet's tests look inside with tell the truth."""
    program = """
import gc, sys, threading, weakref
from greenlet import _greenlet as g
print(g.get_clocks_used_doing_optional_cleanup(), g.enable_optional_cleanup([]),
      g.get_clocks_used_doing_optional_cleanup(), g.enable_optional_cleanup(1), g.get_pending_cleanup_count())
assert g.CLOCKS_PER_SEC == 1_000_000
before = g.get_total_main_greenlets()
g.getcurrent()
assert g.get_total_main_greenlets() == before + 1 == 1
class Kept: pass
kept = []
def thread():
    one = Kept()
    kept.append(weakref.ref(one))
    g.set_thread_local('key', one)
    del one
    assert kept[0]() is not None
    g.getcurrent()
    kept.append(g.get_total_main_greenlets())
started = threading.Thread(target=thread); started.start(); started.join()
assert kept[1] == 2 and g.get_total_main_greenlets() == 1, kept
assert kept[0]() is None
assert hasattr(g, 'get_tstate_trash_delete_nesting') == (sys.version_info < (3, 13))
if sys.version_info < (3, 13):
    assert g.get_tstate_trash_delete_nesting() == 0
"""
    assert run_python(INSTALLED + program).check().stdout == "0 None None None 0\n"
