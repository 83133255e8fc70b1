"""What the package tells about itself while it works, and who listens.

What belongs here: the events, by gevent's names, the list of subscribers. What never does: what causes an
event; whoever does calls `notify`.

A subscriber is called with the event, in the thread in which it happens, which for the monitor's events is no
thread of the program. What it raises goes to whoever notified. The names that begin with I are the abstract
types of the events, without a behaviour of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DoNotPatch",
    "EventLoopBlocked",
    "GeventDidPatchAllEvent",
    "GeventDidPatchBuiltinModulesEvent",
    "GeventDidPatchEvent",
    "GeventDidPatchModuleEvent",
    "GeventPatchEvent",
    "GeventWillPatchAllEvent",
    "GeventWillPatchEvent",
    "GeventWillPatchModuleEvent",
    "IEventLoopBlocked",
    "IGeventDidPatchAllEvent",
    "IGeventDidPatchBuiltinModulesEvent",
    "IGeventDidPatchEvent",
    "IGeventDidPatchModuleEvent",
    "IGeventPatchEvent",
    "IGeventWillPatchAllEvent",
    "IGeventWillPatchEvent",
    "IGeventWillPatchModuleEvent",
    "IMemoryUsageThresholdExceeded",
    "IMemoryUsageUnderThreshold",
    "IPeriodicMonitorThread",
    "IPeriodicMonitorThreadStartedEvent",
    "MemoryUsageThresholdExceeded",
    "MemoryUsageUnderThreshold",
    "PeriodicMonitorThreadStartedEvent",
    "notify",
    "subscribers",
]

subscribers: list[Callable[[Any], object]] = []
"""Who is called with each event. Append to it, remove from it."""


def notify(event: object) -> None:
    """Call every subscriber with `event`, in the order of the list. Blocks as they do."""
    for subscriber in list(subscribers):
        subscriber(event)


class _Abstract:
    """A type that only its subclasses have instances of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} is abstract")


# The monitor


class IPeriodicMonitorThread(_Abstract):
    """A thread that watches a hub: `add_monitoring_function(function, period)`."""


class IPeriodicMonitorThreadStartedEvent(_Abstract):
    """A thread that watches a hub was started: `monitor`."""


class IEventLoopBlocked(_Abstract):
    """A greenlet did not give way: `greenlet`, `blocking_time`, `info`, `hub`."""


class _MemoryEvent(_Abstract):
    """A look at the process's memory: `mem_usage`, `max_allowed`, `memory_info`."""


class IMemoryUsageThresholdExceeded(_MemoryEvent):
    """The process uses more memory than it is allowed to."""


class IMemoryUsageUnderThreshold(_MemoryEvent):
    """It uses less again: `max_memory_usage` is the most that it used."""


@dataclass
class PeriodicMonitorThreadStartedEvent(IPeriodicMonitorThreadStartedEvent):
    """A thread that watches a hub was started. A subscriber may give it more to look at."""

    ENTRY_POINT_NAME = "greenswitch.plugins.hub.periodic_monitor_thread_started"

    monitor: Any


@dataclass
class EventLoopBlocked(IEventLoopBlocked):
    """`greenlet` has not given way for `blocking_time` seconds. `info` is the report, line by line."""

    greenlet: Any
    blocking_time: float
    info: Sequence[str]
    hub: Any = field(default=None, kw_only=True)


@dataclass
class MemoryUsageThresholdExceeded(IMemoryUsageThresholdExceeded):
    """The process uses `mem_usage` bytes, more than `max_allowed`; `memory_info` is all that is known."""

    mem_usage: int
    max_allowed: int
    memory_info: Any


@dataclass
class MemoryUsageUnderThreshold(IMemoryUsageUnderThreshold):
    """The process uses `mem_usage` bytes, less than `max_allowed` again, after it had used `max_usage`."""

    mem_usage: int
    max_allowed: int
    memory_info: Any
    max_usage: int

    @property
    def max_memory_usage(self) -> int:
        return self.max_usage


# Patching


class IGeventPatchEvent(_Abstract):
    """Something of the standard library is replaced: `source` takes the place of `target`."""


class IGeventWillPatchEvent(IGeventPatchEvent):
    """Something is going to be replaced. A subscriber may raise `DoNotPatch`."""


