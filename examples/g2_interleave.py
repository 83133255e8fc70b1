"""Three greenlets that sleep: while one sleeps the others run, and 15 seconds of sleep take 5."""

from greenswitch import getcurrent, sleep, spawn


def f(n: int) -> None:
    for i in range(n):
        print(getcurrent(), i)
        sleep(1)


g1 = spawn(f, 5)
g2 = spawn(f, 5)
g3 = spawn(f, 5)
print("spawned", g1)
print("spawned", g2)
print("spawned", g3)
g1.join()
g2.join()
g3.join()
