"""G6: `time.sleep`, patched, lets the others run: they start in order and end by their times."""

from gevent import monkey

monkey.patch_all()

import time

import gevent


def hello(n: int) -> int:
    print(f"hello({n}) starts")
    time.sleep(n / 5)
    print(f"hello({n}) ends")
    return n * n


greenlets = [gevent.spawn(hello, n) for n in range(3)]
gevent.joinall(greenlets)
print([greenlet.value for greenlet in greenlets])
