"""Programs that say `import gevent`, with libraries that build on gevent: on greenswitch as they are, and
what they print is what they print on gevent (spec D3).

What belongs here: libraries that use gevent's modules themselves. What never does: libraries that only find
the standard library patched, which are in tests/monkey.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ON_GREENSWITCH = ("-m", "greenswitch", "run", "--as", "greenlet,gevent")

Compare = Callable[[str], str]


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def printed(tmp_path: Path) -> Compare:
    """What a program prints on greenswitch, which has to be what it prints on gevent, if that is there."""

    def printed(program: str) -> str:
        script = tmp_path / "program.py"
        script.write_text(program, encoding="utf-8")
        outcomes = []
        for way in (ON_GREENSWITCH, ()):
            if way or importlib.util.find_spec("gevent") is not None:
                outcomes.append(
                    subprocess.run(
                        [sys.executable, "-W", "ignore::DeprecationWarning", *way, str(script)],
                        cwd=tmp_path,
                        capture_output=True,
                        text=True,
                        timeout=100,
                    )
                )
        ours = outcomes[0]
        assert (ours.returncode, ours.stderr) == (0, ""), ours
        assert all(outcome.stdout == ours.stdout for outcome in outcomes), outcomes
        return ours.stdout

    return printed


@needs("flask", "httptools")
def test_flask(printed: Compare) -> None:
    """Flask under pywsgi: requests that wait for each other; a form, an answer in parts, a session, a
    failure."""
    program = """
from gevent import monkey; monkey.patch_all()
import http.client, json, logging, threading, urllib.parse
import gevent
from gevent.pywsgi import WSGIServer
from flask import Flask, Response, jsonify, request, session
logging.disable()
app = Flask(__name__)
app.secret_key = b"secret"
meeting = threading.Barrier(10)
@app.get("/meet/<int:number>")
def meet(number):
    meeting.wait(30)
    return jsonify(number=number, path=request.path, argument=request.args.get("a"))
@app.post("/form")
def form():
    session["name"] = request.form["name"]
    return {"file": request.files["file"].read().decode(), "name": request.form["name"]}
@app.get("/name")
def name():
    return session.get("name", "nobody")
@app.get("/parts")
def parts():
    def generate():
        for number in range(5):
            gevent.sleep(0.01)
            yield f"part {number};"
    return Response(generate(), mimetype="text/plain")
@app.get("/fail")
def fail():
    return str(1 / 0)
server = WSGIServer(("127.0.0.1", 0), app, log=None, error_log=None)
server.start()
def ask(method, path, *rest):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, *rest)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body
greenlets = [gevent.spawn(ask, "GET", f"/meet/{number}?a=%C3%A4") for number in range(10)]
gevent.joinall(greenlets, raise_error=True)
for greenlet in greenlets:
    print(greenlet.value[0].status, json.loads(greenlet.value[1]))
lines = ["--x", 'Content-Disposition: form-data; name="name"', "", "Ada", "--x",
    'Content-Disposition: form-data; name="file"; filename="f"', "", "f" * 100, "--x--", ""]
form = "\\r\\n".join(lines).encode()
answer, body = ask("POST", "/form", form, {"Content-Type": "multipart/form-data; boundary=x"})
print(answer.status, sorted(json.loads(body).items()))
cookie = answer.getheader("Set-Cookie").split(";")[0]
print(ask("GET", "/name", None, {"Cookie": cookie})[1], ask("GET", "/name")[1])
answer, body = ask("GET", "/parts")
print(answer.getheader("Transfer-Encoding"), body)
answer, body = ask("GET", "/fail")
print(answer.status, answer.getheader("Content-Type"))
print(ask("GET", "/nowhere")[0].status)
server.stop()
"""
    assert len(printed(program).splitlines()) == 15


WEBSOCKET = """
import base64, hashlib, os, socket, struct
class Client:
    '''A client for websockets, as far as these tests need one.'''
    def __init__(self, port, path="/"):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(bytes(range(16)))
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13", "", ""]
        head = "\\r\\n".join(lines)
        # Whoever speaks first need not wait for the answer.
        self.sock.sendall(head.encode() + self.frame(b"early"))
        self.file = self.sock.makefile("rb")
        self.status = self.file.readline().decode().split(" ", 2)[1]
        self.headers = {}
        while (line := self.file.readline()) != b"\\r\\n":
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.accepted = self.headers.get("sec-websocket-accept") == base64.b64encode(digest).decode()
    @staticmethod
    def frame(data, opcode=1):
        length = bytes([128 + len(data)]) if len(data) < 126 else b"\\xfe" + struct.pack(">H", len(data))
        return bytes([128 + opcode]) + length + bytes(4) + data
    def send(self, data, opcode=1):
        self.sock.sendall(self.frame(data, opcode))
    def receive(self):
        first, length = self.file.read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self.file.read(2))
        return first & 15, self.file.read(length)
