"""Patching the standard library, each time in a process of its own.

What belongs here: what is replaced, how one asks for it, and that programs which know nothing of greenlets
become concurrent. What never does: how the replacements behave by themselves (`test_socket`, `test_select`,
...).
"""

from __future__ import annotations

import textwrap
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from greenswitch.monkey.api import get
from greenswitch.monkey.table import OPTIONS, TABLE, Row

if TYPE_CHECKING:
    from conftest import RunPython


def result_of(run_python: RunPython, program: str, *arguments: str) -> str:
    """What the program printed; it must end well and complain of nothing."""
    outcome = run_python(textwrap.dedent(program), *arguments, options=("-W", "error"), timeout=60).check()
    assert outcome.stderr == ""
    return outcome.stdout


# The table


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.option}-{row.target}")
def test_every_row_is_true(row: Row) -> None:
    """I3: every name of the table exists, in the standard module and in ours."""
    target, source = import_module(row.target), import_module(row.source)
    for item, name in row.items.items():
        assert get(target, item) is not None
        assert getattr(source, name) is not None
    for name in row.some:
        assert getattr(source, name) is not None


def test_replacements_are_all_in_the_table() -> None:
    """I3: what a module of ours says that it implements is patched, and nothing else."""
    for target in ("socket", "select", "time", "os", "signal", "subprocess", "threading", "_thread"):
        source = import_module(f"greenswitch.{target.lstrip('_')}")
        said = {*source.__implements__, *getattr(source, "__dns__", ())}
        rows = [row for row in TABLE if row.target == target and row.source == source.__name__]
        some = {name for row in rows for name in row.some if hasattr(import_module(target), name)}
        assert said == {item for row in rows for item in row.items} | some


# Patching


PATCHED = """
    import sys
    from greenswitch import monkey
    assert not monkey.is_anything_patched() and not monkey.is_module_patched("socket")
    assert monkey.patch_all() is True
    import select, selectors, socket, ssl, time
    import greenswitch.select, greenswitch.selectors, greenswitch.socket, greenswitch.ssl, greenswitch.time
"""


def test_patch_all_replaces(run_python: RunPython) -> None:
    """I3: after `patch_all` the standard modules hold our functions and classes."""
    printed = result_of(
        run_python,
        PATCHED
        + """
    assert socket.socket is greenswitch.socket.socket
    assert socket.create_connection is greenswitch.socket.create_connection
    assert socket.getaddrinfo is greenswitch.socket.getaddrinfo
    assert time.sleep is greenswitch.time.sleep
    assert select.select is greenswitch.select.select and select.poll is greenswitch.select.poll
    assert select.epoll is greenswitch.select.epoll is selectors.EpollSelector._selector_cls
    assert selectors.DefaultSelector is greenswitch.selectors.DefaultSelector
    assert ssl.SSLSocket is greenswitch.ssl.SSLSocket is ssl.create_default_context().sslsocket_class
    for item in ("socket.socket", "socket.getaddrinfo", "time.sleep", "select.epoll", "ssl.SSLSocket"):
        module, item = item.split(".")
        assert monkey.is_module_patched(module) and monkey.is_object_patched(module, item)
        assert monkey.saved[module][item] is monkey.get_original(module, item)
        assert "greenswitch" not in repr(monkey.get_original(module, item))
    assert not monkey.is_object_patched("socket", "gethostname") and not monkey.is_module_patched("json")
    assert monkey.is_anything_patched()
    assert monkey.get_original("socket", ["socket", "gethostname"])[1] is socket.gethostname
    assert monkey.get_original(("no_such_module", "time"), "time") is time.time
    print("good")
""",
    )
    assert printed == "good\n"


def test_patching_twice_is_harmless(run_python: RunPython) -> None:
    """I3: the originals are remembered, not the replacements."""
    result_of(
        run_python,
        PATCHED
        + """
    before = {module: dict(items) for module, items in monkey.saved.items()}
    for _ in range(3):
        monkey.patch_all()
        monkey.patch_socket(); monkey.patch_dns(); monkey.patch_time(); monkey.patch_select()
        monkey.patch_ssl()
    assert monkey.saved == before
    time.sleep(0)
    assert selectors.SelectSelector._select([], [], [], 0) == ([], [], [])
""",
    )


