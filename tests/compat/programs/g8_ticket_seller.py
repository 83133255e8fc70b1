"""G8: locks, semaphores, events: the seller sleeps with the lock held and sells each ticket once."""

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore, RLock

lock, again, begin = BoundedSemaphore(1), RLock(), Event()
left = 10
sold: list[int] = []


def sell(window: int) -> None:
    global left
    begin.wait()
    while True:
        with lock:
            if left == 0:
                return
            ticket = left
            gevent.sleep(0.001)
            left = ticket - 1
            sold.append(ticket)


def recurse(depth: int) -> int:
    with again:
        gevent.sleep(0)
        return depth if depth == 0 else 1 + recurse(depth - 1)


windows = [gevent.spawn(sell, window) for window in range(3)]
gevent.sleep(0)
print(sold)
begin.set()
gevent.joinall(windows)
print(sold, lock.locked())
print([each.get() for each in [gevent.spawn(recurse, depth) for depth in range(4)]])
with lock:
    print(lock.acquire(blocking=False), lock.acquire(timeout=0.01))
try:
    lock.release()
except ValueError as error:
    print(type(error).__name__)
