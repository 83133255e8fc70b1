"""G1: greenlets that never block run one after another."""

import gevent


def f(n: int) -> None:
    for i in range(n):
        print(gevent.getcurrent(), i)


g1, g2, g3 = gevent.spawn(f, 5), gevent.spawn(f, 5), gevent.spawn(f, 5)
g1.join()
g2.join()
g3.join()