@pytest.mark.parametrize(
    ("call", "modules"),
    [
        ("patch_socket()", ["socket"]),
        ("patch_socket(dns=False)", ["socket"]),
        ("patch_dns()", ["socket"]),
        ("patch_time()", ["time"]),
        ("patch_select()", ["select", "selectors"]),
        ("patch_ssl()", ["ssl"]),
        ("patch_os()", ["os"]),
        ("patch_signal()", ["signal"]),
        (
            "patch_subprocess()",
            ["_multiprocessing", "multiprocessing.connection", "multiprocessing.process", "subprocess"],
        ),
        ("patch_sys()", ["sys"]),
        ("patch_builtins()", []),
        ("patch_queue()", ["queue"]),
        ("patch_thread(existing_locks=False, logging=False)", ["_thread", "_threading_local", "threading"]),
        ("patch_thread(threading=False)", ["_thread", "_threading_local"]),
        ("patch_thread(threading=False, _threading_local=False)", ["_thread"]),
        (
            "patch_all(socket=False, dns=False, select=False, thread=False, queue=False, ssl=False, os=False,"
            " signal=False, subprocess=False)",
            ["time"],
        ),
    ],
)
def test_each_can_be_patched_alone(run_python: RunPython, call: str, modules: list[str]) -> None:
    """I3: each alone, and only that."""
    printed = result_of(
        run_python,
        f"""
        from greenswitch import monkey
        monkey.{call}
        print(sorted(monkey.saved))
        print(monkey.is_object_patched("socket", "socket"), monkey.is_object_patched("socket", "getaddrinfo"))
        """,
    )
    expected = ("dns" not in call and "socket" in modules) or call == "patch_socket(dns=False)"
    names = "socket" in modules and "dns=False" not in call
    assert printed == f"{modules}\n{expected} {names}\n"


def test_select_that_is_not_aggressive(run_python: RunPython) -> None:
    result_of(
        run_python,
        """
        from greenswitch import monkey
        monkey.patch_all(aggressive=False)
        import select, selectors
        kept = [name for name in ("kqueue", "devpoll") if hasattr(select, name)]
        monkey.patch_select()
        saved = monkey.saved["select"]
        assert kept == [name for name in ("kqueue", "devpoll") if name in saved]
        assert not any(hasattr(select, name) for name in kept)
        """,
    )


@pytest.mark.parametrize("word", ["thread", "os", "ssl", "subprocess", "sys", "signal", "queue", "Event"])
def test_words_of_gevent(run_python: RunPython, word: str) -> None:
    """I3: a word that this version has something for works; one that it has nothing for is refused when it is
    asked for, before anything is patched; left out, None or False it means "what there is"."""
    if word in OPTIONS:
        program = f"monkey.patch_all({word}=True)"
    else:
        program = f"""
        try:
            monkey.patch_all({word}=True)
        except NotImplementedError as error:
            assert "{word}=True" in str(error) and "socket, dns" in str(error)
        else:
            raise AssertionError("accepted")
        assert not monkey.saved
        monkey.patch_all({word}=None)
        monkey.patch_all({word}=False)
        """
    result_of(run_python, "from greenswitch import monkey\n" + textwrap.dedent(program))


def test_words_with_nothing_to_do(run_python: RunPython) -> None:
    result_of(run_python, "from greenswitch import monkey\nmonkey.patch_all(builtins=True, contextvars=True)")


def test_other_words_the_second_time_are_warned_of(run_python: RunPython) -> None:
    printed = result_of(
        run_python,
        """
        import warnings
        from greenswitch import monkey
        monkey.patch_all()
        monkey.patch_all()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all(time=False)
        print([(one.category.__name__, "more than once" in str(one.message), one.filename) for one in caught])
        assert monkey.is_object_patched("time", "sleep")
        """,
    )
    assert printed == "[('MonkeyPatchWarning', True, '<string>')]\n"


