"""The types of the C extension: greenlet's names, and what the hub needs of it besides."""

import sys
from collections.abc import Callable
from contextvars import Context
from types import CodeType, FrameType, TracebackType
from typing import Any

from typing_extensions import disjoint_base

class error(Exception):
    """A switch that cannot be made."""

class GreenletExit(BaseException):
    """Ends the greenlet that it is raised in, silently."""

@disjoint_base
class greenlet:
    """A greenlet: a C stack and a Python stack of its own within the current thread.

    * `run`: what the first `switch()` calls; a subclass may define it as a method instead.
    * `parent`: the greenlet that gets the outcome, a value or an exception; by default the current one.

    A suspended greenlet that nobody refers to any more gets GreenletExit raised where it is.
    """

    GreenletExit: type[GreenletExit]
    error: type[error]
    run: Callable[..., Any]
    """What is called when the greenlet is started. It is gone after that."""
    parent: greenlet | None
    """Who gets this greenlet's outcome. None for main greenlets."""
    gr_context: Context | None
    """The `contextvars.Context` that the greenlet runs in. None: an empty one, not yet made."""
    __dict__: dict[str, Any]
    def __init__(self, run: Callable[..., Any] | None = None, parent: greenlet | None = None) -> None: ...
    @property
    def dead(self) -> bool:
        """True once the greenlet has ended, or its thread has."""
    @property
    def gr_frame(self) -> FrameType | None:
        """The topmost frame while suspended, otherwise None."""
    @property
    def _stack_saved(self) -> int: ...
    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """Suspend the current greenlet and go on in this one.

        One that has not been started calls `run(*args, **kwargs)`. In a suspended one the pending `switch()`
        returns: `()` for no argument, a single argument itself, several as a tuple, keywords as a dict, both
        as a pair of tuple and dict. A dead one stands for its parent.

        Returns, by the same rule, what is handed over when somebody switches back; raises what is thrown.
        `greenswitch.error`: the greenlet belongs to another thread.
        """
    def throw(
        self,
        typ: type[BaseException] | BaseException = ...,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """Suspend the current greenlet and raise an exception in this one.

        One that has not been started ends without running; a dead one stands for its parent. GreenletExit,
        where it is not caught, ends a greenlet as if it had returned the exception. Results and errors as of
        `switch()`.
        """
    def __bool__(self) -> bool: ...
    @staticmethod
    def getcurrent() -> greenlet:
        """The greenlet that runs: this thread's main greenlet, if no other was started."""
    @staticmethod
    def settrace(callback: Callable[[str, tuple[greenlet, greenlet]], Any] | None, /) -> Any:
        """Have `callback(event, (origin, target))` called in this thread after each switch; None ends it.

        `event` is `'switch'` or `'throw'`. The callback runs in the target; if it raises, it is removed and
        its exception is raised there. Returns the former callback or None.
        """
    @staticmethod
    def gettrace() -> Any:
        """What `settrace()` was given last in this thread, or None."""

def getcurrent() -> greenlet:
    """The greenlet that runs: this thread's main greenlet, if no other was started."""

def settrace(callback: Callable[[str, tuple[greenlet, greenlet]], Any] | None, /) -> Any:
    """Have `callback(event, (origin, target))` called in this thread after each switch; None ends it.

    `event` is `'switch'` or `'throw'`. The callback runs in the target; if it raises, it is removed and its
    exception is raised there. Returns the former callback or None.
    """

def gettrace() -> Any:
    """What `settrace()` was given last in this thread, or None."""

def get_turn() -> Any:
    """What `set_turn` was given last in this native thread, or None."""

def set_turn(value: object, /) -> None:
    """Keep `value` for this native thread, until the next call or the thread's end."""

def guard(
    finalizer: Callable[[Any], object], report: Callable[[BaseException], object], /
) -> Callable[[Any], None]:
    """A `__del__` that calls `finalizer(object)`. If that raises, as a signal handler that comes in may, it
    is called once more, and then `report(exception)`."""

def callsites(limit: int, /) -> tuple[CodeType | int, ...]: ...

# Capsules, both over the same table: typeshed has a name for their type from CPython 3.13 on only.
_C_API: object
_greenlet_C_API: object

# What greenlet's own tests look at.
CLOCKS_PER_SEC: int
GREENLET_USE_CONTEXT_VARS: int
GREENLET_USE_GC: int
GREENLET_USE_STANDARD_THREADING: int
GREENLET_USE_TRACING: int

def enable_optional_cleanup(enabled: object, /) -> None: ...
def get_clocks_used_doing_optional_cleanup() -> int | None: ...
def get_pending_cleanup_count() -> int: ...
def get_total_main_greenlets() -> int: ...
def keep_chunks(keep: object, /) -> None: ...
def name_as_greenlet() -> None: ...
def set_thread_local(key: object, value: object, /) -> None: ...

if sys.version_info < (3, 13):
    def get_tstate_trash_delete_nesting() -> int: ...
