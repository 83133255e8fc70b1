"""What asyncio costs on the loop that shares its thread with greenlets, beside asyncio's own loop.

    python benchmarks/asyncio_loop.py [ROUNDS]

Each figure is the least of ROUNDS runs (7), in the processor's time of this process; the loops take turns.
The peers of the echoes are in the same loop, so both sides are in the figure.

What belongs here: measuring the two loops by the same functions. What never does: judging; machines differ.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from greenswitch import aio, spawn
from greenswitch.event import Event

MESSAGE = b"x" * 64


def nothing(*_: object) -> None:
    pass


async def call_soon(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.call_soon(nothing)


async def call_later(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.call_later(1000, nothing).cancel()


async def call_soon_threadsafe(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.call_soon_threadsafe(nothing)


async def one_task(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def hundred_tasks(count: int) -> None:
    await asyncio.gather(*[one_task(count // 100) for _ in range(100)])


async def create_task(count: int) -> None:
    for _ in range(count):
        await asyncio.get_running_loop().create_task(one_task(0))


class Echo(asyncio.Protocol):
    """Sends back what comes; ends after `left` messages, if that is not negative."""

    def __init__(self, left: int = -1) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.left > 0:
            transport.write(MESSAGE)

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(data)
        else:
            self.transport.close()
            self.done.set_result(None)


async def protocols(count: int, connections: int) -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Echo, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        clients = [
            (await loop.create_connection(lambda: Echo(count // connections), *address))[1]
            for _ in range(connections)
        ]
        await asyncio.gather(*[client.done for client in clients])


async def streams(count: int, connections: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async def ask(address: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(count // connections):
            writer.write(MESSAGE)
            await reader.readexactly(len(MESSAGE))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        await asyncio.gather(*[ask(address) for _ in range(connections)])


BOTH: dict[str, tuple[int, Callable[[int], Coroutine[Any, Any, None]]]] = {
    "call_soon, and the call": (20000, call_soon),
    "call_soon_threadsafe, and the call": (5000, call_soon_threadsafe),
    "call_later, cancel": (20000, call_later),
    "sleep(0) of the only task": (10000, one_task),
    "sleep(0) of one of 100 tasks": (20000, hundred_tasks),
    "create_task, await": (5000, create_task),
    "echo by protocols, 1 connection": (1000, lambda count: protocols(count, 1)),
    "echo by protocols, 50 connections": (2000, lambda count: protocols(count, 50)),
    "echo by streams, 1 connection": (1000, lambda count: streams(count, 1)),
    "echo by streams, 50 connections": (2000, lambda count: streams(count, 50)),
}


# What only greenlets can do


async def await_greenlets(count: int) -> None:
    for _ in range(count):
        await aio.greenlet(spawn(nothing))


async def hand_over(count: int) -> None:
    def green(mine: Event, other: Event) -> None:
        for _ in range(count):
            mine.wait()
            mine.clear()
            other.set()

    first, second = Event(), Event()
    running = [spawn(green, first, second), spawn(green, second, first)]
    first.set()
    for each in running:
        await aio.greenlet(each)


def wait_for_coroutines(count: int) -> None:
    for _ in range(count):
        aio.wait(one_task(0))


def spawn_coroutines(count: int) -> None:
    for _ in range(count):
        aio.spawn(one_task(0)).get()


OURS: dict[str, tuple[int, Callable[[int], object]]] = {
    "aio.wait(coroutine)": (5000, wait_for_coroutines),
    "aio.spawn(coroutine).get()": (5000, spawn_coroutines),
    "await aio.greenlet(spawn(function))": (5000, lambda count: aio.run(await_greenlets(count))),
    "hand-over of an Event, with a loop": (20000, lambda count: aio.run(hand_over(count))),
}


def measured(call: Callable[[], object], count: int) -> float:
    """Microseconds of the processor for one of `count`."""
    began = time.process_time()
    call()
    return (time.process_time() - began) / count * 1e6


def main(rounds: int) -> None:
    standard, ours = asyncio.SelectorEventLoop(), aio.EventLoop()
    print(f"{'us':38} {'asyncio':>10} {'greenswitch':>12}")
    for name, (count, program) in BOTH.items():
        best = [float("inf")] * 2
        for _ in range(rounds):
            for index, loop in enumerate((standard, ours)):
                taken = measured(lambda: loop.run_until_complete(program(count)), count)  # noqa: B023
                best[index] = min(best[index], taken)
        print(f"{name:38} {best[0]:10.2f} {best[1]:12.2f}   {best[1] / best[0]:.2f}")
    standard.close()
    ours.close()
    for name, (count, call) in OURS.items():
        least = min(measured(lambda: call(count), count) for _ in range(rounds))  # noqa: B023
        print(f"{name:38} {'':10} {least:12.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
