"""Looking names up through the hub's threads.

What belongs here: that the answers and errors are the standard module's, that nothing is stopped meanwhile,
and what needs no thread. What never does: the network; names are those that every machine knows, or made up.
"""

from __future__ import annotations

import socket as stdlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from greenswitch import _original, config, socket
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import get_hub, sleep
from greenswitch.resolver import blocking, is_address
from greenswitch.resolver.thread import Resolver
from greenswitch.timeout import Timeout

spawn = Greenlet.spawn

pytestmark = pytest.mark.usefixtures("within_two_minutes")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a thread fails."""

    def apply(*_: object) -> None:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(get_hub().resolver, "pool", type("NoPool", (), {"apply": staticmethod(apply)}))


def outcome_of(module: Any, ask: Callable[[Any], object]) -> object:
    try:
        return ask(module)
    except Exception as error:
        return type(error), error.args


NUMERIC: dict[str, Callable[[Any], object]] = {
    "IPv4": lambda m: m.getaddrinfo("127.0.0.1", 80),
    "IPv4 in bytes": lambda m: m.getaddrinfo(b"127.0.0.1", b"80"),
    "IPv4 in short": lambda m: m.getaddrinfo("127.1", "80", type=m.SOCK_STREAM),
    "IPv4 as one number": lambda m: m.getaddrinfo("2130706433", 80, m.AF_INET),
    "IPv4, wrong family": lambda m: m.getaddrinfo("127.0.0.1", 80, m.AF_INET6),
    "IPv4, keywords": lambda m: m.getaddrinfo(host="127.0.0.1", port=None, flags=m.AI_CANONNAME),
    "IPv6": lambda m: m.getaddrinfo("::1", 80, 0, m.SOCK_DGRAM),
    "IPv6, wrong family": lambda m: m.getaddrinfo("::1", 80, m.AF_INET),
    "IPv6 with a scope": lambda m: m.getaddrinfo("fe80::1%lo", 80),
    "nothing but a port": lambda m: m.getaddrinfo(None, 80),
    "a passive port": lambda m: m.getaddrinfo(None, 80, flags=m.AI_PASSIVE),
    "nothing at all": lambda m: m.getaddrinfo(None, None),
    "gethostbyname": lambda m: m.gethostbyname("127.0.0.1"),
    "gethostbyname of nothing": lambda m: m.gethostbyname(""),
    "gethostbyname broadcast": lambda m: m.gethostbyname("<broadcast>"),
    "gethostbyname_ex": lambda m: m.gethostbyname_ex("127.0.0.1"),
    "getnameinfo": lambda m: m.getnameinfo(("127.0.0.1", 80), m.NI_NUMERICHOST | m.NI_NUMERICSERV),
}

BY_NAME: dict[str, Callable[[Any], object]] = {
    "localhost": lambda m: m.getaddrinfo("localhost", 80),
    "a service": lambda m: m.getaddrinfo("localhost", "http", type=m.SOCK_STREAM),
    "an unknown service": lambda m: m.getaddrinfo("127.0.0.1", "no-such-service"),
    "an unknown name": lambda m: m.getaddrinfo("no-such-name.invalid", 80),
    "a name that begins with a digit": lambda m: m.getaddrinfo("1-no-such-name.invalid", 80),
    "a bad family": lambda m: m.getaddrinfo("localhost", 80, 12345),
    "a bad host": lambda m: m.getaddrinfo(3, 80),
    "a bad port": lambda m: m.getaddrinfo("localhost", 8.0),
    "an overlong label": lambda m: m.getaddrinfo("x" * 70 + ".invalid", 80),
    "gethostbyname": lambda m: m.gethostbyname("localhost"),
    "gethostbyname unknown": lambda m: m.gethostbyname("no-such-name.invalid"),
    "gethostbyname of a number": lambda m: m.gethostbyname(3),
    "gethostbyname_ex": lambda m: m.gethostbyname_ex("localhost"),
    "gethostbyaddr": lambda m: m.gethostbyaddr("127.0.0.1"),
    "gethostbyaddr unknown": lambda m: m.gethostbyaddr("no-such-name.invalid"),
    "getnameinfo": lambda m: m.getnameinfo(("127.0.0.1", 80), 0),
    "getnameinfo of a bad address": lambda m: m.getnameinfo(("no-such-name.invalid", 80), 0),
    "getnameinfo of nonsense": lambda m: m.getnameinfo("x", 0),
    "getfqdn": lambda m: m.getfqdn("localhost"),
    "getfqdn of this host": lambda m: m.getfqdn(),
    "getfqdn of an unknown name": lambda m: m.getfqdn(" no-such-name.invalid "),
}


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.usefixtures("no_threads")
def test_numbers_are_answered_on_the_spot(name: str) -> None:
    """I4: numeric addresses need no thread, and give what the standard module gives."""
    assert outcome_of(socket, NUMERIC[name]) == outcome_of(stdlib, NUMERIC[name])


@pytest.mark.parametrize("name", BY_NAME)
def test_names_get_the_standard_answers(name: str) -> None:
    """I4: answers, kinds of errors and their arguments are the standard module's."""
    assert outcome_of(socket, BY_NAME[name]) == outcome_of(stdlib, BY_NAME[name])