"""


@needs("geventwebsocket", "httptools")
def test_gevent_websocket(printed: Compare) -> None:
    """gevent-websocket's handler, which is pywsgi's with methods of its own: many connections that stay open,
    messages to all, pings, the end from either side; and plain requests beside them."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        + WEBSOCKET
        + """
import http.client, logging
import gevent
from gevent import pywsgi
from geventwebsocket import WebSocketError, WebSocketServer
from geventwebsocket.handler import WebSocketHandler
members = []
def application(environ, start_response):
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"plain " + environ["PATH_INFO"].encode()]
    members.append(websocket)
    try:
        while (message := websocket.receive()) is not None:
            if message == "all":
                for each in members:
                    each.send("to all")
            elif message == "leave":
                websocket.close(1000, b"gone")
            else:
                websocket.send(message)
    except WebSocketError as error:
        print("error", error)
    finally:
        members.remove(websocket)
    return []
for make in (
    lambda: pywsgi.WSGIServer(("127.0.0.1", 0), application, handler_class=WebSocketHandler, log=None),
    lambda: WebSocketServer(("127.0.0.1", 0), application),
):
    logging.disable()
    server = make()
    server.start()
    port = server.server_port
    clients = [Client(port, "/chat?room=1") for _ in range(20)]
    print({client.status for client in clients}, all(client.accepted for client in clients), len(members))
    print(sorted(name for name in clients[0].headers))
    print({client.receive() for client in clients})
    clients[0].send(b"all")
    print({client.receive() for client in clients})
    clients[1].send("\u00e4".encode() * 10_000)
    print(clients[1].receive()[1] == "\u00e4".encode() * 10_000)
    clients[2].send(b"ping", opcode=9)
    print(clients[2].receive())
    clients[3].send(b"binary", opcode=2)
    print(clients[3].receive())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for path in ("/a", "/b"):
        connection.request("GET", path)
        print(connection.getresponse().read())
    connection.close()
    clients[4].send(b"leave")
    print(clients[4].receive(), clients[4].file.read())
    clients[5].send(b"\\x03\\xe8", opcode=8)
    print(clients[5].receive(), clients[5].file.read())
    clients[6].sock.shutdown(socket.SHUT_RDWR)
    with gevent.Timeout(30):
        while len(members) > 17:
            gevent.sleep(0.01)
    for client in clients:
        client.file.close()
        client.sock.close()
    with gevent.Timeout(30):
        while members:
            gevent.sleep(0.01)
    server.stop()
"""
    )
    assert printed(program).count("{(1, b'to all')}") == 2


@needs("flask_socketio", "geventwebsocket", "httptools", "requests", "websocket")
def test_socket_io(printed: Compare) -> None:
    """Socket.IO with gevent: clients of each transport, and those that change over."""
    program = """
from gevent import monkey; monkey.patch_all()
import gevent
import socketio
from flask import Flask
from flask_socketio import SocketIO, emit
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler
app = Flask(__name__)
server = SocketIO(app, async_mode="gevent")
@server.on("ask")
def ask(number):
    gevent.sleep(0.02)
    emit("answer", number + 1)
    emit("all", number, broadcast=True)
    return "asked"
listener = pywsgi.WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)
listener.start()
answers, all_answers, clients = [], [], []
for transports in (["polling"], ["websocket"], None):
    for _ in range(3):
        client = socketio.Client()
        client.on("answer", answers.append)
        client.on("all", all_answers.append)
        client.connect(f"http://127.0.0.1:{listener.server_port}", transports=transports)
        clients.append(client)
print([client.transport() for client in clients])
print([client.call("ask", number, timeout=30) for number, client in enumerate(clients)])
with gevent.Timeout(30):
    while len(answers) < 9 or len(all_answers) < 81:
        gevent.sleep(0.01)
print(sorted(answers), sorted(all_answers))
for client in clients:
    client.disconnect()
listener.stop(timeout=1)
"""
    assert printed(program).startswith("['polling', 'polling', 'polling', 'websocket', ")


