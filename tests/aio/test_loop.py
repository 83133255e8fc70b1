"""The asyncio loop that waits in the hub: all that asyncio does, with greenlets beside it (spec D4).

What belongs here: one loop, run by one greenlet, and what other greenlets, threads, signals and processes do
to it. What never does: coroutines and greenlets that wait for each other (`test_bridge`), several loops in
one thread (`test_many_loops`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import Timeout, aio, get_hub, joinall, sleep, socket, spawn
from greenswitch.exceptions import BlockingSwitchOutError, LoopExit

if TYPE_CHECKING:
    from conftest import RunPython


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(60, AssertionError("the test hangs"), ref=False):
        yield


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


# Greenlets beside it


def test_coroutines_and_greenlets_take_turns() -> None:
    said: list[str] = []

    def others_turn(own: str) -> bool:
        return bool(said) and said[-1] != own

    def green() -> None:
        for _ in range(3):
            said.append("greenlet")
            while not others_turn("greenlet"):
                sleep(0.001)

    async def main() -> str:
        for _ in range(3):
            while not others_turn("coroutine"):
                await asyncio.sleep(0.001)
            said.append("coroutine")
        return "done"

    running = spawn(green)
    assert aio.run(main()) == "done"
    running.join()
    assert said == ["greenlet", "coroutine"] * 3


@pytest.mark.parametrize("busy", ["callbacks", "sockets"])
def test_a_busy_loop_does_not_starve_greenlets(busy: str) -> None:
    """Neither one that always has a callback ready nor one that always has an event."""
    turns = 0

    def green() -> None:
        nonlocal turns
        while True:
            turns += 1
            sleep(0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        if busy == "sockets":
            # Never read: there is an event in each turn.
            theirs.send(b"x")
            seen = asyncio.Event()
            loop.add_reader(ours, seen.set)
            while turns < 20:
                seen.clear()
                await seen.wait()
            loop.remove_reader(ours)
        else:
            while turns < 20:
                await asyncio.sleep(0)
        ours.close()
        theirs.close()

    running = spawn(green)
    aio.run(main())
    running.kill()
    assert turns >= 20


def test_busy_greenlets_do_not_starve_the_loop() -> None:
    stopped = False

    def green() -> None:
        while not stopped:
            sleep(0)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        writer.close()

    async def main() -> None:
        nonlocal stopped
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.sleep(0.01)
            writer.close()
            await writer.wait_closed()
        stopped = True

    running = [spawn(green) for _ in range(3)]
    aio.run(main())
    joinall(running, raise_error=True)


@pytest.mark.parametrize(
    "give",
    [
        lambda loop, done: loop.call_soon(done.set_result, "told"),
        lambda loop, done: loop.call_soon_threadsafe(done.set_result, "told"),
        lambda loop, done: loop.call_later(0.01, done.set_result, "told"),
        lambda loop, done: loop.call_at(loop.time() + 0.01, done.set_result, "told"),
        lambda loop, done: done.set_result("told"),
        lambda loop, done: loop.create_task(set_later(done)),
    ],
    ids="call_soon call_soon_threadsafe call_later call_at set_result create_task".split(),
)
@pytest.mark.parametrize("asleep", [True, False], ids=["asleep", "long-timer"])
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_a_greenlet_gives_the_waiting_loop_something_to_do(
    give: Callable[[Any, Any], object], asleep: bool, debug: bool
) -> None:
    """No wake-up is lost, whether the loop waits for nothing or for a time that is far away."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def green() -> None:
            sleep(0.01)
            give(loop, done)

        if not asleep:
            loop.call_later(1000, print)
        spawn(green)
        result: str = await done
        return result

    assert aio.run(main(), debug=debug) == "told"


async def set_later(done: asyncio.Future[str]) -> None:
    await asyncio.sleep(0)
    done.set_result("told")


def test_a_greenlet_stops_the_waiting_loop() -> None:
    loop = aio.EventLoop()
    spawn(lambda: (sleep(0.01), loop.stop()))
    loop.run_forever()
    loop.close()


def test_a_greenlet_adds_a_reader_to_the_waiting_loop() -> None:
    """From then on there is something to wait for: no LoopExit."""
    ours, theirs = socket.socketpair()

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def read() -> None:
            loop.remove_reader(ours)
            done.set_result(ours.recv(10))

        def green() -> None:
            sleep(0.01)
            loop.add_reader(ours, read)
            thread.start()

        result: bytes = await asyncio.shield(spawned(green, done))
        return result

    async def spawned(function: Callable[[], object], done: asyncio.Future[bytes]) -> bytes:
        spawn(function)
        return await done

    # Not by a thread that the hub would count: the write has to be seen by the reader alone.
    thread = threading.Timer(0.05, theirs.send, [b"there"])
    assert aio.run(main()) == b"there"
    thread.join()
    ours.close()
    theirs.close()


