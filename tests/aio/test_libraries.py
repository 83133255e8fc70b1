"""Libraries for asyncio beside greenlets, and a library that has greenlets inside of asyncio (spec D2, D4).

What belongs here: the real libraries, where they are installed. What never does: asyncio by itself.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from greenswitch import Timeout, aio, joinall, sleep, socket, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunPython

REQUESTS = 1000
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with Timeout(120, AssertionError("the test hangs"), ref=False):
        yield


def needs(*modules: str) -> Any:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def answer(connection: Any) -> None:
    """An HTTP server's side of one connection: each request's body, or its path, comes back."""
    with connection, connection.makefile("rb") as file:
        while request := file.readline():
            length = 0
            while (header := file.readline()) not in (b"\r\n", b""):
                if match := LENGTH.match(header):
                    length = int(match[1])
            body = file.read(length) or request.split()[1]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@contextmanager
def server() -> Iterator[str]:
    """A server in greenlets, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []

        def accept() -> None:
            while True:
                connections.append(spawn(answer, listener.accept()[0]))

        accepting = spawn(accept)
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
        accepting.kill()
        for connection in connections:
            connection.kill()


async def with_httpx(ask: Callable[[Any], Any]) -> Any:
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:

        async def get(url: str) -> str:
            response = await client.get(url)
            response.raise_for_status()
            text: str = response.text
            return text

        return await ask(get)


async def with_aiohttp(ask: Callable[[Any], Any]) -> Any:
    import aiohttp

    async with aiohttp.ClientSession() as client:

        async def get(url: str) -> str:
            async with client.get(url) as response:
                response.raise_for_status()
                return await response.text()

        return await ask(get)


CLIENTS = [
    pytest.param(with_httpx, marks=needs("httpx"), id="httpx"),
    pytest.param(with_aiohttp, marks=needs("aiohttp"), id="aiohttp"),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_thousand_requests_to_a_greenlet_server(client: Callable[[Any], Any]) -> None:
    """D4: in one thread, each answer the right one, and greenlets and timers go on meanwhile."""
    before = threading.active_count()
    ticks = [0, 0]

    def green_ticks() -> None:
        while True:
            sleep(0.005)
            ticks[0] += 1

    async def async_ticks() -> None:
        while True:
            await asyncio.sleep(0.005)
            ticks[1] += 1

    async def main(url: str) -> None:
        ticking = asyncio.ensure_future(async_ticks())

        async def ask(get: Callable[[str], Any]) -> None:
            async def several(first: int) -> None:
                for number in range(first, REQUESTS, 20):
                    assert await get(f"{url}/{number}") == f"/{number}"

            await asyncio.gather(*[several(first) for first in range(20)])

        await client(ask)
        ticking.cancel()

    with server() as url:
        ticking = spawn(green_ticks)
        aio.run(main(url))
        ticking.kill()
    assert threading.active_count() == before
    assert min(ticks) >= 10


@pytest.mark.parametrize("client", CLIENTS)
def test_greenlets_use_a_client_for_asyncio(client: Callable[[Any], Any]) -> None:
    """Without a loop of the program's own: each greenlet waits for its requests."""

    def ask(url: str, number: int) -> None:
        async def twice(get: Callable[[str], Any]) -> list[str]:
            return [await get(f"{url}/{number}"), await get(f"{url}/{number}/again")]

        assert aio.wait(client(twice), timeout=60) == [f"/{number}", f"/{number}/again"]

    with server() as url:
        joinall([spawn(ask, url, number) for number in range(20)], raise_error=True)


# Greenlets inside of a plain asyncio.run

SQLALCHEMY = """
import asyncio, sys
import greenlet, greenswitch
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

print(greenlet.greenlet is greenswitch.greenlet)
{install}

class Base(DeclarativeBase):
    pass

class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(back_populates="author")

class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")

async def main(path):
    engine = create_async_engine("sqlite+aiosqlite:///" + path)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    session_of = async_sessionmaker(engine, expire_on_commit=False)
    async with session_of() as session, session.begin():
        for number in range(5):
            books = [Book(title="%d.%d" % (number, each)) for each in range(3)]
            session.add(Author(name="author %d" % number, books=books))

    async def titles(name):
        async with session_of() as session:
            statement = select(Author).where(Author.name == name).options(selectinload(Author.books))
            author = (await session.scalars(statement)).one()
            lazy = await session.run_sync(lambda _: author.books[0].author.name)
            assert lazy == name
            return [book.title for book in author.books]

    found = await asyncio.gather(*[titles("author %d" % number) for number in range(5)])
    print(found == [["%d.%d" % (number, each) for each in range(3)] for number in range(5)])
    try:
        async with session_of() as session, session.begin():
            session.add(Book(title="without author"))
    except Exception as error:
        print(type(error).__name__)
    slow = asyncio.ensure_future(titles("author 1"))
    await asyncio.sleep(0)
    slow.cancel()
    try:
        await slow
    except asyncio.CancelledError:
        print("cancelled")
    await engine.dispose()

asyncio.run(main(sys.argv[1]))
"""


@needs("sqlalchemy", "aiosqlite")
@pytest.mark.parametrize("install", ["", "from greenswitch import aio; aio.install()"], ids=["plain", "aio"])
def test_sqlalchemy(run_python: RunPython, tmp_path: Path, install: str) -> None:
    """Its asyncio is its ordinary code in greenlets: on greenswitch, in asyncio's own loop and in ours."""
    script = tmp_path / "program.py"
    script.write_text(SQLALCHEMY.format(install=install), encoding="utf-8")
    outcome = run_python(
        "import runpy; runpy.run_module('greenswitch', run_name='__main__', alter_sys=True)",
        *("run", "--as", "greenlet", str(script), str(tmp_path / "database")),
        timeout=120,
    ).check()
    assert outcome.stdout.split() == ["True", "True", "IntegrityError", "cancelled"], outcome
    assert outcome.stderr == ""
