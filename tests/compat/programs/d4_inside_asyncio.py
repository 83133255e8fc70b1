"""D4: ordinary functions that wait for coroutines, in a greenlet inside of `asyncio.run`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from greenlet import getcurrent, greenlet


def await_only(awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable, for a function that is no coroutine."""
    return getcurrent().parent.switch(awaitable)


async def as_greenlet(function: Callable[..., Any], *arguments: Any) -> Any:
    running = greenlet(function)
    result = running.switch(*arguments)
    while not running.dead:
        try:
            value = await result
        except BaseException as error:
            result = running.throw(error)
        else:
            result = running.switch(value)
    return result


async def answer(n: int) -> int:
    await asyncio.sleep(0.01 * (5 - n))
    if n == 3:
        raise ValueError("three")
    return n * n


def plain(n: int) -> str:
    print("begins", n)
    try:
        return f"{n}: {await_only(answer(n)) + await_only(answer(0))}"
    except ValueError as error:
        return f"{n}: {error}"


async def main() -> None:
    print(await asyncio.gather(*(as_greenlet(plain, n) for n in range(5))))
    slow = asyncio.ensure_future(as_greenlet(plain, 1))
    await asyncio.sleep(0)
    slow.cancel()
    try:
        await slow
    except asyncio.CancelledError:
        print("cancelled")


asyncio.run(main())