def test_the_loop_waits_through_a_cooperative_call_of_a_coroutine() -> None:
    """A coroutine that sleeps as a greenlet does stops its loop, as any call that blocks, and nobody else."""
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(order.append, "callback")
        task = asyncio.current_task()
        sleep(0.02)
        order.append("coroutine")
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        assert asyncio.current_task() is task

    spawn(lambda: order.append("greenlet"))
    aio.run(main())
    assert order == ["greenlet", "coroutine", "callback"]


def test_not_in_the_hub_itself() -> None:
    """A callback of the hub's loop cannot run a loop: it would wait for itself."""
    caught: list[BaseException] = []

    def callback() -> None:
        loop = aio.EventLoop()
        try:
            loop.run_forever()
        except BlockingSwitchOutError as error:
            caught.append(error)
        finally:
            loop.close()

    get_hub().loop.run_callback(callback)
    sleep(0.01)
    assert len(caught) == 1


# Nothing can ever happen any more


def test_deadlock_of_a_coroutine_is_reported() -> None:
    """G12: LoopExit, with the task and its line, out of `run`; the loop is cleaned up behind it."""
    cleaned = []

    async def stuck() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.001)
            cleaned.append(True)

    with pytest.raises(LoopExit) as caught:
        aio.run(stuck())
    assert cleaned == [True]
    assert "stuck()" in str(caught.value)
    assert os.path.basename(__file__) in str(caught.value)


@pytest.mark.parametrize("kind", ["timer", "reader", "thread", "greenlet", "executor", "server"])
def test_what_still_may_happen_is_no_deadlock(kind: str) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        if kind == "timer":
            loop.call_later(0.03, done.set_result, kind)
        elif kind == "reader":
            ours, theirs = socket.socketpair()
            loop.add_reader(ours, done.set_result, kind)
            spawn(lambda: (sleep(0.02), theirs.send(b"x")))
            await done
            loop.remove_reader(ours)
            ours.close()
            theirs.close()
        elif kind == "thread":

            def work() -> None:
                time.sleep(0.03)
                loop.call_soon_threadsafe(done.set_result, kind)

            threading.Thread(target=work).start()
        elif kind == "greenlet":
            spawn(lambda: (sleep(0.03), done.set_result(kind)))
        elif kind == "executor":
            await loop.run_in_executor(None, time.sleep, 0.03)
            done.set_result(kind)
        else:
            server = await asyncio.start_server(
                lambda _, writer: (writer.close(), done.set_result(kind)), "127.0.0.1", 0
            )
            address = server.sockets[0].getsockname()

            def connect() -> None:
                sleep(0.02)
                with socket.create_connection(address) as client:
                    client.recv(1)

            client = spawn(connect)
            await done
            server.close()
            client.kill()
        result: str = await done
        return result

    assert aio.run(main()) == kind


# The rest of the world


