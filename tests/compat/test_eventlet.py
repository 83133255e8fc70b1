"""eventlet, a library made of greenlets, on greenswitch's (spec D2), and the same programs on greenlet.

What belongs here: eventlet. What never does: gevent, whose own tests run on our greenlets in
tests/conformance; SQLAlchemy's asyncio, which is in tests/aio.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunPython

missing = [name for name in ("eventlet", "greenlet") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"not installed, so eventlet cannot be tried: {missing}"
)

AS = ("-m", "greenswitch", "run", "--as", "greenlet")

GREEN = """
import greenlet
import eventlet
from eventlet import event, queue, semaphore, tpool
from eventlet.green import socket, subprocess

def serve(connection):
    while data := connection.recv(1000):
        connection.sendall(data.upper())
    connection.close()

def accept(listener):
    while True:
        connection, _ = listener.accept()
        eventlet.spawn_n(serve, connection)

def ask(number):
    with socket.create_connection(listener.getsockname()) as client:
        for turn in range(10):
            message = b'turn %d of %d' % (turn, number)
            client.sendall(message)
            assert client.recv(1000) == message.upper()
            eventlet.sleep(0.001)
    return number

listener = eventlet.listen(('127.0.0.1', 0))
accepting = eventlet.spawn(accept, listener)
pool = eventlet.GreenPool(50)
print(sum(pool.imap(ask, range(200))), pool.running(), isinstance(accepting, greenlet.greenlet))
accepting.kill()

with eventlet.Timeout(0.01, False):
    eventlet.sleep(60)
    print('never')
try:
    with eventlet.Timeout(0.01):
        listener.accept()
except eventlet.Timeout as error:
    print(error)

handed, limit = queue.Queue(2), semaphore.Semaphore(1)
def produce():
    for item in range(5):
        handed.put(item)
def consume():
    with limit:
        return [handed.get() for _ in range(5)]
eventlet.spawn(produce)
print(eventlet.spawn(consume).wait(), limit.locked())

def fails():
    raise LookupError('in a green thread')
try:
    eventlet.spawn(fails).wait()
except LookupError as error:
    print(error)
told = event.Event()
eventlet.spawn_after(0.01, told.send, 'told')
print(told.wait(), tpool.execute(pow, 2, 10))
print(subprocess.Popen(['echo', 'a child'], stdout=subprocess.PIPE).communicate()[0])
"""

PATCHED = """
import eventlet
eventlet.monkey_patch()
import threading, time, socket
from urllib.request import urlopen
from eventlet import wsgi

def application(environ, start_response):
    time.sleep(float(environ['PATH_INFO'].split('/')[1]))
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['PATH_INFO'].encode()]

listener = eventlet.listen(('127.0.0.1', 0))
server = eventlet.spawn(wsgi.server, listener, application, log_output=False)
url = 'http://127.0.0.1:%d' % listener.getsockname()[1]

def fetch(path):
    print('GET', path)
    with urlopen(url + path) as response:
        print(response.status, response.read())

paths = '/0.9/slow', '/0.1/quick', '/0.5/middle'
threads = [threading.Thread(target=fetch, args=(path,)) for path in paths]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
locals_ = threading.local()
locals_.mine = 1
def look():
    print(hasattr(locals_, 'mine'))
eventlet.spawn(look).wait()
server.kill()
"""


GREEN_LINES = [
    "19900 0 True",
    "0.01 seconds",
    "[0, 1, 2, 3, 4] False",
    "in a green thread",
    "told 1024",
    "b'a child\\n'",
]
PATCHED_LINES = [
    *("GET /0.9/slow", "GET /0.1/quick", "GET /0.5/middle"),
    *("200 b'/0.1/quick'", "200 b'/0.5/middle'", "200 b'/0.9/slow'"),
    "False",
]


@pytest.mark.parametrize("hub", ["epolls", "poll", "asyncio"])
@pytest.mark.parametrize(
    ("program", "lines", "failures"),
    [(GREEN, GREEN_LINES, 1), (PATCHED, PATCHED_LINES, 0)],
    ids=["green", "patched"],
)
def test_runs_on_greenswitch(
    run_python: RunPython, tmp_path: Path, program: str, lines: list[str], failures: int, hub: str
) -> None:
    """A server and clients, pools, timeouts, queues, threads, children, a patched standard library."""
    script = tmp_path / "script.py"
    script.write_text(program, encoding="utf-8")
    chosen = {"EVENTLET_HUB": hub, "PYTHONWARNINGS": "ignore", "no_proxy": "127.0.0.1"}
    for options in (), AS:
        outcome = run_python(script, environment=chosen, options=options).check()
        assert outcome.stdout.splitlines() == lines
        assert outcome.stderr.count("Traceback") == failures, outcome


def test_its_greenlets_are_ours(run_python: RunPython, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import eventlet, greenlet, greenswitch, sys\n"
        "from eventlet.greenthread import GreenThread\n"
        "print(issubclass(GreenThread, greenswitch.greenlet), greenlet._greenlet.__name__)\n",
        encoding="utf-8",
    )
    ours = run_python(script, environment={"PYTHONWARNINGS": "ignore"}, options=AS).check()
    assert ours.stdout == "True greenswitch._core\n"
