"""G15: fork, subprocess, multiprocessing and a pre-forked server beside greenlets."""

from gevent import monkey

monkey.patch_all()

import multiprocessing
import os
import subprocess
import sys

import gevent
from gevent import socket

ticks = 0


def tick() -> None:
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1


def square(n: int) -> int:
    gevent.sleep(0.01)
    return n * n


def serve(listener: socket.socket) -> None:
    """A worker: it answers one client, in a greenlet of its own."""
    connection, _ = listener.accept()
    gevent.spawn(lambda: connection.sendall(connection.recv(100).upper())).join()


ticking = gevent.spawn(tick)
child = os.fork()
if child == 0:
    os._exit(gevent.spawn(square, 3).get())
print("forked", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

before = ticks
program = "import sys, time; time.sleep(0.3); print(sys.stdin.read()[::-1])"
ended = subprocess.run([sys.executable, "-c", program], input="abc", capture_output=True, text=True)
print("subprocess", ended.stdout, ended.returncode)
print("others ran meanwhile:", ticks > before)

forks = multiprocessing.get_context("fork")
process = forks.Process(target=lambda: sys.exit(gevent.spawn(square, 4).get()))
process.start()
print("multiprocessing", process.join(), process.exitcode)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(5)
workers = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        serve(listener)
        os._exit(0)
    workers.append(pid)
for number in range(2):
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"client %d" % number)
    print("a worker answers", client.recv(100))
    client.close()
print([os.waitpid(pid, 0)[1] for pid in workers])
ticking.kill()
