"""`greenswitch.selectors` and `greenswitch.select.epoll` on real descriptors.

What belongs here: that they wait cooperatively, each with the results of the standard ones. What never does:
`select` and `poll` by themselves (`test_select`), patching (`monkey/`).
"""

from __future__ import annotations

import errno
import os
import select as stdlib_select
import selectors as stdlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenswitch import select, selectors, socket
from greenswitch.greenlets import Greenlet
from greenswitch.hub import get_hub, sleep

spawn = Greenlet.spawn
KINDS = ["DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"]

needs_epoll = pytest.mark.skipif(not hasattr(stdlib_select, "epoll"), reason="needs epoll")

pytestmark = pytest.mark.usefixtures("within_two_minutes", "nothing_is_left")


@pytest.fixture(params=[kind for kind in KINDS if hasattr(stdlib, kind)])
def selector(request: pytest.FixtureRequest) -> Iterator[Any]:
    with getattr(selectors, request.param)() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_selecting_lets_others_run(selector: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    """I4: `selectors`; whoever selects is woken by what another greenlet does."""
    one, other = pair
    assert isinstance(selector, stdlib.BaseSelector)
    key = selector.register(one, selectors.EVENT_READ, "data")
    assert selector.select(0) == [] == selector.select(-1)
    waiting = spawn(selector.select)
    sleep(0.01)
    assert not waiting.ready()
    other.send(b"x")
    assert waiting.get() == [(key, selectors.EVENT_READ)]
    # Level-triggered, as the standard ones.
    assert selector.select() == [(key, selectors.EVENT_READ)]
    assert one.recv(1) == b"x" and selector.select(0) == []
    selector.modify(one, selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert [events for _, events in selector.select()] == [selectors.EVENT_WRITE]
    assert selector.unregister(one).fd == one.fileno()
    with pytest.raises(KeyError):
        selector.unregister(one)


def test_a_timeout(selector: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    selector.register(pair[0], selectors.EVENT_READ)
    count = 0

    def tick() -> None:
        nonlocal count
        while True:
            sleep(0.005)
            count += 1

    ticking = spawn(tick)
    started = time.monotonic()
    assert selector.select(0.1) == []
    assert time.monotonic() - started >= 0.1 and count > 0
    ticking.kill()


def test_many_at_once(selector: Any) -> None:
    pairs = [socket.socketpair() for _ in range(50)]
    try:
        for number, (one, _) in enumerate(pairs):
            selector.register(one, selectors.EVENT_READ, number)
        waiting = spawn(selector.select)
        sleep(0.01)
        for _, other in pairs[::2]:
            other.send(b"x")
        waiting.get()
        assert sorted(key.data for key, _ in selector.select()) == list(range(0, 50, 2))
    finally:
        for each in pairs:
            for end in each:
                end.close()


def test_a_kill_leaves_nothing_behind(selector: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    selector.register(one, selectors.EVENT_READ)
    waiting = spawn(selector.select)
    sleep(0.01)
    waiting.kill()
    other.send(b"x")
    assert len(selector.select(10)) == 1


def test_names() -> None:
    """The default one is gevent's by name, and the best there is."""
    assert selectors.GeventSelector is selectors.DefaultSelector
    assert issubclass(selectors.DefaultSelector, type(stdlib.DefaultSelector()))
    hub = get_hub()
    with selectors.DefaultSelector() as one, selectors.DefaultSelector(hub) as other:
        assert one.hub is other.hub is hub
    assert selectors.SelectorKey is stdlib.SelectorKey
    assert [name for name in selectors.__all__ if not hasattr(selectors, name)] == []
    for name in ("KqueueSelector", "DevpollSelector"):
        assert not hasattr(selectors, name)


@needs_epoll
def test_a_selector_borrows_one_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    """However many files it has: what one wait costs does not grow with them."""
    pairs = [socket.socketpair() for _ in range(20)]
    with selectors.DefaultSelector() as selector:
        for one, _ in pairs:
            selector.register(one, selectors.EVENT_READ)
        waiting = spawn(selector.select)
        sleep(0.01)
        assert list(get_hub().loop._borrowed) == [selector.fileno()]
        pairs[7][1].send(b"x")
        assert len(waiting.get()) == 1
    for each in pairs:
        for end in each:
            end.close()


# epoll


@needs_epoll
def test_epoll(pair: tuple[socket.socket, socket.socket]) -> None:
    """I4: the standard results, waited for by greenlets."""
    one, other = pair
    with select.epoll() as made:
        made.register(one, select.EPOLLIN)
        made.register(other.fileno(), select.EPOLLIN | select.EPOLLOUT)
        assert made.poll() == [(other.fileno(), select.EPOLLOUT)]
        made.modify(other, select.EPOLLIN)
        assert made.poll(0) == [] == made.poll(0.01)
        waiting = [spawn(made.poll), spawn(made.poll, -1, 1), spawn(made.poll, 10)]
        sleep(0.01)
        assert not any(each.ready() for each in waiting)
        other.send(b"x")
        assert [each.get() for each in waiting] == [[(one.fileno(), select.EPOLLIN)]] * 3
        made.unregister(one)
        assert made.poll(0) == []
        with pytest.raises(FileNotFoundError):
            made.unregister(one)
        with pytest.raises(FileExistsError):
            made.register(other)
    assert made.closed
    made.close()


@needs_epoll
def test_epoll_by_its_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    first = select.epoll()
    first.register(one, select.EPOLLIN)
    again = select.epoll.fromfd(os.dup(first.fileno()))
    other.send(b"x")
    assert again.poll() == [(one.fileno(), select.EPOLLIN)]
    first.close()
    assert again.poll() == [(one.fileno(), select.EPOLLIN)] and not again.closed
    again.close()


@needs_epoll
@pytest.mark.parametrize("timeout", ["x", [], 1j])
def test_timeouts_that_are_none(timeout: Any) -> None:
    with select.epoll() as made, pytest.raises(TypeError):
        made.poll(timeout)


@needs_epoll
def test_a_closed_epoll() -> None:
    made = select.epoll()
    made.close()
    for call in (made.poll, made.fileno, made.__enter__):
        with pytest.raises(ValueError, match="closed epoll"):
            call()
    with select.epoll() as other, pytest.raises(OSError) as caught:
        other.register(other.fileno())
    assert caught.value.errno == errno.EINVAL
