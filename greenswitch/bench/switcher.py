"""What a stack switcher costs in Python, for any module with greenlet's API."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any, NoReturn

from greenswitch.bench.timing import Benchmark, Prepare, Run, Switcher, own

Switch = Callable[..., Any]  # a greenlet's switch or throw
Answer = Callable[[Switch], NoReturn]  # what one of two greenlets does for ever
Place = Callable[[Answer], Answer]  # where it does that
Drive = Callable[[Switch, range], None]  # what the other one does, once in a round

# Two greenlets: one drives, one answers.  Each way to hand something over is written out, because how it is
# called is what is measured.


def drive_nothing(switch: Switch, rounds: range) -> None:
    for _ in rounds:
        switch()


def answer_nothing(switch: Switch) -> NoReturn:
    while True:
        switch()


def drive_value(switch: Switch, rounds: range) -> None:
    for number in rounds:
        switch(number)


def answer_value(switch: Switch) -> NoReturn:
    value = None
    while True:
        value = switch(value)


def drive_several(switch: Switch, rounds: range) -> None:
    for number in rounds:
        switch(number, None, switch)


def answer_several(switch: Switch) -> NoReturn:
    values: tuple[object, ...] = ()
    while True:
        values = switch(*values)


def drive_keywords(switch: Switch, rounds: range) -> None:
    for number in rounds:
        switch(number=number, other=None)


def answer_keywords(switch: Switch) -> NoReturn:
    values: dict[str, object] = {}
    while True:
        values = switch(**values)


class Thrown(Exception):
    """What is thrown into the greenlet that answers."""


def drive_throw(throw: Switch, rounds: range) -> None:
    for _ in rounds:
        throw(Thrown)


def answer_throw(switch: Switch) -> NoReturn:
    while True:
        try:
            switch()
        except Thrown:
            pass


def below(depth: int, answer: Answer, switch: Switch) -> NoReturn:
    """Answer below so many Python frames."""
    if depth > 0:
        below(depth - 1, answer, switch)
    answer(switch)


def on_top(answer: Answer) -> Answer:
    """Answer in the first frame of a greenlet."""
    return answer


def at_depth(depth: int) -> Place:
    """Answer in a frame so many further down."""
    return lambda answer: partial(below, depth, answer)


def two(drive: Drive, answer: Answer, place: Place = on_top, entry: str = "switch", each: int = 2) -> Prepare:
    """A benchmark of two greenlets.  `entry` is the method by which one enters the other; a round counts as
    `each` operations.

    Neither is the main greenlet: the frames of this program would have a part in each switch.
    """

    def prepare(api: Switcher) -> AbstractContextManager[Run]:
        own_drive, own_answer = own(drive), place(own(answer))

        def first(count: int) -> float:
            second = api.greenlet(own_answer)
            second.switch(api.getcurrent().switch)
            enter = getattr(second, entry)
            rounds = range(-(-count // each))
            start = perf_counter()
            own_drive(enter, rounds)
            seconds = perf_counter() - start
            second.throw()
            return seconds / (len(rounds) * each)

        return nullcontext(lambda count: api.greenlet(first).switch(count))

    return prepare


def ring(size: int) -> Prepare:
    """A token that goes round a ring of greenlets, each of which knows its neighbour only."""

    @contextmanager
    def prepare(api: Switcher) -> Iterator[Run]:
        main = api.getcurrent()

        def member(following: Switch) -> NoReturn:
            main.switch()
            while True:
                following()

        own_member = own(member)
        following = main.switch
        members = []
        for _ in range(size):
            greenlet = api.greenlet(own_member)
            greenlet.switch(following)
            following = greenlet.switch
            members.append(greenlet)

        def run(count: int) -> float:
            rounds = range(max(3, count // (size + 1)))
            start = perf_counter()
            for _ in rounds:
                following()
            return (perf_counter() - start) / (len(rounds) * (size + 1))

        try:
            yield run
        finally:
            for greenlet in members:
                greenlet.throw()

    return prepare


def spawn(api: Switcher) -> AbstractContextManager[Run]:
    """Make a greenlet, run it to its end, forget it; in a greenlet, for the same reason as above."""
    make = api.greenlet

    def nothing() -> None:
        pass

    def parent(count: int) -> float:
        rounds = range(count)
        start = perf_counter()
        for _ in rounds:
            make(nothing).switch()
        return (perf_counter() - start) / count

    own_parent = own(parent)
    return nullcontext(lambda count: make(own_parent).switch(count))


@contextmanager
def generator(_: Switcher) -> Iterator[Run]:
    """Resume a generator and have it yield: what CPython itself takes for something like two switches."""

    def answer() -> Generator[None, None, None]:
        while True:
            yield

    made = answer()
    next(made)
    resume = made.send

    def run(count: int) -> float:
        rounds = range(count)
        start = perf_counter()
        for _ in rounds:
            resume(None)
        return (perf_counter() - start) / count

    yield run


BENCHMARKS = (
    Benchmark("switch", "switch, two greenlets", two(drive_nothing, answer_nothing)),
    Benchmark("value", "switch with a value", two(drive_value, answer_value)),
    Benchmark("several", "switch with three values", two(drive_several, answer_several)),
    Benchmark("keywords", "switch with two keywords", two(drive_keywords, answer_keywords)),
    Benchmark("ring-1000", "switch in a ring of 1,000", ring(1_000)),
    Benchmark("ring-100000", "switch in a ring of 100,000", ring(100_000)),
    *(
        Benchmark(
            f"depth-{depth}",
            f"switch, one at Python depth {depth}",
            two(drive_nothing, answer_nothing, at_depth(depth)),
        )
        for depth in (0, 10, 50, 200)
    ),
    Benchmark("throw", "throw, caught, switch back", two(drive_throw, answer_throw, entry="throw", each=1)),
    Benchmark("spawn", "create + run + finish", spawn),
    Benchmark("generator", "a generator's resume, for scale", generator, "CPython"),
)
