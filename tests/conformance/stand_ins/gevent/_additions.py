"""Names that gevent's package of test tools expects in modules of gevent which are greenswitch's own here.

What belongs here: putting them there; this is imported before that package. What never does: anything that
greenswitch itself needs.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from gevent._hub_local import set_default_hub_class  # type: ignore[attr-defined]

from greenswitch import hub
from greenswitch.timeout import Timeout

__all__ = ["normalize_exception"]


def normalize_exception(
    self: hub.Hub, kind: Any, value: Any, traceback: TracebackType | None
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """An exception's class, the exception, its traceback: of what was given to `handle_error`."""
    if not isinstance(value, BaseException):
        value = kind(value) if value is not None else kind()
    return type(value), value, traceback


# All tests run on a hub of a class of the tools' own, which prints less and calls this method.
setattr(hub, "set_default_hub_class", set_default_hub_class)
setattr(hub.Hub, "_normalize_exception", normalize_exception)
setattr(hub, "_get_hub", hub.get_hub_if_any)
# A Timeout without seconds does nothing here, and need be no other object.
setattr(Timeout, "_start_new_or_dummy", Timeout.start_new)
