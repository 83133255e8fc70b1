"""Fetch URLs, a greenlet for each.  The standard library blocks the thread, so it is one after the other."""

import sys
from urllib.request import urlopen

from greenswitch import joinall, spawn


def fetch(url: str) -> None:
    print("GET", url)
    with urlopen(url) as response:
        body = response.read()
    print(len(body), "bytes from", url)


joinall([spawn(fetch, url) for url in sys.argv[1:]])
