"""G10: a pool lets at most N work; a thread pool runs what blocks while the hub goes on."""

import time

import gevent
from gevent.pool import Pool
from gevent.threadpool import ThreadPool

working = most = 0


def work(n: int) -> int:
    global working, most
    working += 1
    most = max(most, working)
    gevent.sleep(0.002 * (n % 3))
    working -= 1
    return n * n


pool = Pool(4)
print(pool.map(work, range(12)), list(pool.imap(work, range(5))))
print(sorted(pool.imap_unordered(work, range(7))), pool.apply(work, (3,)), working, most)
print(pool.free_count(), len(pool), pool.full())
threads = ThreadPool(2)
print(threads.map(abs, [-2, 3]), threads.apply(pow, (2, 5)), threads.maxsize)
blocking = threads.spawn(time.sleep, 0.7)
gevent.sleep(0.01)
print("the hub goes on", blocking.ready())
print(blocking.get(), blocking.ready())
