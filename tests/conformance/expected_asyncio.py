"""How CPython's own tests of asyncio end on greenswitch's loop, as data.

What belongs here: which files are not run, and for each test that passes on the standard loop and not on ours
a row with the reason. What never does: running them. `python tests/conformance asyncio` shows how they end.
"""

from __future__ import annotations

from table import Row

LEFT_OUT = {
    "test_graph": "of the call graph of tasks, in which no loop takes part",
    "test_proactor_events": "of another loop, with made-up parts: nothing of ours is in them",
    "test_tools": "of a tool that looks into another process",
    "test_windows_events": "Windows only",
    "test_windows_utils": "Windows only",
}

FAILED: tuple[Row, ...] = ()
