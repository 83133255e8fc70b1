"""What is patched, as data.

What belongs here: one row for each module of the standard library and each word of `patch_all`. What never
does: how a name is replaced (the package), and what it is replaced with (the modules named here).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

__all__ = ["NOTHING_TO_PATCH", "OPTIONS", "TABLE", "Row"]


class Row(NamedTuple):
    """Names of one module that are replaced together."""

    option: str
    """The word of `patch_all`."""
    target: str
    """The module whose names are replaced."""
    source: str
    """The module that has the replacements."""
    items: Mapping[str, str]
    """From the replaced name to the one in `source`. A dot leads into a class."""
    removed: tuple[str, ...] = ()
    """Names that can only stop the hub; taken away if the patching is to be aggressive."""
    before: tuple[str, ...] = ()
    """Modules that must have been imported before, because they need to find the standard names."""
    optional: bool = False
    """Is the row left out where the interpreter was built without the module?"""
    some: tuple[str, ...] = ()
    """More names, the same in both modules, of which each version of CPython has some."""


def _same(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


def _there(module: str, names: str) -> dict[str, str]:
    """Those of `names` that the standard module has on this system."""
    try:
        found = import_module(module)
    except ImportError:
        return {}
    return {name: name for name in names.split() if hasattr(found, name)}


_ROWS: tuple[Row, ...] = (
    Row(
        "thread",
        "_thread",
        "greenswitch.thread",
        _same("LockType _count _local allocate_lock exit get_ident stack_size start_new_thread"),
        # What `threading` takes over at its import must be the standard one's to begin with. The futures give
        # `os.fork` a lock to take: a native one, as nobody may switch in there; it is then theirs no more.
        before=("threading", "concurrent.futures.thread"),
        some=(
            *("_ThreadHandle", "_make_thread_handle", "_set_sentinel", "start_joinable_thread"),
            *("allocate", "exit_thread", "lock", "start_new"),
        ),
    ),
    Row(
        "thread",
        "threading",
        "greenswitch.threading",
        _same("Lock _CRLock _DummyThread _allocate_lock get_ident local stack_size"),
        some=(
            *("_LockType", "_ThreadHandle", "_get_main_thread_ident", "_make_thread_handle", "_set_sentinel"),
            *("_start_joinable_thread", "_start_new_thread", "_thread_shutdown"),
        ),
    ),
    Row("thread", "_threading_local", "greenswitch.local", _same("local")),
    Row("Event", "threading", "greenswitch.event", _same("Event")),
    Row(
        "socket",
        "socket",
        "greenswitch.socket",
        _same("SocketType create_connection create_server fromfd socket socketpair"),
        # ssl.SSLSocket derives from the class it finds, and ours from both. Where TLS is not patched, it
        # leaves the waiting to OpenSSL and the timeout of the system's socket, and one of ours never blocks.
        before=("ssl",),
    ),
    Row(
        "dns",
        "socket",
        "greenswitch.socket",
        _same("getaddrinfo getfqdn gethostbyaddr gethostbyname gethostbyname_ex getnameinfo"),
    ),
    Row("queue", "queue", "greenswitch.queue", _same("LifoQueue PriorityQueue Queue SimpleQueue")),
    Row("time", "time", "greenswitch.time", _same("sleep")),
    Row("ssl", "ssl", "greenswitch.ssl", _there("ssl", "SSLSocket get_server_certificate")),
    # Contexts make sockets of this class, also those that were made before. SSLContext itself stays: its
    # methods look for it by its name.
    Row("ssl", "ssl", "greenswitch.ssl", {"SSLContext.sslsocket_class": "SSLSocket"}),
    Row(
        "select",
        "select",
        "greenswitch.select",
        _there("select", "epoll poll select"),
        removed=("devpoll", "kevent", "kqueue"),
    ),
    # The selectors took hold of the functions above when they were imported.
    Row(
        "select",
        "selectors",
        "greenswitch.select",
        {
            "SelectSelector._select": "select",
            **{f"{name.title()}Selector._selector_cls": name for name in _there("select", "epoll poll")},
        },
        removed=("DevpollSelector", "KqueueSelector"),
    ),
    Row("select", "selectors", "greenswitch.selectors", {"DefaultSelector": "DefaultSelector"}),
    Row("os", "os", "greenswitch.os", _same("close fork forkpty wait waitpid")),
    Row("signal", "signal", "greenswitch.signal", _same("getsignal signal")),
    # The module's functions look it up when they are called.
    Row("subprocess", "subprocess", "greenswitch.subprocess", _same("Popen")),
    Row(
        "subprocess",
        "_multiprocessing",
        "greenswitch._multiprocessing",
        _same("SemLock"),
        optional=True,
    ),
    Row(
        "subprocess",
        "multiprocessing.connection",
        "greenswitch._multiprocessing",
        {
            "Connection._recv.__defaults__": "recv_defaults",
            "Connection._send.__defaults__": "send_defaults",
        },
        optional=True,
    ),
    Row(
        "subprocess",
        "multiprocessing.process",
        "greenswitch._multiprocessing",
        {"BaseProcess._bootstrap": "bootstrap"},
        optional=True,
    ),
    Row("sys", "sys", "greenswitch._streams", _same("stderr stdin stdout")),
)

TABLE = tuple(row for row in _ROWS if row.option != "ssl" or _there("ssl", "SSLSocket"))
"""The rows; without those for a module that this interpreter was built without."""

OPTIONS: tuple[str, ...] = tuple(dict.fromkeys(row.option for row in TABLE))
"""The words of `patch_all` that this version has something for."""

NOTHING_TO_PATCH: tuple[str, ...] = ("builtins", "contextvars")
"""Words of `patch_all` for modules that are cooperative as they are."""
