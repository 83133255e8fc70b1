"""The standard `contextvars` module: every greenlet has a context of its own, which is empty at first.

What belongs here: the standard library's names. What never does: variables of another make; those that
greenlets use must be the ones that everybody else uses.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, Token, copy_context

__all__ = ["Context", "ContextVar", "Token", "copy_context"]

__implements__ = list[str]()
__imports__ = __all__
