"""What gevent's tests ask of the way in which a file object takes its arguments, under the name
`gevent._fileobjectcommon`.

What belongs here: the one name that they take from there. What never does: anything that greenswitch itself
needs.
"""

from __future__ import annotations

from greenswitch.fileobject import _Request as OpenDescriptor

__all__ = ["OpenDescriptor"]
