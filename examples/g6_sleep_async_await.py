"""Three hellos that sleep 0, 1 and 2 s at the same time, by async and await."""

import asyncio


async def hello(n: int) -> int:
    print(f"hello({n}) starts")
    await asyncio.sleep(n)
    print(f"hello({n}) ends")
    return n * n


async def main() -> None:
    print(await asyncio.gather(*(hello(n) for n in range(3))))


asyncio.run(main())
