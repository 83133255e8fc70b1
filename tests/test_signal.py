"""`greenswitch.signal`: handlers, that of SIGCHLD above all, beside a loop that uses signals itself (spec L1,
I3).

What belongs here: `signal` and `getsignal`. What never does: watchers of signals (`loop/`), `signal_handler`
(`test_hub`).
"""

from __future__ import annotations

import os
import signal as stdlib
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from greenswitch import os as green_os
from greenswitch import signal
from greenswitch.event import Event
from greenswitch.greenlets import Greenlet
from greenswitch.hub import get_hub, getcurrent, sleep

SIGCHLD = stdlib.SIGCHLD

pytestmark = pytest.mark.usefixtures("within_two_minutes")


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    get_hub()
    before = {each: stdlib.getsignal(each) for each in (SIGCHLD, stdlib.SIGUSR1)}
    yield
    for signum, handler in before.items():
        assert stdlib.getsignal(signum) is handler


def child(code: int, seconds: float = 0.0) -> int:
    pid = os.fork()
    if not pid:
        time.sleep(seconds)
        os._exit(code)
    return pid


def test_other_signals_are_the_standard_librarys() -> None:
    def handler(signum: int, frame: FrameType | None) -> None:
        told.append(signum)

    told: list[int] = []
    former = signal.signal(stdlib.SIGUSR1, handler)
    assert signal.getsignal(stdlib.SIGUSR1) is stdlib.getsignal(stdlib.SIGUSR1) is handler
    os.kill(os.getpid(), stdlib.SIGUSR1)
    assert told == [stdlib.SIGUSR1]
    assert signal.signal(stdlib.SIGUSR1, former) is handler
    assert signal.SIGTERM is stdlib.SIGTERM and signal.alarm is stdlib.alarm


def test_a_handler_may_wait_for_children() -> None:
    """L1: whether the hub runs at that moment or a greenlet."""
    ended: list[tuple[int, int]] = []
    done = Event()

    def handler(signum: int, frame: FrameType | None) -> None:
        assert signum == SIGCHLD and getcurrent() is not get_hub()
        sleep(0.001)
        ended.append(green_os.waitpid(-1, 0))
        done.set()

    former = signal.signal(SIGCHLD, handler)
    assert signal.getsignal(SIGCHLD) is handler
    in_the_hub = child(5, 0.05)
    done.wait()
    done.clear()
    in_a_greenlet = child(6)
    while not done.is_set():
        time.sleep(0.001)
        sleep(0)
    assert ended == [(in_the_hub, 5 << 8), (in_a_greenlet, 6 << 8)]
    assert signal.signal(SIGCHLD, former) is handler


def test_a_failing_handler_in_the_hub_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def handler(signum: int, frame: FrameType | None) -> None:
        raise RuntimeError("in the handler")

    former = signal.signal(SIGCHLD, handler)
    pid = child(0, 0.05)
    sleep(0.2)
    signal.signal(SIGCHLD, former)
    assert green_os.waitpid(pid, 0) == (pid, 0)
    assert "in the handler" in capsys.readouterr().err


def test_beside_the_loops_own_handler() -> None:
    """L1: while the loop listens to SIGCHLD, a handler can be set and asked for, is called, and stays."""
    told: list[int] = []

    def first(signum: int, frame: Any) -> None:
        told.append(1)

    def second(signum: int, frame: Any) -> None:
        told.append(2)

    former = signal.signal(SIGCHLD, first)
    loop = get_hub().loop
    loop.install_sigchld()
    assert signal.getsignal(SIGCHLD) is first
    assert signal.signal(SIGCHLD, second) is first and signal.getsignal(SIGCHLD) is second
    pid = child(7, 0.02)
    assert green_os.waitpid(-1, 0) == (pid, 7 << 8)
    sleep(0.01)
    assert told and set(told) == {2}
    with pytest.raises(TypeError):
        signal.signal(SIGCHLD, "handler")
    loop.reset_sigchld()
    assert signal.getsignal(SIGCHLD) is second
    assert signal.signal(SIGCHLD, former) is second


@pytest.mark.parametrize("handler", [stdlib.SIG_IGN, stdlib.SIG_DFL])
def test_ignored_and_default(handler: Any) -> None:
    former = signal.signal(SIGCHLD, handler)
    assert signal.getsignal(SIGCHLD) is handler
    with pytest.raises(TypeError):
        signal.signal(SIGCHLD, object())
    signal.signal(SIGCHLD, former)


def test_only_in_the_main_thread() -> None:
    caught: list[str] = []
    get_hub().loop.install_sigchld()

    def work() -> None:
        for signum in (SIGCHLD, stdlib.SIGUSR1):
            try:
                signal.signal(signum, stdlib.SIG_DFL)
            except ValueError:
                caught.append("ValueError")
        signal.getsignal(SIGCHLD)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    get_hub().loop.reset_sigchld()
    assert caught == ["ValueError"] * 2


def test_a_handler_without_a_hub() -> None:
    """Nothing is made for its sake."""
    told: list[Any] = []
    handler = signal._Handler(lambda *args: told.append(args))
    thread = threading.Thread(target=handler, args=(SIGCHLD, None))
    thread.start()
    thread.join()
    assert told == [(SIGCHLD, None)]


def test_waiting_goes_on_after_a_handler() -> None:
    """I3: a handler that returns interrupts nobody's wait."""
    former = signal.signal(SIGCHLD, lambda signum, frame: None)
    waiting = Greenlet.spawn(sleep, 0.1)
    pids = [child(number, 0.01 * number) for number in range(5)]
    assert [green_os.waitpid(pid, 0) for pid in pids] == [
        (pid, number << 8) for number, pid in enumerate(pids)
    ]
    waiting.get()
    signal.signal(SIGCHLD, former)
