"""D1, D2: greenlet's names, errors and rules."""

import greenlet

print(greenlet.__version__, sorted(greenlet.__all__))
print(issubclass(greenlet.GreenletExit, BaseException), issubclass(greenlet.GreenletExit, Exception))
for call in (
    lambda: greenlet.greenlet().switch(),
    lambda: greenlet.greenlet(5).switch(),
    lambda: greenlet.greenlet(run=print, parent=5),
    lambda: setattr(greenlet.getcurrent(), "parent", greenlet.greenlet()),
    lambda: greenlet.greenlet(print).throw(5),
    lambda: greenlet.greenlet(lambda: 1 / 0).switch(),
):
    try:
        print(call())
    except Exception as error:
        print(type(error).__name__, error)
traced = []
greenlet.settrace(lambda event, _: traced.append(event))
greenlet.greenlet(lambda: None).switch()
greenlet.settrace(None)
print(traced)


def left(outer: greenlet.greenlet) -> str:
    try:
        outer.switch("suspended")
    except greenlet.GreenletExit:
        print("collected")
        raise
    return "never"


one = greenlet.greenlet(left)
print(one.switch(greenlet.getcurrent()), bool(one), one.gr_frame.f_code.co_name)
del one
other = greenlet.greenlet(left)
other.switch(greenlet.getcurrent())
print(repr(other.throw()), other.dead)
