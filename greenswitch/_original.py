"""The unpatched standard-library functions that the package itself uses, taken once at import.

What belongs here: plain names for things of the interpreter that `greenswitch.monkey` may later replace in
their home modules. What never does: anything of our own, and anything that is only needed by one patched
module (such a module keeps what it replaces itself).

Where a C module holds the real thing (`_thread`, `_socket`), it is taken from there: nobody
patches those, and the Python module around it need not be imported.
"""

from __future__ import annotations

import os as _os
import select as _select
import signal as _signal
import time as _time
from _queue import SimpleQueue
from _socket import getaddrinfo, gethostbyaddr, gethostbyname, gethostbyname_ex, getnameinfo
from _thread import RLock, allocate_lock, get_ident, start_new_thread
from _thread import _count as thread_count
from _thread import _local as local
from collections.abc import Callable
from typing import Any

__all__ = [
    "RLock",
    "SimpleQueue",
    "allocate_lock",
    "get_ident",
    "get_signal",
    "getaddrinfo",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "local",
    "monotonic",
    "os_close",
    "os_fork",
    "os_forkpty",
    "os_pipe",
    "os_read",
    "os_readv",
    "os_set_blocking",
    "os_stat",
    "os_waitpid",
    "os_write",
    "perf_counter",
    "pidfd_open",
    "select_epoll",
    "select_kqueue",
    "select_poll",
    "select_select",
    "set_signal",
    "set_wakeup_fd",
    "start_new_thread",
    "thread_count",
    "time",
    "time_sleep",
]

monotonic = _time.monotonic
perf_counter = _time.perf_counter
time = _time.time
time_sleep = _time.sleep

get_signal = _signal.getsignal
set_signal = _signal.signal
set_wakeup_fd = _signal.set_wakeup_fd

os_close = _os.close
os_fork = _os.fork
os_forkpty = _os.forkpty
os_pipe = _os.pipe
os_read = _os.read
os_readv = _os.readv
os_set_blocking = _os.set_blocking
os_stat = _os.stat
os_waitpid = _os.waitpid
os_write = _os.write

pidfd_open: Callable[[int], int] | None = getattr(_os, "pidfd_open", None)
"""None where the system has none."""

# None where the system has none.
select_epoll: Any = getattr(_select, "epoll", None)
select_kqueue: Any = getattr(_select, "kqueue", None)
select_poll: Any = getattr(_select, "poll", None)
select_select = _select.select
