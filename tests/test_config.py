"""Settings: where their values come from, and what is said of one that is wrong (`greenswitch.config`).

What belongs here: the settings themselves. What never does: what comes of them; that is tested where it
happens.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import greenswitch
from greenswitch._config import Config, Setting

if TYPE_CHECKING:
    from conftest import RunPython

SETTINGS = list(Config({}))


def test_the_face_has_the_settings_of_the_process(run_python: RunPython) -> None:
    """By attribute and by environment variable."""
    program = """
import greenswitch
print(greenswitch.config.max_blocking_time, greenswitch.config.monitor_thread)
greenswitch.config.max_blocking_time = 3
print(greenswitch.config.max_blocking_time)
"""
    environment = {"GREENSWITCH_MAX_BLOCKING_TIME": "0.25", "GREENSWITCH_MONITOR": "1"}
    assert run_python(program, environment=environment).check().stdout == "0.25 True\n3.0\n"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_begins_with_its_default_and_can_be_told_its_own_value(setting: Setting) -> None:
    config = Config({})
    value = getattr(config, setting.name)
    if not isinstance(setting.default, str) or ":" not in setting.default:
        assert value == setting.default
    else:
        assert callable(value)
    setattr(config, setting.name, value)
    assert getattr(config, setting.name) is value or getattr(config, setting.name) == value
    assert setting.meaning.endswith(".") and setting.environment.startswith("GREENSWITCH_")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        *[("monitor_thread", word, True) for word in ("1", "yes", "ON", "true", 1, True)],
        *[("track_greenlet_tree", word, False) for word in ("0", "no", "Off", "false", 0, False)],
        ("threadpool_size", "3", 3),
        ("max_blocking_time", 2, 2.0),
        ("threadpool_idle_task_timeout", "-1", -1.0),
        ("poller", "SELECT", "select"),
        ("max_memory_usage", 1000, 1000),
        ("max_memory_usage", "10 kb", 10240),
        ("max_memory_usage", "1.5MB", 3 * 2**19),
        ("max_memory_usage", "none", None),
        ("format_context", "builtins.ascii", ascii),
        ("format_context", "os.path:basename", __import__("os").path.basename),
        ("format_context", str, str),
    ],
)
def test_values_of_every_kind(name: str, given: Any, value: object) -> None:
    config = Config({})
    setattr(config, name, given)
    assert getattr(config, name) == value and type(getattr(config, name)) is type(value)
    if isinstance(given, str):
        variable = config.settings[name].environment
        assert getattr(Config({variable: given}), name) == value


def test_memory_in_percent() -> None:
    config = Config({"GREENSWITCH_MAX_MEMORY_USAGE": "50%"})
    half = config.max_memory_usage
    config.set("max_memory_usage", "100 %")
    assert half and config.max_memory_usage and abs(config.max_memory_usage - 2 * half) <= 1


@pytest.mark.parametrize(
    ("name", "wrong", "error"),
    [
        ("monitor_thread", "maybe", ValueError),
        ("monitor_thread", 2, TypeError),
        ("monitor_thread", None, TypeError),
        ("threadpool_size", "x", ValueError),
        ("threadpool_size", 0, ValueError),
        ("threadpool_size", 1.5, TypeError),
        ("threadpool_size", True, TypeError),
        ("max_blocking_time", "abc", ValueError),
        ("max_blocking_time", -1, ValueError),
        ("max_blocking_time", float("nan"), ValueError),
        ("max_blocking_time", None, TypeError),
        ("threadpool_idle_task_timeout", -2, ValueError),
        ("poller", "iocp", ValueError),
        ("poller", 3, TypeError),
        ("max_memory_usage", "much", ValueError),
        ("max_memory_usage", "10 XB", ValueError),
        ("max_memory_usage", "0", ValueError),
        ("max_memory_usage", 1.5, TypeError),
        ("resolver", "nosuch", ValueError),
        ("resolver", "a b:c", ValueError),
        ("resolver", 5, TypeError),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    name: str, wrong: Any, error: type[Exception]
) -> None:
    config = Config({})
    before = dict(vars(config)), dict(vars(config)["_named"])
    with pytest.raises(error) as caught:
        setattr(config, name, wrong)
    assert str(caught.value).startswith(f"{name} = {wrong!r}: {name} takes ")
    assert (dict(vars(config)), dict(vars(config)["_named"])) == before
    if isinstance(wrong, str):
        variable = config.settings[name].environment
        with pytest.raises(ValueError) as caught:
            Config({variable: wrong})
        assert str(caught.value).startswith(f"{variable}={wrong}: {name} takes ")


def test_a_name_that_cannot_be_imported_is_told_when_it_is_needed() -> None:
    config = Config({})
    config.set("resolver", "greenswitch.nowhere:Resolver")
    with pytest.raises(ImportError, match=r"resolver = 'greenswitch.nowhere:Resolver': No module named"):
        print(config.resolver)
    config.set("resolver", "greenswitch.resolver:Nobody")
    with pytest.raises(ImportError, match=r"resolver = 'greenswitch.resolver:Nobody'"):
        print(config.resolver)


def test_a_name_that_is_no_setting() -> None:
    config: Any = Config({})
    with pytest.raises(AttributeError, match="no setting 'max_blocking'; it has poller, .*max_blocking_time"):
        config.max_blocking = 1
    with pytest.raises(AttributeError, match="no attribute 'max_blocking'"):
        print(config.max_blocking)
    with pytest.raises(AttributeError, match="cannot be deleted: poller"):
        del config.poller


def test_an_empty_variable_is_none() -> None:
    assert Config({"GREENSWITCH_POLLER": ""}).poller == "auto"


def test_every_setting_is_explained() -> None:
    out = io.StringIO()
    config = Config({})
    config.print_help(out)
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        assert setting.name in dir(config)
        assert f"{setting.name}\n    {setting.meaning}\n" in out.getvalue()
        assert f"`{setting.name}`" in readme and f"`{setting.environment}`" in readme
    assert repr(greenswitch.config) == "<greenswitch.config>"


def test_a_wrong_variable_stops_the_import_with_one_clear_line(run_python: RunPython) -> None:
    outcome = run_python(
        "import greenswitch; greenswitch.sleep(0)", environment={"GREENSWITCH_MONITOR": "perhaps"}
    )
    assert outcome.status == 1 and outcome.stderr.splitlines()[-1] == (
        "ValueError: GREENSWITCH_MONITOR=perhaps: monitor_thread takes one of 1, yes, on, true, 0, no, off,"
        " false"
    )
