"""Greenlets that the hub runs: spawn, join, kill, link, and waiting for several of them.

What belongs here: `Greenlet`, its life from the start to the notification of whoever linked to it, and the
functions over many. What never does: groups and pools of them, and anything that waits for something else
than an end.

A greenlet's life: *made*; *started*, when its `switch` stands in the loop's ready queue or a timer;
*running*; *done*, with a value or an exception. Its links are called once, from the loop, in the order in
which they were added.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import ReferenceType, ref

from ._config import config
from ._core import GreenletExit, callsites, get_turn, getcurrent, greenlet
from .exceptions import BlockingSwitchOutError, InvalidSwitchError
from .hub import Hub, Waiter, get_hub, this_thread
from .loop import Loop
from .loop.core import last_look
from .timeout import Timeout

__all__ = ["Greenlet", "iwait", "joinall", "killall", "spawn", "spawn_later", "wait"]

_T = TypeVar("_T")
_G = TypeVar("_G", bound="Greenlet")

_Exception = type[BaseException] | BaseException
_STARTED: Any = object()
_DOOMED: Any = object()
_spawn_callbacks: set[Callable[[Greenlet], object]] = set()


class _Link:
    """A link whose callback runs in a greenlet of its own, so that it may wait."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[Any], object]) -> None:
        self.callback = callback

    def __call__(self, source: Greenlet) -> None:
        greenlet(self.callback, get_hub()).switch(source)

    def __eq__(self, other: object) -> bool:
        return self.callback == (other.callback if isinstance(other, _Link) else other)

    def __hash__(self) -> int:
        return hash(self.callback)

    def __repr__(self) -> str:
        return repr(self.callback)


class _SuccessLink(_Link):
    __slots__ = ()

    def __call__(self, source: Greenlet) -> None:
        if source.successful():
            super().__call__(source)


class _FailureLink(_Link):
    __slots__ = ()

    def __call__(self, source: Greenlet) -> None:
        if not source.successful():
            super().__call__(source)


class _Foreign:
    """The key of a link that was made in another thread than that of the greenlet's hub."""

    __slots__ = ()


class SpawningFrame:
    """One call of the stack that a greenlet was made by. It can be given to what prints the stack of a frame,
    such as `traceback.print_stack`, but has no variables."""

    __slots__ = ("f_back", "f_code", "f_lasti")

    f_globals: ClassVar[dict[str, Any]] = {}
    f_locals: ClassVar[dict[str, Any]] = f_globals

    def __init__(self, code: CodeType, lasti: int, back: SpawningFrame | None) -> None:
        self.f_code = code
        self.f_lasti = lasti
        self.f_back = back

    @property
    def f_lineno(self) -> int:
        """The number of the line that was executed."""
        for start, end, line in self.f_code.co_lines():
            if start <= self.f_lasti < end and line is not None:
                return line
        return self.f_code.co_firstlineno


