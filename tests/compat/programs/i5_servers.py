"""I5: servers of streams, of datagrams and of WSGI applications: start, stop, a limit."""

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from gevent.server import DatagramServer, StreamServer

working = most = 0


def echo(connection: socket.socket, address: object) -> None:
    global working, most
    working += 1
    most = max(most, working)
    gevent.sleep(0.01)
    connection.sendall(connection.recv(100)[::-1])
    working -= 1


def ask(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address) as client:
        client.sendall(data)
        answer = b""
        while more := client.recv(4096):
            answer += more
        return answer


def application(environ: dict[str, str], start_response: object) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])  # type: ignore[operator]
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']}".encode()]


class Datagrams(DatagramServer):
    def handle(self, data: bytes, address: object) -> None:
        self.socket.sendto(data.upper(), address)


server = StreamServer(("127.0.0.1", 0), echo, spawn=Pool(2))
server.start()
address = ("127.0.0.1", server.server_port)
print(server.started, [each.get() for each in [gevent.spawn(ask, address, b"abc%d" % n) for n in range(6)]])
print(most, server.closed)
server.stop()
print(server.started, server.closed)
try:
    ask(address, b"too late")
except ConnectionRefusedError as error:
    print(type(error).__name__)

datagrams = Datagrams(("127.0.0.1", 0))
datagrams.start()
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(b"datagram", ("127.0.0.1", datagrams.server_port))
print(client.recvfrom(100)[0])
datagrams.stop()

wsgi = WSGIServer(("127.0.0.1", 0), application, log=None)
wsgi.start()
request = b"GET /path?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
head, _, body = ask(("127.0.0.1", wsgi.server_port), request).partition(b"\r\n\r\n")
names = {line.partition(b":")[0].lower() for line in head.splitlines()[1:]}
print(head.splitlines()[0], sorted(names & {b"content-length", b"content-type", b"date"}), body)
wsgi.stop()
