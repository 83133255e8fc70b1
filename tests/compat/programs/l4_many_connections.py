"""L4: many connections in one thread, a greenlet for each."""

import gevent
from gevent import socket

COUNT = 400


def echo(connection: socket.socket) -> int:
    echoed = 0
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)
            echoed += len(data)
    return echoed


def ask(connection: socket.socket, number: int) -> bool:
    with connection:
        for turn in range(3):
            message = b"%d of %d" % (turn, number)
            connection.sendall(message)
            gevent.sleep(0.001 * (number % 7))
            if connection.recv(100) != message:
                return False
    return True


pairs = [socket.socketpair() for _ in range(COUNT)]
serving = [gevent.spawn(echo, ours) for ours, _ in pairs]
asking = [gevent.spawn(ask, theirs, number) for number, (_, theirs) in enumerate(pairs)]
gevent.joinall([*serving, *asking], raise_error=True)
print(sum(each.value for each in asking), sum(each.value for each in serving))
