"""Three hellos that sleep 0, 1 and 2 s at the same time, by greenlets: `time.sleep` lets the others run."""

from greenswitch import joinall, monkey, spawn

monkey.patch_all()

import time


def hello(n: int) -> int:
    print(f"hello({n}) starts")
    time.sleep(n)
    print(f"hello({n}) ends")
    return n * n


greenlets = [spawn(hello, n) for n in range(3)]
joinall(greenlets)
print([greenlet.value for greenlet in greenlets])