def test_threads_call_in() -> None:
    """Many calls from many threads, each of which the loop may be asleep for."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int] = asyncio.Queue()

        def work(number: int) -> None:
            for _ in range(200):
                loop.call_soon_threadsafe(queue.put_nowait, number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        total = sum([await queue.get() for _ in range(800)])
        for thread in threads:
            thread.join()
        return total

    assert aio.run(main()) == 200 * (0 + 1 + 2 + 3)


def test_primitives() -> None:
    """Queue, Lock, Event, Condition, gather, wait_for, to_thread, shield, asynchronous generators."""
    closed = []

    async def numbers() -> Any:
        try:
            for number in range(10):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock, event, condition = asyncio.Lock(), asyncio.Event(), asyncio.Condition()
        inside = 0

        async def produce() -> None:
            for number in range(20):
                await queue.put(number)

        async def consume() -> list[int]:
            return [await queue.get() for _ in range(20)]

        async def guarded() -> None:
            nonlocal inside
            async with lock:
                assert inside == 0
                inside += 1
                await asyncio.sleep(0.001)
                inside -= 1

        async def conditioned() -> None:
            async with condition:
                await condition.wait()

        _, consumed = await asyncio.gather(produce(), consume())
        assert consumed == list(range(20))
        await asyncio.gather(*[guarded() for _ in range(5)])
        asyncio.get_running_loop().call_later(0.01, event.set)
        await event.wait()
        waiting = asyncio.ensure_future(conditioned())
        await settle()
        async with condition:
            condition.notify_all()
        await waiting
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 0.01)
        assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
        assert await asyncio.shield(asyncio.sleep(0.001, "shielded")) == "shielded"
        async for number in numbers():
            if number == 3:
                break

    aio.run(main())
    assert closed == [True]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with CPython 3.11")
def test_task_group_and_timeout() -> None:
    """Each in a task of its own: in CPython 3.11.2 a task whose group has failed has no timeouts any more."""

    async def group_fails() -> None:
        with pytest.raises(BaseException) as caught:  # ExceptionGroup, which 3.10 has not
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))
                group.create_task(fail())
        assert [str(error) for error in caught.value.exceptions] == ["one of the group"]

    async def fail() -> None:
        await asyncio.sleep(0.001)
        raise ValueError("one of the group")

    async def time_is_over() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)

    aio.run(group_fails())
    aio.run(time_is_over())


def test_subprocess_beside_a_greenlet() -> None:
    ticks = []

    def green() -> None:
        while True:
            ticks.append(True)
            sleep(0.01)

    async def main() -> tuple[bytes, int | None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys, time; time.sleep(0.1); sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate(b"text")
        return output, process.returncode

    running = spawn(green)
    assert aio.run(main()) == (b"TEXT", 3)
    running.kill()
    assert len(ticks) >= 5


def test_names_are_looked_up_in_threads() -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    addresses = {entry[4][0] for entry in aio.run(main())}
    assert addresses & {"127.0.0.1", "::1"}


def test_datagrams_unix_sockets_and_pipes(tmp_path: Any) -> None:
    class Answer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            self.transport.sendto(data.upper(), address)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Answer, ("127.0.0.1", 0))
        server_address = transport.get_extra_info("sockname")

        def client() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"datagram", server_address)
                return sock.recv(100)

        assert await aio.greenlet(spawn(client)) == b"DATAGRAM"
        transport.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            writer.close()

        path = str(tmp_path / "socket")
        async with await asyncio.start_unix_server(serve, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"unix\n")
            assert await reader.read() == b"UNIX\n"
            writer.close()
            await writer.wait_closed()

        readable, writable = os.pipe()
        stream = asyncio.StreamReader()
        with os.fdopen(readable, "rb") as file:
            pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), file)
            os.write(writable, b"pipe")
            os.close(writable)
            assert await stream.read() == b"pipe"
            pipe.close()

    aio.run(main())


def test_tls(certificate: tuple[str, str]) -> None:
    async def main() -> bytes:
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(*certificate)
        trusting = ssl.create_default_context(cafile=certificate[0])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
            )
            writer.write(b"secret\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert aio.run(main()) == b"SECRET\n"


# Signals


def test_signal_handler_and_the_hub_hears_signals_afterwards() -> None:
    """The loop's handlers work and keep it from being taken for dead; when they are gone, a signal wakes the
    hub again, which is what makes a handler of Python's run in time."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, done.set_result, 7)
        timer = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1])
        timer.start()
        result: int = await done
        assert loop.remove_signal_handler(signal.SIGUSR1)
        return result

    assert aio.run(main()) == 7
    hub = get_hub()
    waker = spawn(sleep, 30)

    def heard(*_: object) -> None:
        waker.kill(block=False)

    former = signal.signal(signal.SIGUSR1, heard)
    try:
        timer = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1])
        timer.start()
        began = time.monotonic()
        waker.join()
        assert time.monotonic() - began < 20
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert get_hub() is hub


def test_a_greenlet_adds_a_signal_handler_to_the_waiting_loop() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def green() -> None:
            loop.add_signal_handler(signal.SIGUSR1, done.set_result, "heard")
            child = os.fork()
            if not child:
                time.sleep(0.05)
                os.kill(os.getppid(), signal.SIGUSR1)
                os._exit(0)

        loop.call_later(0.001, spawn, green)
        result: str = await done
        os.wait()
        return result

    with warnings.catch_warnings():
        # Threads of other tests' executors may be there.
        warnings.simplefilter("ignore", DeprecationWarning)
        assert aio.run(main()) == "heard"


KEYBOARD_INTERRUPT = """
import asyncio, os, signal, threading
from greenswitch import aio, sleep, spawn

async def main():
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        await asyncio.sleep(30)
    except BaseException as error:
        print(type(error).__name__)
        raise
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")

spawn(sleep, 30)
try:
    aio.run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
"""


def test_keyboard_interrupt(run_python: RunPython) -> None:
    """As with asyncio: the main task is cancelled, cleans up, and the caller gets KeyboardInterrupt."""
    outcome = run_python(KEYBOARD_INTERRUPT).check()
    assert outcome.stdout.split() == ["CancelledError", "cleaned", "up", "KeyboardInterrupt"]
    assert outcome.stderr == ""


