"""`greenswitch.core`: gevent's names of the loop's module.

What belongs here: which names there are and what they stand for. What never does: what the loop does.
"""

from __future__ import annotations

import time

import greenswitch
from greenswitch import core
from greenswitch.loop import WatcherLoop


def test_the_loop_and_its_watchers() -> None:
    assert core.loop is WatcherLoop and isinstance(greenswitch.get_hub().loop, core.loop)
    loop = core.loop(default=False)
    assert not loop.default and isinstance(loop.timer(1), core.watcher)
    for name in "async_ check fork idle prepare".split():
        assert type(getattr(loop, name)()) is getattr(core, name)
    assert isinstance(loop.run_callback(print), core.callback)
    assert type(loop.io(0, core.READ | core.WRITE)) is core.io and type(loop.stat("/")) is core.stat
    loop.destroy()


def test_backends_and_versions() -> None:
    assert core.supported_backends()[0] == "epoll"
    assert set(core.recommended_backends()) <= set(core.supported_backends())
    assert set(core.embeddable_backends()) <= set(core.supported_backends())
    assert core.get_version() == core.get_header_version() == f"greenswitch-{greenswitch.__version__}"
    assert abs(core.time() - time.time()) < 10
