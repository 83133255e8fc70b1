"""`greenswitch.ssl` with real certificates on real sockets of the loopback interface.

What belongs here: what a program sees of a TLS socket, and that no operation of it keeps others from running.
What never does: patching (`monkey/`), OpenSSL's own rules beyond one case of each kind.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import socket as standard_socket
import ssl as stdlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from greenswitch import socket, ssl
from greenswitch.exceptions import ConcurrentObjectUseError
from greenswitch.greenlets import Greenlet, joinall
from greenswitch.hub import sleep
from greenswitch.timeout import Timeout

trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates, is not installed")

HOST = "127.0.0.1"
NAME = "green.test"
spawn = Greenlet.spawn


pytestmark = pytest.mark.usefixtures("within_two_minutes", "nothing_is_left")


class Certificates(NamedTuple):
    """An authority's certificate, and two servers' contexts: of NAME, and of another authority's."""

    authority: Any
    server: ssl.SSLContext
    stranger: ssl.SSLContext
    chain: str

    def client(self, **options: Any) -> ssl.SSLContext:
        """A context that trusts the authority alone."""
        context = ssl.create_default_context(**options)
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert(NAME, HOST)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert(NAME, HOST).configure_cert(stranger)
    chain = tmp_path_factory.mktemp("tls") / "chain.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(chain))
    return Certificates(authority, server, stranger, str(chain))