class IGeventDidPatchEvent(IGeventPatchEvent):
    """Something was replaced."""


class IGeventWillPatchModuleEvent(IGeventWillPatchEvent):
    """A module is going to be patched: `module_name`, `target_item_names`."""


class IGeventDidPatchModuleEvent(IGeventDidPatchEvent):
    """A module was patched: `module_name`."""


class IGeventWillPatchAllEvent(IGeventWillPatchEvent):
    """`patch_all` begins: `patch_all_arguments`, `patch_all_kwargs`, `will_patch_module(name)`."""


class IGeventDidPatchBuiltinModulesEvent(IGeventDidPatchEvent):
    """`patch_all` has patched the standard library: `patch_all_arguments`, `patch_all_kwargs`."""


class IGeventDidPatchAllEvent(IGeventDidPatchEvent):
    """`patch_all` is done: `patch_all_arguments`, `patch_all_kwargs`."""


class DoNotPatch(BaseException):
    """Raised by a subscriber of an event of the "will patch" kind, to prevent it."""


@dataclass
class GeventPatchEvent(IGeventPatchEvent):
    """`source` takes the place of `target`."""

    source: Any
    target: Any


@dataclass
class GeventWillPatchEvent(GeventPatchEvent, IGeventWillPatchEvent):
    """`source` is going to take the place of `target`."""


@dataclass
class GeventDidPatchEvent(GeventPatchEvent, IGeventDidPatchEvent):
    """`source` took the place of `target`."""


@dataclass(init=False)
class GeventWillPatchModuleEvent(GeventWillPatchEvent, IGeventWillPatchModuleEvent):
    """The names `items` of the module `target`, called `module_name`, are going to be replaced by those of
    `source`."""

    ENTRY_POINT_NAME = "greenswitch.plugins.monkey.will_patch_module"

    module_name: str
    target_item_names: Sequence[str]

    def __init__(self, module_name: str, source: Any, target: Any, items: Sequence[str]) -> None:
        super().__init__(source, target)
        self.module_name = module_name
        self.target_item_names = items


@dataclass(init=False)
class GeventDidPatchModuleEvent(GeventDidPatchEvent, IGeventDidPatchModuleEvent):
    """The module `target`, called `module_name`, was patched."""

    ENTRY_POINT_NAME = "greenswitch.plugins.monkey.did_patch_module"

    module_name: str

    def __init__(self, module_name: str, source: Any, target: Any) -> None:
        super().__init__(source, target)
        self.module_name = module_name


class _PatchAllMixin:
    """What `patch_all` was called with."""

    def __init__(self, patch_all_arguments: Mapping[str, Any], patch_all_kwargs: Mapping[str, Any]) -> None:
        super().__init__(None, None)  # type: ignore[call-arg]
        self._patch_all_arguments = patch_all_arguments
        self._patch_all_kwargs = patch_all_kwargs

    @property
    def patch_all_arguments(self) -> dict[str, Any]:
        """All arguments of `patch_all`, with those that were left at their defaults. A copy."""
        return dict(self._patch_all_arguments)

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """Those keyword arguments that `patch_all` does not know. A copy."""
        return dict(self._patch_all_kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._patch_all_arguments!r} at {id(self):#x}>"


class GeventWillPatchAllEvent(_PatchAllMixin, GeventWillPatchEvent, IGeventWillPatchAllEvent):
    """`patch_all` begins."""

    ENTRY_POINT_NAME = "greenswitch.plugins.monkey.will_patch_all"

    def will_patch_module(self, module_name: str) -> bool:
        """Is the module one of those that are going to be patched?"""
        return bool(self._patch_all_arguments.get(module_name))


class GeventDidPatchBuiltinModulesEvent(
    _PatchAllMixin, GeventDidPatchEvent, IGeventDidPatchBuiltinModulesEvent
):
    """`patch_all` has patched the standard library."""

    ENTRY_POINT_NAME = "greenswitch.plugins.monkey.did_patch_builtins"


class GeventDidPatchAllEvent(_PatchAllMixin, GeventDidPatchEvent, IGeventDidPatchAllEvent):
    """`patch_all` is done."""

    ENTRY_POINT_NAME = "greenswitch.plugins.monkey.did_patch_all"
