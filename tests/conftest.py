"""What tests of every kind share: where the tests run, and programs in processes of their own.

What belongs here: fixtures that more than one folder of tests uses.  What never does: fakes and helpers of
one subject, which live beside its tests.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it wrote."""

    status: int  # as subprocess gives it: -N when signal N ended the program
    stdout: str
    stderr: str

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended the program; None if it ended by itself."""
        return signal.Signals(-self.status).name if self.status < 0 else None

    def check(self) -> Outcome:
        """This outcome, if the program succeeded; otherwise the test fails and shows all there is to see."""
        if self.status != 0:
            end = f"status {self.status}" if self.signal is None else self.signal
            pytest.fail(f"the program ended with {end}\n{self}", pytrace=False)
        return self

    def __str__(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class RunPython(Protocol):
    """Run a Python program in a process of its own and wait for its end.

    `program` is the source text, or the path of a script; `arguments` become its sys.argv[1:].
    `options` are the interpreter's own (`("-X", "dev")`), `environment` is added to this process's,
    `stdin` is what the program can read, `directory` is where it runs: a fresh one if not given.
    After `timeout` seconds the program and its children are killed and the test fails.
    """

    def __call__(
        self,
        program: str | Path,
        *arguments: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        directory: str | Path | None = None,
        timeout: float = 60,
    ) -> Outcome: ...


@pytest.fixture(scope="session", autouse=True)
def outside_of_the_source_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run in an empty directory: in the repository's, `import greenswitch` in a child process would find the
    sources, which have no compiled core, in place of the package that is installed."""
    before, directory = Path.cwd(), tmp_path_factory.mktemp("cwd")
    os.chdir(directory)
    yield directory
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def impatient_with_name_servers() -> None:
    """Where they do not answer, a look-up fails within a second, not ten, here and in child processes."""
    os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Also where a shell has started this in its background, ignoring SIGINT, as child processes then do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """A function that runs a Python program in a process of its own; see RunPython."""

    def run(
        program: str | Path,
        *arguments: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        directory: str | Path | None = None,
        timeout: float = 60,
    ) -> Outcome:
        source = [str(program)] if isinstance(program, Path) else ["-c", program]
        process = subprocess.Popen(
            [sys.executable, *options, *source, *arguments],
            cwd=tmp_path if directory is None else directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            try:
                outcome = Outcome(-signal.SIGKILL, *process.communicate(timeout=10))
            except subprocess.TimeoutExpired:
                outcome = Outcome(-signal.SIGKILL, "", "(a child in a session of its own has it open)")
            pytest.fail(f"the program was still running after {timeout} s\n{outcome}", pytrace=False)
        return Outcome(process.returncode, stdout, stderr)

    return run


@pytest.fixture
def within_two_minutes() -> Iterator[None]:
    """No test waits for ever for a wake-up that was lost."""
    from greenswitch import Timeout

    with Timeout(120):
        yield


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No descriptor is left open, none known to the loop, and no child, running or dead, after the test."""
    from greenswitch import get_hub

    hub = get_hub()
    # What it makes when it is first asked is nothing that the test leaves.
    assert hub.resolver
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), len(hub.loop._descriptors)
    yield
    gc.collect()
    assert (len(os.listdir("/proc/self/fd")), len(hub.loop._descriptors)) == before
    assert hub.loop._borrowed == {}
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# Servers of other people


def free_port() -> int:
    """A port that nobody has; below those that clients are given."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the server listens."""
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start: {process.args!r}")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The port of a redis-server of the test's own."""
    if shutil.which("redis-server") is None:
        pytest.skip("not installed: redis-server")
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def server_program(name: str) -> str | None:
    """A program of PostgreSQL's server, which Debian keeps out of the way."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([*map(str, homes), os.environ.get("PATH", "")]))


@pytest.fixture
def postgres_port() -> Iterator[int]:
    """The port of a PostgreSQL server of the test's own, which lets "me" in. It refuses to run as root, so
    that runs it as somebody else."""
    initdb, postgres = server_program("initdb"), server_program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("not installed: PostgreSQL's server")
    who: dict[str, str] = {"user": "postgres"} if os.getuid() == 0 else {}
    port = free_port()
    folder = Path("/tmp", f"greenswitch-postgres-{os.getpid()}")
    folder.mkdir()
    try:
        if who:
            shutil.chown(folder, **who)  # type: ignore[call-overload]
        data = str(folder / "data")
        settings = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **who}
        subprocess.run([initdb, "-D", data, "-U", "me", "--auth=trust", "--no-sync"], check=True, **settings)  # type: ignore
        words = ["-D", data, "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
        process = subprocess.Popen([postgres, *words], **settings)  # type: ignore[call-overload]
        try:
            wait_for(port, process)
            yield port
        finally:
            # Without waiting for queries that are under way.
            process.send_signal(signal.SIGINT)
            process.wait()
    finally:
        shutil.rmtree(folder)


def pytest_report_header() -> str:
    """Say which greenswitch is being tested."""
    found = importlib.util.find_spec("greenswitch")
    return f"greenswitch: {'not installed' if found is None else found.origin}"
