"""Several asyncio loops at once: in greenlets of one thread, in threads, in patched programs (spec D4).

What belongs here: that loops which share a thread do not take each other's place, and that a program that
knows nothing of greenlets runs after patching. What never does: one loop by itself (`test_loop`).
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import Timeout, aio, get_hub, getcurrent, joinall, sleep, socket, spawn
from greenswitch import greenlet as raw_greenlet

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


async def use(number: int, blocking: bool) -> int:
    """Asks again and again in which loop and which task this is; between, it waits in every way there is."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    async def count() -> Any:
        try:
            for step in range(3):
                yield step
        finally:
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop

    async def child() -> int:
        for _ in range(5):
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is not task
            if blocking:
                sleep(0)
                assert asyncio.get_running_loop() is loop
                assert asyncio.current_task() is not task
        return number

    for _ in range(5):
        assert sum(await asyncio.gather(*[child() for _ in range(3)])) == 3 * number
        async for _ in count():
            await asyncio.sleep(0.0001)
            break
        if blocking:
            # A call that blocks the coroutine, as a greenlet would make it.
            sleep(0.0001 * (number % 3))
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
    return number


@pytest.mark.parametrize("blocking", [False, True], ids=["", "blocking"])
def test_greenlets_of_a_thread_run_a_loop_each(blocking: bool) -> None:
    """Also where their coroutines block as greenlets do, so that many loops are in the middle of a task."""
    running = [spawn(aio.run, use(number, blocking)) for number in range(8)]
    joinall(running, raise_error=True)
    assert [each.value for each in running] == list(range(8))
    assert sys.get_asyncgen_hooks() == (None, None)


def test_who_does_not_run_the_loop_is_no_coroutine() -> None:
    async def main() -> None:
        assert await aio.greenlet(spawn(outside)) == "no running event loop"
        sleeper = spawn(outside)
        # While a coroutine blocks, too.
        sleep(0.01)
        assert sleeper.value == "no running event loop"

    def outside() -> str:
        assert sys.get_asyncgen_hooks() == (None, None)
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            return str(error)
        return "a running loop"

    aio.run(main())


def test_a_greenlet_inside_of_a_step_is_of_the_loop() -> None:
    """One that a coroutine switches to by itself, as SQLAlchemy does, is a part of that coroutine."""

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def inside() -> str:
            assert asyncio.get_running_loop() is loop
            sleep(0.001)
            assert asyncio.get_running_loop() is loop
            awaited = asyncio.sleep(0.001, "awaited")
            result: str = parent.switch(awaited)
            assert asyncio.current_task() is task
            return result

        parent = getcurrent()
        child = raw_greenlet(inside)
        result = child.switch()
        while not child.dead:
            result = child.switch(await result)
        assert result == "awaited"

    other = spawn(aio.run, use(1, True))
    aio.run(main())
    other.get()


def test_waits_are_as_before_when_no_loop_runs() -> None:
    """What a greenlet pays for loops in its thread ends with them."""
    hub = get_hub()

    async def main() -> Any:
        return hub.suspend

    before = hub.suspend
    surrounded = aio.run(main())
    if before.__name__ == "switch":
        assert surrounded.__name__ != "switch"
        assert hub.suspend.__name__ == "switch"


def test_a_loop_in_each_thread() -> None:
    """Each with greenlets beside it, and calls between the loops."""
    loops: list[asyncio.AbstractEventLoop] = []
    together = threading.Barrier(4)
    results: list[int] = []

    async def main(number: int) -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(together.wait)
        total = 0
        for loop in list(loops):
            if loop is not asyncio.get_running_loop():
                total += await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(use(number, True), loop))
        total += await aio.greenlet(spawn(lambda: (sleep(0.001), number)[1]))
        await asyncio.to_thread(together.wait)
        return total

    def thread(number: int) -> None:
        results.append(aio.run(main(number)))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(results) == [0, 4, 8, 12]


def test_a_loop_moves_to_another_thread() -> None:
    loop = aio.EventLoop()
    results = [loop.run_until_complete(use(1, False))]
    thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(use(2, False))))
    thread.start()
    thread.join()
    results.append(loop.run_until_complete(use(3, False)))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert results == [1, 2, 3]


