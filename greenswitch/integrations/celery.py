"""A pool for Celery's workers: each task has a greenlet, in a patched process.

    CELERY_CUSTOM_WORKER_POOL=greenswitch.integrations.celery:TaskPool celery -A app worker -P custom -c 1000

What belongs here: how tasks come into greenlets and out of them, and what Celery waits with. What never does:
what a task is and what becomes of its result, which is Celery's.

*Importing this module patches the standard library.* With `-P custom` on its command line Celery imports it
before anything else, the application and its tasks too, and no later moment is early enough.
"""

from __future__ import annotations

from greenswitch import monkey

monkey.patch_all()

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import celery.platforms
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded, Terminated, WorkerLostError
from celery.backends.asynchronous import greenletDrainer, register_drainer
from celery.concurrency.base import BasePool
from celery.exceptions import WorkerShutdown, WorkerTerminate
from kombu.asynchronous import timer
from kombu.utils import compat

from greenswitch._core import GreenletExit, getcurrent
from greenswitch.event import Event
from greenswitch.greenlets import Greenlet
from greenswitch.hub import get_hub, sleep
from greenswitch.pool import Pool
from greenswitch.timeout import Timeout

__all__ = ["TaskPool", "Timer"]

ENVIRONMENT = "greenswitch"
"""What Celery is told that it runs in. Where it finds nothing special it would have an event loop of its
own."""

_CLEANUP = 2.0
"""For how many seconds a pool that is ended at once waits for the tasks to clean up."""

compat._environment = ENVIRONMENT


@register_drainer(ENVIRONMENT)
class _Drainer(greenletDrainer):  # type: ignore[misc]  # Celery has no types
    """Reads results for all greenlets that wait for some."""

    def spawn(self, func: Callable[[], object]) -> Greenlet:
        reader = Greenlet.spawn(func)
        sleep(0)
        return reader

    def _event(self) -> Event:
        return Event()


class _Signals(celery.platforms.Signals):  # type: ignore[misc]
    """Has handlers of signals called in greenlets of their own: some of Celery's wait, and as the interpreter
    calls them they might be in the hub, or in the task that they wait for."""

    def __setitem__(self, name: str, handler: Any) -> None:
        if callable(handler):
            handler = partial(_aside, get_hub().loop, handler)
        super().__setitem__(name, handler)


def _aside(loop: Any, handler: Callable[..., object], signum: int, frame: Any) -> None:
    loop.call_threadsafe(partial(Greenlet.spawn, handler, signum, None))


celery.platforms.signals = _Signals()


class Timer(timer.Timer):  # type: ignore[misc]
    """Celery's timer: a greenlet for each entry that is to be called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue: dict[Greenlet, Any] = {}
        """(when, priority, entry) of each that sleeps yet."""

    def _enter(self, eta: float, priority: int, entry: Any) -> Any:
        waiting = Greenlet.spawn_later(max(eta - monotonic(), 0), self._call, entry)
        self._queue[waiting] = timer.scheduled(eta, priority, entry)
        return entry

    def _call(self, entry: Any) -> None:
        current: Any = getcurrent()
        self._queue.pop(current, None)
        if not entry.canceled:
            self.apply_entry(entry)

    def clear(self) -> None:
        """Call none of those that are entered."""
        waiting = list(self._queue)
        self._queue.clear()
        for each in waiting:
            each.kill(block=False)

    stop = clear

    @property
    def queue(self) -> list[Any]:
        """What is entered, the next one first."""
        return sorted(self._queue.values())


class _Job(Greenlet):
    """A task's greenlet."""

    working = False
    """Is it the task itself that runs, and not what Celery does before and after it?"""
    signum: int | None = None
    """What the task is to be terminated with."""

    def terminate(self, signum: int) -> None:
        """Nothing: Celery calls this after TaskPool.terminate_job, which does it."""


