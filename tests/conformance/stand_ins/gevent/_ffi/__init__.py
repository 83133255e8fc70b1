"""The package that gevent's test tools look for `callback` in.

What belongs here: nothing. What never does: anything that greenswitch itself needs.
"""
