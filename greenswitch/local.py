"""Attributes that each greenlet has for itself.

What belongs here: `local`. What never does: context variables, which are the standard library's: every
greenlet has a context of its own already.

The values of one greenlet are a dictionary, found by the greenlet's `id`; a weak reference to the greenlet
takes it out before that number can be another one's. From a `Greenlet` a link takes it out at its end
already, since those are often kept for their values. Looking up, setting and taking out are single steps, so
threads need no lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ReferenceType, WeakValueDictionary, ref

from ._core import getcurrent, greenlet

__all__ = ["all_local_dicts_for_greenlet", "local"]

_alive: WeakValueDictionary[int, local] = WeakValueDictionary()
"""By `id`: a subclass need not be hashable."""
_MISSING = object()


class _Values:
    """What all greenlets have in one `local`."""

    __slots__ = ("__weakref__", "arguments", "by_greenlet", "keywords", "links", "references")

    def __init__(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.arguments = arguments
        self.keywords = keywords
        self.by_greenlet: dict[int, dict[str, Any]] = {}
        self.references: dict[int, ReferenceType[greenlet]] = {}
        self.links: dict[int, Callable[[object], None]] = {}

    def add(self, owner: greenlet, values: dict[str, Any]) -> None:
        number = id(owner)
        forget = _forget(ref(self), number)
        rawlink = getattr(owner, "rawlink", None)
        if rawlink is not None:
            rawlink(forget)
            self.links[number] = forget
        self.references[number] = ref(owner, forget)
        self.by_greenlet[number] = values

    def remove(self, number: int) -> None:
        self.references.pop(number, None)
        self.by_greenlet.pop(number, None)
        self.links.pop(number, None)

    def unlink(self, owner: Any) -> None:
        link = self.links.pop(id(owner), None)
        if link is not None:
            owner.unlink(link)

    def __del__(self) -> None:
        # Whoever makes many of these in one long life would gather their links.
        for number in list(self.links):
            owner = self.references[number]()
            if owner is not None:
                self.unlink(owner)


def _forget(owner: ReferenceType[_Values], number: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        values = owner()
        if values is not None:
            values.remove(number)

    return forget


class local:
    """An object whose attributes each greenlet has for itself; they go with the greenlet, at the end of a
    `Greenlet`, or with the object.

    A subclass may define `__init__`: it is called, with the arguments that the object was made with, in each
    greenlet when that first uses the object; if it raises, the next use calls it again. Without `__init__`
    arguments are a TypeError. Class attributes, properties and `__slots__` of a subclass are common to all
    greenlets. Nothing here blocks, and all of it may be used between threads.
    """

    __slots__ = ("__values", "__weakref__")

    __values: _Values

    def __new__(cls, /, *args: Any, **kwargs: Any) -> local:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        new = object.__new__(cls)
        values = _Values(args, kwargs)
        _set_values(new, values)
        # The maker's `__init__` is called by the interpreter.
        values.add(getcurrent(), {})
        _alive[id(new)] = new
        return new

    def __getattribute__(self, name: str) -> Any:
        shared = _get_values(self)
        try:
            values = shared.by_greenlet[id(getcurrent())]
        except KeyError:
            values = _begin(self, shared)
        try:
            value = values[name]
        except KeyError:
            if name == "__dict__":
                return values
            return _get_common(self, name)
        cls = type(self)
        if hasattr(cls, name) and _is_data_descriptor(cls, name):
            # A property that keeps its value under its own name.
            return _get_common(self, name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        shared = _get_values(self)
        try:
            values = shared.by_greenlet[id(getcurrent())]
        except KeyError:
            values = _begin(self, shared)
        cls = type(self)
        # Most names are no attribute of the class at all, and that is soon known.
        if not hasattr(cls, name):
            values[name] = value
        elif name == "__dict__":
            raise AttributeError(f"{cls.__name__!r} object attribute '__dict__' is read-only")
        elif _is_data_descriptor(cls, name):
            _set_common(self, name, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        values = self.__dict__
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        if _is_data_descriptor(type(self), name):
            _delete_common(self, name)
        elif values.pop(name, _MISSING) is _MISSING:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self.__dict__})

    def __copy__(self) -> local:
        """Another object of the class, in which the current greenlet has the same values and the others
        none yet."""
        shared = _get_values(self)
        new = type(self)(*shared.arguments, **shared.keywords)
        _get_values(new).by_greenlet[id(getcurrent())].update(self.__dict__)
        return new

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


_get_values: Callable[[local], _Values] = vars(local)["_local__values"].__get__
_set_values: Callable[[local, _Values], None] = vars(local)["_local__values"].__set__

# What is common to all greenlets: attributes of the class, and slots.
_get_common = object.__getattribute__
_set_common = object.__setattr__
_delete_common = object.__delattr__


def _is_data_descriptor(cls: type, name: str) -> bool:
    for base in cls.__mro__:
        if name in base.__dict__:
            return hasattr(type(base.__dict__[name]), "__set__")
    return False


def _begin(owner: local, shared: _Values) -> dict[str, Any]:
    """The current greenlet uses `owner` for the first time."""
    current = getcurrent()
    values: dict[str, Any] = {}
    shared.add(current, values)
    init: Any = type(owner).__init__
    if init is not object.__init__:
        try:
            init(owner, *shared.arguments, **shared.keywords)
        except BaseException:
            shared.unlink(current)
            shared.remove(id(current))
            raise
    return values


def all_local_dicts_for_greenlet(greenlet: greenlet) -> list[tuple[tuple[type[local], int], dict[str, Any]]]:
    """What `greenlet` has in all `local` objects that it used: ((class, id of the object), values) each."""
    number = id(greenlet)
    found = []
    for owner in list(_alive.values()):
        values = _get_values(owner).by_greenlet.get(number)
        if values is not None:
            found.append(((type(owner), id(owner)), values))
    return found
