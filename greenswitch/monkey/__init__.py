"""Making the standard library cooperative: its blocking names are replaced with this package's, in place.

What belongs here: how a name is replaced, remembered and asked for. What never does: which names (`table`).

Patch first, before other imports: a module that has said `from socket import socket` keeps what it got.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, overload

from .table import NOTHING_TO_PATCH, OPTIONS, TABLE, Row

__all__ = [
    "MonkeyPatchWarning",
    "get_original",
    "is_module_patched",
    "is_object_patched",
    "patch_all",
    "patch_builtins",
    "patch_dns",
    "patch_item",
    "patch_module",
    "patch_os",
    "patch_select",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_time",
    "remove_item",
    "saved",
]

_MISSING = object()

saved: dict[str, dict[str, Any]] = {}
"""The standard library's own objects by module and name, of what was patched."""

_patched_with: dict[str, bool] | None = None
"""What the first `patch_all` was told."""


class MonkeyPatchWarning(RuntimeWarning):
    """Patching will not do what was probably meant."""


# Asking


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
        return originals[item] if item in originals else _get(module, item)

    return original(item_name) if isinstance(item_name, str) else [original(item) for item in item_name]


# Replacing


def patch_item(module: ModuleType, attr: str, newitem: Any) -> None:
    """Replace `attr` of `module` and remember what it was. A dot in `attr` leads into a class."""
    old = _get(module, attr, _MISSING)
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


def patch_module(
    target_module: ModuleType, source_module: ModuleType, items: Iterable[str] | None = None
) -> bool:
    """Replace `items` of `target_module` with those of the same names in `source_module`; `items` are the
    names in `source_module.__implements__` if they are not given. AttributeError if a name is missing.
    True."""
    if items is None:
        items = getattr(source_module, "__implements__", None)
        if items is None:
            raise AttributeError(f"{source_module.__name__} does not say in __implements__ what it replaces")
    new = [(item, getattr(source_module, item)) for item in items]
    for item, value in new:
        patch_item(target_module, item, value)
    return True


def _owner(module: ModuleType, attr: str) -> tuple[Any, str]:
    path = attr.split(".")
    owner: Any = module
    for name in path[:-1]:
        owner = getattr(owner, name)
    return owner, path[-1]


def _get(module: ModuleType, attr: str, *default: Any) -> Any:
    owner, name = _owner(module, attr)
    return getattr(owner, name, *default)


def _patch(option: str, aggressive: bool = True) -> None:
    rows = [row for row in TABLE if row.option == option]
    # All imports before the first replacement: what is imported here must find the standard library as it
    # was.
    modules = []
    for row in rows:
        try:
            modules.append((row, import_module(row.target), import_module(row.source)))
        except ImportError:
            if not row.optional:
                raise
    for row in rows:
        for name in row.before:
            try:
                import_module(name)
            except ImportError:
                # This interpreter was built without it.
                pass
    for row, target, source in modules:
        _patch_row(row, target, source, aggressive)


def _patch_row(row: Row, target: ModuleType, source: ModuleType, aggressive: bool) -> None:
    for item, name in row.items.items():
        patch_item(target, item, getattr(source, name))
    if aggressive:
        for item in row.removed:
            remove_item(target, item)


def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Replace the class `socket.socket` and the functions that make sockets; with `dns` also those that look
    names up. `aggressive` changes nothing and is there for gevent's sake.

    TLS is not among it: unless `ssl` is patched too it goes on to work and blocks the thread.
    """
    _patch("socket", aggressive)
    if dns:
        patch_dns()


def patch_dns() -> None:
    """Replace the functions of `socket` that look names up."""
    _patch("dns")


def patch_time() -> None:
    """Replace `time.sleep`."""
    _patch("time")


def patch_ssl() -> None:
    """Replace the class `ssl.SSLSocket`, which contexts make, those as well that were made before, and
    `ssl.get_server_certificate`."""
    _patch("ssl")


def patch_select(aggressive: bool = True) -> None:
    """Replace `select.select`, `poll` and `epoll`, also where `selectors` uses them, and
    `selectors.DefaultSelector`. With `aggressive`, what can only stop the hub is removed: `select.kqueue`,
    `devpoll` and the selectors built on them."""
    _patch("select", aggressive)


def patch_os() -> None:
    """Replace what `os` has to make processes and to wait for them, and `os.close`, which tells those who
    wait for the descriptor."""
    _patch("os")


def patch_signal() -> None:
    """Replace `signal.signal` and `signal.getsignal`, for the sake of SIGCHLD."""
    _patch("signal")


def patch_subprocess() -> None:
    """Replace `subprocess.Popen`, and what `multiprocessing` waits with."""
    _patch("subprocess")


def patch_builtins() -> None:
    """Does nothing: there is nothing in `builtins` that waits."""


def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None:
    """Replace the standard streams with files whose calls are made in a thread of the hub's pool. A call
    takes long then, and what is printed in the hub itself still blocks."""
    wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    for row in TABLE:
        if row.option == "sys":
            items = {name: source for name, source in row.items.items() if wanted[name]}
            _patch_row(row._replace(items=items), import_module(row.target), import_module(row.source), False)


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool | None = None,
    os: bool | None = None,
    ssl: bool | None = None,
    subprocess: bool | None = None,
    sys: bool | None = False,
    aggressive: bool = True,
    Event: bool | None = None,
    builtins: bool | None = None,
    signal: bool | None = None,
    queue: bool | None = None,
    contextvars: bool | None = None,
) -> bool:
    """Make the standard library cooperative, as far as the words allow: True patches, False does not, None
    patches what this version has something for. Call it as early as possible; calling it again does no harm.
    True.

    Raises NotImplementedError, before anything is patched, for a True that this version has nothing for.
    Warns with MonkeyPatchWarning if it was called before with other words; what either call asked for is
    patched then.
    """
    global _patched_with
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
        "Event": Event,
        "builtins": builtins,
        "signal": signal,
        "queue": queue,
        "contextvars": contextvars,
    }
    missing = [
        option
        for option, wanted in asked.items()
        if wanted and option not in OPTIONS and option not in NOTHING_TO_PATCH
    ]
    if missing:
        words = ", ".join(f"{option}=True" for option in missing)
        raise NotImplementedError(
            f"patch_all({words}): this version of greenswitch has nothing to patch it with; it has"
            f" {', '.join(OPTIONS)}. Leave the word out to have patched what there is."
        )
    wanted_now = {option: asked[option] is None or bool(asked[option]) for option in OPTIONS}
    if _patched_with is not None and _patched_with != wanted_now:
        warnings.warn(
            "patch_all was called more than once, with different arguments; all that was asked for holds",
            MonkeyPatchWarning,
            stacklevel=2,
        )
    _patched_with = wanted_now
    for option, wanted in wanted_now.items():
        if wanted:
            _patch(option, aggressive)
    return True
