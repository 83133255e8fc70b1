"""I2: patched, all at once: the answers come in the order of their times. The arguments are URLs."""

from gevent import monkey

monkey.patch_all()

import sys
from urllib.request import urlopen

import gevent


def fetch(url: str) -> None:
    print("GET", url)
    with urlopen(url) as response:
        body = response.read()
    print(len(body), "bytes from", url)


gevent.joinall([gevent.spawn(fetch, url) for url in sys.argv[1:]])
