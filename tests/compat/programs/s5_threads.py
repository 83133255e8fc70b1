"""S5: every thread has its own main greenlet; a switch to another thread's greenlet is refused."""

import threading

from greenlet import error, getcurrent, greenlet

mains = [getcurrent()]
theirs: list[greenlet] = []
done, seen = threading.Event(), threading.Event()


def waits() -> None:
    getcurrent().parent.switch("started")


def work() -> None:
    mains.append(getcurrent())
    theirs.append(greenlet(waits))
    print(theirs[0].switch(), getcurrent().parent)
    seen.set()
    done.wait(30)
    theirs[0].switch()


thread = threading.Thread(target=work)
thread.start()
seen.wait(30)
print(len({id(each) for each in mains}), getcurrent() is mains[0])
try:
    theirs[0].switch()
except error as refused:
    print(type(refused).__name__, str(refused).splitlines()[0].lower())
try:
    greenlet(print, mains[1]).switch()
except error as refused:
    print(type(refused).__name__)
done.set()
thread.join()
print(theirs[0].dead)
