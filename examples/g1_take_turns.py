"""Three greenlets that never block: they run one after another, and not before the first join."""

from greenswitch import getcurrent, spawn


def f(n: int) -> None:
    for i in range(n):
        print(getcurrent(), i)


g1 = spawn(f, 5)
g2 = spawn(f, 5)
g3 = spawn(f, 5)
print("spawned", g1)
print("spawned", g2)
print("spawned", g3)
g1.join()
g2.join()
g3.join()
