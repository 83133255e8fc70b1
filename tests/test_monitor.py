"""The thread that watches a hub: greenlets that do not give way, memory.

What belongs here: `greenswitch._monitor`. What never does: what a deadlock says.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import _monitor, events, get_hub, getcurrent, gettrace, settrace, sleep, spawn
from greenswitch._config import config
from greenswitch._monitor import MonitorWarning, PeriodicMonitoringThread
from greenswitch.event import Event
from greenswitch.hub import helper_threads

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[PeriodicMonitoringThread]:
    """A monitor of this thread's hub whose thread does nothing, so that each look is ours."""
    monkeypatch.setattr(_monitor, "start_new_thread", lambda function, arguments: 12345)
    hub = get_hub()
    hub.exception_stream = io.StringIO()
    monitor = PeriodicMonitoringThread(hub)
    yield monitor
    monitor.kill()
    del hub.exception_stream
    assert gettrace() is None


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    seen: list[Any] = []
    events.subscribers.append(seen.append)
    yield seen
    events.subscribers.remove(seen.append)


def wait_until(condition: Callable[[], object]) -> None:
    """Without giving way."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


STARVING = """
import sys, time, greenswitch
from greenswitch import events
if sys.argv[1] == "config":
    from greenswitch._config import config
    config.monitor_thread = True
seen = []
events.subscribers.append(seen.append)
def greedy(n):
    while not any(isinstance(event, events.EventLoopBlocked) for event in seen):
        if time.monotonic() > began + 30: break
began = time.monotonic()
greenswitch.sleep(0.01)
greedy_one = greenswitch.spawn(greedy, 5)
greedy_one.name = "greedy one"
greedy_one.join()
started, blocked = seen[0], seen[1]
print(type(started).__name__, started.monitor is greenswitch.get_hub().periodic_monitoring_thread)
print(blocked.greenlet is greedy_one, blocked.hub is greenswitch.get_hub(), blocked.blocking_time >= 0.1)
print("in greedy" in "".join(blocked.info))
"""


@pytest.mark.parametrize(("argument", "environment"), [("config", {}), ("", {"GREENSWITCH_MONITOR": "1"})])
def test_who_does_not_give_way_is_reported(
    argument: str, environment: dict[str, str], run_python: RunPython
) -> None:
    """G13: which greenlet, where, for how long."""
    outcome = run_python(STARVING, argument, environment=environment).check()
    assert outcome.stdout == "PeriodicMonitorThreadStartedEvent True\nTrue True True\nTrue\n"
    assert '<Greenlet "greedy one"' in outcome.stderr and "appears to be blocked" in outcome.stderr
    assert "has not let others run for 0." in outcome.stderr or "run for" in outcome.stderr
    assert "in greedy" in outcome.stderr


def test_it_is_off_by_default(run_python: RunPython) -> None:
    program = """
import sys, greenswitch
greenswitch.sleep(0)
hub = greenswitch.get_hub()
print(hub.periodic_monitoring_thread, hub.start_periodic_monitoring_thread(), greenswitch.gettrace())
print("greenswitch._monitor" in sys.modules)
"""
    assert run_python(program).check().stdout == "None None None\nFalse\n"


def test_a_greenlet_is_blocking_if_nobody_was_switched_to_between_two_looks(
    still: PeriodicMonitoringThread, heard: list[Any]
) -> None:
    hub = get_hub()
    # No switch was seen yet: nobody knows who runs.
    assert still.monitor_blocking(hub) is None and still.monitor_blocking(hub) is None
    sleep(0.001)
    assert still.monitor_blocking(hub) is None
    found = still.monitor_blocking(hub)
    assert found is not None and found[0] is getcurrent()
    text = "".join(found[1])
    assert "appears to be blocked" in text and "test_a_greenlet_is_blocking" in text
    assert [type(event) for event in heard] == [events.EventLoopBlocked]
    assert hub.exception_stream.getvalue() == text
    # As long as it lasts: told again when it has lasted twice as long.
    assert still.monitor_blocking(hub) is not None
    time.sleep(2 * heard[0].blocking_time + 0.001)
    assert still.monitor_blocking(hub) is not None
    assert heard[-1].blocking_time >= 2 * heard[0].blocking_time
    still.ignore_current_greenlet_blocking()
    assert still.monitor_blocking(hub) is None
    still.monitor_current_greenlet_blocking()
    assert still.monitor_blocking(hub) is not None
    sleep(0)
    assert still.monitor_blocking(hub) is None


def test_the_hub_may_wait(still: PeriodicMonitoringThread) -> None:
    hub = get_hub()
    looks: list[object] = []
    done = Event()

    def look() -> None:
        wait_until(lambda: still._greenlet_tracer.active_greenlet is hub)
        for _ in range(5):
            looks.append(still.monitor_blocking(hub))
        done.set()

    thread = threading.Thread(target=look)
    thread.start()
    done.wait()
    thread.join()
    assert looks == [None] * 5


def test_who_was_not_seen_blocking_is_reported_afterwards(
    still: PeriodicMonitoringThread, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that holds the interpreter's lock keeps the monitor from looking, too."""
    monkeypatch.setattr(config, "max_blocking_time", 0.01)
    hub = get_hub()
    sleep(0)
    time.sleep(0.05)
    sleep(0)
    assert still.monitor_blocking(hub) is None
    (event,) = heard
    assert event.blocking_time >= 0.05 and "had not let others run" in event.info[0]


