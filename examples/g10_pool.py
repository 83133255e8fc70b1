"""A pool of two: however much there is to do, at most two greenlets are at work."""

from greenswitch import sleep
from greenswitch.pool import Pool

pool = Pool(2)


def nap(seconds: float) -> float:
    print(f"  nap({seconds}) starts")
    sleep(seconds)
    print(f"  nap({seconds}) ends")
    return seconds


print("apply: one call, wait for its result")
print(pool.apply(nap, (0.1,)))

print("map: all results at once, in order")
print(pool.map(nap, [0.5, 0.1, 0.2]))

print("imap: one result after the other, in order")
for result in pool.imap(nap, [0.5, 0.1, 0.2]):
    print(result)

print("imap_unordered: each result as soon as it is there")
for result in pool.imap_unordered(nap, [0.5, 0.1, 0.2]):
    print(result)
