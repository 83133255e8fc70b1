"""I1: an echo server in blocking style, a greenlet for every client."""

import gevent
from gevent import socket


def handle(connection: socket.socket, number: int) -> None:
    while data := connection.recv(100):
        connection.sendall(data.upper())
    connection.close()
    gone.append(number)


def serve(listener: socket.socket) -> None:
    number = 0
    while True:
        connection, _ = listener.accept()
        gevent.spawn(handle, connection, number)
        number += 1


gone: list[int] = []
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1024)
server = gevent.spawn(serve, listener)
clients = [socket.create_connection(listener.getsockname()) for _ in range(300)]
for turn in range(3):
    for number, client in enumerate(clients):
        client.sendall(b"turn %d of %d" % (turn, number))
    echoes = [client.recv(100) for client in clients]
    print(echoes == [b"TURN %d OF %d" % (turn, number) for number in range(300)], echoes[-1])
for client in clients:
    client.shutdown(socket.SHUT_WR)
print({client.recv(100) for client in clients})
for client in clients:
    client.close()
print(sorted(gone) == list(range(300)))
server.kill()
listener.close()
