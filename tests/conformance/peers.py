"""The tests that greenlet, gevent and CPython install with themselves: running them, on those or on
greenswitch, which for CPython's is: with the standard library patched, and for those of asyncio: in our loop.
gevent's are run in a second way too: gevent stays what it is, and the greenlets that it is made of are ours.

What belongs here: processes, time limits, reading what `record` has written. What never does: which outcome
is expected (the modules `expected_*`), and any of their code: it is run from where it is installed.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import expected_cpython
import expected_gevent
from table import Row

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"

# Seconds for a module and for a single test, which is run again on both sides when it failed: together less
# than pytest gives one of our tests, so that it can tell what hung.
TIME_LIMIT = 150.0
TIME_LIMIT_OF_ONE = 30.0

# How greenlet's tests say that one which they mark as leaking did not leak.
NO_LEAK = "to leak but it did not"


class Peer(NamedTuple):
    """A package with tests of its own."""

    name: str
    other: str
    """What its tests run on when that is not greenswitch."""
    package: str
    """Where its tests are."""
    files: str
    """What its modules with tests are called."""
    through: tuple[str, ...]
    """The words of `python -m greenswitch` that make the tests run on that."""
    slow: tuple[str, ...]
    """Modules that are started first: the others fill the time that these take."""
    hanging: tuple[str, ...]
    """Tests that are never run, as `file.Class.test`."""
    variables: tuple[str, ...]
    """How the environment variables begin that change what its tests do."""

    @property
    def aliases(self) -> str:
        """The names that greenswitch takes, separated by commas."""
        return self.through[self.through.index("--as") + 1] if "--as" in self.through else ""

    @property
    def distribution(self) -> str:
        """What its tests come with."""
        return self.package.partition(".")[0]


def all_names(rows: tuple[Row, ...]) -> tuple[str, ...]:
    return tuple(f"{row.file}.{test}" for row in rows for test in row.tests.split())


# What the tests know a continuous integration by: they leave out more there, and take more time for granted.
CI = ("GITHUB_", "TRAVIS", "APPVEYOR")

GREENLET = Peer(
    name="greenlet",
    other="greenlet",
    package="greenlet.tests",
    files="test_*.py",
    through=("run", "--as", "greenlet"),
    hanging=(),
    slow=("test_leaks", "test_interpreter_shutdown", "test_greenlet"),
    variables=("GREENLET_", *CI),
)
GEVENT = Peer(
    name="gevent",
    other="gevent",
    package="gevent.tests",
    files="test__*.py",
    through=("run", "--as", "greenlet,gevent"),
    hanging=all_names(expected_gevent.HANGING),
    slow=("test__pool", "test__threadpool", "test__semaphore"),
    variables=("GEVENT", "GREENSWITCH_", "PYTHONWARNINGS", *CI),
)
# gevent as it was compiled for greenlet, which finds ours by that name: the capsule, and the type's layout.
WHEEL = GEVENT._replace(name="wheel", other="greenlet", through=("run", "--as", "greenlet"), hanging=())
CPYTHON = Peer(
    name="cpython",
    other="cpython",
    package="test",
    files="test_*.py",
    through=("run", "--patch"),
    hanging=all_names(expected_cpython.HANGING),
    slow=("test_subprocess", "test_socket", "test_threading"),
    variables=("GREENSWITCH_", "PYTHONWARNINGS", *CI),
)
ASYNCIO = Peer(
    name="asyncio",
    other="asyncio",
    package="test.test_asyncio",
    files="test_*.py",
    through=("run", str(HERE / "with_our_loop.py")),
    hanging=(),
    slow=("test_tasks", "test_events", "test_subprocess", "test_ssl"),
    variables=("GREENSWITCH_", "PYTHONASYNCIO", "PYTHONDEVMODE", "PYTHONWARNINGS", *CI),
)
PEERS = {peer.name: peer for peer in (GREENLET, GEVENT, WHEEL, CPYTHON, ASYNCIO)}


class Ended(NamedTuple):
    """How one test ended."""

    status: str
    """passed, failed, skipped, or tight: only the leak that the test expects of greenlet was missing"""
    text: str


Results = dict[str, Ended]
"""By a test's name within the package of tests: `test_gc.TestGC.test_circular_greenlet`."""


