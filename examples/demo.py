"""Run every example and compare what it printed and how long it took with the specification.

    python examples/demo.py [--limit SECONDS] [ROW ...]

What belongs here: the table of cases, what each of them is checked by, and the peers that the network
examples need: a slow web server and a crowd of echo clients.  What never does: anything that an example needs
in order to work.  The exit status is 0 if every row is ok, 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import greenswitch

EXAMPLES = Path(__file__).resolve().parent


class Difference(Exception):
    """Something is not as the specification has it; the text says what was seen instead."""


@dataclass(frozen=True)
class Run:
    """What one run of a program showed."""

    lines: Sequence[str]
    moments: Sequence[float]  # when each line came, in seconds after the first
    seconds: float  # from the first line to the end: without the start of the interpreter
    lifetime: float  # from the start of the process to its end
    status: int
    errors: str  # what it wrote to stderr
    trouble: str = ""  # why the run was given up, or what the demo's own clients met with


Check = Callable[[Run], str]  # returns what was seen, in words, or raises Difference


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    row: str
    program: str  # a file name in the folder of the examples
    expected: str
    checks: tuple[Check, ...]
    arguments: tuple[str, ...] = ()
    # A program with clients is a server.  They get its first line once it is there; then it is interrupted.
    clients: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Row:
    """A case and what became of it."""

    case: Case
    run: Run
    seen: str
    ok: bool


# checks of any program


def compare(lines: Sequence[str], expected: Sequence[str]) -> None:
    """Raise Difference at the first line that is not as expected, is missing, or is one too many."""
    for number, (line, wanted) in enumerate(zip(lines, expected, strict=False), 1):
        if line != wanted:
            raise Difference(f"line {number} is {line!r}, not {wanted!r}")
    if len(lines) < len(expected):
        raise Difference(f"ends after {len(lines)} lines, without {expected[len(lines)]!r}")
    if len(lines) > len(expected):
        raise Difference(f"goes on after {len(expected)} lines with {lines[len(expected)]!r}")


def prints(*expected: str, unsaid: str = "") -> Check:
    """Exactly these lines in this order.  What is seen is told without the text `unsaid`."""

    def check(run: Run) -> str:
        compare(run.lines, expected)
        return listed([line.replace(unsaid, "") for line in run.lines] if unsaid else run.lines)

    return check


def listed(lines: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(lines), 160, placeholder=" ...")


def overlaps(longest: float, serial: float, at_most: float) -> Check:
    """Not shorter than the longest wait, and less than this share of the sum of all, `serial`."""

    def check(run: Run) -> str:
        # A pipe may hold up the first line, but not the start of the process: `seconds` may come out a little
        # short and serves as the upper bound, `lifetime` as the lower.
        if run.lifetime < longest:
            raise Difference(f"over after {run.lifetime:.2f} s, which is less than the longest wait")
        share = run.seconds / serial
        if share >= at_most:
            raise Difference(f"{share:.2f} of the {serial:g} s of the serial run")
        return f"{share:.2f} of the {serial:g} s of the serial run"

    return check


def adds_up(serial: float) -> Check:
    """Not shorter than the sum of all waits, `serial`."""

    def check(run: Run) -> str:
        if run.lifetime < serial:
            raise Difference(f"over after {run.lifetime:.2f} s, which is less than the sum of the waits")
        return f"{run.seconds / serial:.2f} of the sum of the waits"

    return check


# checks of single programs


def three_greenlets(run: Run) -> list[str]:
    """The greenlets of G1 and G2 as they are printed, in the order of their spawn."""
    if len(run.lines) < 3:
        raise Difference(f"{len(run.lines)} lines")
    for line in run.lines[:3]:
        if not re.fullmatch(r"spawned <Greenlet at 0x[0-9a-f]+: f\(5\)>", line):
            raise Difference(f"{line!r} in place of 'spawned <Greenlet at 0x...: f(5)>'")
    greenlets = [line.removeprefix("spawned ") for line in run.lines[:3]]
    if len(set(greenlets)) < 3:
        raise Difference("two greenlets at one address")
    return greenlets


def one_after_another(run: Run) -> str:
    greenlets = three_greenlets(run)
    compare(run.lines[3:], [f"{greenlet} {i}" for greenlet in greenlets for i in range(5)])
    return f"{greenlets[0]} 0 1 2 3 4, then the second, then the third"


def in_rounds(run: Run) -> str:
    greenlets = three_greenlets(run)
    compare(run.lines[3:6], [f"{greenlet} 0" for greenlet in greenlets])
    everything: list[str] = []
    for i in range(5):
        printed = run.lines[3 + 3 * i : 6 + 3 * i]
        if sorted(printed) != sorted(f"{greenlet} {i}" for greenlet in greenlets):
            raise Difference(f"round {i} is {', '.join(printed)}")
        everything += printed
    compare(run.lines[3:], everything)
    return f"{greenlets[0]} 0, the second 0, the third 0, and each once in the 4 other rounds"


def hellos_of_threads(run: Run) -> str:
    """The system decides which thread starts first, but each starts before it ends, and they end in order."""
    compare(sorted(run.lines[:-1]), [f"hello({n}) {what}" for n in range(3) for what in ("ends", "starts")])
    compare([line for line in run.lines if line.endswith("ends")], [f"hello({n}) ends" for n in range(3)])
    for n in range(3):
        if run.lines.index(f"hello({n}) starts") > run.lines.index(f"hello({n}) ends"):
            raise Difference(f"hello({n}) ends before it starts")
    compare(run.lines[-1:], ["[0, 1, 4]"])
    return listed(run.lines)


def hellos_end_in_time(run: Run) -> str:
    """The ends come after 0, 1/2 and all of the time that the last one takes."""
    ends = [run.moments[run.lines.index(f"hello({n}) ends")] for n in range(3)]
    if not (ends[0] < 0.25 * ends[2] and 0.3 * ends[2] < ends[1] < 0.7 * ends[2]):
        raise Difference(f"ended after {', '.join(f'{end:.1f}' for end in ends)} s")
    return f"ended after {', '.join(f'{end:.1f}' for end in ends)} s"


def each_ticket_once(run: Run) -> str:
    sales = [re.fullmatch(r"window ([123]) sells ticket (\d+)", line) for line in run.lines]
    windows = Counter(sale[1] for sale in sales if sale)
    compare([sale[2] for sale in sales if sale], [str(ticket) for ticket in range(10, 0, -1)])
    if len(windows) < 3:
        raise Difference(f"only {len(windows)} of 3 windows sold anything")
    others = sorted(line for line, sale in zip(run.lines, sales, strict=True) if not sale)
    compare(others, ["tickets left: 0", "window 1 closes", "window 2 closes", "window 3 closes"])
    compare(run.lines[-1:], ["tickets left: 0"])
    return f"tickets 10 to 1, once each, by windows 1, 2, 3: {', '.join(str(windows[w]) for w in '123')}"


def through_the_queue(run: Run) -> str:
    items = [f"{name}{number}" for name in "AB" for number in range(10)]
    compare(run.lines[-1:], ["all done"])
    put: list[str] = []
    taken: dict[str, str] = {}  # what: by whom
    done: dict[str, str] = {}
    fullest = 0
    for line in run.lines[:-1]:
        if found := re.fullmatch(r"put (\w\d), queue holds (\d+)", line):
            put.append(found[1])
            fullest = max(fullest, int(found[2]))
        elif (found := re.fullmatch(r"(\w+) takes (\w\d)", line)) and found[2] not in taken:
            taken[found[2]] = found[1]
        elif (found := re.fullmatch(r"(\w+) is done with (\w\d)", line)) and found[2] not in done:
            done[found[2]] = found[1]
            if taken.get(found[2]) != found[1]:
                raise Difference(f"{line!r}, but taken by {taken.get(found[2], 'nobody')}")
        else:
            raise Difference(f"there is a line {line!r}")
    # First in, first out: sorted by producer alone, the items are in the order of their numbers.
    for what, order in ("put", put), ("taken", list(taken)):
        if sorted(order, key=lambda item: item[0]) != items:
            raise Difference(f"{what}: {' '.join(order)}")
    if sorted(done) != items:
        raise Difference(f"done: {' '.join(done)}")
    if fullest != 3:
        raise Difference(f"the queue held {fullest}")
    shares = ", ".join(f"{count} by {name}" for name, count in sorted(Counter(taken.values()).items()))
    return f"20 put, taken and done: {shares}; at most {fullest} in the queue"


NAPS = (
    *("  nap(0.5) starts", "  nap(0.1) starts", "  nap(0.1) ends"),
    *("  nap(0.2) starts", "  nap(0.2) ends", "  nap(0.5) ends"),
)
POOL = {
    "apply: one call, wait for its result": (("  nap(0.1) starts", "  nap(0.1) ends"), ("0.1",)),
    "map: all results at once, in order": (NAPS, ("[0.5, 0.1, 0.2]",)),
    "imap: one result after the other, in order": (NAPS, ("0.5", "0.1", "0.2")),
    "imap_unordered: each result as soon as it is there": (NAPS, ("0.1", "0.2", "0.5")),
}


def two_at_work(run: Run) -> str:
    """In each part the naps and the results in order; of two lines of one moment, either may be first."""
    part: list[str] = []
    parts: dict[str, list[str]] = {}
    for line in run.lines:
        if ":" in line and line not in parts:
            part = parts[line] = []
        elif parts:
            part.append(line)
        else:
            raise Difference(f"begins with {line!r}")
    compare(list(parts), list(POOL))
    for heading, (naps, results) in POOL.items():
        part = parts[heading]
        compare([line for line in part if line.startswith("  ")], naps)
        compare([line for line in part if not line.startswith("  ")], results)
        compare(part[-1:], results[-1:])
        for result in results:
            if f"  nap({result}) ends" in part[part.index(result) :]:
                raise Difference(f"{heading.split(':')[0]} gives {result} before its nap ends")
    if part.index("0.1") > part.index("  nap(0.5) ends"):
        raise Difference("imap_unordered gives its first result only at the end")
    return "at most 2 at work; map and imap in order, imap_unordered 0.1, 0.2, 0.5"


def port_in(first_line: str) -> int:
    found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", first_line)
    if found is None:
        raise Difference(f"{first_line!r} in place of 'listening on 127.0.0.1:PORT'")
    return int(found[1])


def served(run: Run) -> str:
    port_in(run.lines[0] if run.lines else "")
    compare(run.lines[-1:], ["bye"])
    strange = [line for line in run.lines[1:-1] if not re.fullmatch(r"127\.0\.0\.1:\d+ vanished: .+", line)]
    if strange:
        raise Difference(f"the server says {strange[0]!r}")
    if len(run.lines) != 4:
        raise Difference(f"the server says that {len(run.lines) - 2} clients vanished, not 2")
    return f"{CLIENTS} clients at once had {ROUNDS} echoes each and an end; 2 vanished, disturbing nobody"


# what the network examples talk to

CLIENTS = 1000
ROUNDS = 5
PATIENCE = 10.0  # seconds that a client waits for any one thing


@contextmanager
def slow_web_server() -> Iterator[str]:
    """A web server on loopback for which GET /0.3/name takes 0.3 s.  Gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(float(self.path.split("/")[1]))
            body = page(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The table is the only output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def page(path: str) -> bytes:
    """What the web server answers: more than one packet, and of another length for another path."""
    return path.encode() * 10_000


@contextmanager
def room_for_a_crowd() -> Iterator[None]:
    """What the programs are to inherit: a descriptor for each client, and that an interrupt ends them.

    A shell's background job ignores interrupts, and so would its children.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CLIENTS if hard == resource.RLIM_INFINITY else min(2 * CLIENTS, hard)
    enough = soft == resource.RLIM_INFINITY or soft >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if enough else wanted, hard))
    on_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd(first_line: str) -> None:
    """A thousand echo clients at once, of which two vanish in the middle."""
    port = port_in(first_line)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(CLIENTS)]
        exchange(clients, "round 0")
        vanish_while_it_reads(port)
        exchange(clients, "round 1")
        vanish_while_it_writes(port)
        for number in range(2, ROUNDS):
            exchange(clients, f"round {number}")
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        for number, client in enumerate(clients):
            if client.recv(1) != b"":
                raise Difference(f"client {number} got more than it had sent")


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def exchange(clients: Sequence[socket.socket], text: str) -> None:
    """Every client sends before any of them reads; each must get its own message back."""
    missing = {client: f"{text} of client {number}".encode() for number, client in enumerate(clients)}
    for client, message in missing.items():
        client.sendall(message)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ, client)
        while missing:
            ready = selector.select(PATIENCE)
            if not ready:
                raise Difference(f"{len(missing)} clients have waited {PATIENCE:g} s for the echo of {text}")
            for key, _ in ready:
                client = key.data
                echo = client.recv(4096)
                if not echo or not missing[client].startswith(echo):
                    raise Difference(f"a client got {echo[:40]!r} in place of {missing[client]!r}")
                missing[client] = missing[client].removeprefix(echo)
                if not missing[client]:
                    del missing[client]
                    selector.unregister(client)


def reset_when_closed(client: socket.socket) -> None:
    """Make `close` say RST in place of FIN, as if the machine had lost its power and forgotten us."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def vanish_while_it_reads(port: int) -> None:
    with connected(port) as client:
        exchange([client], "the last words")
        reset_when_closed(client)


def vanish_while_it_writes(port: int) -> None:
    """Send without reading any echo until the server can neither write nor, therefore, read any more."""
    with connected(port) as client:
        client.settimeout(0.3)
        try:
            while True:
                client.sendall(b"x" * 65536)
        except TimeoutError:
            reset_when_closed(client)


# the table


def all_cases(web: str) -> list[Case]:
    """Every example; `web` is the address of the slow web server."""
    hellos = (
        *("hello(0) starts", "hello(1) starts", "hello(2) starts"),
        *("hello(0) ends", "hello(1) ends", "hello(2) ends", "[0, 1, 4]"),
    )
    hellos_overlap = (hellos_end_in_time, overlaps(longest=2, serial=3, at_most=0.9))
    slow, quick, middle = (f"{web}/{path}" for path in ("1.0/slow", "0.4/quick", "0.7/middle"))
    size = {url: len(page(url.removeprefix(web))) for url in (slow, quick, middle)}
    return [
        Case(
            "S1",
            "s1_ping_pong.py",
            "A B A B ..., each goes on where it left, with its own locals",
            (prints("A 0", "B a", "A 1", "B b", "A 2", "B c", "A 3", "B d", "A 4", "B e"),),
        ),
        Case(
            "S4",
            "s4_producer_consumer.py",
            "each item is handed over by switch(item), the answer comes back as its result",
            (
                prints(
                    *("producer: here is bread", "consumer: got bread"),
                    *("producer: heard thanks for the bread", "producer: here is butter"),
                    *("consumer: got butter", "producer: heard thanks for the butter"),
                    *("producer: here is jam", "consumer: got jam", "producer: heard thanks for the jam"),
                    "producer: in all 3 eaten",
                ),
            ),
        ),
        Case(
            "G1",
            "g1_take_turns.py",
            "three <Greenlet at 0x...: f(5)>, one after another as spawned, not before the join; each 0..4",
            (one_after_another,),
        ),
        Case(
            "G2",
            "g2_interleave.py",
            "each greenlet once in every round, the first in spawn order; 5 s, not 15: less than 0.5 of it",
            (in_rounds, overlaps(longest=5, serial=15, at_most=0.5)),
        ),
        Case(
            "G4",
            "g4_joinall.py",
            "foo-start, bar-start, bar-end, foo-end; 2 s, not 3: less than 0.9 of it",
            (
                prints("foo-start", "bar-start", "bar-end", "foo-end"),
                overlaps(longest=2, serial=3, at_most=0.9),
            ),
        ),
        Case(
            "G6",
            "g6_sleep_threads.py",
            "by threads: hello(0), hello(1), hello(2) end after 0, 1, 2 s, the results are [0, 1, 4]",
            (hellos_of_threads, *hellos_overlap),
        ),
        Case(
            "G6",
            "g6_sleep_asyncio.py",
            "by asyncio's callbacks: the same, and they start in order before any ends",
            (prints(*hellos), *hellos_overlap),
        ),
        Case(
            "G6",
            "g6_sleep_async_await.py",
            "by async/await: the same",
            (prints(*hellos), *hellos_overlap),
        ),
        Case(
            "G6",
            "g6_sleep_greenswitch.py",
            "by greenlets and the patched time.sleep: the same",
            (prints(*hellos), *hellos_overlap),
        ),
        Case(
            "G8",
            "g8_ticket_seller.py",
            "the seller sleeps with the lock held: tickets 10 to 1, each sold once, by all three windows",
            (each_ticket_once,),
        ),
        Case(
            "G9",
            "g9_bounded_queue.py",
            "20 items put, taken and done in order; never more than 3 in the queue; join waits for the last",
            (through_the_queue,),
        ),
        Case(
            "G10",
            "g10_pool.py",
            "at most 2 at work; map and imap give results in order, imap_unordered as they come",
            (two_at_work,),
        ),
        Case(
            "I1",
            "i1_echo_server.py",
            f"greenswitch.socket: {CLIENTS} clients at once get their echoes, two vanish and disturb nobody",
            (served,),
            clients=crowd,
        ),
        Case(
            "I1",
            "i1_echo_server_patched.py",
            "the standard socket, patched: the same",
            (served,),
            clients=crowd,
        ),
        Case(
            "I2",
            "i2_fetch_serial.py",
            "not patched: GET, answer, GET, answer, GET, answer; the time is the sum",
            (
                prints(
                    *(line for url in size for line in (f"GET {url}", f"{size[url]} bytes from {url}")),
                    unsaid=web,
                ),
                adds_up(2.1),
            ),
            arguments=(slow, quick, middle),
        ),
        Case(
            "I2",
            "i2_fetch_concurrent.py",
            "patched: all GETs in spawn order, then quick, middle, slow; less than 0.75 of the serial time",
            (
                prints(
                    *(f"GET {url}" for url in (slow, quick, middle)),
                    *(f"{size[url]} bytes from {url}" for url in (quick, middle, slow)),
                    unsaid=web,
                ),
                overlaps(longest=1.0, serial=2.1, at_most=0.75),
            ),
            arguments=(slow, quick, middle),
        ),
    ]


# running and judging


def observe(case: Case, limit: float, folder: Path = EXAMPLES) -> Run:
    """Run the program of a case to its end, or until `limit` seconds have passed."""
    # Each line is to come when it is printed, and loopback is not for a proxy.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, str(folder / case.program), *case.arguments]
    lines: list[str] = []
    moments: list[float] = []
    trouble = ""
    started = time.monotonic()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        watchdog = threading.Timer(limit, process.kill)
        watchdog.daemon = True
        watchdog.start()
        assert process.stdout is not None
        for line in process.stdout:
            moments.append(time.monotonic())
            lines.append(line.removesuffix("\n"))
            if case.clients is not None and len(lines) == 1:
                try:
                    case.clients(lines[0])
                except (Difference, OSError) as error:
                    trouble = str(error)
                process.send_signal(signal.SIGINT)
        status = process.wait()
        watchdog.cancel()
        ended = time.monotonic()
        errors.seek(0)
        if ended - started >= limit:
            last = repr(lines[-1]) if lines else "nothing"
            trouble = trouble or f"still running after {limit:g} s, having printed {last} last"
        first = moments[0] if moments else started
        return Run(
            lines,
            [moment - first for moment in moments],
            ended - first,
            ended - started,
            status,
            errors.read(),
            trouble,
        )


def judge(case: Case, run: Run) -> Row:
    """Compare what a program showed with what its case expects."""
    errors = run.errors
    if case.clients is not None:
        # We have interrupted it ourselves; the hub may report that before the main greenlet hears of it.
        errors = re.sub(r"\AKeyboardInterrupt\n\S+Z\n+", "", errors)
    try:
        if run.trouble:
            raise Difference(run.trouble)
        if run.status != 0:
            raise Difference(f"exit status {run.status}: {last_line(errors)}")
        if errors:
            raise Difference(f"on stderr: {last_line(errors)}")
        seen, ok = "; ".join(check(run) for check in case.checks), True
    except Difference as difference:
        seen, ok = str(difference), False
    return Row(case, run, seen, ok)


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no message"


def perform(cases: Sequence[Case], limit: float, folder: Path = EXAMPLES) -> Iterator[Row]:
    """Run the cases, each for `limit` seconds at most, and give their rows in the order of the cases.

    Most examples do little but sleep, so that several at a time do not slow each other down and nobody has to
    watch them one by one.  A server works, and so do its clients: they run when everything else is over.
    """

    def row(case: Case) -> Row:
        return judge(case, observe(case, limit, folder))

    with ThreadPoolExecutor(max_workers=6) as executor:
        futures = [None if case.clients else executor.submit(row, case) for case in cases]
        for case, future in zip(cases, futures, strict=True):
            if future is not None:
                yield future.result()
            else:
                wait([each for each in futures if each is not None])
                yield row(case)


# the face

COLUMNS = (3, 42, 42, 7, 7)


def table_line(*cells: str) -> str:
    """One line of the table, of as many lines of text as its longest cell needs."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, COLUMNS, strict=True)]
    height = max(len(column) for column in columns)
    lines = []
    for n in range(height):
        parts = [
            (column[n] if n < len(column) else "").ljust(width)
            for column, width in zip(columns, COLUMNS, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def report(rows: Iterable[Row]) -> int:
    """Print each row as it comes, and a last line; return the exit status."""
    print(table_line("row", "what was expected", "what was seen", "seconds", ""))
    print("  ".join("-" * width for width in COLUMNS))
    count = 0
    different = []
    for row in rows:
        verdict = "ok" if row.ok else "DIFFERS"
        cells = (row.case.row, row.case.expected, row.seen, f"{row.run.seconds:7.2f}", verdict)
        print(table_line(*cells), flush=True)
        count += 1
        if not row.ok:
            different.append(row.case.program)
    print("  ".join("-" * width for width in COLUMNS))
    if different:
        print(f"{len(different)} of {count} examples differ: {', '.join(different)}")
        return 1
    print(f"{count} of {count} examples are as expected")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the examples and compare them with the specification.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a row of the specification; none: all rows")
    parser.add_argument(
        "--limit", type=float, default=20, help="seconds that one example may take: %(default)s"
    )
    arguments = parser.parse_args()
    with room_for_a_crowd(), slow_web_server() as web:
        cases = all_cases(web)
        unknown = set(arguments.rows) - {case.row for case in cases}
        if unknown:
            parser.error(f"there is no example for {', '.join(sorted(unknown))}")
        print(f"greenswitch {greenswitch.__version__} on {platform.python_implementation()}", end=" ")
        print(f"{platform.python_version()}, {platform.system()} {platform.machine()}\n", flush=True)
        chosen = [case for case in cases if not arguments.rows or case.row in arguments.rows]
        return report(perform(chosen, arguments.limit))


if __name__ == "__main__":
    sys.exit(main())
