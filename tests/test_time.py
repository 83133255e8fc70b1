"""The `time` module with a cooperative `sleep`, and `builtins` (`greenswitch.time`, `greenswitch.builtins`).

What belongs here: modules that are the standard library's but for a name or two. What never does: how a sleep
is undone (`test_hub`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import greenswitch.time
from greenswitch import get_hub, spawn

if TYPE_CHECKING:
    from conftest import RunPython


def test_sleep_lets_others_run() -> None:
    log = list[object]()
    spawn(log.append, "other")
    greenswitch.time.sleep()
    assert log == ["other"]
    spawn(log.append, "another")
    before = time.monotonic()
    greenswitch.time.sleep(0.01)
    assert log == ["other", "another"] and time.monotonic() - before >= 0.0099
    sleeper = spawn(greenswitch.time.sleep, 1000, ref=False)
    assert get_hub().join() and not sleeper.dead
    sleeper.kill()


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_sleep_of_less_than_nothing(seconds: float) -> None:
    """The messages are the standard library's."""
    for sleep in (greenswitch.time.sleep, time.sleep):
        with pytest.raises(ValueError, match="non-negative|NaN"):
            sleep(seconds)
    with pytest.raises(TypeError):
        greenswitch.time.sleep("1")  # type: ignore[arg-type]


def test_everything_else_is_the_standard_librarys(run_python: RunPython) -> None:
    """In a process of its own, where nobody has replaced anything yet."""
    program = """
import builtins, time, greenswitch.builtins, greenswitch.time
for ours, standard, own in ((greenswitch.time, time, {"sleep"}), (greenswitch.builtins, builtins, set())):
    names = {name for name in vars(standard) if name[0] != "_"}
    assert set(ours.__all__) == names and set(ours.__implements__) == own
    assert all(getattr(ours, name) is getattr(standard, name) for name in names - own)
    assert all(getattr(ours, name) is not getattr(standard, name) for name in own)
"""
    run_python(program).check()