def files(peer: Peer) -> list[str]:
    """The names of the modules with tests that the installed peer has; none without a peer."""
    if find_spec(peer.distribution) is None:
        return []
    spec = find_spec(peer.package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return sorted(path.stem for folder in folders for path in Path(folder).glob(peer.files))


def lacking(distribution: str, version: str, *needed: str) -> str | None:
    """Why the tests that a distribution of this version has cannot be compared with the tables, which were
    made with it; None if they can. They need these modules too."""
    missing = [name for name in (distribution, *needed) if find_spec(name.partition(".")[0]) is None]
    if missing:
        return f"not installed, so the tests of {distribution} cannot run: {missing}"
    if metadata.version(distribution) != version:
        return f"the tables are for the tests of {distribution} {version}"
    return None


@functools.cache
def name_servers_answer() -> bool:
    """Whether this machine's name servers say something about a name, be it that there is none; some networks
    swallow what is sent to them."""
    start = time.monotonic()
    try:
        socket.getaddrinfo("nonexistent.invalid", 80)
    except OSError:
        pass
    return time.monotonic() - start < 0.5


def environment(peer: Peer, on_greenswitch: bool, leaks: bool = True) -> dict[str, str]:
    """What the tests run with: nothing of this environment that would change what they do; and on greenswitch
    all child processes are to find it too."""
    cleaned = {name: value for name, value in os.environ.items() if not name.startswith(peer.variables)}
    if not leaks:
        cleaned["GREENLET_SKIP_LEAKCHECKS"] = "1"
    if on_greenswitch and peer.aliases:
        cleaned["CONFORMANCE_ALIASES"] = peer.aliases
        cleaned["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SITE), cleaned.get("PYTHONPATH")]))
    return cleaned


def command(peer: Peer, on_greenswitch: bool, *program: str) -> list[str]:
    """The command that runs a script or `-m module`, with its arguments."""
    through = ["-m", "greenswitch", *peer.through] if on_greenswitch else []
    return [sys.executable, *through, *program]


def stacks_of(process: subprocess.Popen[str]) -> str:
    """End a process that hangs, and all that it started: what it wrote, with its stacks at the end."""
    process.send_signal(signal.SIGABRT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        return process.communicate(timeout=10)[0]
    except subprocess.TimeoutExpired:
        return "(who has left its session of processes still has what it writes to)"


def run_file(peer: Peer, file: str, on_greenswitch: bool, leaks: bool = True) -> Results:
    """Run one module of tests - or one test, by its name - in a process of its own, for a limited time. A
    test during which the process ended has failed, and those after it are missing. Without `leaks` the tests
    are not run again and again to see whether they leak."""
    package = f"{peer.package}."
    left_out = [package + test for test in peer.hanging]
    limit = TIME_LIMIT_OF_ONE if "." in file else TIME_LIMIT
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        process = subprocess.Popen(
            command(peer, on_greenswitch, str(HERE / "record.py"), package + file, str(record), *left_out),
            env=environment(peer, on_greenswitch, leaks),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
            end = f"the process ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            output = stacks_of(process)
            end = f"it was still running after {limit:.0f} s"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    results: Results = {}
    for line in lines:
        test, status, text = json.loads(line)
        name = test.removeprefix(package)
        if status == "started":
            status, text = "failed", f"{end}\n{output}"
        elif status == "failed" and NO_LEAK in text.splitlines()[-1]:
            status = "tight"
        results[name] = Ended(status, text)
    if process.returncode != 0:
        results.setdefault(f"{file}.process", Ended("failed", f"{end}\n{output}"))
    return results


def run_again(peer: Peer, results: Results, on_greenswitch: bool, known: Container[str]) -> Results:
    """Results in which a test that failed, and is not known to, is as it ends by itself: many have to be done
    in a time that a machine which runs others beside them may not keep."""
    failed = [test for test, ended in results.items() if ended.status == "failed" and test not in known]
    for test in failed:
        file, _, name = test.partition(".")
        if name in ("process", "script"):
            results = {**results, **run_file(peer, file, on_greenswitch)}
            if f"{file}.script" in results:
                results.pop(f"{file}.process", None)
        elif file.startswith("test_"):
            results = {**results, **run_file(peer, test, on_greenswitch)}
    return results


def run(peer: Peer, chosen: Iterable[str], on_greenswitch: bool) -> dict[str, Results]:
    """Run modules of tests, as many at a time as there are cores."""
    ordered = sorted(chosen, key=lambda file: (file not in peer.slow, file))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        ended = pool.map(lambda file: run_file(peer, file, on_greenswitch), ordered)
        return dict(zip(ordered, ended, strict=True))


class Runs:
    """Modules of tests, all begun in their order and asked for one by one, so that no single test of ours
    waits for all of them. To be used in a `with` block."""

    def __init__(self, peer: Peer, files: Iterable[str], sides: Iterable[bool]) -> None:
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self.begun = {
            (file, on_greenswitch): self.pool.submit(run_file, peer, file, on_greenswitch)
            for file in files
            for on_greenswitch in sides
        }

    def of(self, file: str, on_greenswitch: bool) -> Results:
        """How the tests of a module ended. Blocks until they have."""
        return self.begun[file, on_greenswitch].result()

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)


def printed(peer: Peer, on_greenswitch: bool, program: str) -> str:
    """What a program prints in a process like those in which tests are run."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text(program, encoding="utf-8")
        return subprocess.check_output(
            command(peer, on_greenswitch, str(script)),
            env=environment(peer, on_greenswitch),
            cwd=folder,
            text=True,
            timeout=60,
        )