@pytest.mark.parametrize("call", ["patch_all()", "patch_socket()"])
def test_what_was_taken_before_is_warned_of(run_python: RunPython, tmp_path: Path, call: str) -> None:
    """I3: names that modules have for themselves, and classes that are derived; not what only has the module,
    or such names as are no functions that wait. Told once, of what is to be moved."""
    (tmp_path / "early.py").write_text(
        "import socket, ssl\n"
        "from socket import AF_INET, socket as make, timeout\n"
        "from ssl import SSLSocket, SSLContext\n"
        "_original_socketpair = socket.socketpair\n"
        "class Wrapped(socket.socket): pass\n"
        "class Secure(SSLSocket): pass\n"
    )
    printed = result_of(
        run_python,
        f"""
        import sys, warnings
        sys.path.insert(0, {str(tmp_path)!r})
        import early
        from socket import create_connection, getaddrinfo
        from greenswitch import monkey
        from greenswitch.socket import socket as green
        class Green(green): pass
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.{call}
            monkey.{call}
        for one in caught:
            print(one.category.__name__, one.filename, str(one.message))
        """,
    )
    begin = "MonkeyPatchWarning <string> patched too late for "
    early = "__main__.create_connection, __main__.getaddrinfo, early.Wrapped, early.make"
    expected = [begin + early, begin + "early.Secure"] if "all" in call else [begin + early]
    assert [line.partition(":")[0] for line in printed.splitlines()] == expected


def test_what_other_libraries_take_before_is_harmless(run_python: RunPython) -> None:
    """I3: libraries that ask for the names when they need them may be imported first."""
    result_of(
        run_python,
        """
        import http.client, smtplib, ssl, urllib.request, xmlrpc.client
        for name in ("requests", "urllib3", "redis", "pg8000.dbapi", "httpx", "sqlalchemy"):
            try:
                __import__(name)
            except ImportError:
                pass
        from greenswitch import monkey
        monkey.patch_all()
        """,
    )


def test_patch_module(run_python: RunPython) -> None:
    """I3: other packages replace names of theirs by the same means."""
    result_of(
        run_python,
        """
        import types
        from greenswitch import monkey
        target, source = types.ModuleType("target"), types.ModuleType("source")
        target.a, target.b, target.c = "old a", "old b", "old c"
        source.a, source.b, source.new = "new a", "new b", "new"
        try:
            monkey.patch_module(target, source)
        except AttributeError as error:
            assert "__implements__" in str(error)
        try:
            monkey.patch_module(target, source, items=["a", "missing"])
        except AttributeError:
            assert target.a == "old a"
        source.__implements__ = ["a", "new"]
        assert monkey.patch_module(target, source)
        assert (target.a, target.b, target.new) == ("new a", "old b", "new")
        monkey.patch_module(target, source, items=["b"])
        assert target.b == "new b"
        monkey.patch_item(target, "c", "new c")
        monkey.remove_item(target, "c")
        monkey.remove_item(target, "c")
        assert not hasattr(target, "c")
        assert monkey.saved["target"] == {"a": "old a", "b": "old b", "c": "old c"}
        """,
    )


def test_hooks_of_a_source_module(run_python: RunPython) -> None:
    """I3: gevent's names: called before and after; the first may change the list, warn, and refuse."""
    printed = result_of(
        run_python,
        """
        import types, warnings
        from greenswitch import events, monkey
        target, source = types.ModuleType("target"), types.ModuleType("source")
        target.a, target.b, source.a, source.b = "old a", "old b", "new a", "new b"
        source.__implements__ = ["a", "b"]
        def will(module, items, warn):
            items.remove("b")
            warn("take care")
        source._gevent_will_monkey_patch = will
        source._gevent_did_monkey_patch = lambda module, items, warn: print(module.__name__, items)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert monkey.patch_module(target, source) is True
        print([(str(one.message), one.category.__name__, one.filename) for one in caught])
        assert (target.a, target.b, source.__implements__) == ("new a", "old b", ["a", "b"])
        def refuse(*args):
            raise events.DoNotPatch
        source._gevent_will_monkey_patch = refuse
        target.a = "older"
        assert monkey.patch_module(target, source) is False and target.a == "older"
        """,
    )
    assert printed == "target ['a']\n[('take care', 'MonkeyPatchWarning', '<string>')]\n"


