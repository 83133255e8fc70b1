"""S1: two greenlets take turns for ever; each goes on where it left, with its own locals."""

from greenlet import getcurrent, greenlet


def ping() -> None:
    number = 0
    while number < 5:
        print("A", number)
        number += 1
        pong_greenlet.switch()


def pong() -> None:
    for letter in "abcde":
        print("B", letter)
        ping_greenlet.switch()


main = getcurrent()
ping_greenlet, pong_greenlet = greenlet(ping), greenlet(pong)
ping_greenlet.switch()
print(getcurrent() is main, ping_greenlet.dead, pong_greenlet.dead)
