"""G13: a greenlet that computes and does not yield is found by the monitor, and told of."""

import time

import gevent
from gevent import config, events

gevent.sleep(0)  # gevent's monitor gives up a hub that has not run yet
config.monitor_thread = True
config.max_blocking_time = 0.1
told = []


def tell(event: object) -> None:
    if isinstance(event, events.EventLoopBlocked):
        told.append((event.greenlet, event.blocking_time >= 0.1))


def compute() -> None:
    end = time.monotonic() + 30
    while len(told) < 2 and time.monotonic() < end:  # what is told of is written down before the next time
        pass


events.subscribers.append(tell)
hub = gevent.get_hub()
monitor = hub.start_periodic_monitoring_thread()
greedy = gevent.spawn(compute)
greedy.join()
monitor.kill()
print(told[0][0] is greedy, told[0][1])
