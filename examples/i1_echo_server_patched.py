"""The TCP echo server on the standard socket module, patched: one thread, a greenlet for every client."""

from greenswitch import monkey, spawn

monkey.patch_all()

import argparse
import socket


def handle(conn: socket.socket, peer: str) -> None:
    with conn:
        try:
            while data := conn.recv(4096):
                conn.sendall(data)
        except ConnectionError as error:
            print(f"{peer} vanished: {error}")


def serve(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        host, port = listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        while True:
            conn, (host, port) = listener.accept()
            spawn(handle, conn, f"{host}:{port}")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=0, help="0, the default: any that is free")
try:
    serve(parser.parse_args().port)
except KeyboardInterrupt:
    print("bye")
