"""What gevent's tests ask of the way in which a file object takes its arguments, under the name
`gevent._fileobjectposix`.

What belongs here: the one name that they take from there. What never does: anything that greenswitch itself
needs.
"""

from __future__ import annotations

from greenswitch.fileobject import _Request as GreenOpenDescriptor

__all__ = ["GreenOpenDescriptor"]
