"""`greenswitch.config`: every setting of the package, in one place.

What belongs here: the name of each setting, its default, what values it takes and what it means. What never
does: what is done about it; whoever a setting is for reads `config` when he needs it.

A setting is an attribute of `config`, and begins with the value of the environment variable GREENSWITCH_NAME
(its name in capitals; the one of `monitor_thread` is GREENSWITCH_MONITOR), or its default where that is unset
or empty. The environment is read once, when this module is imported. A value that a setting does not take is
a ValueError or TypeError, a name that is no setting an AttributeError, and both say which one and what would
be right. Names and meanings are gevent's where gevent has them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, TextIO

__all__ = ["Config", "Setting", "config"]

_WORDS = {
    **dict.fromkeys(("1", "yes", "on", "true"), True),
    **dict.fromkeys(("0", "no", "off", "false"), False),
}
_UNITS = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


class Setting:
    """One setting. `check` makes its value of what is assigned to it or found in the environment, or raises
    ValueError or TypeError with what would be right; it must take its own results. `meaning` is for readers,
    and ends in a full stop."""

    __slots__ = ("check", "default", "environment", "meaning", "name")

    def __init__(
        self,
        name: str,
        default: Any,
        check: Callable[[Any], Any],
        meaning: str,
        environment: str | None = None,
    ) -> None:
        self.name = name
        self.default = default
        self.check = check
        self.meaning = meaning
        self.environment = f"GREENSWITCH_{name.upper()}" if environment is None else environment

    def __repr__(self) -> str:
        return f"<Setting {self.name}, {self.environment}, default {self.default!r}>"


# What settings take


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return _WORDS[value.lower()]
        except KeyError:
            raise ValueError("one of 1, yes, on, true, 0, no, off, false") from None
    if value not in (0, 1):
        raise TypeError("True or False")
    return bool(value)


def _number(kind: type, what: str, allowed: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = kind(value)
            except ValueError:
                raise ValueError(what) from None
        elif isinstance(value, bool) or not isinstance(value, (int, kind)):
            raise TypeError(what)
        if not allowed(value):
            raise ValueError(what)
        return kind(value)

    return check


def _is_positive(value: float) -> bool:
    return 0 < value < float("inf")


_seconds = _number(float, "a number of seconds above 0", _is_positive)
_idle_seconds = _number(
    float, "a number of seconds, or -1 for no limit", lambda value: _is_positive(value) or value == -1
)
_count = _number(int, "a whole number above 0", _is_positive)


def _memory(value: Any) -> int | None:
    """Bytes; as a text also with a unit, or in percent of the machine's memory."""
    what = "a number of bytes above 0, such as 100000, '100 MB' or '50%' (of the machine's memory), or None"
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if text == "none":
            return None
        digits = text.rstrip("%bkmgt ")
        unit = text[len(digits) :].strip()
        try:
            if unit == "%":
                value = int(float(digits) / 100 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
            else:
                value = int(float(digits) * _UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            raise ValueError(what) from None
    elif isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(what)
    if value <= 0:
        raise ValueError(what)
    return int(value)


def _choice(*words: str) -> Callable[[Any], str]:
    what = f"one of {', '.join(words)}"

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(what)
        word = value.strip().lower()
        if word not in words:
            raise ValueError(what)
        return word

    return check


def _callable(**short: str) -> Callable[[Any], Any]:
    """Something to call, or where it is: "module:name" or "module.name", or a short name for that. What is
    named is imported when the setting is first read, because it stands above whoever reads it."""
    what = "something to call, 'module:name'" + "".join(f", {name!r}" for name in short)

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            if not callable(value):
                raise TypeError(what)
            return value
        value = short.get(value, value)
        module, _, name = value.partition(":") if ":" in value else value.rpartition(".")
        if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(what)
        return f"{module}:{name}"

    return check


_SETTINGS = (
    Setting(
        "poller",
        "auto",
        _choice("auto", "epoll", "kqueue", "poll", "select"),
        "How loops that are made from now on ask the system which descriptors are ready; auto: the best that"
        " there is.",
    ),
    Setting(
        "loop",
        "greenswitch.core:loop",
        _callable(),
        "What makes the loop of a hub; called with (default=default).",
    ),
    Setting(
        "resolver",
        "greenswitch.resolver.thread:Resolver",
        _callable(
            block="greenswitch.resolver.blocking:Resolver", thread="greenswitch.resolver.thread:Resolver"
        ),
        "What makes the resolver of a hub, which looks names up; called with (hub=hub).",
    ),
    Setting(
        "threadpool",
        "greenswitch.threadpool:ThreadPool",
        _callable(),
        "What makes the pool of native threads of a hub; called with (threadpool_size, hub=hub,"
        " idle_task_timeout=threadpool_idle_task_timeout).",
    ),
    Setting(
        "fileobject",
        "greenswitch.fileobject:FileObjectPosix",
        _callable(
            posix="greenswitch.fileobject:FileObjectPosix",
            thread="greenswitch.fileobject:FileObjectThread",
            block="greenswitch.fileobject:FileObjectBlock",
        ),
        "What FileObject is, when greenswitch.fileobject is first imported.",
    ),
    Setting("threadpool_size", 10, _count, "The greatest number of threads of a hub's pool."),
    Setting(
        "threadpool_idle_task_timeout",
        5.0,
        _idle_seconds,
        "After how many seconds without work a thread of a hub's pool ends; -1: never.",
    ),
    Setting(
        "format_context",
        "builtins:repr",
        _callable(),
        "What makes a text of the greenlet or callback that failed, for the report of it.",
    ),
    Setting(
        "track_greenlet_tree",
        True,
        _flag,
        "Keep of each greenlet who spawned it and where: `spawning_greenlet`, `spawning_stack`,"
        " `spawn_tree_locals`.",
    ),
    Setting(
        "monitor_thread",
        False,
        _flag,
        "Have a native thread watch each hub that is made from now on, and report greenlets that do not let"
        " others run, and memory.",
        "GREENSWITCH_MONITOR",
    ),
    Setting(
        "max_blocking_time",
        0.1,
        _seconds,
        "For how many seconds a greenlet may run without giving way until the monitor reports it.",
    ),
    Setting(
        "print_blocking_reports",
        True,
        _flag,
        "Have the monitor print its reports of greenlets that do not give way, not only publish them.",
    ),
    Setting(
        "memory_monitor_period",
        5.0,
        _seconds,
        "How many seconds lie between two looks of the monitor at the process's memory.",
    ),
    Setting(
        "max_memory_usage",
        None,
        _memory,
        "How much memory the process may use until the monitor reports it: bytes, as a text also with KB, MB,"
        " GB or TB, or in percent of the machine's memory; None: any.",
    ),
)


class Config:
    """The settings, as attributes. `environment` is where they begin.

    Raises ValueError if a variable there has a value that its setting does not take.
    """

    settings: dict[str, Setting]
    """Every setting, by its name."""

    poller: str
    threadpool_size: int
    threadpool_idle_task_timeout: float
    track_greenlet_tree: bool
    monitor_thread: bool
    max_blocking_time: float
    print_blocking_reports: bool
    memory_monitor_period: float
    max_memory_usage: int | None

    def __init__(self, environment: Mapping[str, str]) -> None:
        settings = {setting.name: setting for setting in _SETTINGS}
        self.__dict__["settings"] = settings
        self.__dict__["_named"] = {}
        for setting in settings.values():
            found = environment.get(setting.environment, "")
            if found:
                self._assign(setting, found, f"{setting.environment}={found}")
            else:
                self._assign(setting, setting.default, "")

    @property
    def loop(self) -> Callable[..., Any]:
        return self._load("loop")

    @property
    def resolver(self) -> Callable[..., Any]:
        return self._load("resolver")

    @property
    def threadpool(self) -> Callable[..., Any]:
        return self._load("threadpool")

    @property
    def fileobject(self) -> Callable[..., Any]:
        return self._load("fileobject")

    @property
    def format_context(self) -> Callable[[object], str]:
        return self._load("format_context")

    def set(self, name: str, value: Any) -> None:
        """Change the setting called `name`; the same as an assignment to the attribute."""
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        settings = self.__dict__["settings"]
        setting = settings.get(name)
        if setting is None:
            raise AttributeError(f"greenswitch.config has no setting {name!r}; it has {', '.join(settings)}")
        self._assign(setting, value, f"{name} = {value!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"settings cannot be deleted: {name}")

    def _assign(self, setting: Setting, value: Any, told: str) -> None:
        try:
            checked = setting.check(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{told}: {setting.name} takes {error}") from None
        if isinstance(getattr(type(self), setting.name, None), property):
            self.__dict__["_named"][setting.name] = checked
        else:
            # A plain attribute: some are read whenever a greenlet is made.
            self.__dict__[setting.name] = checked

    def _load(self, name: str) -> Callable[..., Any]:
        named: dict[str, Any] = self.__dict__["_named"]
        value = named[name]
        if isinstance(value, str):
            module, _, attribute = value.partition(":")
            try:
                value = getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise ImportError(f"{name} = {value!r}: {error}") from error
            named[name] = value
        loaded: Callable[..., Any] = value
        return loaded

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self.__dict__["settings"]})

    def __iter__(self) -> Iterator[Setting]:
        """The settings, in the order in which they are explained."""
        return iter(list(self.__dict__["settings"].values()))

    def print_help(self, file: TextIO | None = None) -> None:
        """Print what there is to set, to `file` or the standard output."""
        stream = sys.stdout if file is None else file
        for setting in self:
            stream.write(
                f"{setting.name}\n    {setting.meaning}\n"
                f"    Default: {setting.default!r}. Environment: {setting.environment}.\n"
            )

    def __repr__(self) -> str:
        return "<greenswitch.config>"


config = Config(os.environ)
"""The settings of this process."""