def test_reports_need_not_be_printed(
    still: PeriodicMonitoringThread, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "print_blocking_reports", False)
    hub = get_hub()
    sleep(0)
    still.monitor_blocking(hub)
    assert still.monitor_blocking(hub) is not None
    assert len(heard) == 1 and hub.exception_stream.getvalue() == ""


def test_the_trace_function_of_before_is_called_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_monitor, "start_new_thread", lambda function, arguments: 12345)
    seen: list[str] = []
    former = lambda event, args: seen.append(event)  # noqa: E731
    settrace(former)
    monitor = PeriodicMonitoringThread(get_hub())
    assert gettrace() is monitor._greenlet_tracer
    sleep(0)
    assert seen.count("switch") >= 2
    monitor.kill()
    monitor.kill()
    assert gettrace() is former and monitor.hub is None and "ended" in repr(monitor)
    settrace(None)


def test_functions_of_ones_own(still: PeriodicMonitoringThread) -> None:
    assert [entry.function for entry in still.monitoring_functions()] == [still.monitor_blocking]
    assert still.calculate_sleep_time() == config.max_blocking_time
    calls: list[object] = []
    with pytest.raises(ValueError, match="callable"):
        still.add_monitoring_function(None, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive"):
        still.add_monitoring_function(calls.append, -1)
    still.add_monitoring_function(calls.append, 0.0001)
    assert still.calculate_sleep_time() == still.min_sleep_time
    assert still.monitoring_functions()[1].period == 0.0001
    still._look()
    assert calls == [get_hub()]
    still.add_monitoring_function(calls.append, 1000)
    assert [entry.period for entry in still.monitoring_functions()] == [config.max_blocking_time, 1000]
    still.add_monitoring_function(calls.append, None)
    still.add_monitoring_function(still.monitor_blocking, None)
    assert still.monitoring_functions() == [] and still.calculate_sleep_time() == still.inactive_sleep_time


def test_its_thread_ends_with_it_and_counts_for_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "monitor_thread", True)
    before = set(helper_threads)
    hub = get_hub()
    assert hub.periodic_monitoring_thread is None
    monitor = hub.start_periodic_monitoring_thread()
    assert hub.start_periodic_monitoring_thread() is monitor is hub.periodic_monitoring_thread
    called: list[object] = []
    monitor.add_monitoring_function(called.append, 0.001)
    wait_until(lambda: called)
    assert helper_threads - before == {monitor.monitor_thread_ident} and called[0] is hub
    monitor.kill()
    hub.periodic_monitoring_thread = None
    wait_until(lambda: helper_threads == before)


