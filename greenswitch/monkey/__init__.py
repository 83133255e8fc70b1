"""Making the standard library cooperative: its blocking names are replaced with this package's, in place.

What belongs here: the words of patching, and which of them belong together. What never does: how a name is
replaced (`api`), which names (`table`), what threads need besides (`threads`).

Patch first, before other imports: a module that has said `from socket import socket` keeps what it got. Where
that is noticed there is a warning, which says what to import later.

Whoever subscribes to `greenswitch.events` is told of all of it, and so are plugins (`api`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

from greenswitch import events

from .api import (
    MonkeyPatchWarning,
    get_original,
    is_anything_patched,
    is_module_patched,
    is_object_patched,
    patch_item,
    patch_module,
    patch_names,
    remove_item,
    saved,
    tell,
    warn,
)
from .late import taken
from .table import NOTHING_TO_PATCH, OPTIONS, TABLE, Row
from .threads import adopt_threads, other_threads, replace_lock_of_logging, replace_locks_of_modules

__all__ = [
    "MonkeyPatchWarning",
    "get_original",
    "is_anything_patched",
    "is_module_patched",
    "is_object_patched",
    "patch_all",
    "patch_builtins",
    "patch_contextvars",
    "patch_dns",
    "patch_item",
    "patch_module",
    "patch_os",
    "patch_queue",
    "patch_select",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_thread",
    "patch_time",
    "remove_item",
    "saved",
]

_patched_with: dict[str, bool] = {}
"""What the calls of `patch_all` were told, all together."""

_ONLY_ASKED_FOR = frozenset({"SSLSocket", "SocketType"})
"""Classes by whose names nobody makes sockets; whether something is one of these holds for ours too."""


class _Patched(NamedTuple):
    """One module whose names were replaced."""

    target: ModuleType
    source: ModuleType


def _rows(option: str, targets: Iterable[str] | None = None) -> list[Row]:
    """The rows of an option; NotImplementedError if there are none."""
    if option not in OPTIONS:
        raise NotImplementedError(f"this version of greenswitch has nothing to patch {option} with")
    return [row for row in TABLE if row.option == option and (targets is None or row.target in targets)]


def _replace(rows: list[Row], aggressive: bool = True) -> list[_Patched]:
    """Replace the names of `rows`. Those modules of which nobody said that they are not to be patched."""
    # All imports before the first replacement: what is imported here must find the standard library as it
    # was.
    modules: dict[str, ModuleType] = {}
    for row in list(rows):
        try:
            modules |= {name: import_module(name) for name in (row.target, row.source)}
        except ImportError:
            if not row.optional:
                raise
            rows = [other for other in rows if other is not row]
    for row in rows:
        for name in row.before:
            try:
                import_module(name)
            except ImportError:
                # This interpreter was built without it.
                pass
    patched = []
    for target_name, group in groupby(rows, key=lambda row: row.target):
        together = list(group)
        target, source = modules[target_name], modules[together[0].source]
        new: dict[str, Any] = {}
        removed: list[str] = []
        for row in together:
            new |= {item: getattr(modules[row.source], name) for item, name in row.items.items()}
            more = [name for name in row.some if hasattr(target, name)]
            new |= {name: getattr(modules[row.source], name) for name in more}
            removed += row.removed if aggressive else ()
        if patch_names(target, source, new, removed):
            patched.append(_Patched(target, source))
    return patched


def _tell_all(patched: list[_Patched]) -> bool:
    """Tell that it is done. Was anything?"""
    for target, source in patched:
        tell(events.GeventDidPatchModuleEvent(target.__name__, source, target))
    return bool(patched)


def _patch_or_warn(rows: list[Row], aggressive: bool = True) -> bool:
    """Replace the names of `rows`, by which programs wait for others; and warn of those who have taken what
    was there before, because they go on to use it. Was anything patched?"""
    before = {row.target: set(saved.get(row.target, ())) for row in rows}
    patched = _replace(rows, aggressive)
    replaced = {
        name: saved[target][name]
        for target, names in before.items()
        for name in saved.get(target, {}).keys() - names
        if "." not in name
    }
    late = taken(
        (value for name, value in replaced.items() if name not in _ONLY_ASKED_FOR),
        (value for name, value in replaced.items() if isinstance(value, type) and name != "SocketType"),
    )
    if late:
        warn(
            f"patched too late for {', '.join(late)}: taken from the standard library before, and whoever"
            " waits with it stops all greenlets. Import what it is needed for after patching"
        )
    return _tell_all(patched)


def _patch(option: str, aggressive: bool = True) -> bool:
    return _tell_all(_replace(_rows(option), aggressive))


# By module. The result: was anything patched? It is not where whoever is told beforehand raises DoNotPatch.


def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,
    logging: bool = True,
    existing_locks: bool = True,
) -> bool:
    """Have threads be greenlets: replace what starts, tells apart and locks threads in `_thread` and, if so
    told, in `threading` - with `threading.Event` - and `_threading_local`. The thread objects that there are
    stay what they are: the main thread can be waited for by greenlets, native threads that run already too.

    With `logging`, the locks of that module are replaced if it was imported; with `existing_locks`, locks
    that other modules keep for themselves. Locks of objects that were made before stay native.
    Warns with MonkeyPatchWarning if native threads run already.
    """
    targets = {"_thread"}
    targets |= {"threading"} if threading else set()
    targets |= {"_threading_local"} if _threading_local else set()
    rows = _rows("thread", targets) + (_rows("Event") if threading and Event else [])
    first = not is_object_patched("threading", "get_ident")
    others = other_threads() if first else []
    patched = _replace(sorted(rows, key=lambda row: row.target))
    if first and is_object_patched("threading", "get_ident"):
        adopt_threads()
        if existing_locks:
            replace_locks_of_modules()
        if logging:
            replace_lock_of_logging()
        if others:
            names = ", ".join(thread.name for thread in others)
            warn(
                f"patched while native threads run: {names}. They stay native, and so do the locks that they"
                " were given; a greenlet that waits for such a lock stops all others. Patch before they are"
                " started"
            )
    return _tell_all(patched)


def patch_queue() -> bool:
    """Replace the classes of `queue`."""
    return _patch("queue")


def patch_builtins() -> bool:
    """Do nothing: no built-in function waits for other threads."""
    return False


def patch_contextvars() -> bool:
    """Do nothing: each greenlet has a context of its own."""
    return False


def patch_socket(dns: bool = True, aggressive: bool = True) -> bool:
    """Replace the class `socket.socket` and the functions that make sockets; with `dns` also those that look
    names up. `aggressive` changes nothing and is there for gevent's sake.

    TLS is not among it: unless `ssl` is patched too it goes on to work and blocks the thread.
    """
    return _patch_or_warn(_rows("socket") + (_rows("dns") if dns else []), aggressive)


def patch_dns() -> bool:
    """Replace the functions of `socket` that look names up."""
    return _patch_or_warn(_rows("dns"))


def patch_ssl() -> bool:
    """Replace the class `ssl.SSLSocket`, which contexts make, those as well that were made before, and
    `ssl.get_server_certificate`."""
    return _patch_or_warn(_rows("ssl"))


def patch_time() -> bool:
    """Replace `time.sleep`."""
    return _patch("time")


def patch_select(aggressive: bool = True) -> bool:
    """Replace `select.select`, `poll` and `epoll`, also where `selectors` uses them, and
    `selectors.DefaultSelector`. With `aggressive`, what can only stop the hub is removed: `select.kqueue`,
    `devpoll` and the selectors built on them."""
    return _patch("select", aggressive)


def patch_os() -> bool:
    """Replace what `os` has to make processes and to wait for them, and `os.close`, which tells those who
    wait for the descriptor."""
    return _patch("os")


def patch_signal() -> bool:
    """Replace `signal.signal` and `signal.getsignal`, for the sake of SIGCHLD."""
    return _patch("signal")


def patch_subprocess() -> bool:
    """Replace `subprocess.Popen`, and what `multiprocessing` waits with."""
    return _patch("subprocess")


def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> bool:
    """Replace the standard streams with files whose calls are made in a thread of the hub's pool. A call
    takes long then, and what is printed in the hub itself still blocks."""
    wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    rows = [
        row._replace(items={name: source for name, source in row.items.items() if wanted[name]})
        for row in _rows("sys")
    ]
    return _tell_all(_replace(rows))


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    os: bool | None = None,
    ssl: bool | None = None,
    subprocess: bool | None = None,
    sys: bool | None = False,
    aggressive: bool = True,
    Event: bool = True,
    builtins: bool = True,
    signal: bool | None = None,
    queue: bool = True,
    contextvars: bool = True,
    **kwargs: Any,
) -> bool:
    """Make the standard library cooperative, as far as the words allow: True patches, False does not, None
    patches what this version has something for. Words that are not known here are for those who are told
    (`greenswitch.events`). Call it as early as possible; calling it again does no harm. False if somebody who
    was told raised DoNotPatch.

    Raises NotImplementedError, before anything is patched, for a True that this version has nothing for.
    Warns with MonkeyPatchWarning if it was called before with other words; what either call asked for is
    patched then.
    """
    asked = {
        "socket": socket,
        "dns": dns,
        "time": time,
        "select": select,
        "thread": thread,
        "os": os,
        "ssl": ssl,
        "subprocess": subprocess,
        "sys": sys,
        "aggressive": aggressive,
        "Event": Event,
        "builtins": builtins,
        "signal": signal,
        "queue": queue,
        "contextvars": contextvars,
    }
    missing = [
        option
        for option, wanted in asked.items()
        if wanted and option not in (*OPTIONS, *NOTHING_TO_PATCH, "aggressive")
    ]
    if missing:
        words = ", ".join(f"{option}=True" for option in missing)
        raise NotImplementedError(
            f"patch_all({words}): this version of greenswitch has nothing to patch it with; it has"
            f" {', '.join(OPTIONS)}. Leave the word out to have patched what there is."
        )
    wanted_now = {
        option: option in OPTIONS if wanted is None else bool(wanted) for option, wanted in asked.items()
    }
    if _patched_with and _patched_with != wanted_now:
        warn("patch_all was called more than once, with different arguments; all that was asked for holds")
    new = {option: True for option, wanted in wanted_now.items() if wanted and not _patched_with.get(option)}
    first = not _patched_with
    for option, wanted in wanted_now.items():
        _patched_with[option] = wanted or _patched_with.get(option, False)
    if not new and not first:
        return True
    told = wanted_now if first else new
    try:
        tell(events.GeventWillPatchAllEvent(told, kwargs))
    except events.DoNotPatch:
        _patched_with.clear()
        return False
    # `threading` and what it uses take the real clock for themselves, so threads come before `time`.
    calls: dict[str, Callable[[], object]] = {
        "os": patch_os,
        "thread": lambda: patch_thread(Event=wanted_now["Event"]),
        "time": patch_time,
        "sys": patch_sys,
        "socket": lambda: patch_socket(dns=wanted_now["dns"], aggressive=aggressive),
        "dns": lambda: None if "socket" in new else patch_dns(),
        "select": lambda: patch_select(aggressive),
        "ssl": patch_ssl,
        "subprocess": patch_subprocess,
        "signal": patch_signal,
        "queue": patch_queue,
    }
    for option, call in calls.items():
        if option in new:
            call()
    tell(events.GeventDidPatchBuiltinModulesEvent(told, kwargs))
    tell(events.GeventDidPatchAllEvent(told, kwargs))
    return True
