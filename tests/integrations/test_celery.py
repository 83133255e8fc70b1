"""Celery's worker with our pool: tasks in greenlets, its limits, its remote control, its end; and with its
pool for gevent on greenswitch under gevent's name (spec D3).

What belongs here: Celery as it is started from a shell. What never does: what Celery does with other pools.
"""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Program, RunPython, Start

# How a worker is started: the pool's name, and what runs Celery.
OURS = ("custom",)
GEVENTS = ("gevent", "-m", "greenswitch", "run", "--as", "greenlet,gevent")

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("celery"), reason="not installed: celery")

TASKS = """
import sys, threading, time
from pathlib import Path
from time import sleep  # a patched one only if this was patched before
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.result import AsyncResult, allow_join_result
from settings import BROKER, OPTIONS, RESULTS

app = Celery("tasks", broker=BROKER, backend=RESULTS)
app.conf.update(broker_transport_options=OPTIONS, worker_prefetch_multiplier=100, task_track_started=True)
meeting = threading.Barrier(10)

@app.task
def meet(number):
    meeting.wait(60)
    return number

@app.task
def fail():
    1 / 0

@app.task
def leave():
    sys.exit(3)

@app.task(soft_time_limit=0.2, time_limit=60)
def soft():
    try:
        sleep(1000)
    except SoftTimeLimitExceeded:
        return "cleaned up"

@app.task(soft_time_limit=60, time_limit=0.2)
def hard():
    try:
        sleep(1000)
    finally:
        Path("hard").touch()

@app.task(bind=True, max_retries=3)
def again(self):
    if self.request.retries < 3:
        raise self.retry(countdown=0.05)
    return self.request.retries

@app.task
def endless():
    try:
        print("an endless one begins", flush=True)
        sleep(1000)
    finally:
        print("an endless one is over", flush=True)

@app.task
def nap(seconds):
    print("somebody naps", flush=True)
    sleep(seconds)
    return seconds

@app.task
def finish():
    while not Path("finish").exists():
        sleep(0.02)
    return "finished"

@app.task(acks_late=True)
def late():
    print("a late one begins", flush=True)
    sleep(1000)

@app.task
def terminate():
    "Start a task and end it, by the worker's remote control."
    task = endless.delay()
    while task.state != "STARTED":
        sleep(0.02)
    app.control.revoke(task.id, terminate=True)
    while task.state not in ("REVOKED", "SUCCESS", "FAILURE"):
        sleep(0.02)
    return task.state

@app.task
def resize():
    "Let fewer tasks run at once, and then a few more: how many."
    app.control.pool_shrink(10, reply=True, timeout=60, limit=1)
    app.control.pool_grow(3, reply=True, timeout=60, limit=1)
    (stats,) = app.control.inspect(timeout=60, limit=1).stats().values()
    return stats["pool"]["max-concurrency"]

@app.task
def together(numbers):
    "Wait for other tasks of the same worker, for all at once."
    tasks = [meet.delay(number) for number in numbers]
    with allow_join_result():
        return [task.get(timeout=60) for task in tasks]
"""

ASK = """
import json, sys, tasks
calls = json.loads(sys.argv[1])
print(json.dumps([tasks.app.send_task(f"tasks.{name}", arguments).id for name, *arguments in calls]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the worker runs, with a broker and results in files."""
    for name in ("queue", "control", "processed", "results"):
        (tmp_path / name).mkdir()
    options = {
        "data_folder_in": str(tmp_path / "queue"),
        "data_folder_out": str(tmp_path / "queue"),
        "control_folder": str(tmp_path / "control"),
        "processed_folder": str(tmp_path / "processed"),
        "store_processed": True,
        "polling_interval": 0.02,
    }
    (tmp_path / "settings.py").write_text(
        f"BROKER = 'filesystem://'\nRESULTS = 'file://{tmp_path}/results'\nOPTIONS = {options!r}\n"
    )
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def redis_folder(folder: Path, redis_port: int) -> Path:
    """The same, with a redis-server."""
    url = f"redis://127.0.0.1:{redis_port}"
    (folder / "settings.py").write_text(f"BROKER = RESULTS = {url!r}\nOPTIONS = {{}}\n")
    return folder


@pytest.fixture
def worker(start: Start) -> Callable[..., Program]:
    """Start a worker in the test's directory, and wait until it is ready."""

    def worker(*options: str, way: tuple[str, ...] = OURS) -> Program:
        pool, *before = way
        program = start(
            *("-W", "ignore", *before, "-m", "celery", "-A", "tasks", "worker", "-P", pool),
            *("--without-gossip", "--without-mingle", "-l", "INFO", *options),
            CELERY_CUSTOM_WORKER_POOL="greenswitch.integrations.celery:TaskPool",
        )
        program.says(r"celery@\S+ ready")
        return program

    return worker


