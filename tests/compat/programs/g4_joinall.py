"""G4: waiting for two takes as long as the slower one takes."""

import gevent


def foo() -> None:
    print("foo-start")
    gevent.sleep(0.4)
    print("foo-end")


def bar() -> None:
    print("bar-start")
    gevent.sleep(0.2)
    print("bar-end")


gevent.joinall([gevent.spawn(foo), gevent.spawn(bar)])
