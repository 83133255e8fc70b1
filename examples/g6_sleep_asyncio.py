"""Three hellos that sleep 0, 1 and 2 s at the same time, by the callbacks and futures of asyncio."""

import asyncio


def hello(n: int) -> asyncio.Future[int]:
    print(f"hello({n}) starts")
    result = loop.create_future()
    loop.call_later(n, end_of_hello, n, result)
    return result


def end_of_hello(n: int, result: asyncio.Future[int]) -> None:
    print(f"hello({n}) ends")
    result.set_result(n * n)


loop = asyncio.new_event_loop()
results = asyncio.gather(*(hello(n) for n in range(3)))
print(loop.run_until_complete(results))
loop.close()