# Errors, debug mode, being chosen


def test_uncaught_errors_are_told_as_by_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: 1 / 0)
        task = loop.create_task(fail())
        await settle()
        assert task.done()
        del task

    async def fail() -> None:
        raise KeyError("nobody asks")

    with caplog.at_level(logging.ERROR, "asyncio"):
        aio.run(main())
    told = [record.message.split("\n")[0] for record in caplog.records]
    assert any("Exception in callback" in line for line in told)
    assert any("Task exception was never retrieved" in line for line in told)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_the_program_comes_out_of_run(error: BaseException) -> None:
    async def main() -> None:
        await asyncio.sleep(0.001)
        raise error

    with pytest.raises(type(error)):
        aio.run(main())


def test_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    """Slow callbacks are told of, calls from other threads are refused, and the stack that made a handle ends
    where the program made it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.02
        loop.call_soon(time.sleep, 0.05)
        await settle()
        refused: list[BaseException] = []

        def work() -> None:
            try:
                loop.call_soon(print)
            except RuntimeError as error:
                refused.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert "Non-thread-safe" in str(refused[0])
        handles: list[Any] = [
            loop.call_soon(int),
            loop.call_soon_threadsafe(int),
            loop.call_later(0.001, int),
            loop.call_at(loop.time(), int),
        ]
        for handle in handles:
            assert handle._source_traceback[-1].name == "main"

    with caplog.at_level(logging.WARNING, "asyncio"):
        aio.run(main(), debug=True)
    assert any("took 0.0" in record.message for record in caplog.records)


def test_waiting_for_others_is_no_slow_callback(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await aio.greenlet(spawn(sleep, 0.2))

    with caplog.at_level(logging.WARNING, "asyncio"):
        aio.run(main(), debug=True)
    assert not caplog.records


def test_policy_gives_our_loop() -> None:
    """Without a warning on any CPython, as tests run with warnings as errors."""
    loop = aio.EventLoopPolicy().new_event_loop()
    assert type(loop) is aio.EventLoop
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run has a loop_factory from 3.12 on")
def test_loop_factory_of_asyncio_run() -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert asyncio.run(main(), loop_factory=aio.EventLoop) is aio.EventLoop


INSTALL = """
import asyncio
from greenswitch import aio

async def main():
    return type(asyncio.get_running_loop()).__module__

print(asyncio.run(main()))
aio.install()
print(asyncio.run(main()))
loop = asyncio.new_event_loop()
print(type(loop) is aio.EventLoop)
loop.close()
"""


def test_install(run_python: RunPython) -> None:
    outcome = run_python(INSTALL, options=("-W", "error")).check()
    assert outcome.stdout.split() == ["asyncio.unix_events", "greenswitch.aio.loop", "True"]


def test_importing_the_hub_does_not_import_asyncio(run_python: RunPython) -> None:
    program = "import sys, greenswitch; greenswitch.get_hub(); print('asyncio' in sys.modules)"
    assert run_python(program).check().stdout == "False\n"


def test_refusals_are_asyncios() -> None:
    async def nested() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        other = aio.EventLoop()
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_forever()
        other.close()

    aio.run(nested())
    loop = aio.EventLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()


def test_no_descriptors_and_no_greenlets_are_left() -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def serve() -> None:
            while True:
                client, _ = server.accept()
                with client:
                    client.recv(1)

        running = spawn(serve)
        aio.run(main())
        before = set(os.listdir("/proc/self/fd"))
        loop = get_hub().loop
        timers = loop.timer_count
        for _ in range(20):
            aio.run(main())
        assert set(os.listdir("/proc/self/fd")) == before
        assert loop.timer_count == timers
        running.kill()


# Fork

FORK = """
import asyncio, os, sys
from greenswitch import aio, sleep, socket, spawn

async def main():
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    def green():
        child = os.fork()
        if child:
            return child
        # The child may use asyncio anew, and what the parent waits for is not taken from it.
        os.write(1, b"child %b\\n" % aio.wait(asyncio.sleep(0.01, b"waits")))
        sleep(0.05)
        os._exit(0)

    child = await aio.greenlet(spawn(green))
    await asyncio.sleep(0.02)
    theirs.send(b"for the parent\\n")
    os.write(1, b"parent got it " + await reader.readline())
    await asyncio.to_thread(os.waitpid, child, 0)
    writer.close()
    theirs.close()

aio.run(main())
"""


def test_fork(run_python: RunPython) -> None:
    outcome = run_python(FORK, options=("-W", "ignore::DeprecationWarning"), timeout=30).check()
    assert sorted(outcome.stdout.splitlines()) == ["child waits", "parent got it for the parent"]