# Who is told


def test_events(run_python: RunPython) -> None:
    """I3: before and after all, before and after each module, in this order; arguments that are not known
    here are handed on."""
    printed = result_of(
        run_python,
        """
        import socket
        from greenswitch import events, monkey
        def tell(event):
            name = type(event).__name__.removeprefix("Gevent").removesuffix("Event")
            if isinstance(event, events.GeventPatchEvent) and hasattr(event, "module_name"):
                patched = monkey.is_module_patched(event.module_name)
                print(name, event.module_name, event.source.__name__, event.target.__name__, patched)
                if "Will" in name:
                    assert "sleep" in event.target_item_names or event.module_name != "time"
            else:
                arguments = event.patch_all_arguments
                print(name, arguments["time"], arguments["select"], event.patch_all_kwargs)
        events.subscribers.append(tell)
        rest = dict.fromkeys(("thread", "select", "queue", "os", "ssl", "subprocess", "signal"), False)
        monkey.patch_all(**rest, own="word")
        # Nothing new: nobody is told.
        monkey.patch_all(**rest)
        """,
    )
    assert printed.splitlines() == [
        "WillPatchAll True False {'own': 'word'}",
        "WillPatchModule time greenswitch.time time False",
        "DidPatchModule time greenswitch.time time True",
        "WillPatchModule socket greenswitch.socket socket False",
        "DidPatchModule socket greenswitch.socket socket True",
        "DidPatchBuiltinModules True False {'own': 'word'}",
        "DidPatchAll True False {'own': 'word'}",
    ]


def test_refusing(run_python: RunPython) -> None:
    """I3: DoNotPatch keeps one module, or all, from being patched; patching can be asked for again."""
    result_of(
        run_python,
        """
        from greenswitch import events, monkey
        def refuse_all(event):
            if isinstance(event, events.GeventWillPatchAllEvent):
                assert event.will_patch_module("time") and not event.will_patch_module("queue")
                raise events.DoNotPatch
        events.subscribers.append(refuse_all)
        assert monkey.patch_all(queue=False) is False and not monkey.is_anything_patched()
        events.subscribers[:] = []
        def refuse_time(event):
            if isinstance(event, events.IGeventWillPatchModuleEvent) and event.module_name == "time":
                raise events.DoNotPatch
        events.subscribers.append(refuse_time)
        assert monkey.patch_time() is False
        assert monkey.patch_all(queue=False) is True
        assert monkey.is_module_patched("socket") and not monkey.is_module_patched("time")
        """,
    )


def test_a_thread_module_that_is_refused(run_python: RunPython) -> None:
    """I3: where `threading` is not to be patched, it goes on with native threads."""
    result_of(
        run_python,
        """
        import threading
        from greenswitch import events, monkey
        def refuse(event):
            if isinstance(event, events.IGeventWillPatchModuleEvent) and event.module_name == "threading":
                raise events.DoNotPatch
        events.subscribers.append(refuse)
        monkey.patch_all()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(threading.get_native_id()))
        thread.start()
        thread.join()
        assert seen != [threading.get_native_id()]
        """,
    )