def test_echo_by_streams_and_by_greenlet_sockets() -> None:
    """Servers and clients of both kinds, all with all, in one thread."""
    clients, messages = 20, 20

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    def serve_greenlet(listener: Any) -> None:
        def handle(connection: Any) -> None:
            with connection:
                while data := connection.recv(1000):
                    connection.sendall(data)

        while True:
            spawn(handle, listener.accept()[0])

    async def ask(address: tuple[str, int], number: int) -> int:
        reader, writer = await asyncio.open_connection(*address)
        right = 0
        for message in range(messages):
            line = b"%d of %d\n" % (message, number)
            writer.write(line)
            right += await reader.readline() == line
        writer.close()
        await writer.wait_closed()
        return right

    def ask_greenlet(address: tuple[str, int], number: int) -> int:
        right = 0
        with socket.create_connection(address) as connection, connection.makefile("rwb") as file:
            for message in range(messages):
                line = b"%d of %d\n" % (message, number)
                file.write(line)
                file.flush()
                right += file.readline() == line
        return right

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            accepting = spawn(serve_greenlet, listener)
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                addresses = [listener.getsockname(), server.sockets[0].getsockname()]
                asked = [
                    asker
                    for number in range(clients)
                    for address in addresses
                    for asker in (
                        ask(address, number),
                        aio.greenlet(spawn(ask_greenlet, address, number)),
                    )
                ]
                assert await asyncio.gather(*asked) == [messages] * 4 * clients
            accepting.kill()

    aio.run(main())


# Patched programs


PATCHED = """
from greenswitch import monkey
monkey.patch_all()
import asyncio, socket, threading, time
from greenswitch import spawn

ticks = []

def tick():
    while True:
        ticks.append(True)
        time.sleep(0.01)

async def main():
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"by streams\\n")
        print((await reader.read()).decode().strip())
        writer.close()
        await writer.wait_closed()

        def ask():
            with socket.create_connection(address) as client:
                client.sendall(b"by a socket in a thread\\n")
                return client.recv(100)

        print((await asyncio.to_thread(ask)).decode().strip())
        await asyncio.sleep(0.1)
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

ticking = spawn(tick)
{run}
print(len(ticks) >= 5)
"""

RUNS = {
    "asyncio.run": "asyncio.run(main())",
    "install": "from greenswitch import aio; aio.install(); asyncio.run(main())",
    "aio.run": "from greenswitch import aio; aio.run(main())",
    "debug": "from greenswitch import aio; aio.run(main(), debug=True)",
}


@pytest.mark.parametrize("run", RUNS)
def test_asyncio_in_a_patched_program(run_python: RunPython, run: str) -> None:
    outcome = run_python(PATCHED.format(run=RUNS[run]), options=("-W", "error")).check()
    assert outcome.stdout.splitlines() == ["BY STREAMS", "BY A SOCKET IN A THREAD", "True"], outcome
    assert outcome.stderr == ""


PATCHED_THREADS = """
from greenswitch import monkey
monkey.patch_all()
import asyncio, threading, time
from greenswitch import aio
aio.install()

async def main(number):
    loop = asyncio.get_running_loop()
    for _ in range(5):
        await asyncio.sleep(0.001)
        time.sleep(0.001)
        assert asyncio.get_running_loop() is loop
        assert await asyncio.to_thread(int, number) == number
    return number

results = []
threads = [threading.Thread(target=lambda n=n: results.append(asyncio.run(main(n)))) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(results))
"""


def test_each_patched_thread_runs_a_loop(run_python: RunPython) -> None:
    """The threads are greenlets, of one native thread, and asyncio does not notice."""
    outcome = run_python(PATCHED_THREADS, options=("-W", "error")).check()
    assert outcome.stdout == f"{list(range(8))}\n", outcome
    assert outcome.stderr == ""


PATCHED_SUBPROCESS = """
from greenswitch import monkey
monkey.patch_all()
import asyncio, signal, sys, os
from greenswitch import aio

async def main():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input().upper())", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(b"text")
    print(output.decode().strip(), process.returncode)
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    loop.call_later(0.01, os.kill, os.getpid(), signal.SIGUSR1)
    await heard.wait()
    print("heard")

aio.run(main())
"""


def test_children_and_signals_in_a_patched_program(run_python: RunPython) -> None:
    outcome = run_python(PATCHED_SUBPROCESS, options=("-W", "error")).check()
    assert outcome.stdout.split() == ["TEXT", "0", "heard"], outcome
    assert outcome.stderr == ""


def test_run_with_patch_on_the_command_line(run_python: RunPython, tmp_path: Any) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, time

            async def main():
                await asyncio.gather(asyncio.sleep(0.01), asyncio.to_thread(time.sleep, 0.01))
                print("done")

            asyncio.run(main())
            """
        ),
        encoding="utf-8",
    )
    outcome = run_python(
        "import runpy; runpy.run_module('greenswitch', run_name='__main__', alter_sys=True)",
        *("run", "--patch", str(script)),
    ).check()
    assert outcome.stdout == "done\n"
