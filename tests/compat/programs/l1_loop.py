"""L1, L2, L3: callbacks in order, timers, descriptors, signals, children, and calls from other threads."""

import os
import signal
import threading
import time

import gevent
from gevent.event import Event

loop = gevent.get_hub().loop
for number in range(3):
    loop.run_callback(print, "callback", number)
gevent.sleep(0)

watchers = [loop.timer(after) for after in (0.15, 0.05, 0.1)]
for watcher, name in zip(watchers, ("slow", "quick", "middle"), strict=True):
    watcher.start(print, "timer", name)
stopped = loop.timer(0.01)
stopped.start(print, "never")
stopped.stop()
gevent.sleep(0.3)
print([watcher.active for watcher in watchers], loop.update_now(), loop.now() > 0)

reader, writer = os.pipe()
readable = loop.io(reader, 1)
arrived = Event()


def read() -> None:
    print("readable:", os.read(reader, 100))
    readable.stop()
    arrived.set()


readable.start(read)
gevent.spawn_later(0.02, os.write, writer, b"data")
print(arrived.wait(10), readable.active)

signalled = Event()
watcher = loop.signal(signal.SIGUSR1)
watcher.start(signalled.set)
os.kill(os.getpid(), signal.SIGUSR1)
print("signal", signalled.wait(10))
watcher.stop()

loop.install_sigchld()
exited = Event()
child = os.fork()
if child == 0:
    os._exit(7)
watching = loop.child(child)
watching.start(exited.set)
print("child", exited.wait(10), os.waitstatus_to_exitcode(watching.rstatus), watching.rpid == child)

woken, beats = Event(), []
call = loop.async_()
call.start(woken.set)


def native() -> None:
    for _ in range(5):
        time.sleep(0.01)
        beats.append(1)
    call.send()


thread = threading.Thread(target=native)
thread.start()
print("from a thread", woken.wait(10), len(beats))
thread.join()
