"""Two greenlets that sleep 2 s and 1 s: waiting for both takes 2 s."""

from greenswitch import joinall, sleep, spawn


def foo() -> None:
    print("foo-start")
    sleep(2)
    print("foo-end")


def bar() -> None:
    print("bar-start")
    sleep(1)
    print("bar-end")


joinall([spawn(foo), spawn(bar)])