def test_plugins(run_python: RunPython, tmp_path: Path) -> None:
    """I3: entry points of installed packages are called after the subscribers."""
    for name in (
        "will_patch_all",
        "will_patch_module",
        "did_patch_module",
        "did_patch_builtins",
        "did_patch_all",
    ):
        group = f"greenswitch.plugins.monkey.{name}"
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        (folder / "entry_points.txt").write_text(f"[{group}]\nmine = plugin:{name}\n", "utf-8")
    (tmp_path / "plugin.py").write_text(
        "def __getattr__(name):\n    return lambda event: print(name, getattr(event, 'module_name', ''))\n",
        "utf-8",
    )
    printed = result_of(
        run_python,
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from greenswitch import events, monkey
        events.subscribers.append(lambda event: print("told"))
        words = "thread select queue socket dns os ssl subprocess signal"
        monkey.patch_all(**dict.fromkeys(words.split(), False))
        """,
        str(tmp_path),
    )
    assert printed.splitlines() == [
        *("told", "will_patch_all ", "told", "will_patch_module time", "told", "did_patch_module time"),
        *("told", "did_patch_builtins ", "told", "did_patch_all "),
    ]


# Programs that know nothing of greenlets


URLS = """
    import sys
    if sys.argv[1] == "patched":
        from greenswitch import monkey
        monkey.patch_all()
    import http.server, threading, time, urllib.request
    from greenswitch.greenlets import Greenlet, joinall
    from greenswitch.hub import sleep

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(float(self.path[1:]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())
        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 10

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = server.server_address[1]

        def fetch(delay):
            print("GET", delay)
            with urllib.request.urlopen(f"http://localhost:{port}/{delay}", timeout=30) as answer:
                text = answer.read()
            print("got", text.decode()[1:])

        began = time.monotonic()
        joinall([Greenlet.spawn(fetch, delay) for delay in (0.9, 0.6, 0.3)], raise_error=True)
        print(time.monotonic() - began)
        server.shutdown()
        thread.join()
"""


def test_urllib_is_serial_without_patching(run_python: RunPython) -> None:
    """I2: three greenlets, one after another: the sum of the delays."""
    *lines, seconds = result_of(run_python, URLS, "plain").splitlines()
    assert lines == ["GET 0.9", "got 0.9", "GET 0.6", "got 0.6", "GET 0.3", "got 0.3"]
    assert float(seconds) >= 1.8


def test_urllib_is_concurrent_after_patching(run_python: RunPython) -> None:
    """I2: all GETs first, in spawn order; answers as they come; the slowest, not the sum."""
    *lines, seconds = result_of(run_python, URLS, "patched").splitlines()
    assert lines == ["GET 0.9", "GET 0.6", "GET 0.3", "got 0.3", "got 0.6", "got 0.9"]
    assert 0.9 <= float(seconds) < 1.6


def test_echo_server_with_the_standard_module(run_python: RunPython) -> None:
    """I1: the plain blocking echo server, written with `import socket`."""
    printed = result_of(
        run_python,
        """
        from greenswitch import monkey; monkey.patch_all()
        import socket
        from greenswitch.greenlets import Greenlet, joinall

        def handle(connection):
            with connection:
                while data := connection.recv(1024):
                    connection.sendall(data)

        def serve(listener):
            while True:
                connection, address = listener.accept()
                Greenlet.spawn(handle, connection)

        def client(number):
            with socket.create_connection(("localhost", port)) as sock:
                with sock.makefile("rw") as file:
                    file.write(f"hello {number}\\n")
                    file.flush()
                    return file.readline()

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        port = listener.getsockname()[1]
        server = Greenlet.spawn(serve, listener)
        clients = [Greenlet.spawn(client, number) for number in range(100)]
        joinall(clients, raise_error=True)
        assert [one.value for one in clients] == [f"hello {number}\\n" for number in range(100)]
        server.kill()
        listener.close()
        print("good")
        """,
    )
    assert printed == "good\n"


def test_http_server_in_one_thread(run_python: RunPython) -> None:
    """I1, I4: the standard `socketserver` loop, which selects, beside its own client in the same thread."""
    printed = result_of(
        run_python,
        """
        from greenswitch import monkey; monkey.patch_all()
        import http.server, urllib.request
        from greenswitch.greenlets import Greenlet

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"answer")
            def log_message(self, *args):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            serving = Greenlet.spawn(server.serve_forever)
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/") as answer:
                    print(answer.read().decode())
            serving.kill()
        """,
    )
    assert printed == "answer\n" * 3


def test_time_sleep_interleaves(run_python: RunPython) -> None:
    """G6: three sleepers end after the longest sleep, each at its time."""
    printed = result_of(
        run_python,
        """
        from greenswitch import monkey; monkey.patch_all()
        import time
        from greenswitch.greenlets import Greenlet, joinall
        def hello(number):
            print("start", number)
            time.sleep(number * 0.1)
            print("end", number)
        began = time.monotonic()
        joinall([Greenlet.spawn(hello, number) for number in (2, 1, 0)])
        assert 0.2 <= time.monotonic() - began < 0.29
        for bad, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (None, TypeError)):
            try:
                time.sleep(bad)
            except error:
                pass
            else:
                raise AssertionError(bad)
        """,
    )
    assert printed == "start 2\nstart 1\nstart 0\nend 0\nend 1\nend 2\n"


def test_selectors_wait_cooperatively(run_python: RunPython) -> None:
    """I3, I4: every selector that is left lets other greenlets run, also those that were imported before."""
    printed = result_of(
        run_python,
        """
        import selectors
        from greenswitch import monkey; monkey.patch_all()
        import socket, time
        from greenswitch.greenlets import Greenlet
        from greenswitch.hub import sleep
        turns = 0
        def tick():
            global turns
            while True:
                turns += 1
                sleep(0.001)
        ticker = Greenlet.spawn(tick)
        one, other = socket.socketpair()
        kinds = selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector
        for kind in (*kinds, selectors.DefaultSelector):
            with kind() as selector:
                key = selector.register(one, selectors.EVENT_READ, "data")
                turns = 0
                assert selector.select(0.05) == [] and turns > 5
                assert selector.select(0) == [] and selector.select(-1) == []
                sender = Greenlet.spawn(other.send, b"x")
                assert selector.select() == [(key, selectors.EVENT_READ)]
                sender.join()
                selector.modify(one, selectors.EVENT_READ | selectors.EVENT_WRITE)
                assert selector.select()[0][1] == selectors.EVENT_READ | selectors.EVENT_WRITE
                one.recv(1)
        one.close(); other.close()
        print("good")
        """,
    )
    assert printed == "good\n"


def test_asyncio_beside_greenlets(run_python: RunPython) -> None:
    """I3: asyncio's own loop in the main greenlet waits in a patched selector; greenlets run beside it."""
    printed = result_of(
        run_python,
        """
        from greenswitch import monkey; monkey.patch_all()
        import asyncio, time
        from greenswitch.greenlets import Greenlet

        turns = 0
        def tick():
            global turns
            while True:
                turns += 1
                time.sleep(0.005)

        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        async def client(port, number):
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(b"%d\\n" % number)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return int(line)

        async def main():
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            answers = await asyncio.gather(*(client(port, number) for number in range(20)))
            await asyncio.sleep(0.1)
            server.close()
            return answers

        ticker = Greenlet.spawn(tick)
        assert asyncio.run(main()) == list(range(20))
        assert turns > 5
        print("good")
        """,
    )
    assert printed == "good\n"