@contextmanager
def plain_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server((HOST, 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        yield one, other


@contextmanager
def tls_pair(
    certificates: Certificates, client_context: ssl.SSLContext | None = None, **options: Any
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Client and server after their handshake."""
    context = client_context or certificates.client()
    with plain_pair() as (one, other):
        serving = spawn(certificates.server.wrap_socket, other, server_side=True)
        client = context.wrap_socket(one, server_hostname=NAME, **options)
        server = serving.get()
        with client, server:
            yield client, server


@contextmanager
def server_of(
    context: ssl.SSLContext, handle: Callable[[Any], object], **options: Any
) -> Iterator[tuple[str, int]]:
    """A server that gives each connection to `handle` in a greenlet of its own, after the handshake."""
    greenlets: list[Any] = []

    def handshake(connection: socket.socket) -> None:
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True, **options) as tls:
                    handle(tls)
            except OSError:
                # Clients of these tests refuse certificates and go away.
                pass

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            greenlets.append(spawn(handshake, connection))

    with socket.create_server((HOST, 0), backlog=128) as listener:
        acceptor = spawn(accept)
        try:
            yield listener.getsockname()
        finally:
            acceptor.kill()
            for greenlet in greenlets:
                greenlet.kill()


def echo(connection: Any) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def connect(
    address: tuple[str, int], context: ssl.SSLContext, name: str = NAME, timeout: float | None = None
) -> ssl.SSLSocket:
    connection = socket.create_connection(address, timeout)
    return context.wrap_socket(connection, server_hostname=name)  # type: ignore[return-value]


def ticks(seconds: float = 0.005) -> tuple[list[int], Any]:
    """A greenlet that counts as long as it is let run."""
    count = [0]

    def tick() -> None:
        while True:
            count[0] += 1
            sleep(seconds)

    return count, spawn(tick)


# Clients that verify


def test_echo_with_a_verified_certificate(certificates: Certificates) -> None:
    """I4: TLS, the certificate checked against its authority and its name."""
    with server_of(certificates.server, echo) as address, connect(address, certificates.client()) as client:
        assert isinstance(client, (ssl.SSLSocket, stdlib.SSLSocket, socket.socket))
        assert client.version() in ("TLSv1.2", "TLSv1.3") and client.cipher() is not None
        assert ("DNS", NAME) in client.getpeercert()["subjectAltName"]  # type: ignore[index]
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        assert client.pending() == 0


def test_a_certificate_of_another_name_is_refused(certificates: Certificates) -> None:
    with server_of(certificates.server, echo) as address:
        with pytest.raises(stdlib.SSLCertVerificationError, match="[Hh]ostname mismatch"):
            connect(address, certificates.client(), "other.test")
        # The server goes on.
        with connect(address, certificates.client()) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


@pytest.mark.parametrize("whose", ["nobody's", "another authority's"])
def test_a_certificate_of_an_unknown_authority_is_refused(certificates: Certificates, whose: str) -> None:
    server = certificates.stranger if whose == "another authority's" else certificates.server
    client = certificates.client() if whose == "another authority's" else ssl.create_default_context()
    refusal = pytest.raises(stdlib.SSLCertVerificationError, match="unable to get local issuer|self-signed")
    with server_of(server, echo) as address, refusal:
        connect(address, client)


def test_a_self_signed_certificate_is_refused(certificates: Certificates, tmp_path: pathlib.Path) -> None:
    """An authority that shows its own certificate is a server that signed for itself."""
    alone = trustme.CA()
    path = tmp_path / "self.pem"
    alone.cert_pem.write_to_path(str(path))
    alone.private_key_pem.write_to_path(str(path), append=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(str(path))
    refusal = pytest.raises(stdlib.SSLCertVerificationError, match="self.signed")
    with server_of(server, echo) as address, refusal:
        connect(address, certificates.client())


def test_a_client_with_a_certificate(certificates: Certificates) -> None:
    """The server asks for one and sees it; one without is refused."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.chain)
    server.verify_mode = ssl.CERT_REQUIRED
    certificates.authority.configure_trust(server)
    seen: list[Any] = []

    def handle(tls: Any) -> None:
        seen.append(tls.getpeercert()["subjectAltName"])
        echo(tls)

    known = certificates.client()
    known.load_cert_chain(certificates.chain)
    with server_of(server, handle) as address:
        with connect(address, known) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        # TLS 1.3 tells it with the first read.
        refusal = pytest.raises(OSError, match="(?i)certificate required|handshake failure|reset|broken pipe")
        with refusal, connect(address, certificates.client()) as client:
            client.sendall(b"x")
            client.recv(1)
    assert seen == [(("DNS", NAME), ("IP Address", HOST))]


# What is agreed on


def test_the_name_that_is_asked_for_chooses_the_certificate(certificates: Certificates) -> None:
    """SNI: the server's callback sees the name, and may give another context; it may even wait."""
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.load_cert_chain(certificates.chain)
    names: list[Any] = []

    def choose(tls: Any, name: str | None, context: Any) -> None:
        names.append((name, isinstance(tls, ssl.SSLSocket)))
        sleep(0.01)
        tls.context = certificates.server

    front.sni_callback = choose
    with server_of(front, echo) as address, connect(address, certificates.client()) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert names == [(NAME, True)]


def test_alpn(certificates: Certificates) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.chain)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client = certificates.client()
    client.set_alpn_protocols(["spdy", "http/1.1"])
    chosen: list[object] = []
    serving = server_of(server, lambda tls: chosen.append(tls.selected_alpn_protocol()))
    with serving as address, connect(address, client) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.recv(1) == b""
    assert chosen == ["http/1.1"]


@pytest.mark.parametrize("version", [stdlib.TLSVersion.TLSv1_2, stdlib.TLSVersion.TLSv1_3])
def test_a_session_is_used_again(certificates: Certificates, version: stdlib.TLSVersion) -> None:
    client = certificates.client()
    client.maximum_version = version
    with server_of(certificates.server, echo) as address:
        with connect(address, client) as first:
            # With TLS 1.3 the ticket comes with the first data.
            first.sendall(b"x")
            assert first.recv(1) == b"x" and not first.session_reused
            session = first.session
        plain = socket.create_connection(address)
        with client.wrap_socket(plain, server_hostname=NAME, session=session) as again:
            assert again.session_reused
            again.sendall(b"y")
            assert again.recv(1) == b"y"


def test_channel_binding(certificates: Certificates) -> None:
    client = certificates.client()
    client.maximum_version = stdlib.TLSVersion.TLSv1_2
    with tls_pair(certificates, client) as (one, other):
        assert one.get_channel_binding() == other.get_channel_binding() != None  # noqa: E711


# Nobody stands still


def test_others_run_while_one_waits(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, server):
        count, ticking = ticks()
        answer = spawn(client.recv, 100)
        while count[0] < 10:
            sleep(0.005)
        assert not answer.ready()
        server.sendall(b"late")
        assert answer.get() == b"late"
        ticking.kill()


def test_a_silent_client_keeps_no_other_from_its_handshake(certificates: Certificates) -> None:
    """A hundred handshakes at once, beside twenty that never begin."""
    with server_of(certificates.server, echo) as address:
        silent = [socket.create_connection(address) for _ in range(20)]
        context = certificates.client()

        def visit(number: int) -> bytes:
            with connect(address, context) as client:
                client.sendall(b"%d" % number)
                return client.recv(100)  # type: ignore[no-any-return]

        visits = [spawn(visit, number) for number in range(100)]
        joinall(visits, raise_error=True)
        assert [visit.get() for visit in visits] == [b"%d" % number for number in range(100)]
        for connection in silent:
            connection.close()


def test_accept_with_its_handshake(certificates: Certificates) -> None:
    """A listener in TLS gives connections that have shaken hands already."""
    plain = socket.create_server((HOST, 0))
    with certificates.server.wrap_socket(plain, server_side=True) as listener:
        accepting = spawn(listener.accept)
        with connect(listener.getsockname(), certificates.client()) as client:
            server, address = accepting.get()
            with server:
                assert isinstance(server, ssl.SSLSocket) and address == client.getsockname()
                server.sendall(b"hi")
                assert client.recv(2) == b"hi"


@pytest.mark.parametrize("size", [1 << 24])
def test_much_data_both_ways_at_once(certificates: Certificates, size: int) -> None:
    """One greenlet reads while another writes, at both ends; others run meanwhile."""
    with tls_pair(certificates) as (client, server):
        data = [os.urandom(size), os.urandom(size)]
        count, ticking = ticks(0)

        def receive(connection: Any) -> str:
            digest = hashlib.sha256()
            received = 0
            buffer = bytearray(50000)
            while received < size:
                got = connection.recv_into(buffer)
                assert got
                digest.update(memoryview(buffer)[:got])
                received += got
            return digest.hexdigest()

        def send(connection: Any, octets: bytes) -> None:
            connection.sendall(memoryview(octets)[: size // 2])
            rest = memoryview(octets)[size // 2 :]
            while rest:
                rest = rest[connection.send(rest[:100000]) :]

        work = [spawn(send, client, data[0]), spawn(send, server, data[1])]
        readers = [spawn(receive, server), spawn(receive, client)]
        joinall(work, raise_error=True)
        assert [reader.get() for reader in readers] == [hashlib.sha256(each).hexdigest() for each in data]
        assert count[0] > 10
        ticking.kill()


def test_bytes_that_openssl_holds_need_no_waiting(certificates: Certificates) -> None:
    """A record is read as a whole; what is left of it is there although the system has nothing more."""
    with tls_pair(certificates) as (client, server):
        server.sendall(b"0123456789")
        assert b"".join(client.recv(1) for _ in range(10)) == b"0123456789"
        assert client.pending() == 0


def test_makefile(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, server):
        with client.makefile("rw", encoding="utf-8") as lines:
            reading = spawn(lines.readline)
            server.sendall(b"one\ntwo\n")
            assert (reading.get(), lines.readline()) == ("one\n", "two\n")
            lines.write("three\n")
            lines.flush()
        assert server.recv(100) == b"three\n"


def test_sendfile(certificates: Certificates, tmp_path: pathlib.Path) -> None:
    content = os.urandom(1 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    with tls_pair(certificates) as (client, server), path.open("rb") as file:
        sending = spawn(server.sendfile, file)
        received = bytearray()
        while len(received) < len(content):
            received += client.recv(1 << 20)
        assert sending.get() == len(content) and bytes(received) == content


def test_two_greenlets_on_one_direction(certificates: Certificates) -> None:
    """One reader and one writer at a time. A second writer is refused before a byte of it is encrypted."""
    with tls_pair(certificates) as (client, server):
        reading = spawn(client.recv, 1)
        sleep(0.01)
        with pytest.raises(ConcurrentObjectUseError):
            client.recv(1)
        data = os.urandom(1 << 23)
        writing = spawn(client.sendall, data)
        sleep(0.05)
        assert not writing.ready()
        for call in (client.send, client.sendall, client.write):
            with pytest.raises(ConcurrentObjectUseError, match="in the middle of a write"):
                call(b"x" * (1 << 15))
        received = bytearray()
        while len(received) < len(data):
            received += server.recv(1 << 20)
        writing.get()
        assert bytes(received) == data
        server.sendall(b"!")
        assert reading.get() == b"!"
        client.sendall(b"and again")
        assert server.recv(100) == b"and again"


# Timeouts


def test_timeout_in_the_handshake(certificates: Certificates) -> None:
    with plain_pair() as (one, _), pytest.raises(TimeoutError, match="handshake operation timed out"):
        one.settimeout(0.05)
        certificates.client().wrap_socket(one, server_hostname=NAME)


def test_timeout_of_the_server_in_the_handshake(certificates: Certificates) -> None:
    with plain_pair() as (_, other), pytest.raises(TimeoutError, match="handshake operation timed out"):
        other.settimeout(0.05)
        certificates.server.wrap_socket(other, server_side=True)


def test_timeouts(certificates: Certificates) -> None:
    """SSLWantReadError and SSLWantWriteError are for those who asked not to wait."""
    with tls_pair(certificates) as (client, _):
        client.settimeout(0.02)
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="read operation timed out"):
            client.recv(1)
        with pytest.raises(TimeoutError, match="read operation timed out"):
            client.recv_into(bytearray(1))
        assert time.monotonic() - started >= 0.04
        with pytest.raises(TimeoutError, match="write operation timed out"):
            client.sendall(b"x" * (1 << 24))


def test_sendall_has_one_timeout_for_all(certificates: Certificates) -> None:
    """A peer that takes a little now and then does not make it last for ever."""
    with tls_pair(certificates) as (client, server):

        def sip() -> None:
            while server.recv(16384):
                sleep(0.01)

        sipping = spawn(sip)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError, match="write operation timed out"):
            client.sendall(bytes(1 << 27))
        sipping.kill()


def test_no_blocking(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, _):
        client.setblocking(False)
        with pytest.raises(stdlib.SSLWantReadError):
            client.recv(1)
        with pytest.raises(stdlib.SSLWantWriteError):
            while True:
                client.send(bytes(1 << 16))
    with plain_pair() as (one, _):
        one.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            certificates.client().wrap_socket(one, server_hostname=NAME)


def test_handshake_by_hand(certificates: Certificates) -> None:
    """do_handshake_on_connect=False; `do_handshake(block=True)` waits also where the timeout is 0."""
    with plain_pair() as (one, other):
        options = {"do_handshake_on_connect": False}
        server = certificates.server.wrap_socket(other, server_side=True, **options)
        client = certificates.client().wrap_socket(one, server_hostname=NAME, **options)
        with client, server:
            serving = spawn(server.do_handshake)
            client.setblocking(False)
            with pytest.raises(stdlib.SSLWantReadError):
                client.do_handshake()
            client.do_handshake(block=True)
            serving.get()
            assert client.gettimeout() == 0.0 and client.version() == server.version()


def test_timeout_block_around_a_handshake(certificates: Certificates) -> None:
    with plain_pair() as (one, _), pytest.raises(Timeout), Timeout(0.02):
        certificates.client().wrap_socket(one, server_hostname=NAME)


# Beginning and end


def test_connect_after_wrapping(certificates: Certificates) -> None:
    with server_of(certificates.server, echo) as address:
        with certificates.client().wrap_socket(socket.socket(), server_hostname=NAME) as client:
            count, ticking = ticks()
            client.connect(address)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            with pytest.raises(ValueError, match="already-connected"):
                client.connect(address)
            ticking.kill()
            assert count[0] > 0
        with certificates.client().wrap_socket(socket.socket(), server_hostname=NAME) as client:
            assert client.connect_ex(address) == 0 and client.version()
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        client = certificates.client().wrap_socket(socket.socket(), server_hostname=NAME)
        with client, pytest.raises(ConnectionRefusedError):
            client.connect(unused.getsockname())


def test_unwrap_goes_on_in_clear_text(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, server):
        unwrapping = spawn(server.unwrap)
        plain = client.unwrap()
        other = unwrapping.get()
        assert isinstance(plain, socket.socket) and client.version() is None
        reading = spawn(plain.recv, 100)
        sleep(0.01)
        other.sendall(b"clear")
        assert reading.get() == b"clear"
        plain.send(b"too")
        assert other.recv(100) == b"too"
        with pytest.raises(ValueError, match="No SSL wrapper"):
            client.unwrap()
        with pytest.raises(ValueError, match="unwrapped"):
            client.read(1)
        with pytest.raises(ValueError, match="unwrapped"):
            client.write(b"x")


def test_half_closed(certificates: Certificates) -> None:
    """A client says that it sends no more: the server reads to the end, and can still write. A client that
    waits for the server's end by `unwrap` does not take data any more, and says so."""
    received: list[bytes] = []

    def handle(tls: Any) -> None:
        while data := tls.recv(3):
            received.append(data)
        if b"".join(received) == b"question":
            tls.sendall(b"answer")
        tls.unwrap()

    with server_of(certificates.server, handle) as address:
        with connect(address, certificates.client()) as client:
            client.sendall(b"good bye")
            assert isinstance(client.unwrap(), socket.socket)
        assert b"".join(received) == b"good bye"
        received.clear()
        with connect(address, certificates.client()) as client:
            client.sendall(b"question")
            with pytest.raises(stdlib.SSLError, match="(?i)application data after close notify"):
                client.unwrap()
        assert b"".join(received) == b"question"


@pytest.mark.parametrize("suppress", [True, False])
def test_an_end_without_good_bye(certificates: Certificates, suppress: bool) -> None:
    """suppress_ragged_eofs: the peer's system closes, TLS knows nothing of it. CPython 3.11.2 has OpenSSL 3
    take that for a proper end."""
    taken_for_an_end = getattr(stdlib, "OP_IGNORE_UNEXPECTED_EOF", 0)
    with tls_pair(certificates, suppress_ragged_eofs=suppress) as (client, server):
        reading = spawn(client.recv, 1)
        sleep(0.01)
        socket.socket.shutdown(server, socket.SHUT_WR)
        if suppress or client.context.options & taken_for_an_end:
            assert reading.get() == b"" and client.recv_into(bytearray(1)) == 0
        else:
            with pytest.raises(stdlib.SSLEOFError):
                reading.get()


def test_the_end_of_the_peer_in_the_handshake(certificates: Certificates) -> None:
    with plain_pair() as (one, other):
        other.close()
        with pytest.raises(OSError, match="(?i)eof|reset"):
            certificates.client().wrap_socket(one, server_hostname=NAME)
        assert one.fileno() == -1


def test_what_is_no_tls(certificates: Certificates) -> None:
    with plain_pair() as (one, other):
        other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(stdlib.SSLError):
            certificates.client().wrap_socket(one, server_hostname=NAME)


def test_close_wakes_who_waits(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, _):
        reading = spawn(client.recv, 1)
        writing = spawn(client.sendall, bytes(1 << 24))
        sleep(0.02)
        client.close()
        for waiting in (reading, writing):
            with pytest.raises(OSError, match="closed in another greenlet"):
                waiting.get()


def test_a_kill_in_the_handshake_closes_the_socket(certificates: Certificates) -> None:
    with plain_pair() as (one, other):
        shaking = spawn(certificates.client().wrap_socket, one, server_hostname=NAME)
        sleep(0.01)
        shaking.kill()
        other.settimeout(10)
        while other.recv(4096):
            pass


def test_shutdown(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, server):
        client.shutdown(socket.SHUT_WR)
        assert client.version() is None and server.recv(1) == b""


# Shape


def test_threads_use_one_socket(certificates: Certificates) -> None:
    """A TLS socket may be read in a thread that is not the one whose loop holds it."""
    with tls_pair(certificates) as (client, server):
        received: list[bytes] = []
        thread = threading.Thread(target=lambda: received.append(client.recv(100)))
        thread.start()
        sleep(0.05)
        server.sendall(b"across")
        thread.join()
        assert received == [b"across"]


def test_wrapping_takes_the_descriptor_over(certificates: Certificates) -> None:
    with plain_pair() as (one, _):
        number = one.fileno()
        one.settimeout(7)
        with certificates.client().wrap_socket(
            one, server_hostname=NAME, do_handshake_on_connect=False
        ) as client:
            assert (one.fileno(), client.fileno(), client.gettimeout()) == (-1, number, 7)
            assert not os.get_blocking(number)


def test_a_plain_standard_socket_can_be_wrapped(certificates: Certificates) -> None:
    with server_of(certificates.server, echo) as address:
        plain = standard_socket.socket()
        plain.connect(address)
        with certificates.client().wrap_socket(plain, server_hostname=NAME) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


@pytest.mark.parametrize("blocking", [True, False])
def test_no_constructor(blocking: bool) -> None:
    with pytest.raises(TypeError, match="does not have a public constructor"):
        ssl.SSLSocket()
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(blocking)
        with pytest.raises(NotImplementedError):
            ssl.create_default_context().wrap_socket(datagrams, server_hostname=NAME)
        assert datagrams.fileno() >= 0


def test_what_tls_refuses(certificates: Certificates) -> None:
    with tls_pair(certificates) as (client, _):
        for call in (client.send, client.sendall):
            with pytest.raises(ValueError, match="non-zero flags"):
                call(b"x", socket.MSG_OOB)
        with pytest.raises(ValueError, match="non-zero flags"):
            client.recv(1, socket.MSG_PEEK)
        for refused in (client.dup, client.sendmsg, client.recvmsg):
            with pytest.raises(NotImplementedError):
                refused(*[[b"x"]][: refused.__name__ == "sendmsg"])


def test_memory_bios_are_the_standard_ones(certificates: Certificates) -> None:
    """Nothing waits where there is no socket: two ends by hand."""
    assert ssl.MemoryBIO is stdlib.MemoryBIO and ssl.SSLObject is stdlib.SSLObject
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.client().wrap_bio(back, there, server_hostname=NAME)
    server = certificates.server.wrap_bio(there, back, server_side=True)
    assert type(client) is stdlib.SSLObject
    done: set[Any] = set()
    for _ in range(10):
        for end in (client, server):
            try:
                end.do_handshake()
            except stdlib.SSLWantReadError:
                continue
            done.add(end)
    assert len(done) == 2
    client.write(b"by hand")
    assert server.read(100) == b"by hand"


def test_contexts_are_of_our_class() -> None:
    for context in (
        ssl.create_default_context(),
        ssl._create_unverified_context(),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    ):
        assert type(context) is ssl.SSLContext and isinstance(context, stdlib.SSLContext)
        context.options |= ssl.OP_NO_TICKET
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    # The standard functions stay what they are.
    assert type(stdlib.create_default_context()) is stdlib.SSLContext


def test_get_server_certificate(certificates: Certificates, tmp_path: pathlib.Path) -> None:
    authority = tmp_path / "authority.pem"
    certificates.authority.cert_pem.write_to_path(str(authority))
    with server_of(certificates.server, echo) as address:
        count, ticking = ticks(0)
        found = ssl.get_server_certificate(address)
        assert ssl.get_server_certificate(address, ca_certs=str(authority)) == found
        ticking.kill()
        assert count[0] > 2
    assert found in pathlib.Path(certificates.chain).read_text()
    with server_of(certificates.stranger, echo) as address, pytest.raises(stdlib.SSLCertVerificationError):
        ssl.get_server_certificate(address, ca_certs=str(authority))
    with plain_pair() as (one, _), pytest.raises(OSError):
        ssl.get_server_certificate(one.getsockname(), timeout=0.05)


def test_the_old_wrap_socket(certificates: Certificates, tmp_path: pathlib.Path) -> None:
    """D3: gevent has it on each CPython; nothing is checked that was not asked for."""
    authority = tmp_path / "authority.pem"
    certificates.authority.cert_pem.write_to_path(str(authority))
    for asked in ({}, {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": str(authority), "ciphers": "HIGH"}):
        with plain_pair() as (one, other):
            serving = spawn(ssl.wrap_socket, other, certfile=certificates.chain, server_side=True)
            with ssl.wrap_socket(one, **asked) as client, serving.get() as server:
                assert isinstance(client, ssl.SSLSocket) and isinstance(server, ssl.SSLSocket)
                assert bool(client.getpeercert()) == bool(asked)
                client.sendall(b"x")
                assert server.recv(1) == b"x"
    with plain_pair() as (one, other):
        serving = spawn(ssl.wrap_socket, other, certfile=certificates.chain, server_side=True)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.wrap_socket(one, cert_reqs=ssl.CERT_REQUIRED)
        one.close()
        with pytest.raises(OSError):
            serving.get()
        for wrong in ({"server_side": True}, {"keyfile": "key.pem"}):
            with pytest.raises(ValueError, match="certfile must be specified"):
                ssl.wrap_socket(other, **wrong)


def test_every_standard_name_is_there() -> None:
    assert [name for name in ssl.__all__ if not hasattr(ssl, name)] == []
    missing = {name for name in stdlib.__dict__ if name[0] != "_" and not hasattr(ssl, name)} - {
        name for name, value in vars(stdlib).items() if type(value).__name__ == "module"
    }
    assert missing == set()
    assert ssl.SSLError is stdlib.SSLError and ssl.CERT_REQUIRED is stdlib.CERT_REQUIRED
