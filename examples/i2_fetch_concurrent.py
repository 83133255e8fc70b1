"""Fetch URLs, a greenlet for each.  The patched standard library lets the others run while one waits."""

from greenswitch import joinall, monkey, spawn

monkey.patch_all()

import sys
from urllib.request import urlopen


def fetch(url: str) -> None:
    print("GET", url)
    with urlopen(url) as response:
        body = response.read()
    print(len(body), "bytes from", url)


joinall([spawn(fetch, url) for url in sys.argv[1:]])