class TaskPool(BasePool):  # type: ignore[misc]
    """At most `limit` tasks at once, in greenlets.

    A task that comes to its soft time limit gets SoftTimeLimitExceeded wherever it waits; at the hard one it
    ends there, as when it is terminated. A task that does not wait can be stopped by neither.
    """

    _pool: Any = None

    Timer = Timer
    signal_safe = False
    is_green = True
    task_join_will_block = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._jobs: dict[int, _Job] = {}

    def on_start(self) -> None:
        self._pool = Pool(self.limit)

    def on_stop(self) -> None:
        if self._pool is not None:
            self._pool.join()

    def on_terminate(self) -> None:
        # Nobody is told how these end: tasks that were to be acknowledged at their end run again elsewhere.
        if self._pool is not None:
            self._pool.kill(timeout=_CLEANUP)

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = (),
        kwargs: Any = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[Any], object] | None = None,
        accept_callback: Callable[[int, float], object] | None = None,
        timeout_callback: Callable[[bool, float], object] | None = None,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        **_: Any,
    ) -> _Job:
        """Have a greenlet of the pool call `target`. Waits for a place. The limits are seconds."""
        job = _Job(
            self._run,
            lambda: target(*args, **(kwargs or {})),
            callback or _nothing,
            error_callback or _nothing,
            accept_callback or _nothing,
            timeout_callback or _nothing,
            timeout or self.options.get("timeout"),
            soft_timeout or self.options.get("soft_timeout"),
        )
        self._pool.start(job)
        return job

    def _run(
        self,
        target: Callable[[], Any],
        succeeded: Callable[[Any], object],
        failed: Callable[[Any], object],
        accepted: Callable[[int, float], object],
        timed_out: Callable[[bool, float], object],
        hard: float | None,
        soft: float | None,
    ) -> None:
        """Runs in a job's greenlet. What Celery does about a task, its books, is not cut off by limits."""
        job: Any = getcurrent()
        self._jobs[id(job)] = job
        hard_limit, soft_limit = Timeout(hard), Timeout(soft, SoftTimeLimitExceeded(soft))
        error: BaseException | None = None
        late = False
        try:
            accepted(id(job), monotonic())
            try:
                with hard_limit, soft_limit:
                    job.working = True
                    try:
                        if job.signum is not None:
                            raise GreenletExit
                        outcome = target()
                    finally:
                        job.working = False
                        late = not soft_limit.pending
            except (WorkerShutdown, WorkerTerminate):
                raise
            except BaseException as raised:
                error = raised
            if soft and late:
                timed_out(True, soft)
            if error is None:
                try:
                    succeeded(outcome)
                except (WorkerShutdown, WorkerTerminate):
                    raise
                except SystemExit as raised:
                    # The task's own, which Celery hands on: it is not to end the worker.
                    failed(_info(raised))
            elif hard and error is hard_limit:
                timed_out(False, hard)
            elif not isinstance(error, GreenletExit):
                expected = isinstance(error, (Exception, SystemExit))
                failed(_info(error if expected else WorkerLostError(repr(error))))
            elif job.signum is not None:
                failed(_info(Terminated(job.signum)))
        finally:
            del self._jobs[id(job)]
            # Its traceback has this frame.
            error = None

    def spawn_n(self, function: Callable[..., object], *args: Any) -> None:
        """Have a greenlet outside of the pool call `function`: Celery's own, for remote control."""
        Greenlet.spawn(function, *args)

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """End a task where it waits. `pid` is what Celery was told when it began."""
        job = self._jobs.get(pid)
        if job is not None:
            job.signum = signal or 0
            get_hub().loop.run_callback(_terminate, job)

    def grow(self, n: int = 1) -> None:
        """Have `n` more places."""
        self._resize(n)

    def shrink(self, n: int = 1) -> None:
        """Have `n` places less. The tasks in these go on. ValueError if there are not so many."""
        if n > self.limit:
            raise ValueError(f"cannot take {n} from {self.limit} places")
        self._resize(-n)

    def _resize(self, change: int) -> None:
        self.limit += change
        self._pool.size = self.limit
        self._pool._semaphore.counter += change

    @property
    def num_processes(self) -> int:
        limit: int = self.limit
        return limit

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "greenlets": 0 if self._pool is None else len(self._pool)}


def _terminate(job: _Job) -> None:
    """Called by the loop: the task does not end meanwhile."""
    if job.working:
        job.throw(GreenletExit)


def _info(error: BaseException) -> Any:
    """`error` as Celery takes it, which wants one that was raised."""
    try:
        raise error
    except BaseException:
        return ExceptionInfo()


def _nothing(*args: Any) -> None:
    pass
