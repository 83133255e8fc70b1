"""What the package tells about itself: the events and who listens.

What belongs here: the classes and `notify`. What never does: what causes an event.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenswitch import events


@pytest.fixture
def heard() -> Iterator[list[object]]:
    seen: list[object] = []
    events.subscribers.append(seen.append)
    yield seen
    events.subscribers.remove(seen.append)


def test_subscribers_are_called_in_their_order(heard: list[object]) -> None:
    def second(event: object) -> None:
        heard.append("second")
        events.subscribers.remove(second)

    events.subscribers.append(second)
    events.notify("event")
    events.notify("another")
    assert heard == ["event", "second", "another"]


def test_what_the_events_say() -> None:
    blocked = events.EventLoopBlocked("greenlet", 0.5, ["line"], hub="hub")
    assert (blocked.greenlet, blocked.blocking_time, blocked.info, blocked.hub) == (
        "greenlet", 0.5, ["line"], "hub",
    )  # fmt: skip
    assert events.EventLoopBlocked("greenlet", 0.5, []).hub is None
    over = events.MemoryUsageThresholdExceeded(2, 1, {})
    under = events.MemoryUsageUnderThreshold(1, 2, {}, 3)
    assert (over.mem_usage, over.max_allowed, over.memory_info) == (2, 1, {})
    assert under.max_usage == under.max_memory_usage == 3
    assert events.PeriodicMonitorThreadStartedEvent("monitor").monitor == "monitor"
    module = events.GeventWillPatchModuleEvent("name", "source", "target", ["items"])
    assert (module.module_name, module.source, module.target) == ("name", "source", "target")
    assert module.target_item_names == ["items"]
    did = events.GeventDidPatchModuleEvent("name", "source", "target")
    assert (did.module_name, did.source, did.target) == ("name", "source", "target")
    everything = events.GeventWillPatchAllEvent({"socket": True, "ssl": False}, {"other": 1})
    assert everything.will_patch_module("socket") and not everything.will_patch_module("ssl")
    assert everything.patch_all_arguments == {"socket": True, "ssl": False}
    assert everything.patch_all_kwargs == {"other": 1}
    everything.patch_all_kwargs.clear()
    assert everything.patch_all_kwargs and "socket" in repr(everything)
    assert issubclass(events.DoNotPatch, BaseException) and not issubclass(events.DoNotPatch, Exception)


@pytest.mark.parametrize(
    "name", [name for name in events.__all__ if name.startswith("IG") or name[:2] == "IE"]
)
def test_every_abstract_type_has_a_concrete_one(name: str) -> None:
    abstract, concrete = getattr(events, name), getattr(events, name[1:])
    assert issubclass(concrete, abstract) and issubclass(concrete, getattr(events, name))
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_kinds_of_patching_events() -> None:
    for name in events.__all__:
        if "WillPatch" in name and not name.startswith("I"):
            assert issubclass(getattr(events, name), events.IGeventWillPatchEvent)
        if "DidPatch" in name and not name.startswith("I"):
            assert issubclass(getattr(events, name), events.IGeventDidPatchEvent)
