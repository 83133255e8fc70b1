"""G7: results, failures that are reported once and stop nobody else, and futures."""

import gevent
from gevent.event import AsyncResult


def fails() -> None:
    raise LookupError("as it should")


good, bad = gevent.spawn(int, "7"), gevent.spawn(fails)
gevent.joinall([good, bad])
print(good.value, good.successful(), bad.value, repr(bad.exception), bad.successful())
try:
    bad.get()
except LookupError as error:
    print("get raises", error)
linked: list[str] = []
ending = gevent.spawn(fails)
ending.link_value(lambda _: linked.append("value"))
ending.link_exception(lambda source: linked.append(f"exception {source.exception}"))
ending.join()
gevent.sleep(0)
print(linked)
result = AsyncResult()
result.rawlink(lambda source: print("linked", source.value))
print(result.done(), result.cancelled(), result.ready())
gevent.spawn_later(0.01, result.set, "late")
print(result.get(timeout=5), result.done())
result = AsyncResult()
result.set_exception(ValueError("in a future"))
try:
    result.get()
except ValueError as error:
    print(error, result.successful())