@needs("requests", "httptools")
def test_crawler(printed: Compare) -> None:
    """requests in a pool of greenlets: pages that link to each other, some slow, some failing."""
    program = """
from gevent import monkey; monkey.patch_all()
import re, time
import requests
import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
now = most = 0
def site(environ, start_response):
    global now, most
    now += 1
    most = max(most, now)
    number = int(environ["PATH_INFO"][1:])
    gevent.sleep(0.02)
    now -= 1
    if number % 17 == 3:
        start_response("500 Oh", [])
        return [b"failed"]
    if number % 17 == 4:
        start_response("302 Found", [("Location", f"/{number + 1}")])
        return [b""]
    links = "".join(f'<a href="/{each}">' for each in (2 * number + 1, 2 * number + 2) if each < 200)
    start_response("200 OK", [("Content-Type", "text/html")])
    return [links.encode(), b"x" * 50_000]
server = WSGIServer(("127.0.0.1", 0), site, log=None, error_log=None)
server.start()
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=20))
session.trust_env = False
def visit(number):
    try:
        answer = session.get(f"http://localhost:{server.server_port}/{number}", timeout=30)
        answer.raise_for_status()
    except requests.HTTPError as error:
        return number, str(error).split(" for url")[0], []
    return number, len(answer.text), [int(each) for each in re.findall('href="/(\\\\d+)"', answer.text)]
pool = Pool(20)
seen, level = {0}, [0]
while level:
    found = []
    for number, what, links in pool.map(visit, level):
        print(number, what, links)
        found += links
    level = sorted(set(found) - seen)
    seen.update(level)
print(len(seen), most > 10, most <= 20)
print(sum(1 for _ in pool.imap_unordered(visit, range(30))))
session.close()
server.stop()
"""
    assert "500 Server Error: Oh" in printed(program)


@needs("psycogreen", "psycopg2")
@pytest.mark.parametrize("library", ["psycogreen", "written out"])
def test_psycopg2(printed: Compare, postgres_port: int, library: str) -> None:
    """A driver in C that lets somebody else wait: queries side by side, one that waits for a lock of
    another's, one that is cut off by a timeout, and one that fails."""
    install = "from psycogreen.gevent import patch_psycopg; patch_psycopg()"
    if library != "psycogreen":
        install = """
from gevent.socket import wait_read, wait_write
from psycopg2 import extensions
def wait(connection):
    while (state := connection.poll()) != extensions.POLL_OK:
        (wait_read if state == extensions.POLL_READ else wait_write)(connection.fileno())
extensions.set_wait_callback(wait)
"""
    program = f"""
from gevent import monkey; monkey.patch_all()
import time
import gevent, psycopg2
from gevent.pool import Pool
{install}
def connect():
    return psycopg2.connect(host="127.0.0.1", port={postgres_port}, user="me", dbname="postgres")
"""
    program += """
first = connect()
cursor = first.cursor()
cursor.execute("drop table if exists counters")
cursor.execute("create table counters (value integer)")
cursor.execute("insert into counters values (0)")
first.commit()
now = most = 0
def work(number):
    global now, most
    with connect() as connection, connection.cursor() as cursor:
        now += 1
        most = max(most, now)
        cursor.execute("select pg_sleep(0.3), repeat('x', 300000)")
        now -= 1
        length = len(cursor.fetchone()[1])
        cursor.execute("update counters set value = value + 1")
        cursor.execute("select pg_sleep(0.01)")
    connection.close()
    return number, length
print(Pool(10).map(work, range(10)), most)
cursor.execute("select value from counters")
print(cursor.fetchone())
slow = connect()
began = time.monotonic()
try:
    with gevent.Timeout(0.1):
        slow.cursor().execute("select pg_sleep(60)")
except BaseException as error:
    print(type(error).__name__)
print(time.monotonic() - began < 30)
try:
    cursor.execute("select nonsense")
except psycopg2.errors.UndefinedColumn as error:
    print(error.pgcode)
first.close()
"""
    assert "(10,)" in printed(program)
