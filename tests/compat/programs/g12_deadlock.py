"""G12: when nothing can ever wake the main greenlet, it gets an error in the place of a hang."""

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Queue

for wait in (Event().wait, Semaphore(0).acquire, Queue().get, gevent.spawn(Event().wait).join):
    try:
        wait()
    except gevent.exceptions.LoopExit as error:
        print(type(error).__name__)
print("and on it goes", gevent.spawn(int, "1").get())
