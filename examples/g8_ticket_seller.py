"""Three windows sell ten tickets.  The seller sleeps with the lock held, and yet no ticket is sold twice."""

from greenswitch import joinall, sleep, spawn
from greenswitch.lock import BoundedSemaphore

tickets_left = 10
lock = BoundedSemaphore(1)


def sell(window: int) -> None:
    global tickets_left
    while True:
        with lock:
            if tickets_left == 0:
                print(f"window {window} closes")
                return
            ticket = tickets_left
            sleep(0.02)  # without the lock, the other windows would now sell this ticket too
            tickets_left = ticket - 1
            print(f"window {window} sells ticket {ticket}")
        sleep(0.01)


joinall([spawn(sell, window) for window in (1, 2, 3)])
print("tickets left:", tickets_left)
