"""Context variables: each greenlet has a context of its own (spec G11), as with gevent.

What belongs here: what greenlets of every kind see of context variables. What never does: the switcher's
`gr_context` (`test_core`).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import pytest

import greenswitch.contextvars
from greenswitch import Greenlet, get_hub, joinall, sleep, spawn, spawn_later, spawn_raw
from greenswitch.pool import Pool

number = contextvars.ContextVar("number", default=0)


def test_the_names_are_the_standard_ones() -> None:
    assert set(greenswitch.contextvars.__all__) == {"Context", "ContextVar", "Token", "copy_context"}
    for name in greenswitch.contextvars.__all__:
        assert getattr(greenswitch.contextvars, name) is getattr(contextvars, name)


@pytest.mark.parametrize(
    "start",
    [
        spawn,
        spawn_raw,
        lambda work: spawn_later(0.001, work),
        lambda work: Pool(1).spawn(work),
        lambda work: get_hub().loop.run_callback(work),
        lambda work: spawn(int).link(lambda _: work()),
    ],
)
def test_a_new_greenlet_has_an_empty_context(start: Callable[[Callable[[], None]], object]) -> None:
    seen = []

    def work() -> None:
        seen.append(number.get())
        number.set(2)

    token = number.set(1)
    try:
        start(work)
        sleep(0.02)
        assert seen == [0] and number.get() == 1
    finally:
        number.reset(token)


def test_the_context_stays_with_its_greenlet() -> None:
    def work(own: int) -> list[int]:
        number.set(own)
        seen = []
        for _ in range(3):
            sleep(0)
            seen.append(number.get())
            number.set(number.get() + 10)
        return seen

    workers = [spawn(work, own) for own in (1, 2, 3)]
    joinall(workers, raise_error=True)
    assert [worker.value for worker in workers] == [[own, own + 10, own + 20] for own in (1, 2, 3)]
    assert number.get() == 0


def test_a_copy_of_the_context_is_given_on() -> None:
    """What who wants his children to see his variables does."""
    token = number.set(5)
    copied = contextvars.copy_context()
    number.reset(token)
    assert spawn(copied.run, number.get).get() == 5
    child = Greenlet(number.get)
    child.gr_context = copied.copy()
    child.start()
    assert child.get() == 5
