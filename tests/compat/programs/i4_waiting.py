"""I4: select, poll, selectors, TLS, UDP, Unix sockets, files, pipes, children, names. The argument is a
file with a certificate and its key for `localhost`."""

from gevent import monkey

monkey.patch_all()

import os
import select
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile

import gevent
from gevent.fileobject import FileObject

certificate = sys.argv[1]
ours, theirs = socket.socketpair()

print("select", select.select([ours], [], [], 0.01))
gevent.spawn_later(0.02, theirs.sendall, b"1")
print("select", select.select([ours], [ours], [], 10)[1] == [ours])
print("select", select.select([ours], [], [], 10)[0] == [ours])
ours.recv(1)

polling = select.poll()
polling.register(ours, select.POLLIN)
print("poll", polling.poll(10))
gevent.spawn_later(0.02, theirs.sendall, b"2")
print("poll", polling.poll(10_000) == [(ours.fileno(), select.POLLIN)])
ours.recv(1)

with selectors.DefaultSelector() as selector:
    selector.register(ours, selectors.EVENT_READ, "data")
    print("selectors", selector.select(0.01))
    gevent.spawn_later(0.02, theirs.sendall, b"3")
    print("selectors", [(key.data, events) for key, events in selector.select(10)])

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
client_context = ssl.create_default_context(cafile=certificate)
listener = socket.create_server(("127.0.0.1", 0))


def serve_tls() -> None:
    with context.wrap_socket(listener, server_side=True) as serving:
        connection, _ = serving.accept()
        with connection:
            connection.sendall(connection.recv(100)[::-1])


serving = gevent.spawn(serve_tls)
plain = socket.create_connection(listener.getsockname())
with client_context.wrap_socket(plain, server_hostname="localhost") as secure:
    secure.sendall(b"secret")
    print("tls", secure.recv(100), secure.version(), secure.getpeercert() is not None)
serving.join()

udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
udp[0].bind(("127.0.0.1", 0))
gevent.spawn_later(0.02, udp[1].sendto, b"datagram", udp[0].getsockname())
print("udp", udp[0].recvfrom(100)[0])

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "socket")
    with socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as client:
        unix.bind(path)
        unix.listen()
        accepting = gevent.spawn(unix.accept)
        client.connect(path)
        connection, _ = accepting.get()
        client.sendall(b"over a path")
        print("unix", connection.recv(100))
        connection.close()

reader, writer = os.pipe()
with FileObject(reader, "rb") as reading, FileObject(writer, "wb") as writing:
    lines = gevent.spawn(reading.readlines)
    gevent.sleep(0.01)
    writing.write(b"one\ntwo\n")
    writing.close()
    print("pipe", lines.get())

children = [gevent.spawn(subprocess.check_output, ["sh", "-c", f"sleep 0.{n}; echo {n}"]) for n in (5, 1)]
print("children", [each.value for each in gevent.iwait(children)])
print("names", socket.gethostbyname("localhost"))
print("names", socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
try:
    socket.getaddrinfo("no such name", 80)
except socket.gaierror as error:
    print("names", type(error).__name__)