def test_subprocess_still_works(run_python: RunPython) -> None:
    """G15: `communicate` selects; other greenlets run meanwhile."""
    printed = result_of(
        run_python,
        """
        from greenswitch import monkey; monkey.patch_all()
        import subprocess, sys, time
        from greenswitch.greenlets import Greenlet
        turns = 0
        def tick():
            global turns
            while True:
                turns += 1
                time.sleep(0.001)
        Greenlet.spawn(tick)
        program = "import sys, time; time.sleep(0.1); print(sys.stdin.read()); print(1, file=sys.stderr)"
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=-1, stdout=-1, stderr=-1, text=True
        )
        assert child.communicate("x" * 200_000, timeout=30) == ("x" * 200_000 + "\\n", "1\\n")
        assert turns > 5
        print("good")
        """,
    )
    assert printed == "good\n"


def test_multiprocessing_connections_still_work(run_python: RunPython) -> None:
    """G15: `multiprocessing.connection` detaches sockets and reads from the bare descriptors, which must
    block."""
    printed = result_of(
        run_python,
        """
        from greenswitch import get_hub, monkey; monkey.patch_all()
        from multiprocessing.connection import Client, Listener
        with Listener(("127.0.0.1", 0)) as listener:
            def serve():
                with listener.accept() as connection:
                    connection.send(connection.recv() * 2)
            serving = get_hub().threadpool.spawn(serve)
            with Client(listener.address) as client:
                client.send("ab")
                print(client.recv())
            serving.get()
        """,
    )
    assert printed == "abab\n"


