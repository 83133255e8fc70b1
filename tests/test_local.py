"""Attributes that each greenlet has for itself (`greenswitch.local`; spec G11).

What belongs here: `local` and its subclasses. What never does: context variables (`test_contextvars`).
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenswitch import Greenlet, Timeout, getcurrent, greenlet, joinall, sleep, spawn
from greenswitch.local import all_local_dicts_for_greenlet, local


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(30, AssertionError("the test hangs"), ref=False):
        yield


def elsewhere(function: Callable[[], Any]) -> Any:
    """The result of `function` in a greenlet of its own."""
    return greenlet(function).switch()


class Slotted(local):
    __slots__ = ("common",)

    kind = "class"


class Begun(local):
    """Notes each call of `__init__`."""

    def __init__(self, log: list[Any], *, start: int = 0) -> None:
        log.append(getcurrent())
        self.number = start

    @property
    def twice(self) -> int:
        return 2 * self.number

    @twice.setter
    def twice(self, value: int) -> None:
        self.number = value // 2

    @property
    def fixed(self) -> int:
        return 7

    @classmethod
    def made_by(cls) -> str:
        return cls.__name__

    def add(self, more: int) -> int:
        self.number += more
        return self.number


@pytest.mark.parametrize("make", [local, Slotted, lambda: Begun([])])
def test_each_greenlet_sees_its_own(make: Callable[[], Any]) -> None:
    data = make()
    data.value = "main"
    seen = []

    def run(number: int) -> None:
        assert not hasattr(data, "value")
        data.value = number
        sleep(0)
        data.value += 100
        sleep(0)
        seen.append(data.value)
        assert data.__dict__["value"] == data.value and "value" in dir(data)

    joinall([spawn(run, number) for number in range(10)], raise_error=True)
    assert seen == list(range(100, 110)) and data.value == "main"
    del data.value
    with pytest.raises(AttributeError, match=f"'{type(data).__name__}' object has no attribute 'value'"):
        _ = data.value
    with pytest.raises(AttributeError, match="no attribute 'value'"):
        del data.value


def test_the_init_of_a_subclass_is_called_in_each_greenlet() -> None:
    log: list[Any] = []
    data = Begun(log, start=5)
    assert data.add(1) == 6
    other = spawn(lambda: (data.add(10), getcurrent()))
    number, who = other.get()
    assert number == 15 and log == [getcurrent(), who] and data.number == 6


@pytest.mark.parametrize("first", ["get", "set", "delete", "dict", "dir"])
def test_any_use_is_the_first(first: str) -> None:
    log: list[Any] = []
    data = Begun(log, start=1)

    def use() -> int:
        if first == "get":
            _ = data.add
        elif first == "set":
            data.other = 1
        elif first == "delete":
            del data.number
            data.number = 1
        elif first == "dict":
            assert data.__dict__ == {"number": 1}
        else:
            assert "number" in dir(data)
        return data.number

    assert elsewhere(use) == 1 and len(log) == 2


def test_an_init_that_fails_is_called_again() -> None:
    class Fails(local):
        def __init__(self, ways: list[bool]) -> None:
            self.half = True
            if ways.pop():
                raise ValueError("not yet")

    data: Any = Fails([False, True, False])

    def use() -> None:
        with pytest.raises(ValueError, match="not yet"):
            _ = data.half
        assert data.half

    elsewhere(use)


def test_arguments_need_an_init() -> None:
    for arguments, keywords in (((1,), {}), ((), {"x": 1})):
        with pytest.raises(TypeError, match="Initialization arguments are not supported"):
            local(*arguments, **keywords)


def test_properties_methods_and_class_attributes() -> None:
    data: Any = Begun([], start=2)
    data.twice = 10
    assert (data.number, data.twice, data.fixed, data.made_by()) == (5, 10, 7, "Begun")
    assert elsewhere(lambda: data.twice) == 4
    with pytest.raises(AttributeError):
        data.fixed = 1
    with pytest.raises(AttributeError):
        del data.fixed
    data.__dict__["fixed"] = 8
    assert data.fixed == 7
    slotted: Any = Slotted()
    assert slotted.kind == "class"
    slotted.kind = "own"
    assert slotted.kind == "own" and elsewhere(lambda: slotted.kind) == "class"
    del slotted.kind
    assert slotted.kind == "class"


def test_slots_are_common() -> None:
    data: Any = Slotted()
    data.common = 1

    def use() -> None:
        assert data.common == 1
        data.common = 2

    elsewhere(use)
    assert data.common == 2 and data.__dict__ == {}
    del data.common
    assert not hasattr(data, "common")


def test_hooks_of_a_subclass() -> None:
    class Hooked(local):
        def __getattr__(self, name: str) -> str:
            return f"no {name}"

        def __getattribute__(self, name: str) -> Any:
            if name == "hidden":
                raise AttributeError(name)
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value * 2)

    data: Any = Hooked()
    data.x = data.hidden = 2
    assert (data.x, data.y, data.hidden) == (4, "no y", "no hidden")
    assert elsewhere(lambda: data.x) == "no x"


def test_the_dictionary_is_not_replaced() -> None:
    data: Any = local()
    data.__dict__.update(a=1)
    assert data.a == 1
    with pytest.raises(AttributeError, match="'local' object attribute '__dict__' is read-only"):
        data.__dict__ = {}
    with pytest.raises(AttributeError, match="'local' object attribute '__dict__' is read-only"):
        del data.__dict__
    assert data.a == 1


class Gone:
    count = 0

    def __del__(self) -> None:
        Gone.count += 1


def test_values_go_with_the_greenlet() -> None:
    data: Any = local()

    def use() -> None:
        data.value = Gone()
        data.itself = data

    before = Gone.count
    running = [greenlet(use) for _ in range(10)]
    for one in running:
        one.switch()
    assert Gone.count == before
    del one
    running.clear()
    gc.collect()
    assert Gone.count == before + 10
    elsewhere(use)
    assert Gone.count == before + 11


def test_values_go_at_the_end_of_a_greenlet_that_is_kept() -> None:
    """As with gevent: what a server keeps of its greenlets are their values."""
    data: Any = local()

    def use() -> None:
        data.value = Gone()

    before = Gone.count
    kept = [spawn(use) for _ in range(3)]
    joinall(kept, raise_error=True)
    sleep(0)
    assert Gone.count == before + 3
    assert all(not all_local_dicts_for_greenlet(one) for one in kept)


def test_objects_leave_nothing_in_a_greenlet_that_lives_long() -> None:
    def use() -> int:
        for _ in range(100):
            data: Any = local()
            data.x = 1
        for _ in range(100):
            with pytest.raises(ZeroDivisionError):
                _ = failing.x
        gc.collect()
        current = getcurrent()
        assert isinstance(current, Greenlet)
        return len(current._links or ())

    class Failing(local):
        def __init__(self) -> None:
            if isinstance(getcurrent(), Greenlet):
                self.x = 1 / 0

    failing = Failing()
    # The last object, and whoever waits here.
    assert spawn(use).get() <= 2


def test_values_go_with_the_object() -> None:
    data: list[Any] = [local()]
    data[0].value = Gone()
    before = Gone.count

    def use() -> None:
        data[0].value = Gone()
        sleep(10)

    running = spawn(use)
    sleep(0)
    data.clear()
    gc.collect()
    assert Gone.count == before + 2
    running.kill()


def test_a_new_greenlet_at_an_old_address_begins_anew() -> None:
    data: Any = local()
    addresses = set()

    def use() -> None:
        assert not hasattr(data, "value")
        data.value = 1
        addresses.add(id(getcurrent()))

    for _ in range(1000):
        elsewhere(use)
    assert len(addresses) < 1000


def test_copies() -> None:
    log: list[Any] = []
    data: Any = Begun(log, start=3)
    data.mine = [1]
    twin: Any = copy.copy(data)
    twin.number = 4
    assert type(twin) is Begun and twin.mine is data.mine and data.number == 3
    assert log == [getcurrent(), getcurrent()]
    assert elsewhere(lambda: (twin.number, hasattr(twin, "mine"))) == (3, False)
    with pytest.raises(TypeError, match="cannot pickle 'Begun' object"):
        pickle.dumps(data)


def test_between_threads() -> None:
    data: Any = local()
    data.value = "main"
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            start.wait()
            for turn in range(300):
                spawned = [spawn(setattr, data, "value", turn) for _ in range(3)]
                data.value = (number, turn)
                joinall(spawned, raise_error=True)
                assert data.value == (number, turn)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and data.value == "main"


def test_all_that_a_greenlet_has() -> None:
    one, other = Slotted(), Begun([])
    one.value = 1  # type: ignore[attr-defined]
    found = dict(all_local_dicts_for_greenlet(getcurrent()))
    assert found[(Slotted, id(one))] == {"value": 1} and found[(Begun, id(other))] == {"number": 0}
    assert all_local_dicts_for_greenlet(greenlet()) == []
