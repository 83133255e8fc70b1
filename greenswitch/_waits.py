"""Who waits for what, since when, at which line: read from the frames of suspended greenlets.

What belongs here: looking at greenlets from outside, when something has gone wrong or somebody asks. What
never does: anything that a wait would have to do for it, but for one thing: a primitive that waits keeps the
loop's last look at its clock in a local variable `_since`, and its timer, if it has one, in `timer`.

How well "since when" is known: to the moment where the wait has a timer or the monitor is on, which notes
every switch; otherwise it is an upper bound, the last look of a loop at its clock before the wait. Loops look
before they sleep, and in every turn while they have timers, so the bound is wide only where a greenlet began
to wait after the program had computed for a long time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ._core import getcurrent, greenlet
from ._original import monotonic

__all__ = ["Wait", "left_at", "short_repr", "waits_of"]

left_at: WeakKeyDictionary[greenlet, float] = WeakKeyDictionary()
"""When each greenlet was switched away from last, on the monotonic clock; for those whose switches are
noted."""

_PACKAGE = os.path.dirname(__file__) + os.sep
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_LONGEST_REPR = 200
_MOST = 100
"""Greenlets that are told of one by one."""
_frame_of = greenlet.gr_frame.__get__


class Wait(NamedTuple):
    """One greenlet that is suspended. The greenlet itself is not held."""

    who: str
    """Its repr."""
    what: str
    """Which call it waits in, and for what object."""
    file: str
    line: int
    function: str
    """The line of the program that made the call."""
    seconds: float | None
    """For how long; None if nobody knows."""
    exact: bool
    """Are these the seconds, and not only the most that it can be?"""

    def __str__(self) -> str:
        long = ""
        if self.seconds is not None:
            long = f" for {'' if self.exact else 'at most '}{self.seconds:.3f} s"
        return f"{self.who} waits in {self.what}{long}, at {self.file}:{self.line} in {self.function}"


def short_repr(thing: object) -> str:
    """The repr, cut where it is long; never fails."""
    try:
        text = repr(thing)
    except BaseException as error:
        return f"<{type(thing).__name__} whose repr failed with {type(error).__name__}>"
    return text if len(text) <= _LONGEST_REPR else text[:_LONGEST_REPR] + "..."


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _is_standard(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith((_STANDARD_LIBRARY, "<frozen ")) and "site-packages" not in name


def _call(frame: FrameType) -> str:
    """Which function of ours this is, and for what object it waits: its own, or its first argument."""
    code = frame.f_code
    values: dict[str, Any] = dict(frame.f_locals)
    if "self" in values:
        owner = values["self"]
        return f"{type(owner).__name__}.{code.co_name}() of {short_repr(owner)}"
    if code.co_argcount:
        return f"{code.co_name}({short_repr(values.get(code.co_varnames[0]))})"
    return f"{code.co_name}()"


def _began(target: greenlet, frames: list[FrameType]) -> tuple[float | None, bool]:
    """When the wait began, and whether that is exact."""
    left = left_at.get(target)
    if left is not None:
        return left, True
    for frame in frames:
        values = frame.f_locals
        timer = values.get("timer")
        seconds = values.get("timeout", values.get("seconds"))
        if isinstance(timer, list) and isinstance(seconds, (int, float)):
            return timer[0] - seconds, True
        if "_since" in values:
            return values["_since"], False
    return None, False


def _wait_of(target: greenlet, frame: FrameType, name: str, now: float) -> Wait:
    frames = list(_frames(frame))
    inner = []
    for each in frames:
        if not _is_ours(each):
            break
        if each.f_code.co_name != "run" or each.f_locals.get("self") is not target:
            inner.append(each)
    outer = [each for each in frames if not _is_ours(each)]
    # What patched standard modules do in between tells nobody anything, if there is somebody behind them.
    theirs = next(
        (each for each in outer if not _is_standard(each)),
        outer[0] if outer else frame,
    )
    began, exact = _began(target, inner)
    return Wait(
        who=name + short_repr(target),
        what=_call(inner[-1]) if inner else f"{theirs.f_code.co_name}()",
        file=theirs.f_code.co_filename,
        line=theirs.f_lineno or 0,
        function=theirs.f_code.co_name,
        seconds=None if began is None else max(0.0, now - began),
        exact=exact,
    )


def _main_of(target: greenlet) -> greenlet:
    while (parent := target.parent) is not None:
        target = parent
    return target


def waits_of(main: greenlet) -> list[Wait | str]:
    """The waits of all suspended greenlets of the thread of `main`, which comes first; where they are very
    many, a line that counts the rest. Called in that thread; the hub, that is the caller, is left out."""
    now = monotonic()
    current = getcurrent()
    waits: list[Wait | str] = []
    others = [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, greenlet) and thing is not main and thing is not current
    ]
    frame = _frame_of(main)
    if frame is not None:
        waits.append(_wait_of(main, frame, "the main greenlet ", now))
    left_out = 0
    for other in others:
        frame = _frame_of(other)
        if frame is None or _main_of(other) is not main:
            continue
        if len(waits) >= _MOST:
            left_out += 1
            continue
        waits.append(_wait_of(other, frame, "", now))
    if left_out:
        waits.append(f"and {left_out} greenlets more")
    return waits
