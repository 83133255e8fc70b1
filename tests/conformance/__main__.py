"""Show how greenlet's own tests end on greenswitch, beside how they end on greenlet:

    python tests/conformance [FILE ...]

"tight" are those which fail for one reason only: they expect that something leaks, and nothing does.

What belongs here: the printing. What never does: judging, which the test beside this does.
"""

from __future__ import annotations

import sys
from collections import Counter

import peers

STATUSES = ("passed", "tight", "failed", "skipped")


def main(chosen: list[str]) -> int:
    chosen = chosen or peers.files()
    if not chosen:
        print("greenlet, whose tests these are, is not installed: pip install greenlet", file=sys.stderr)
        return 1
    theirs, ours = peers.run(chosen, False), peers.run(chosen, True)
    print(f"{'':28} {'on greenlet':^35} {'on greenswitch':^35}")
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
    for file in sorted(chosen):
        for test in sorted(theirs[file].keys() | ours[file].keys()):
            there, here = theirs[file].get(test), ours[file].get(test)
            if there is None or here is None or there.status != here.status or here.status == "failed":
                print(f"\n{test}\n  on greenlet: {there.status if there else 'missing'}", end="")
                print(f"; on greenswitch: {here.status if here else 'missing'}")
                if here is not None and here.text:
                    print("    " + here.text.strip().replace("\n", "\n    "))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
