"""I2: not patched, one after the other. The arguments are URLs."""

import sys
from urllib.request import urlopen

import gevent


def fetch(url: str) -> None:
    print("GET", url)
    with urlopen(url) as response:
        body = response.read()
    print(len(body), "bytes from", url)


gevent.joinall([gevent.spawn(fetch, url) for url in sys.argv[1:]])
