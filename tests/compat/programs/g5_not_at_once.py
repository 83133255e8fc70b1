"""G5: what is spawned runs when the spawner blocks next, and not before."""

import gevent
from gevent.event import Event


def says(what: str) -> str:
    print("says", what)
    return what


one = gevent.spawn(says, "one")
print("spawned one", one.started, one.ready())
gevent.sleep(0)
print("slept", one.ready(), one.value)
two = gevent.spawn(says, "two")
print("spawned two")
print("got", two.get())
event = Event()
three = gevent.spawn(says, "three")
three.rawlink(lambda _: event.set())
print("spawned three")
print(event.wait(10), three.value)
gevent.spawn_later(0.02, says, "late")
gevent.spawn(says, "soon")
print("spawned two more")
gevent.wait()
never = gevent.spawn(says, "never")
never.kill()
print(never.dead, never.started)