def send(run_python: RunPython, folder: Path, *calls: list[Any]) -> list[str]:
    """Send tasks, each by its name and its arguments: their ids."""
    program = "import sys; sys.path.insert(0, '')\n" + ASK
    ids: list[str] = json.loads(run_python(program, json.dumps(calls), directory=folder).check().stdout)
    return ids


def outcomes(program: Program, folder: Path, ids: list[str]) -> list[tuple[str, Any]]:
    """Of each task the state that it ends in and the result, or the name of its exception. Waits for them."""

    def outcome(task: str) -> Any:
        try:
            found = json.loads((folder / "results" / f"celery-task-meta-{task}").read_text())
        except (FileNotFoundError, ValueError):
            # Not there, or just being written.
            return None
        result = found["result"]
        if found["status"] in ("PENDING", "STARTED", "RETRY"):
            return None
        return found["status"], result.get("exc_type") if isinstance(result, dict) else result

    program.until(lambda: all(map(outcome, ids)), "a task did not end")
    return [outcome(task) for task in ids]


@pytest.mark.parametrize("way", [OURS, GEVENTS], ids=["ours", "gevent"])
def test_tasks(
    run_python: RunPython, folder: Path, worker: Callable[..., Program], way: tuple[str, ...]
) -> None:
    """Tasks that wait for each other, that fail, that exceed their limits, that are tried again and
    terminated; all in one thread. What is under way when the worker is to end is done to its end."""
    # Before the worker is there: this broker lets a reader see what is written only in part.
    expected: list[tuple[list[Any], tuple[str, Any]]] = [
        *[(["meet", number], ("SUCCESS", number)) for number in range(10)],
        (["fail"], ("FAILURE", "ZeroDivisionError")),
        (["hard"], ("FAILURE", "TimeLimitExceeded")),
        (["again"], ("SUCCESS", 3)),
        (["terminate"], ("SUCCESS", "REVOKED")),
        (["together", [*range(10)]], ("SUCCESS", [*range(10)])),
        (["resize"], ("SUCCESS", 33)),
    ]
    if way is OURS:
        # Celery's pool for gevent knows no soft limits, and a task that exits is never heard of again.
        expected += [(["soft"], ("SUCCESS", "cleaned up")), (["leave"], ("FAILURE", "WorkerLostError"))]
    ids = send(run_python, folder, *[call for call, _ in expected], ["finish"])
    last = ids.pop()
    program = worker("-c", "40", way=way)
    assert outcomes(program, folder, ids) == [outcome for _, outcome in expected]
    assert (folder / "hard").exists()
    program.process.terminate()
    program.says("Warm shutdown")
    (folder / "finish").touch()
    said = program.end()
    assert outcomes(program, folder, [last]) == [("SUCCESS", "finished")]
    assert "an endless one is over" in said
    assert way is not OURS or "Soft time limit (0.2s) exceeded" in said
    assert "MonkeyPatchWarning" not in said and "Unrecoverable" not in said


def test_limits_of_the_worker(run_python: RunPython, folder: Path, worker: Callable[..., Program]) -> None:
    """No more tasks at once than it was told; its own time limit counts for tasks that have none."""
    ids = send(run_python, folder, *[["endless"]] * 4)
    program = worker("-c", "2", "--time-limit", "1")
    assert outcomes(program, folder, ids) == [("FAILURE", "TimeLimitExceeded")] * 4
    assert program.said().partition("an endless one is over")[0].count("an endless one begins") == 2


def test_cold_end(run_python: RunPython, folder: Path, worker: Callable[..., Program]) -> None:
    """What is under way ends where it waits, with its cleanup; a task that would be acknowledged at its end
    is there for the next worker."""
    send(run_python, folder, ["endless"], ["late"])
    program = worker("-c", "10")
    program.says("an endless one begins")
    program.says("a late one begins")
    assert "an endless one is over" in program.end(signal.SIGQUIT)
    (message,) = (folder / "queue").iterdir()
    assert "tasks.late" in message.read_text()


CONTROL = """
import sys; sys.path.insert(0, '')
import time, tasks
from celery.exceptions import TaskRevokedError
control, inspect = tasks.app.control, tasks.app.control.inspect(timeout=30, limit=1)
def only(answers):
    (answer,) = answers.values()
    return answer
started = [tasks.meet.delay(number) for number in range(10)]
assert [task.get(timeout=60) for task in started] == list(range(10))
assert tasks.together.delay(list(range(10))).get(timeout=60) == list(range(10))

control.pool_shrink(15)
control.pool_grow(1)
assert only(inspect.stats())["pool"]["max-concurrency"] == 6
task = tasks.endless.delay()
while task.state != "STARTED":
    time.sleep(0.02)
(active,) = only(inspect.active())
assert active["id"] == task.id, active
task.revoke(terminate=True)
try:
    task.get(timeout=60)
except TaskRevokedError:
    print("revoked")

later = tasks.nap.apply_async((0,), countdown=1000)
while not (scheduled := only(inspect.scheduled())):
    time.sleep(0.02)
assert [each["request"]["id"] for each in scheduled] == [later.id]
assert tasks.nap.apply_async((0,), countdown=1).get(timeout=60) == 0
print("good")
"""


