"""S2: a greenlet has a stack of its own, and an exception that is being handled: both come back with it."""

import sys

from greenlet import getcurrent, greenlet

main = getcurrent()


def down(name: str, depth: int) -> int:
    if depth == 0:
        try:
            raise LookupError(name)
        except LookupError:
            main.switch(name)
            return len(str(sys.exc_info()[1]))
    # Through C code at every fifth step: a sort that calls back.
    if depth % 5 == 0:
        return sorted([depth], key=lambda _: down(name, depth - 1))[0] + 1
    return down(name, depth - 1) + 1


greenlets = [greenlet(down) for _ in range(4)]
print([each.switch(f"at {10 * n}", 10 * n) for n, each in enumerate(greenlets)])
print(sys.exc_info())
print([each.switch() for each in reversed(greenlets)])
print([each.dead for each in greenlets])
