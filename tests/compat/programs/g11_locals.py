"""G11: each greenlet sees its own storage and its own context variables."""

import contextvars

import gevent
from gevent.local import local

mine = local()
variable = contextvars.ContextVar("variable", default="none")


def f(n: int) -> None:
    mine.n = n
    variable.set(str(n))
    gevent.sleep(0)
    print(n, mine.n, variable.get())


variable.set("main's")
gevent.joinall([gevent.spawn(f, n) for n in range(3)])
print(hasattr(mine, "n"), variable.get())
