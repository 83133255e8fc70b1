"""Coroutines and greenlets that wait for each other in random ways, and are ended in the middle (spec D4).

What belongs here: that whatever they do, each comes to its end and nothing is left. What never does: which
exception comes out of which call (`test_bridge`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenswitch import Greenlet, GreenletExit, Timeout, aio, get_hub, sleep, spawn
from greenswitch.event import Event
from greenswitch.queue import Queue

DEPTH = 4
SEED = int(os.environ.get("AIO_SEED", "0"))


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(100, AssertionError("the test hangs"), ref=False):
        yield


class Failure(Exception):
    """What a program of this file fails with."""


class World:
    """Random programs. Each `green` or `coroutine` counts itself while it runs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.running = 0
        self.began = 0

    def pause(self) -> float:
        return self.random.choice((0, 0, 0.0001, 0.001, 0.003))

    def green(self, depth: int) -> int:
        self.running += 1
        self.began += 1
        try:
            for _ in range(self.random.randrange(1, 4)):
                self.green_step(depth)
            return depth
        finally:
            self.running -= 1

    def green_step(self, depth: int) -> None:
        choice = self.random.randrange(9) if depth else self.random.randrange(3)
        if choice == 0:
            sleep(self.pause())
        elif choice == 1:
            aio.wait(asyncio.sleep(self.pause()))
        elif choice == 2:
            self.hand_over()
        elif choice == 3:
            assert aio.wait(self.coroutine(depth - 1)) == depth - 1
        elif choice == 4:
            assert spawn(self.green, depth - 1).get() == depth - 1
        elif choice == 5:
            with Timeout(self.pause(), False):
                aio.wait(self.coroutine(depth - 1))
        elif choice == 6:
            aio.spawn(self.coroutine(depth - 1)).kill()
        elif choice == 7:
            spawned = aio.spawn(self.coroutine(depth - 1))
            sleep(self.pause())
            spawned.task.cancel()
            spawned.join()
        else:
            spawned = aio.spawn(self.coroutine(depth - 1))
            sleep(self.pause())
            spawned.kill()

    async def coroutine(self, depth: int) -> int:
        self.running += 1
        self.began += 1
        try:
            for _ in range(self.random.randrange(1, 4)):
                await self.step(depth)
            return depth
        finally:
            self.running -= 1

    async def step(self, depth: int) -> None:
        choice = self.random.randrange(8) if depth else self.random.randrange(3)
        if choice == 0:
            await asyncio.sleep(self.pause())
        elif choice == 1:
            await aio.greenlet(spawn(sleep, self.pause()))
        elif choice == 2:
            await asyncio.get_running_loop().run_in_executor(None, int)
        elif choice == 3:
            assert await aio.greenlet(spawn(self.green, depth - 1)) == depth - 1
        elif choice == 4:
            await asyncio.gather(self.coroutine(depth - 1), aio.greenlet(spawn(self.green, depth - 1)))
        elif choice == 5:
            try:
                await asyncio.wait_for(aio.greenlet(spawn(self.green, depth - 1)), self.pause())
            except asyncio.TimeoutError:
                pass
        elif choice == 6:
            task = asyncio.ensure_future(aio.greenlet(spawn(self.green, depth - 1)))
            await asyncio.sleep(self.pause())
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        else:
            killed = spawn(self.green, depth - 1)
            asyncio.get_running_loop().call_later(self.pause(), lambda: killed.kill(block=False))
            try:
                await aio.greenlet(killed)
            except asyncio.CancelledError:
                if not isinstance(killed.value, GreenletExit):
                    raise

    def hand_over(self) -> None:
        """From a native thread to a coroutine to a greenlet."""
        loop = aio.get_loop()
        queue: Queue[int] = Queue()
        arrived = Event()

        async def pass_on() -> None:
            queue.put(1)

        thread = threading.Thread(target=lambda: asyncio.run_coroutine_threadsafe(pass_on(), loop))
        thread.start()
        taken = spawn(lambda: (queue.get(), arrived.set()))
        try:
            while not arrived.wait(1):
                # A coroutine that comes when its loop is about to be closed is not run.
                assert loop.is_closed()
                break
        finally:
            taken.kill()
            thread.join()


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
@pytest.mark.parametrize("host", ["greenlets", "asyncio"])
def test_everybody_comes_to_an_end(seed: int, host: str) -> None:
    world = World(seed)

    def everything() -> None:
        running = [spawn(world.green, DEPTH) for _ in range(10)]
        running += [aio.spawn(world.coroutine(DEPTH)) for _ in range(10)]
        for each in running:
            each.join()
            assert each.exception is None
            assert each.value == DEPTH

    async def main() -> None:
        await aio.greenlet(spawn(everything))

    if host == "asyncio":
        aio.run(main())
    else:
        everything()
    # Those that were ended twice, and so not waited for, may be on their way still; and a task that was made
    # while `run` was ending the others is never done, but garbage, as with asyncio.
    with Timeout(20, False):
        while asyncio.all_tasks(aio.get_loop()) or world.running or left():
            sleep(0.005)
            gc.collect()
    assert not asyncio.all_tasks(aio.get_loop())
    assert world.running == 0
    assert not left()
    assert world.began > 20
    assert get_hub().loop.timer_count <= 2


def left() -> list[Any]:
    """The greenlets of a random program that are not done."""
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, Greenlet) and thing.started and thing._describe() != "_run"
    ]
