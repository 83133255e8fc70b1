"""A Python prompt in a running program, for whoever connects.

What belongs here: whose input and output the prompt has. What never does: who may connect. Nobody is asked
for a name, and whoever gets through can do all that the process can: listen on 127.0.0.1 only, or on a Unix
socket whose folder is closed to others.
"""

from __future__ import annotations

import builtins
import sys
from code import InteractiveConsole
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

from .greenlets import Greenlet
from .hub import getcurrent
from .pool import Pool
from .server import StreamServer

__all__ = ["BackdoorServer"]


class _Console(Greenlet):
    """A greenlet that has standard streams of its own while it runs.

    The hub switches to it and has the control back when it waits: the time between is when `sys.stdin`,
    `sys.stdout` and `sys.stderr` are its own.
    """

    __slots__ = ("streams",)

    streams: tuple[Any, Any, Any] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.streams = None
        """None before there is somebody to talk to."""

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_own(super().switch, args, kwargs)

    def throw(self, *args: Any) -> Any:
        return self._with_own(super().throw, args, {})

    def _with_own(self, resume: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = sys.stdin, sys.stdout, sys.stderr
        if self.streams is not None:
            sys.stdin, sys.stdout, sys.stderr = self.streams
        try:
            return resume(*args, **kwargs)
        finally:
            sys.stdin, sys.stdout, sys.stderr = before

    def use(self, streams: tuple[Any, Any, Any]) -> None:
        """From here on these are the standard streams. To be called in the greenlet itself."""
        self.streams = sys.stdin, sys.stdout, sys.stderr = streams


class _Stream:
    """What a text stream over a connection has to have to be a standard one."""

    encoding = "utf-8"
    errors = "replace"
    closed = False

    def __init__(self, sock: Any) -> None:
        self._socket = sock
        self._file = sock.makefile("r", encoding=self.encoding, errors=self.errors)

    def write(self, text: str) -> int:
        """Sent at once. Blocks while the system has no room."""
        self._socket.sendall(text.encode(self.encoding, self.errors))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""

    def readline(self, *args: Any) -> str:
        """The next line; telnet's ends of lines are those of Python. Blocks."""
        line: str = self._file.readline(*args)
        return line.replace("\r\n", "\n")

    def fileno(self) -> int:
        # Being no terminal, it keeps `input` from reading past it.
        number: int = self._socket.fileno()
        return number

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """The prompt closes the connection; what runs in it cannot."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class BackdoorServer(StreamServer):
    """A server that gives everybody who connects a Python prompt of his own, with `locals` as its variables,
    and `banner` before it. Other arguments as for StreamServer, but `spawn`. `stop` ends the prompts.

    `print`, `input` and the like inside of a prompt go over the connection, wherever they are called from.
    """

    def __init__(
        self,
        listener: Any,
        locals: dict[str, Any] | None = None,
        banner: str | None = None,
        **server_args: Any,
    ) -> None:
        super().__init__(listener, spawn=Pool(greenlet_class=_Console), **server_args)
        self.locals = {"__doc__": None, "__name__": "__console__", **(locals or {})}
        self.banner = banner
        # What a prompt could not say over its connection goes there.
        self.stderr = sys.stderr

    def _create_interactive_locals(self) -> dict[str, Any]:
        """The variables of a new prompt."""
        return {**self.locals, "builtins": builtins, "__builtins__": builtins}

    def handle(self, conn: Any, _address: Any) -> None:
        """Talk to one who connected. Blocks until he leaves."""
        try:
            conn.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except OSError:
            # Not TCP.
            pass
        stream = _Stream(conn)
        console: Any = getcurrent()
        console.use((stream, stream, stream))
        try:
            InteractiveConsole(self._create_interactive_locals()).interact(self.banner, exitmsg="")
        except (SystemExit, ConnectionError):
            # He left, by `exit()` or without a word.
            pass
        finally:
            stream._file.close()


def _main(words: list[str]) -> None:
    if not words:
        raise SystemExit("which port? python -m greenswitch.backdoor PORT [BANNER]")
    BackdoorServer(("127.0.0.1", int(words[0])), banner=" ".join(words[1:]) or None).serve_forever()


if __name__ == "__main__":
    _main(sys.argv[1:])
