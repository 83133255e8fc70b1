"""G2: greenlets that sleep interleave: each prints once in every round."""

import gevent


def f(n: int) -> None:
    for i in range(n):
        print(gevent.getcurrent(), i)
        gevent.sleep(0.05)


g1, g2, g3 = gevent.spawn(f, 5), gevent.spawn(f, 5), gevent.spawn(f, 5)
g1.join()
g2.join()
g3.join()
