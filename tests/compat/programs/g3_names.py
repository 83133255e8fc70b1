"""G3: how a greenlet shows itself, without a name and with one."""

import gevent


def f(*arguments: object, **keywords: object) -> None:
    gevent.sleep(0)


class Worker:
    def work(self) -> None:
        pass


first, second = gevent.spawn(f, 5), gevent.spawn(f, "text", key=[1])
print(first, repr(second), gevent.spawn(Worker().work))
print(second.name, first.name, first)
second.name = "mine"
print(second)
third = gevent.spawn(f)
print(third.name, str(third) == repr(third))
gevent.joinall([first, second, third])
print(first, second)
fourth = gevent.spawn(f)
print(fourth.name)