def test_a_hub_that_is_destroyed_takes_its_monitor_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "monitor_thread", True)
    monitors: list[PeriodicMonitoringThread] = []

    def work(destroy: bool) -> None:
        hub = get_hub()
        monitors.append(hub.periodic_monitoring_thread)
        if destroy:
            hub.destroy()
            assert gettrace() is None

    for destroy in (True, False):
        thread = threading.Thread(target=work, args=(destroy,))
        thread.start()
        thread.join()
    assert [monitor.should_run for monitor in monitors] == [False, False]
    wait_until(lambda: not helper_threads & {monitor.monitor_thread_ident for monitor in monitors})


def test_the_child_of_a_fork_has_its_own(run_python: RunPython) -> None:
    program = """
import os, time, greenswitch
from greenswitch.hub import helper_threads
greenswitch.sleep(0)
monitor = greenswitch.get_hub().periodic_monitoring_thread
pid = os.fork()
called = []
monitor.add_monitoring_function(called.append, 0.001)
deadline = time.monotonic() + 30
while not called and time.monotonic() < deadline: time.sleep(0.01)
assert called and monitor.pid == os.getpid() and helper_threads == {monitor.monitor_thread_ident}
if not pid: os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
    outcome = run_python(program, options=("-W", "ignore"), environment={"GREENSWITCH_MONITOR": "1"})
    assert outcome.check().stdout == "0\n"


def test_with_the_monitor_on_since_when_is_exact(run_python: RunPython) -> None:
    program = """
import greenswitch
from greenswitch.event import Event
greenswitch.sleep(0.01)
greenswitch.spawn(Event().wait)
greenswitch.sleep(0.2)
try: Event().wait()
except greenswitch.hub.LoopExit as error:
    waits = error.args[2]
    print([wait.exact for wait in waits], waits[0].seconds < waits[1].seconds >= 0.2)
"""
    outcome = run_python(program, environment={"GREENSWITCH_MONITOR": "1"}).check()
    assert outcome.stdout == "[True, True] True\n"


# Memory


def test_memory_is_told_when_it_grows_over_the_limit_and_when_it_shrinks(
    still: PeriodicMonitoringThread, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = 0
    monkeypatch.setattr(still, "_resident", lambda: used)
    assert still.monitor_memory_usage(None) == -1
    monkeypatch.setattr(config, "max_memory_usage", 10)
    results = []
    for used in (5, 11, 11, 12, 3, 3, 11):  # noqa: B007
        results.append(still.monitor_memory_usage(None))
    over, under = events.MemoryUsageThresholdExceeded, events.MemoryUsageUnderThreshold
    assert results == [
        None, over(11, 10, {"rss": 11}), None, over(12, 10, {"rss": 12}),
        under(3, 10, {"rss": 3}, 12), None, over(11, 10, {"rss": 11}),
    ]  # fmt: skip
    assert heard == [result for result in results if result is not None]


def test_memory_is_watched_where_it_can_be(
    still: PeriodicMonitoringThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc/self/statm here")
    assert still.can_monitor_memory_usage()
    resident = still._resident()
    assert resident is not None and 2**20 < resident < 2**40
    still.install_monitor_memory_usage()
    assert still.monitoring_functions()[1].period == config.memory_monitor_period
    monkeypatch.setattr(still, "_resident", lambda: None)
    with pytest.warns(MonitorWarning, match="cannot be monitored"):
        still.install_monitor_memory_usage()


def test_the_settings_switch_the_look_at_memory_on(run_python: RunPython) -> None:
    program = """
import time, greenswitch
from greenswitch import events
seen = []
events.subscribers.append(seen.append)
greenswitch.sleep(0)
deadline = time.monotonic() + 30
while len(seen) < 2 and time.monotonic() < deadline: greenswitch.sleep(0.01)
print(type(seen[1]).__name__, seen[1].max_allowed)
"""
    environment = {
        "GREENSWITCH_MONITOR": "1",
        "GREENSWITCH_MAX_MEMORY_USAGE": "1KB",
        "GREENSWITCH_MEMORY_MONITOR_PERIOD": "0.01",
    }
    outcome = run_python(program, environment=environment).check()
    assert outcome.stdout == "MemoryUsageThresholdExceeded 1024\n"


def test_spawned_greenlets_go_on_while_it_watches(still: PeriodicMonitoringThread) -> None:
    assert [spawn(lambda n=n: (sleep(0), n)[1]).get() for n in range(5)] == [0, 1, 2, 3, 4]