class Greenlet(greenlet):
    """A greenlet that runs `run(*args, **kwargs)` from the hub.

    Made here, it is not started; `Greenlet.spawn` does both. A subclass may define `_run` instead of passing
    `run`. Raises TypeError if `run` cannot be called.
    """

    __slots__ = (
        "_callsites",
        "_described",
        "_done",
        "_error",
        "_joined_only",
        "_links",
        "_name",
        "_number",
        "_spawner",
        "_start",
        "_target",
        "_trace",
        "_tree_locals",
        "args",
        "kwargs",
        "value",
    )

    args: tuple[Any, ...]
    """The positional arguments of the call; empty when it is done."""
    kwargs: dict[str, Any]
    """The keyword arguments of the call; empty when it is done."""
    value: Any
    """The result of the call, once it is done and did not fail. Of a greenlet that was killed: the
    GreenletExit."""

    spawning_stack_limit: int = 10
    """How many calls `spawning_stack` has at most."""

    def __init__(self, run: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> None:
        turn = get_turn()
        hub = get_hub() if turn is None else turn[0]
        # Cheaper than the base's __init__, which does no more.
        self.parent = hub
        self._target = run
        if not callable(self._run if run is None else run):
            raise TypeError("The run argument or self._run must be callable")
        self.args = args
        self.kwargs = kwargs
        self.value = None
        self._error: BaseException | None = None
        self._done = False
        self._start: Any = None
        """None: not started. What stands in the ready queue, or the timer, that will start it. _STARTED: it
        runs, or is done. _DOOMED: it never will."""
        self._links: dict[object, Callable[[Any], object]] | None = None
        """What to call in the end, in this order. The key of a greenlet that joins is its `id`."""
        self._joined_only: bool | None = True
        """Are all links of greenlets that join? None: no, and some were made in other threads, by the keys of
        which they are known."""
        self._spawner: ReferenceType[greenlet] | None
        self._callsites: tuple[CodeType | int, ...]
        self._tree_locals: dict[Any, Any] | None
        """Absent: nobody asked for it yet, and there is no other greenlet of this tree."""
        if config.track_greenlet_tree:
            current = getcurrent()
            self._spawner = ref(current)
            # Two more, for `spawn` and `run` may be among them and do not count.
            self._callsites = callsites(self.spawning_stack_limit + 2)
            if isinstance(current, Greenlet):
                try:
                    self._tree_locals = current._tree_locals
                except AttributeError:
                    self._tree_locals = current.spawn_tree_locals
        else:
            self._spawner = None
            self._callsites = ()
            self._tree_locals = None

    if TYPE_CHECKING:

        def _run(self, *args: Any, **kwargs: Any) -> Any:
            """What the greenlet runs. A subclass may define it."""

    else:

        @property
        def _run(self):
            target = self._target
            return _nothing if target is None else target

        @_run.setter
        def _run(self, target):
            self._target = target

    # Starting

    @classmethod
    def spawn(cls: type[_G], *args: Any, **kwargs: Any) -> _G:
        """Make a greenlet of these arguments and start it: it runs when the caller waits next. Does not
        block."""
        # What is first in a thread, this or its first greenlet, is also the first to go when the thread ends:
        # the hub must close while it can still be switched to.
        if get_turn() is None:
            getattr(this_thread, "end", None)
        new = cls(*args, **kwargs) if kwargs else cls(*args)
        new.start()
        return new

    @classmethod
    def spawn_later(cls: type[_G], seconds: float, *args: Any, **kwargs: Any) -> _G:
        """Make a greenlet of these arguments that starts after `seconds`. Does not block."""
        new = cls(*args, **kwargs)
        new.start_later(seconds)
        return new

    def start(self) -> None:
        """Run when the caller waits next. Does nothing if it was started before. Does not block."""
        if self._start is None and not self._done:
            if _spawn_callbacks:
                self._call_spawn_callbacks()
            self._start = switch = self.switch
            turn = get_turn()
            if turn is not None and turn[0] is self.parent:
                turn[1](switch)
            else:
                self._post(switch)

    def start_later(self, seconds: float) -> None:
        """Run after `seconds`. Does nothing if it was started before. Does not block."""
        if self._start is None and not self._done:
            if _spawn_callbacks:
                self._call_spawn_callbacks()
            self._start = self.loop.call_later(seconds, self.switch)

    def _post(self, callback: Callable[[], object]) -> None:
        """Have the greenlet's own hub call `callback`, whichever thread this is."""
        hub = get_hub()
        if hub is self.parent:
            hub.loop.ready.append(callback)
        else:
            self.loop.call_threadsafe(callback)

    def _call_spawn_callbacks(self) -> None:
        for callback in list(_spawn_callbacks):
            callback(self)

    @staticmethod
    def add_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Call `callback(greenlet)` whenever a greenlet is started, in the greenlet that starts it."""
        _spawn_callbacks.add(callback)

    @staticmethod
    def remove_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Undo `add_spawn_callback`. Does nothing if it was not called."""
        _spawn_callbacks.discard(callback)

    # Running and ending

    def run(self) -> Any:
        """Called by the switcher, once, in the new greenlet. To be left alone: a subclass defines `_run`."""
        if self._start is _DOOMED:
            return
        self._start = _STARTED
        target = self._target
        try:
            if target is None:
                target = self._run
            self.value = target(*self.args, **self.kwargs) if self.kwargs else target(*self.args)
        except BaseException as error:
            trace = error.__traceback__
            self._fail(error.with_traceback(None if trace is None else trace.tb_next))
            # The greenlet holds the traceback, and that, by way of its frames, this frame.
            del self, trace
        else:
            self._finish()

    def _finish(self) -> None:
        self._done = True
        self._target = None
        self.args = ()
        if self.kwargs:
            self.kwargs = {}
        links = self._links
        if links:
            turn = get_turn()
            if turn is None or turn[0] is not self.parent:
                self._post(self._notify_links)
            elif self._joined_only:
                # Nobody but greenlets that wait: the loop wakes each of them itself. What another thread adds
                # meanwhile stays: it sees that this is done.
                for key in list(links):
                    if type(key) is int:
                        turn[1](links.pop(key))
            else:
                turn[1](self._notify_links)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, GreenletExit):
            self.value = error
            self._finish()
            return
        self._describe()
        self._trace = error.__traceback__
        self._error = error
        self._finish()
        get_hub().handle_error(self, type(error), error, error.__traceback__)

    def _die_before_start(self, exception: _Exception) -> bool:
        """End with `exception`, unless it runs. Was it so?"""
        if not isinstance(exception, BaseException):
            exception = exception() if isinstance(exception, type) else BaseException(exception)
        # Its own thread may be just about to start it, but no other thread comes between these lines.
        start = self._start
        if start is _STARTED or start is _DOOMED:
            return start is _DOOMED
        self._start = _DOOMED
        if start is not None:
            loop = self.loop
            turn = get_turn()
            if turn is not None and loop is turn[3]:
                if isinstance(start, list):
                    loop.cancel_timer(start)
                else:
                    loop.cancel_ready(start)
            elif isinstance(start, list):
                loop.call_threadsafe(partial(loop.cancel_timer, start))
        self._fail(exception)
        return True

    def throw(self, *args: Any) -> Any:
        """Switch to the greenlet now and raise the exception in it. One that does not run yet ends with it
        without running; one that is done is left alone."""
        if self._done:
            return None
        if self._start is _STARTED:
            return greenlet.throw(self, *args)
        error = args[0] if args else GreenletExit
        if isinstance(error, type):
            value = args[1] if len(args) > 1 else None
            if isinstance(value, BaseException):
                error = value
            else:
                error = error() if value is None else error(value)
        self._die_before_start(error)
        return None

    # State

    def ready(self) -> bool:
        """Is it done?"""
        return self._done

    def successful(self) -> bool:
        """Is it done, without an exception? A greenlet that was killed by GreenletExit counts as
        successful."""
        return self._done and self._error is None

    @property
    def dead(self) -> bool:
        """Will it never run (again)?"""
        return self._done or greenlet.dead.__get__(self)

    @property
    def started(self) -> bool:
        """Was it started, and is it not done yet?"""
        return self._start is not None and not self._done

    def __bool__(self) -> bool:
        return self._start is not None and not self._done

    @property
    def exception(self) -> BaseException | None:
        """What it failed with; None if it did not, or is not done."""
        return self._error

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
        """Class, exception and traceback of what it failed with, or None."""
        error = self._error
        return None if error is None else (type(error), error, self._trace)

    def _raise_exception(self) -> None:
        if self._error is not None:
            # As it failed: raised again and again, it would gather the frames of everybody who asked.
            raise self._error.with_traceback(self._trace)

    @property
    def loop(self) -> Loop:
        return _hub_of(self).loop

    # Where it comes from

    @property
    def spawning_greenlet(self) -> ReferenceType[greenlet] | None:
        """A weak reference to the greenlet that made this one; None if that is not tracked."""
        return self._spawner

    @property
    def spawning_stack(self) -> SpawningFrame | None:
        """The calls that made this greenlet, the innermost one, with the others behind its `f_back`; None if
        that is not tracked."""
        sites: Any = self._callsites
        calls = [call for call in zip(sites[::2], sites[1::2], strict=True) if call[0] not in _own_code]
        frame = None
        for code, lasti in reversed(calls[: self.spawning_stack_limit]):
            frame = SpawningFrame(code, lasti, frame)
        return frame

    @property
    def spawn_tree_locals(self) -> dict[Any, Any] | None:
        """A dictionary that this greenlet shares with those that it makes, and they with theirs; one that was
        made in the main greenlet, in the hub or by something that is no Greenlet has a new one. None if that
        is not tracked."""
        try:
            return self._tree_locals
        except AttributeError:
            self._tree_locals = {}
            return self._tree_locals

    @spawn_tree_locals.setter
    def spawn_tree_locals(self, value: dict[Any, Any] | None) -> None:
        self._tree_locals = value

    # Name

    @property
    def minimal_ident(self) -> int:
        """A small number: the smallest that no other living greenlet of this hub had when it was first asked
        for."""
        try:
            return self._number
        except AttributeError:
            self._number: int = _hub_of(self).idents.take(self)
            return self._number

    @property
    def name(self) -> str:
        """ "Greenlet-" and the `minimal_ident`, unless it is set. Part of the repr once it was asked for."""
        try:
            return self._name
        except AttributeError:
            self._name: str = f"Greenlet-{self.minimal_ident}"
            return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    def _describe(self) -> str:
        """The call, for the repr."""
        try:
            return self._described
        except AttributeError:
            pass
        function = self._target
        if function is None:
            described = "_run"
        elif hasattr(function, "__self__"):
            described = repr(function)
        else:
            described = getattr(function, "__name__", None) or repr(function)
        arguments = [repr(arg)[:50] for arg in self.args]
        arguments += [f"{key}={repr(value)[:50]}" for key, value in self.kwargs.items()]
        if arguments:
            described += f"({', '.join(arguments)})"
        self._described: str = described
        return described

    def __repr__(self) -> str:
        try:
            name = f' "{self._name}"'
        except AttributeError:
            name = ""
        return f"<{type(self).__name__}{name} at {id(self):#x}: {self._describe()}>"

    # Links

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Call `callback(self)` in the hub when the greenlet is done, where it must not wait; from the loop
        even if it is done already. TypeError if it cannot be called."""
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        links = self._links
        if links is None:
            self._links = links = {}
        key: object = callback
        try:
            if callback in links:
                key = object()
        except TypeError:
            # Cannot be hashed.
            key = object()
        turn = get_turn()
        if turn is None or turn[0] is not self.parent:
            key = _Foreign()
            self._joined_only = None
        elif self._joined_only:
            self._joined_only = False
        links[key] = callback
        if self._done:
            self._post(self._notify_links)

    def link(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[..., Callable[[Any], object]] = _Link
    ) -> None:
        """Call `callback(self)` in a new greenlet when this one is done."""
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        self.rawlink(SpawnedLink(callback))

    def link_value(
        self,
        callback: Callable[[Any], object],
        SpawnedLink: Callable[..., Callable[[Any], object]] = _SuccessLink,
    ) -> None:
        """`link`, but only if it is successful."""
        self.link(callback, SpawnedLink)

    def link_exception(
        self,
        callback: Callable[[Any], object],
        SpawnedLink: Callable[..., Callable[[Any], object]] = _FailureLink,
    ) -> None:
        """`link`, but only if it fails."""
        self.link(callback, SpawnedLink)

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Undo one `link` or `rawlink` of `callback`. Does nothing if there is none."""
        links = self._links
        if not links:
            return
        try:
            if links.pop(callback, None) is not None:
                return
        except TypeError:
            pass
        for key, link in list(links.items()):
            if link == callback:
                del links[key]
                return

    def unlink_all(self) -> None:
        """Undo all links. Greenlets that wait in `join` or `get` are no links."""
        links = self._links
        if links:
            for key in [key for key in links if not isinstance(key, int)]:
                del links[key]

    def has_links(self) -> bool:
        return bool(self._links)

    def _notify_links(self) -> None:
        links = self._links
        if not links:
            return
        keys = list(links)
        if self._joined_only is None:
            # Other threads first: who joins here is switched to, and with him this thread may end.
            keys.sort(key=lambda key: not isinstance(key, _Foreign))
        try:
            # Whoever is called may make another one leave: only those still in there are called.
            for key in keys:
                link = links.pop(key, None)
                if link is not None:
                    try:
                        link(self)
                    except BaseException as error:
                        hub = _hub_of(self)
                        if hub.loop.closed:
                            # It is the hub that is to end, here where it has switched to one who joins.
                            raise
                        trace = error.__traceback__
                        hub.handle_error((link, self), type(error), error, trace and trace.tb_next)
        except BaseException:
            # Out of a signal handler, or a `handle_error` that somebody has replaced.
            self.loop.ready.append(self._notify_links)
            raise

    # Waiting

    def _wait(self, timeout: float | None) -> bool:
        """Wait for the end. False after `timeout` seconds; a Timeout in their place raises itself."""
        if self._done:
            return True
        if timeout is not None and hasattr(timeout, "__enter__"):
            own: Any = timeout
            with own:
                return self._wait(None)
            # A silent one.
            return False
        turn = get_turn()
        hub: Hub = get_hub() if turn is None else turn[0]
        if hub is not self.parent:
            return self._wait_elsewhere(timeout)
        current = getcurrent()
        if current is hub:
            raise BlockingSwitchOutError("Impossible to call blocking function in the event loop callback")
        links = self._links
        if links is None:
            self._links = links = {}
        switch = current.switch
        key = id(current)
        _since = last_look[0]  # For `_waits`.
        timer = None if timeout is None else hub.loop.call_later(timeout, switch)
        try:
            links[key] = switch
            told = hub.suspend()
        except BaseException:
            if timer is not None:
                hub.loop.cancel_timer(timer)
            if links.pop(key, None) is None:
                hub.loop.cancel_ready(switch)
            raise
        if timer is None:
            if self._done:
                return True
        elif timer[2] is None:
            if links.pop(key, None) is not None:
                return False
            # The timer was called first, the wake-up is on its way.
            hub.loop.cancel_ready(switch)
            return True
        else:
            hub.loop.cancel_timer(timer)
            if self._done:
                return True
        links.pop(key, None)
        raise InvalidSwitchError(f"Invalid switch into Greenlet.join(): {told!r}")

    def _wait_elsewhere(self, timeout: float | None) -> bool:
        """`_wait` from another thread, or where the parent is not the hub."""
        waiter = Waiter()
        self.rawlink(waiter.wake)
        try:
            return waiter.wait(timeout)
        finally:
            self.unlink(waiter.wake)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the greenlet is done, or for `timeout` seconds."""
        self._wait(timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for the result and return it, or raise what the greenlet failed with. Raises Timeout after
        `timeout` seconds, or at once if it is not done and `block` is false."""
        if not self._done and not (block and self._wait(timeout)):
            raise Timeout(timeout if block else None)
        if self._error is not None:
            self._raise_exception()
        return self.value

    def kill(
        self, exception: _Exception = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Raise `exception` in the greenlet, wherever it waits, from the loop; a greenlet that does not run
        yet is done with it at once. With `block` wait until it is done, `timeout` seconds at most. Does
        nothing if it is done."""
        if self._done:
            return
        if self._start is not _STARTED and self._die_before_start(exception):
            return
        self._post(partial(_kill, self, exception))
        if block:
            self.join(timeout)

    def __enter__(self: _G) -> _G:
        return self

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wait until the greenlet is done. If the block raised, or the waiting does, kill the greenlet with
        that."""
        try:
            if v is None:
                self.join()
        except BaseException as error:
            self.kill(error)
            raise
        if v is not None:
            self.kill(v)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What a greenlet without a function runs."""


def _hub_of(target: greenlet) -> Hub:
    parent = target.parent
    while not isinstance(parent, Hub):
        if parent is None:
            raise RuntimeError(f"{target!r} is not a child of a hub")
        parent = parent.parent
    return parent


def _kill(target: Greenlet, exception: _Exception) -> None:
    if not target._done:
        target.throw(exception)


spawn = Greenlet.spawn
spawn_later = Greenlet.spawn_later

_own_code = {
    Greenlet.run.__code__,
    *(vars(Greenlet)[name].__func__.__code__ for name in ("spawn", "spawn_later")),
}


class _Gather:
    """A link to many: keeps what ended, and wakes the one who waits when enough has."""

    __slots__ = ("ended", "times", "waiter", "wanted")

    def __init__(self) -> None:
        self.ended: deque[Any] = deque()
        self.times: dict[int, int] = {}
        """How often those are wanted that are wanted more than once, by their `id`."""
        self.waiter: Waiter | None = None
        self.wanted = 0

    def __call__(self, source: Any) -> None:
        self.ended.append(source)
        if self.times:
            self.ended.extend([source] * (self.times.get(id(source), 1) - 1))
        waiter = self.waiter
        if waiter is not None and len(self.ended) >= self.wanted:
            waiter.wake()

    def wait(self, wanted: int, timeout: float | None) -> bool:
        """Wait until `wanted` ended that were not taken out yet. False after `timeout` seconds."""
        if len(self.ended) >= wanted:
            return True
        self.wanted = wanted
        self.waiter = waiter = Waiter()
        # Another thread may have added the last one before it could see the waiter.
        if len(self.ended) >= wanted:
            return True
        try:
            return waiter.wait(timeout)
        finally:
            self.waiter = None


def _link_all(objects: list[Any], gather: _Gather) -> None:
    unique = {id(item): item for item in objects}
    if len(unique) < len(objects):
        # A second link to the same object need not be another one.
        for item in objects:
            gather.times[id(item)] = gather.times.get(id(item), 0) + 1
    for item in unique.values():
        item.rawlink(gather)


def _unlink_all(objects: list[Any], gather: _Gather) -> None:
    for item in objects:
        item.unlink(gather)


class _IWait(Iterator[_T]):
    """What `iwait` gives: an iterator that can be left in the middle, with `close` or the end of a block."""

    __slots__ = ("_ready",)

    def __init__(self, ready: Iterator[_T]) -> None:
        self._ready: Any = ready

    def __next__(self) -> _T:
        item: _T = next(self._ready)
        return item

    def close(self) -> None:
        """Undo the waiting."""
        self._ready.close()

    def __enter__(self) -> _IWait[_T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def iwait(objects: Iterable[_T] | None, timeout: float | None = None, count: int | None = None) -> _IWait[_T]:
    """Yield each of `objects` (greenlets, events, anything with `rawlink` and `unlink`) as it becomes ready,
    at most `count` of them, and stop after `timeout` seconds. With None wait as `wait(None)` and yield its
    result. At the end of a `with` block nothing is waited for any more."""
    return _IWait(_iwait(objects, timeout, count))


def _iwait(objects: Iterable[_T] | None, timeout: float | None, count: int | None) -> Iterator[_T]:
    if objects is None:
        yield get_hub().join(timeout)  # type: ignore[misc]
        return
    waiting = list(objects)
    left = len(waiting) if count is None else min(count, len(waiting))
    if left <= 0:
        return
    gather = _Gather()
    loop = get_hub().loop
    deadline = None
    if timeout is not None:
        loop.update_now()
        deadline = loop.now() + timeout
    try:
        _link_all(waiting, gather)
        while left:
            if deadline is not None:
                loop.update_now()
                timeout = max(0.0, deadline - loop.now())
            if not gather.wait(1, timeout):
                return
            left -= 1
            yield gather.ended.popleft()
    finally:
        _unlink_all(waiting, gather)


def wait(objects: Iterable[_T] | None = None, timeout: float | None = None, count: int | None = None) -> Any:
    """Wait until `count` of `objects` (all, by default) are ready, `timeout` seconds at most. The list of
    those that are, in the order in which they became so.

    With None wait until nothing is left to do in this thread, and return whether that is so.
    """
    if objects is None:
        return get_hub().join(timeout)
    waiting = list(objects)
    wanted = len(waiting) if count is None else min(count, len(waiting))
    if wanted <= 0:
        return []
    gather = _Gather()
    try:
        _link_all(waiting, gather)
        gather.wait(wanted, timeout)
    finally:
        _unlink_all(waiting, gather)
    return list(gather.ended)[:wanted]


def joinall(
    greenlets: Iterable[_G], timeout: float | None = None, raise_error: bool = False, count: int | None = None
) -> list[_G]:
    """Wait until `count` of `greenlets` (all, by default) are done, `timeout` seconds at most. The list of
    those that are, in the order of their ends. With `raise_error` the first failure is raised as soon as it
    happens."""
    if not raise_error:
        return list(wait(greenlets, timeout, count))
    done = []
    for item in iwait(greenlets, timeout, count):
        # Events and semaphores have none.
        exception = getattr(item, "exception", None)
        if exception is not None:
            raise exception
        done.append(item)
    return done


def killall(
    greenlets: Iterable[greenlet],
    exception: _Exception = GreenletExit,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    """Kill all of `greenlets`, from the loop, those that do not run yet at once. With `block` wait until they
    are done; Timeout if that takes more than `timeout` seconds."""
    running: list[Greenlet] = []
    for item in list(greenlets):
        if isinstance(item, Greenlet):
            if not item._done:
                item.kill(exception, block=False)
                if not item._done:
                    running.append(item)
        elif not item.dead:
            hub = get_hub()
            hub.loop.ready.append(partial(_throw_raw, item, exception))
    if block and running and len(wait(running, timeout)) < len(running):
        raise Timeout(timeout)


def _throw_raw(target: greenlet, exception: _Exception) -> None:
    if not target.dead:
        target.throw(exception)
