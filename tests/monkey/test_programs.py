"""Libraries that people use, after `patch_all()`: several clients in threads, with a server that is real.

What belongs here: programs that know nothing of greenlets. Each of them shows that its threads were side by
side: the server counts how many requests it had at once. What never does: what is patched and how.
"""

from __future__ import annotations

import importlib.util
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RunPython

PRELUDE = """
from greenswitch import monkey; monkey.patch_all()
import threading, time

class AtOnce:
    '''How many are in a `with` block of it, each for a while; and the most that ever were.'''
    def __init__(self):
        self.now = self.most = 0
    def __enter__(self):
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.05)
    def __exit__(self, *error):
        self.now -= 1

at_once = AtOnce()
native = monkey.get_original("threading", "get_ident")()

def side_by_side(function, count=10):
    '''Call function(0), function(1), ... in a thread each: the results.'''
    results = {}
    def work(number):
        assert monkey.get_original("threading", "get_ident")() == native
        results[number] = function(number)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return [results[number] for number in range(count)]
"""

HTTP = (
    PRELUDE
    + """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with at_once:
            body = self.path.encode()
            self.answer(body)
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).upper())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Handler)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
"""
)

PATHS = [f"/{number}" for number in range(10)]


def installed(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")


def run(run_python: RunPython, program: str, *arguments: str) -> None:
    """Run a program, which checks itself; it must complain of nothing."""
    outcome = run_python(textwrap.dedent(program), *arguments, timeout=120).check()
    assert (outcome.stdout, outcome.stderr) == ("good\n", "")


def test_urllib(run_python: RunPython) -> None:
    """I2: urllib against http.server."""
    run(
        run_python,
        HTTP
        + f"""
import urllib.request
def fetch(number):
    with urllib.request.urlopen(f"http://localhost:{{port}}/{{number}}", timeout=60) as answer:
        return answer.read().decode()
assert side_by_side(fetch) == {PATHS} and at_once.most > 5
server.shutdown()
print("good")
""",
    )


def test_http_client(run_python: RunPython) -> None:
    """I2: connections that are kept, with GET and POST."""
    run(
        run_python,
        HTTP
        + """
import http.client
def talk(number):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/{number}")
    first = connection.getresponse().read()
    connection.request("POST", "/", body=b"x" * 100_000 + str(number).encode())
    second = connection.getresponse().read()
    connection.close()
    return first + second[99_999:]
expected = [f"/{number}X{number}".encode() for number in range(10)]
assert side_by_side(talk) == expected and at_once.most > 5
server.shutdown()
print("good")
""",
    )


@installed("requests", "urllib3")
def test_requests(run_python: RunPython) -> None:
    """I2: requests, with one session for all threads, and urllib3's pool of connections that waits for a free
    one."""
    run(
        run_python,
        HTTP
        + f"""
import requests, urllib3
session = requests.Session()
fetched = side_by_side(lambda number: session.get(f"http://localhost:{{port}}/{{number}}", timeout=60).text)
assert fetched == {PATHS} and at_once.most > 5, fetched
at_once.most = 0
with urllib3.HTTPConnectionPool("localhost", port, maxsize=2, block=True) as pool:
    fetched = side_by_side(lambda number: pool.request("GET", f"/{{number}}").data.decode())
assert fetched == {PATHS} and at_once.most == 2, (fetched, at_once.most)
try:
    requests.get(f"http://localhost:{{port}}/", timeout=0.01)
except requests.Timeout:
    print("good")
session.close()
server.shutdown()
""",
    )


def test_xmlrpc(run_python: RunPython) -> None:
    """I1: xmlrpc's server, a thread for each call, and its client."""
    run(
        run_python,
        PRELUDE
        + """
import socketserver, xmlrpc.client, xmlrpc.server
class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), logRequests=False)
def double(number):
    with at_once:
        return number * 2
server.register_function(double)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
def call(number):
    with xmlrpc.client.ServerProxy(f"http://localhost:{server.server_address[1]}/") as proxy:
        return proxy.double(number)
assert side_by_side(call) == [number * 2 for number in range(10)] and at_once.most > 5
server.shutdown()
server.server_close()
print("good")
""",
    )


def test_smtplib(run_python: RunPython) -> None:
    """I1: smtplib against a server of a few lines."""
    run(
        run_python,
        PRELUDE
        + """
import smtplib, socketserver
received = []
class Mail(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")
    def handle(self):
        self.say("220 ready")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.say("354 go on")
                body = b""
                while (line := self.rfile.readline()) != b".\\r\\n":
                    body += line
                with at_once:
                    received.append(body)
            elif word == b"QUIT":
                return self.say("221 bye")
            self.say("250 ok")
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Mail)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
def send(number):
    with smtplib.SMTP("127.0.0.1", server.server_address[1], local_hostname="me", timeout=60) as client:
        return client.sendmail("from@here", ["to@there"], f"Subject: {number}\\r\\n\\r\\ntext\\r\\n")
assert side_by_side(send) == [{}] * 10 and at_once.most > 5
assert sorted(received) == [f"Subject: {number}\\r\\n\\r\\ntext\\r\\n".encode() for number in range(10)]
server.shutdown()
server.server_close()
print("good")
""",
    )


def test_imaplib(run_python: RunPython) -> None:
    """I1: imaplib against a server of a few lines."""
    run(
        run_python,
        PRELUDE
        + """
import imaplib, socketserver
class Mail(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")
    def handle(self):
        self.say("* OK IMAP4rev1 ready")
        for line in self.rfile:
            tag, word, *rest = line.decode().split()
            if word == "CAPABILITY":
                self.say("* CAPABILITY IMAP4rev1")
            elif word == "SELECT":
                self.say("* 1 EXISTS")
            elif word == "FETCH":
                with at_once:
                    text = "message " + rest[0]
                    self.say(f"* {rest[0]} FETCH (BODY[] {{{len(text)}}}\\r\\n{text})")
            elif word == "LOGOUT":
                self.say("* BYE")
            self.say(f"{tag} OK done")
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Mail)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
def fetch(number):
    client = imaplib.IMAP4("127.0.0.1", server.server_address[1])
    client.login("me", "secret")
    assert client.select("INBOX") == ("OK", [b"1"])
    status, data = client.fetch(str(number), "(BODY[])")
    client.logout()
    return data[0][1]
assert side_by_side(fetch) == [f"message {number}".encode() for number in range(10)]
assert at_once.most > 5
server.shutdown()
server.server_close()
print("good")
""",
    )


# Servers of other people


@installed("redis")
def test_redis(run_python: RunPython, redis_port: int) -> None:
    """I4: one client for all threads; those that wait for an item block nobody else."""
    run(
        run_python,
        PRELUDE
        + """
import sys, redis
client = redis.Redis(port=int(sys.argv[1]))
def work(number):
    client.set(f"key {number}", "x" * 100_000 + str(number))
    with at_once:
        client.rpush("items", number)
    found = client.get(f"key {number}")
    return found[100_000:], len(client.blpop("answers", timeout=60))
def answer():
    for _ in range(10):
        client.rpush("answers", client.blpop("items", timeout=60)[1])
answering = threading.Thread(target=answer)
answering.start()
assert side_by_side(work) == [(str(number).encode(), 2) for number in range(10)] and at_once.most > 5
answering.join()
client.close()
print("good")
""",
        str(redis_port),
    )


@installed("pg8000")
def test_postgresql(run_python: RunPython, postgres_port: int) -> None:
    """I4: pg8000; each thread has a connection, and one waits for a lock that another one has."""
    run(
        run_python,
        PRELUDE
        + """
import sys, pg8000.dbapi
def connect():
    return pg8000.dbapi.connect("me", host="127.0.0.1", port=int(sys.argv[1]), database="postgres")
first = connect()
cursor = first.cursor()
cursor.execute("create table counters (value integer)")
cursor.execute("insert into counters values (0)")
first.commit()
def work(number):
    connection = connect()
    cursor = connection.cursor()
    with at_once:
        cursor.execute("select pg_sleep(0.5)")
    cursor.execute("update counters set value = value + 1")
    time.sleep(0.01)
    connection.commit()
    cursor.execute("select %s, value from counters", (number,))
    found = int(cursor.fetchone()[0])
    connection.close()
    return found
assert side_by_side(work) == list(range(10)) and at_once.most > 5
cursor.execute("select value from counters")
assert cursor.fetchone()[0] == 10
first.close()
print("good")
""",
        str(postgres_port),
    )
