"""Show how greenlet's, gevent's and CPython's own tests end on greenswitch - CPython's with the standard
library patched, those of asyncio in our loop - beside how they end on those:

    python tests/conformance [greenlet | gevent | wheel | cpython | asyncio] [FILE ...]

`gevent` is greenswitch in the place of gevent and greenlet, `wheel` is gevent itself with greenswitch in the
place of greenlet. Without FILE it is all files but those that are about a peer's inside, which are named.
"tight" are those which fail for one reason only: they expect that something leaks, and nothing does.

What belongs here: the printing. What never does: judging, which the tests beside this do.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import expected_asyncio
import expected_cpython
import expected_gevent
import expected_greenlet
import expected_wheel
import peers
from peers import PEERS, Peer
from table import names

STATUSES = ("passed", "tight", "failed", "skipped")
TABLES: dict[str, Any] = {
    "greenlet": expected_greenlet,
    "gevent": expected_gevent,
    "wheel": expected_wheel,
    "cpython": expected_cpython,
    "asyncio": expected_asyncio,
}
ROWS = ("SKIPPED", "LACKING", "MISSING", "EITHER", "FAILED")
"""The tables of tests, with their reasons, that a peer may have."""


def show(peer: Peer, chosen: list[str]) -> bool:
    """Run and print. False if there is nothing to run."""
    if not peers.files(peer):
        print(
            f"{peer.distribution}, whose tests these are, is not installed: pip install {peer.distribution}",
            file=sys.stderr,
        )
        return False
    table = TABLES[peer.name]
    left_out: dict[str, str] | None = {} if chosen else getattr(table, "LEFT_OUT", None)
    chosen = chosen or sorted(table.FILES if left_out is None else {*peers.files(peer)} - {*left_out})
    theirs, ours = peers.run(peer, chosen, False), peers.run(peer, chosen, True)
    for file in chosen:
        known = names(table.FAILED, file, sys.version_info[:2])
        theirs[file] = peers.run_again(peer, theirs[file], False, known)
        ours[file] = peers.run_again(peer, ours[file], True, known)
    print(f"{'':28} {'on ' + peer.other:^35} {'on greenswitch':^35}")
    print(f"{'':28} " + "  ".join(f"{word:>7}" for word in STATUSES * 2))
    total = [0] * len(STATUSES) * 2
    for file in sorted(chosen):
        row = [
            Counter(ended.status for ended in results[file].values())[status]
            for results in (theirs, ours)
            for status in STATUSES
        ]
        total = [before + more for before, more in zip(total, row, strict=True)]
        print(f"{file:28} " + "  ".join(f"{number:7}" for number in row))
    print(f"{'':28} " + "  ".join(f"{number:7}" for number in total))
    # Those that are never run count as tests that pass there.
    both = sum(test.partition(".")[0] in chosen for test in peer.hanging)
    alike = 0
    for file in sorted(chosen):
        reasons = {
            test: reason
            for rows in ROWS
            for test, reason in names(getattr(table, rows, ()), file, sys.version_info[:2]).items()
        }
        by_hand = getattr(table, "BY_HAND", {}).get(file)
        for test in sorted(theirs[file].keys() | ours[file].keys()):
            there, here = theirs[file].get(test), ours[file].get(test)
            both += there is not None and there.status == "passed"
            alike += None not in (there, here) and there.status == "passed" == here.status  # type: ignore[union-attr]
            if there is None or here is None or there.status != here.status or here.status == "failed":
                print(f"\n{test}\n  on {peer.other}: {there.status if there else 'missing'}", end="")
                print(f"; on greenswitch: {here.status if here else 'missing'}")
                if test in reasons:
                    print(f"  known: {reasons[test]}")
                elif by_hand:
                    print(f"  known: {by_hand}")
                elif here is not None and here.text:
                    print("    " + here.text.strip().replace("\n", "\n    "))
    for file, reason in (left_out or {}).items():
        print(f"\n{file} is left out: {reason}")
    share = f", {alike / both:.2%}" if both else ""
    print(f"\nof {both} tests that pass on {peer.other}, {alike} pass on greenswitch{share}")
    return True


def main(words: list[str]) -> int:
    if words and words[0] in PEERS:
        return 0 if show(PEERS[words[0]], words[1:]) else 1
    if words:
        print(f"which tests: {' or '.join(PEERS)}?", file=sys.stderr)
        return 2
    shown = [show(peer, []) for peer in PEERS.values()]
    return 0 if all(shown) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
