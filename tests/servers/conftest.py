"""What the tests of servers share: clients in processes of their own, what nobody caught, and a count of what
is left behind."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kinds_of_servers import descriptors, greenlets

import greenswitch
from greenswitch.hub import Hub

PEER = Path(__file__).with_name("peer.py")


class Peer:
    """A running client; see `peer`."""

    def __init__(self, mode: str, port: int, number: int, language: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PEER), mode, str(port), str(number), language],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self, seconds: float = 60) -> None:
        """Wait, letting greenlets run, until it says so."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        with greenswitch.Timeout(seconds):
            said = ""
            while not (said := said + self.process.stdout.readline()).endswith("\n"):
                assert self.process.poll() is None, self.process.communicate()
                greenswitch.sleep(0.01)
        assert said == "ready\n"

    def end(self, seconds: float = 60) -> str:
        """Let it go, and wait until it has. What it said. Fails if it saw anything wrong."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.stdin = None
        with greenswitch.Timeout(seconds):
            while self.process.poll() is None:
                greenswitch.sleep(0.01)
        os.set_blocking(self.process.stdout.fileno(), True)
        said, errors = self.process.communicate()
        assert self.process.returncode == 0, errors
        return said


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start clients: `peer(mode, port, number, language="plain")`; the modes are functions of peer.py."""
    started: list[Peer] = []

    def start(mode: str, port: int, number: int, language: str = "plain") -> Peer:
        started.append(Peer(mode, port, number, language))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


class Files:
    """A certificate for 127.0.0.1, and who has signed it."""

    def __init__(self, folder: Path) -> None:
        trustme = pytest.importorskip(
            "trustme", reason="trustme, which makes the certificates, is not installed"
        )
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.certfile = str(folder / "certificate.pem")
        self.keyfile = str(folder / "key.pem")
        self.ca = str(folder / "authority.pem")
        for part in issued.cert_chain_pems:
            part.write_to_path(self.certfile, append=True)
        issued.private_key_pem.write_to_path(self.keyfile)
        authority.cert_pem.write_to_path(self.ca)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """What nobody caught. Their tracebacks keep sockets and greenlets: clear it where `nothing_left` is asked
    for after it."""
    seen: list[BaseException] = []
    monkeypatch.setattr(Hub, "print_exception", lambda hub, context, t, v, tb: seen.append(v))
    yield seen
    seen.clear()


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """As many descriptors and greenlets after the test as before."""
    greenswitch.sleep(0)
    gc.collect()
    before = descriptors(), greenlets()
    yield
    with greenswitch.Timeout(10, False):
        while gc.collect() is not None and (descriptors(), greenlets()) != before:
            greenswitch.sleep(0.02)
    assert (descriptors(), greenlets()) == before


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """How many descriptors this process may have, which is as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
