"""S3: tens of thousands of greenlets alive in one thread, each switched to again and again."""

from greenlet import getcurrent, greenlet

COUNT, ROUNDS = 20_000, 5
main = getcurrent()


def count(start: int) -> int:
    total = start
    for _ in range(ROUNDS):
        total += main.switch(total)
    return total


greenlets = [greenlet(count) for _ in range(COUNT)]
print(sum(each.switch(number) for number, each in enumerate(greenlets)))
for step in range(ROUNDS):
    print(sum(each.switch(step) for each in greenlets))
print(sum(each.dead for each in greenlets))