@pytest.mark.parametrize("order", ["ssl first", "context first", "patched first", "not patched"])
def test_tls(run_python: RunPython, order: str) -> None:
    """I3, I4: TLS by the names of `ssl`, however late the patching, is done by greenlets; with
    `patch_all(ssl=False)` native threads can do it."""
    thread = order == "not patched"
    printed = result_of(
        run_python,
        ("import ssl\n" if order in ("ssl first", "context first") else "")
        + (
            "early = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
            if order == "context first"
            else "early = None\n"
        )
        + f"from greenswitch import monkey, spawn; monkey.patch_all(ssl={not thread})\n"
        + textwrap.dedent(
            f"""
            import socket, ssl
            from greenswitch import get_hub
            def context(kind):
                made = early or ssl.SSLContext(kind)
                if kind != ssl.PROTOCOL_TLS_SERVER:
                    made = ssl.SSLContext(kind)
                made.maximum_version = ssl.TLSVersion.TLSv1_2
                made.check_hostname = False
                made.verify_mode = ssl.CERT_NONE
                # No certificate at all.
                made.set_ciphers("aNULL:@SECLEVEL=0")
                return made
            listener = socket.create_server(("127.0.0.1", 0))
            address = listener.getsockname()
            def serve():
                connection, _ = listener.accept()
                with context(ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection, server_side=True) as tls:
                    tls.sendall(tls.recv(100).upper())
            serving = get_hub().threadpool.spawn(serve) if {thread} else spawn(serve)
            with socket.create_connection(address, timeout=30) as plain:
                with context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(plain) as tls:
                    assert isinstance(tls, ssl.SSLSocket)
                    tls.sendall(b"secret")
                    print(tls.recv(100).decode())
            serving.get()
            listener.close()
            """
        ),
    )
    assert printed == "SECRET\n"


HTTPS = """
import http.server, io, socket, ssl, sys, tempfile, threading, time, urllib.request
import trustme

authority = trustme.CA()
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(server)
trusted = tempfile.NamedTemporaryFile(suffix=".pem")
trusted.write(authority.cert_pem.bytes())
trusted.flush()

listener = socket.create_server(("127.0.0.1", 0), backlog=50)
address = f"https://localhost:{listener.getsockname()[1]}/"
together = []

def answer(connection):
    # Nobody is answered before all have asked: whoever blocks the thread never gets there.
    with server.wrap_socket(connection, server_side=True) as tls:
        assert tls.recv(10000).startswith(b"GET / HTTP/1.1")
        together.append(tls)
        while len(together) < COUNT:
            time.sleep(0.001)
        tls.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nhello")

def accept():
    while True:
        spawn(answer, listener.accept()[0])

COUNT = 20
spawn(accept)
"""


@pytest.mark.skipif(find_spec("trustme") is None, reason="trustme, which makes the certificates, is missing")
@pytest.mark.parametrize("client", ["urllib", "requests"])
def test_https_of_other_libraries(run_python: RunPython, client: str) -> None:
    """I2, I3, I4: twenty requests over TLS at once, certificates checked, in one thread; a server with a
    certificate that is not trusted is refused."""
    if client == "requests":
        pytest.importorskip("requests", reason="requests is not installed")
        get = "requests.get(address, verify=trusted.name, timeout=30).content"
        untrusted = "requests.get(address, timeout=30)"
    else:
        get = (
            "urllib.request.urlopen(address, context=ssl.create_default_context(cafile=trusted.name)).read()"
        )
        untrusted = "urllib.request.urlopen(address, timeout=30)"
    printed = result_of(
        run_python,
        "from greenswitch import joinall, monkey, spawn\nmonkey.patch_all()\n"
        + HTTPS
        + f"import {'requests' if client == 'requests' else 'urllib'}\n"
        + textwrap.dedent(
            f"""
            gets = [spawn(lambda: {get}) for _ in range(COUNT)]
            joinall(gets, raise_error=True)
            assert [get.value for get in gets] == [b"hello"] * COUNT
            try:
                {untrusted}
            except OSError as error:
                print("CERTIFICATE_VERIFY_FAILED" in str(error))
            """
        ),
    )
    assert printed == "True\n"
