"""Executed by every interpreter that starts with this folder on its PYTHONPATH: makes greenswitch stand in.

What belongs here: the one call, so that the processes which a peer's tests start test greenswitch as well.
What never does: anything else, since it runs before every program.
"""

from greenswitch import compat

compat.install("greenlet")
