"""Three hellos that sleep 0, 1 and 2 s at the same time, by threads."""

import time
from concurrent.futures import ThreadPoolExecutor


def hello(n: int) -> int:
    # With its newline in one piece: another thread may print at any moment.
    print(f"hello({n}) starts\n", end="")
    time.sleep(n)
    print(f"hello({n}) ends\n", end="")
    return n * n


with ThreadPoolExecutor(max_workers=3) as executor:
    print(list(executor.map(hello, range(3))))
