"""What gevent's tests take from `gevent._hub_local`: the hub of the thread, and which class it is of.

What belongs here: reaching into `greenswitch.hub`. What never does: anything that greenswitch itself needs.
"""

from __future__ import annotations

from typing import Any

from greenswitch import hub as hubs
from greenswitch.hub import Hub
from greenswitch.hub import get_hub_if_any as get_hub_if_exists

__all__ = ["get_hub_class", "get_hub_if_exists", "set_default_hub_class", "set_hub", "set_loop"]


def get_hub_class() -> type[Hub]:
    """What the next hub will be of."""
    found: type[Hub] = vars(hubs)["Hub"]
    return found


def set_default_hub_class(kind: type[Hub]) -> None:
    """Have all hubs that are made from now on be of this class."""
    setattr(hubs, "Hub", kind)


def set_hub(hub: Any) -> None:
    """None: the thread has no hub any more. A hub that was destroyed has seen to that itself."""
    current = get_hub_if_exists()
    if current is not None and current is not hub:
        current.destroy(destroy_loop=True)


def set_loop(loop: Any) -> None:
    """None: the next hub of the thread is to make a loop of its own, as it does."""
