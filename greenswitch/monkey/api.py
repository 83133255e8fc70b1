"""How a name is replaced, remembered and asked for, and who is told.

What belongs here: what works on any module. What never does: which names (`table`), and what it takes besides
to have threads (`threads`).

Who is told: the subscribers of `greenswitch.events`, and after them plugins, which are entry points of
installed packages in the group that is the event's ENTRY_POINT_NAME; they are called with the event. One that
raises DoNotPatch when something is going to be patched prevents it.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import FrameType, FunctionType, ModuleType
from typing import Any, overload

from greenswitch import events

__all__ = [
    "MonkeyPatchWarning",
    "get",
    "get_original",
    "is_anything_patched",
    "is_module_patched",
    "is_object_patched",
    "patch_item",
    "patch_module",
    "patch_names",
    "remove_item",
    "saved",
    "tell",
    "warn",
]

_MISSING = object()
_HERE = os.path.dirname(__file__) + os.sep

saved: dict[str, dict[str, Any]] = {}
"""The standard library's own objects by module and name, of what was patched."""


class MonkeyPatchWarning(RuntimeWarning):
    """Patching will not do what was probably meant."""


# Asking


def is_anything_patched() -> bool:
    """Was anything patched at all?"""
    return bool(saved)


def is_module_patched(mod_name: str) -> bool:
    """Was anything in the standard module `mod_name` patched?"""
    return mod_name in saved


def is_object_patched(mod_name: str, item_name: str) -> bool:
    """Was `item_name` of the standard module `mod_name` patched?"""
    return item_name in saved.get(mod_name, ())


@overload
def get_original(mod_name: str | Iterable[str], item_name: str) -> Any: ...
@overload
def get_original(mod_name: str | Iterable[str], item_name: Iterable[str]) -> list[Any]: ...
def get_original(mod_name: str | Iterable[str], item_name: str | Iterable[str]) -> Any:
    """The standard library's own object `item_name` of the module `mod_name`, patched or not; a list of them
    if `item_name` is a collection of names. `mod_name` may be a collection too: the first module that can be
    imported counts. Raises ImportError, AttributeError."""
    names = [mod_name] if isinstance(mod_name, str) else list(mod_name)
    for name in names[:-1]:
        try:
            module = import_module(name)
            break
        except ImportError:
            continue
    else:
        module = import_module(names[-1])
    originals = saved.get(module.__name__, {})

    def original(item: str) -> Any:
        return originals[item] if item in originals else get(module, item)

    return original(item_name) if isinstance(item_name, str) else [original(item) for item in item_name]


# Replacing


def patch_item(module: ModuleType, attr: str, newitem: Any) -> None:
    """Replace `attr` of `module` and remember what it was. A dot in `attr` leads into a class."""
    old = get(module, attr, _MISSING)
    if old is newitem:
        return
    if old is not _MISSING:
        saved.setdefault(module.__name__, {}).setdefault(attr, old)
    owner, name = _owner(module, attr)
    if isinstance(owner, type) and isinstance(newitem, FunctionType):
        # In a class a built-in function is a mere value, ours would become a method.
        newitem = staticmethod(newitem)
    setattr(owner, name, newitem)


def remove_item(module: ModuleType, attr: str) -> None:
    """Take `attr` out of `module` and remember what it was. Nothing happens if there is none."""
    old = getattr(module, attr, _MISSING)
    if old is not _MISSING:
        saved.setdefault(module.__name__, {}).setdefault(attr, old)
        delattr(module, attr)


def patch_names(
    target: ModuleType, source: ModuleType, new: Mapping[str, Any], removed: Iterable[str] = ()
) -> bool:
    """Give each name of `target` in `new` its value, and take away `removed`. False if somebody does not want
    that. `source` is where the values come from, for those who are told; that it is done, is for the caller
    to tell."""
    names = list(new)
    try:
        tell(events.GeventWillPatchModuleEvent(target.__name__, source, target, names))
    except events.DoNotPatch:
        return False
    for name in names:
        patch_item(target, name, new[name])
    for name in removed:
        remove_item(target, name)
    return True


def patch_module(
    target_module: ModuleType, source_module: ModuleType, items: Sequence[str] | None = None
) -> bool:
    """Replace `items` of `target_module` with those of the same names in `source_module`; `items` are the
    names in `source_module.__implements__` if they are not given. AttributeError if a name is missing. False
    if somebody did not want it.

    Functions of the source module are called first and last, if it has them: `_gevent_will_monkey_patch`,
    which may change the list and raise DoNotPatch, and `_gevent_did_monkey_patch`, with the target module,
    the list, and a function that takes the text of a warning.
    """
    if items is None:
        items = getattr(source_module, "__implements__", None)
        if items is None:
            raise AttributeError(f"{source_module.__name__} does not say in __implements__ what it replaces")
    names = list(items)
    try:
        _call_hook(source_module, "will", target_module, names)
    except events.DoNotPatch:
        return False
    new = {name: getattr(source_module, name) for name in names}
    if not patch_names(target_module, source_module, new):
        return False
    _call_hook(source_module, "did", target_module, names)
    tell(events.GeventDidPatchModuleEvent(target_module.__name__, source_module, target_module))
    return True


def _call_hook(source: ModuleType, when: str, target: ModuleType, names: list[str]) -> None:
    hook = getattr(source, f"_gevent_{when}_monkey_patch", None)
    if hook is not None:
        hook(target, names, warn)


def _owner(module: ModuleType, attr: str) -> tuple[Any, str]:
    path = attr.split(".")
    owner: Any = module
    for name in path[:-1]:
        owner = getattr(owner, name)
    return owner, path[-1]


def get(module: ModuleType, attr: str, *default: Any) -> Any:
    """`attr` of `module`; a dot leads into a class."""
    owner, name = _owner(module, attr)
    return getattr(owner, name, *default)


# Telling


def tell(event: Any) -> None:
    """Call the subscribers and the plugins with `event`."""
    events.notify(event)
    for plugin in _plugins().select(group=event.ENTRY_POINT_NAME):
        plugin.load()(event)


@cache
def _plugins() -> Any:
    return import_module("importlib.metadata").entry_points()


def warn(message: str) -> None:
    """Warn whoever called this package."""
    frame: FrameType | None = sys._getframe()
    level = 0
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, MonkeyPatchWarning, stacklevel=level + 1)
