"""Two greenlets take turns: A B A B ...  Each goes on where it left, with its own local variables."""

from greenswitch import greenlet


def ping() -> None:
    for number in range(5):
        print("A", number)
        b.switch()


def pong() -> None:
    for letter in "abcde":
        print("B", letter)
        a.switch()


a = greenlet(ping)
b = greenlet(pong)
a.switch()