def test_kinds_are_the_standard_enumerations() -> None:
    (family, kind, *_), *_ = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert family is stdlib.AddressFamily.AF_INET
    assert kind is stdlib.SocketKind.SOCK_STREAM


def test_slow_look_ups_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """I4, L3: three look-ups are under way at the same time, in native threads, and greenlets run
    meanwhile."""
    barrier = threading.Barrier(3, timeout=30)

    def slow(host: str, *_: object) -> list[Any]:
        barrier.wait()
        time.sleep(0.05)
        return [(2, 1, 6, "", (host, 80))]

    monkeypatch.setattr(_original, "getaddrinfo", slow)
    turns = 0

    def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0.001)

    ticker = spawn(tick)
    asking = [spawn(socket.getaddrinfo, name, 80) for name in ("a.invalid", "b.invalid", "c.invalid")]
    joinall(asking, raise_error=True)
    ticker.kill()
    assert [task.value[0][4][0] for task in asking] == ["a.invalid", "b.invalid", "c.invalid"]
    assert turns > 5


def test_timeout_around_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """G14: a look-up can be given up; the thread ends by itself."""
    gate = threading.Event()
    monkeypatch.setattr(_original, "gethostbyname", lambda _: gate.wait(10))
    with pytest.raises(Timeout), Timeout(0.01):
        socket.gethostbyname("slow.invalid")
    gate.set()
    get_hub().threadpool.join()


def test_hub_has_a_resolver() -> None:
    hub = get_hub()
    assert isinstance(hub.resolver, Resolver)
    assert hub.resolver.pool is hub.threadpool
    hub.resolver.close()
    assert repr(hub.threadpool) in repr(hub.resolver)


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        (b"127.0.0.1", True),
        (bytearray(b"::1"), True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("", True),
        ("<broadcast>", True),
        ("localhost", False),
        ("127.1", False),
        ("1.example", False),
        ("x\0y", False),
        ("ü", False),
        (b"\xff", False),
        (None, False),
        (3, False),
    ],
)
def test_is_address(host: object, answer: bool) -> None:
    assert is_address(host) is answer


# Another resolver


def test_the_setting_names_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: which resolver a hub makes is a setting, by name or by what it is; it is asked by `socket` and by
    whoever asks the hub."""
    hub = get_hub()
    monkeypatch.setattr(hub, "_resolver", None)
    before = config.resolver
    try:
        config.resolver = "block"  # type: ignore[misc]
        assert type(hub.resolver) is blocking.Resolver
        hub.resolver = None
        config.resolver = "thread"  # type: ignore[misc]
        assert type(hub.resolver) is Resolver
        hub.resolver = None

        class Own:
            def __init__(self, hub: Any) -> None:
                self.asked: list[object] = []

            def gethostbyname(self, hostname: str) -> str:
                self.asked.append(hostname)
                return "127.0.0.1"

        config.resolver = Own  # type: ignore[misc]
        assert socket.gethostbyname("whoever.invalid") == "127.0.0.1"
        assert hub.resolver.asked == ["whoever.invalid"]
    finally:
        config.resolver = before  # type: ignore[misc]


@pytest.mark.parametrize("name", NUMERIC)
def test_the_blocking_resolver(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard answers and errors, and no thread."""
    resolver = blocking.Resolver(hub=get_hub())
    monkeypatch.setattr(get_hub(), "_resolver", resolver)
    threads = threading.active_count()
    assert outcome_of(socket, NUMERIC[name]) == outcome_of(stdlib, NUMERIC[name])
    assert threading.active_count() == threads
    resolver.close()
