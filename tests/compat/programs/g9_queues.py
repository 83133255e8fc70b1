"""G9: producers and consumers of uneven speed around a bounded queue; waiting until all is done."""

import gevent
from gevent.queue import Empty, Full, JoinableQueue, LifoQueue, PriorityQueue

queue = JoinableQueue(3)
sizes, taken = [], []


def produce() -> None:
    for item in range(10):
        queue.put(item)
        sizes.append(queue.qsize())


def consume() -> None:
    while True:
        taken.append(queue.get())
        gevent.sleep(0.002)
        queue.task_done()


consumers = [gevent.spawn(consume) for _ in range(2)]
gevent.spawn(produce).join()
print(queue.join(), max(sizes), taken, queue.unfinished_tasks)
gevent.killall(consumers)
try:
    queue.get(timeout=0.01)
except Empty:
    print("empty")
for item in range(3):
    queue.put(item)
try:
    queue.put_nowait("too much")
except Full:
    print("full")
for kind in (LifoQueue, PriorityQueue):
    other = kind()
    for item in (2, 3, 1):
        other.put(item)
    print([other.get() for _ in range(3)])