@pytest.mark.skipif(not importlib.util.find_spec("redis"), reason="not installed: redis")
def test_redis(run_python: RunPython, redis_folder: Path, worker: Callable[..., Program]) -> None:
    """With a broker that Celery would have an event loop of its own for, and results that are pushed: tasks
    that wait for tasks, and the remote control."""
    program = worker("-c", "20")
    outcome = run_python(CONTROL, directory=redis_folder, timeout=100).check()
    assert outcome.stdout.split() == ["revoked", "good"]
    said = program.end()
    assert "an endless one is over" in said and "Traceback" not in said


POOL = """
from greenswitch.integrations.celery import TaskPool
from greenswitch import joinall, sleep, spawn
from greenswitch.event import Event

pool = TaskPool(2)
pool.start()
now = 0
release = Event()
def work():
    global now
    now += 1
    release.wait()
    now -= 1
def give(expected):
    release.clear()
    given = [spawn(pool.apply_async, work) for _ in range(4)]
    sleep(0.01)
    print(now == expected, end=" ")
    return given

given = give(2)
pool.grow(1)
sleep(0.01)
print(now == 3, end=" ")
pool.shrink(2)
release.set()
joinall(given)
pool.on_stop()
given = give(1)
pool.grow(2)
sleep(0.01)
print(now == 3, pool.num_processes == 3, end=" ")
release.set()
joinall(given)
pool.stop()
try:
    pool.shrink(4)
except ValueError:
    print("refused")
"""


def test_size(run_python: RunPython) -> None:
    """The pool grows for those who wait for a place already, and shrinks when those in it are done."""
    assert run_python(POOL).check().stdout.split() == ["True"] * 5 + ["refused"]


OUTCOMES = """
import sys
from greenswitch.integrations.celery import TaskPool
from greenswitch import Timeout, sleep, spawn_later

pool = TaskPool(10, timeout=0.2)
pool.start()
def apply(target, callback=None, accept_callback=None, **options):
    told = []
    def failed(info):
        told.append(type(info.exception.exc).__name__)
    pool.apply_async(
        target, callback=callback or told.append, error_callback=failed,
        accept_callback=lambda pid, when: accept_callback and accept_callback(pid),
        timeout_callback=lambda soft, seconds: told.append((soft, seconds)), **options,
    ).join(10)
    return told
def fails():
    1 / 0
def is_cut_off():
    with Timeout(0.01):
        sleep(10)
def exits(result):
    sys.exit(1)
print(apply(lambda: 1), apply(fails), apply(is_cut_off), apply(lambda: 1, exits))
print(apply(lambda: sleep(10)), apply(lambda: sleep(10), soft_timeout=0.1))
def terminate(pid):
    pool.terminate_job(pid, 15)
begun = []
print(apply(lambda: begun.append(1), accept_callback=terminate), begun)
def terminate_later(pid):
    spawn_later(0.01, pool.terminate_job, pid)
print(apply(lambda: sleep(10), accept_callback=terminate_later), pool._jobs)
pool.terminate_job(12345)
# What Celery itself fails in is not the task's failure, and not cut off by its limits.
print(apply(lambda: 1, lambda result: sleep(0.3) or print("slow")), apply(lambda: 1, lambda result: 1 / 0))
"""


def test_outcomes(run_python: RunPython) -> None:
    """What Celery is told of a task that ends in this way or that."""
    outcome = run_python(OUTCOMES).check()
    assert outcome.stdout.splitlines() == [
        "[1] ['ZeroDivisionError'] ['WorkerLostError'] ['SystemExit']",
        "[(False, 0.2)] [(True, 0.1), 'SoftTimeLimitExceeded']",
        "['Terminated'] []",
        "['Terminated'] {}",
        "slow",
        "[] []",
    ]
    assert outcome.stderr.count("ZeroDivisionError: ") == 1


def test_patches_when_it_is_imported(run_python: RunPython) -> None:
    program = """
import celery
from greenswitch import monkey
print(monkey.is_module_patched("socket"))
import greenswitch.integrations.celery
print(monkey.is_module_patched("socket"))
"""
    assert run_python(program).check().stdout.split() == ["False", "True"]
