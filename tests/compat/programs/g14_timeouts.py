"""G14: every wait can be bounded, and a kill reaches a greenlet wherever it waits."""

import gevent
from gevent import Timeout
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Queue

try:
    with Timeout(0.01):
        gevent.sleep(5)
except Timeout as error:
    print(error, error.seconds)
with Timeout(0.01, False):
    gevent.sleep(5)
    print("never")
with Timeout(5):
    try:
        with Timeout(0.01, KeyError("inner")):
            gevent.sleep(5)
    except KeyError as error:
        print("the inner one:", error)
print(gevent.with_timeout(0.01, gevent.sleep, 5, timeout_value="too late"))
print(Event().wait(0.01), Semaphore(0).acquire(timeout=0.01), gevent.spawn(gevent.sleep, 5).join(0.01))


def waits(where: object) -> None:
    try:
        where()  # type: ignore[operator]
    except gevent.GreenletExit:
        print("killed")
        raise


for where in (lambda: gevent.sleep(5), Event().wait, Queue().get, Semaphore(0).acquire):
    greenlet = gevent.spawn(waits, where)
    gevent.sleep(0)
    greenlet.kill()
    print(greenlet.dead, repr(greenlet.value), greenlet.successful())
