"""G6: the same by threads and by asyncio, in a program that is patched."""

from gevent import monkey

monkey.patch_all()

import asyncio
import threading
import time


def hello(n: int) -> None:
    print(f"hello({n}) starts")
    time.sleep(n / 5)
    print(f"hello({n}) ends")


async def hello_async(n: int) -> int:
    print(f"async hello({n}) starts")
    await asyncio.sleep(n / 5)
    print(f"async hello({n}) ends")
    return n * n


async def main() -> None:
    print(await asyncio.gather(*(hello_async(n) for n in range(3))))


threads = [threading.Thread(target=hello, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
asyncio.run(main())
