"""The standard `subprocess` module with every wait going through the hub.

What belongs here: where the standard library's `Popen` waits - for the child's end, for its pipes - and
nothing else of it. What never does: how a child is made, arguments, results, errors: they are the standard
library's own, of the interpreter that runs.

Three things are replaced. `Popen._wait`, which every wait for the end comes down to, waits for the child in
the hub. The pipes become file objects of `fileobject`. What the standard module's functions find under a
global name when they run - `Popen`, the selector of `communicate` - is ours: they are the same functions in a
namespace of ours.

To start a child blocks the thread until it runs its program, or until `preexec_fn` is done.
"""

from __future__ import annotations

import io as _io
import os as _os
import subprocess as _stdlib
from collections.abc import Callable
from selectors import PollSelector
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from ._original import os_set_blocking
from .fileobject import FileObject
from .greenlets import Greenlet
from .hub import get_hub
from .os import wait_until
from .select import poll

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The standard module's names, see the end of the file."""


if TYPE_CHECKING:

    class _Base(_stdlib.Popen[Any]):
        """With what the stubs do not show."""

        stdin: Any
        stdout: Any
        stderr: Any
        _communicate: Any
        _communication_started: bool

        def _get_handles(self, stdin: Any, stdout: Any, stderr: Any) -> Any: ...
        def _internal_poll(self) -> int | None: ...

else:
    # The standard library's own, whatever is patched later.
    _Base = _stdlib.Popen


class _Selector(PollSelector):
    """Where `communicate` waits for the pipes."""

    _selector_cls = poll


def _ours(function: Any) -> Any:
    """The same function in our namespace."""
    same = FunctionType(
        function.__code__, _names, function.__name__, function.__defaults__, function.__closure__
    )
    same.__kwdefaults__ = function.__kwdefaults__
    same.__doc__ = function.__doc__
    same.__qualname__ = function.__qualname__
    return same


_names: dict[str, Any] = {**vars(_stdlib), "__name__": __name__, "_PopenSelector": _Selector}


class Popen(_Base):
    """The standard `subprocess.Popen`; `wait`, `communicate` and the pipes let other greenlets run. `stdin`,
    `stdout` and `stderr` are file objects of `greenswitch.fileobject`. Everything else, also arguments and
    errors, as there; `threadpool` is taken for gevent's sake."""

    def __init__(
        self, args: Any, bufsize: int = -1, *others: Any, threadpool: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(args, bufsize, *others, **kwargs)
        self.stdin = _file_object(self.stdin, "w", bufsize)
        self.stdout = _file_object(self.stdout, "r", bufsize)
        self.stderr = _file_object(self.stderr, "r", bufsize)
        self._links: list[Callable[[Popen], object]] | None = None

    def _get_handles(self, stdin: Any, stdout: Any, stderr: Any) -> Any:
        for given in (stdin, stdout, stderr):
            _let_block(given)
        return super()._get_handles(stdin, stdout, stderr)

    _communicate_anew = _ours(_Base._communicate)

    def _communicate(self, input: Any, endtime: float | None, orig_timeout: float | None) -> Any:
        rest = getattr(self, "_input", None)
        if self._communication_started and rest and not self.stdin.closed:
            # After a timeout: the standard method goes on to write only where it is given the input again.
            input = rest
        return self._communicate_anew(input, endtime, orig_timeout)

    def _wait(self, timeout: float | None) -> int:
        code: int | None = wait_until(self._internal_poll, self.pid, False, timeout)
        if code is None:
            raise _stdlib.TimeoutExpired(self.args, cast(float, timeout))
        return code

    def wait(self, timeout: float | None = None, _raise_exc: bool = True) -> Any:
        """Wait until the child has ended: its exit code, or the negative number of the signal that ended it.
        After `timeout` seconds TimeoutExpired, or None where `_raise_exc` is false."""
        try:
            return super().wait(timeout)
        except _stdlib.TimeoutExpired:
            if _raise_exc:
                raise
            return None

    def rawlink(self, callback: Callable[[Popen], object]) -> None:
        """Call `callback(self)` in the hub once the child has ended. The loop waits for that."""
        if self._links is None:
            self._links = []
            Greenlet.spawn(self._wait, None).rawlink(self._call_links)
        self._links.append(callback)

    def unlink(self, callback: Callable[[Popen], object]) -> None:
        """Undo one `rawlink`."""
        if self._links is not None and callback in self._links:
            self._links.remove(callback)

    def _call_links(self, _: object) -> None:
        links, self._links = self._links, None
        for link in links or ():
            try:
                link(self)
            except BaseException as error:
                get_hub().handle_error((link, self), type(error), error, error.__traceback__)

    def pipe_cloexec(self) -> tuple[int, int]:
        """A pipe that children do not get."""
        return _os.pipe()


def _let_block(given: Any) -> None:
    """A file object or a socket of ours never blocks, which a program that gets it does not expect. That
    concerns all who share it: the parent is not to read from it any more."""
    try:
        fd = given.fileno() if hasattr(given, "fileno") else given
        if isinstance(fd, int) and fd >= 0 and not _os.get_blocking(fd):
            os_set_blocking(fd, True)
    except (OSError, ValueError):
        # Closed, or no file at all: the standard library says what is wrong.
        pass


def _file_object(file: Any, mode: str, bufsize: int | None) -> Any:
    """`file`, as the standard library made it, as a file object of ours; None if it is None."""
    if file is None:
        return None
    words = {}
    if isinstance(file, _io.TextIOWrapper):
        words = {"encoding": file.encoding, "errors": file.errors}
        file = file.detach()
    else:
        mode += "b"
    if isinstance(file, (_io.BufferedReader, _io.BufferedWriter)):
        file = file.detach()
    return FileObject(file, mode, -1 if bufsize is None else bufsize, **words)


_functions = [name for name in _stdlib.__all__ if isinstance(getattr(_stdlib, name), FunctionType)]
_names["Popen"] = Popen
_names.update({name: _ours(getattr(_stdlib, name)) for name in _functions})
globals().update({name: _names[name] for name in _functions})

__implements__ = ["Popen"]
__extensions__ = _functions
__imports__ = [name for name in vars(_stdlib) if name not in globals() and not name.startswith("__")]
globals().update({name: getattr(_stdlib, name) for name in __imports__})

__all__ = sorted({*_stdlib.__all__})  # noqa: PLE0605
