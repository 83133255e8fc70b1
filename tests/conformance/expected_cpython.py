"""How CPython's own tests of some standard modules end when those are patched, as data.

What belongs here: the files, and for each test that passes without patching and not with it a row with the
reason. What never does: running them. `python tests/conformance cpython` shows how they end now.
"""

from __future__ import annotations

from table import Row

FILES = (
    "test_httplib",
    "test_queue",
    "test_select",
    "test_selectors",
    "test_socket",
    "test_ssl",
    "test_subprocess",
    "test_threading",
    "test_urllib2_localnet",
)

_NATIVE = "asks for what only native threads have: a number of the system, a state, being preempted"
_SPINS = "asks again and again, without ever waiting, until another thread has done its work; that never runs"

FAILED: tuple[Row, ...] = (
    Row(
        "test_select", "SelectTestCase.test_disallow_instantiation", "a poll object is made by its class here"
    ),
    Row(
        "test_select",
        "SelectTestCase.test_select_mutated",
        "shortens the list while it is looked at; ours is looked at twice",
    ),
    Row(
        "test_selectors",
        "DefaultSelectorTestCase.test_modify_unregister",
        "is skipped for selectors that are not called as one that can be tested",
    ),
    Row(
        "test_socket",
        "GeneralModuleTests.testRefCountGetNameInfo",
        "counts references; Python code has some of its own",
    ),
    Row(
        "test_socket",
        "GeneralModuleTests.test_SocketType_is_socketobject",
        "socket.SocketType is ours, so that isinstance() can tell",
    ),
    Row(
        "test_socket",
        "NetworkConnectionNoServer.test_create_connection_timeout",
        "replaces socket.socket, which is not where create_connection() finds it",
    ),
    Row(
        "test_socket",
        "NonBlockingTCPTests.testSetBlocking NonblockConstantTest.test_SOCK_NONBLOCK",
        "wants that the system's socket blocks; ours never does",
    ),
    Row(
        "test_socket",
        "NonBlockingTCPTests.testSetBlocking_overflow",
        "wants that the system's socket blocks; ours never does",
        since=(3, 11),
        before=(3, 12),
    ),
    Row(
        "test_subprocess",
        "POSIXProcessTestCase.test_stopped",
        "replaces os.waitpid(), which is not what waits for a child",
    ),
    Row(
        "test_subprocess",
        " ".join(
            f"{case}.test_io_{how}"
            for case in ("ProcessTestCase", "ProcessTestCaseNoPoll")
            for how in ("buffered_by_default", "unbuffered_works")
        ),
        "asks for the class of a pipe's file, which is ours",
    ),
    Row("test_threading", "EventTests.test_at_fork_reinit", "takes hold of the condition inside of an event"),
    Row("test_threading", "EventTests.test_repr", "compares the text of an event", since=(3, 11)),
    Row(
        "test_threading",
        "InterruptMainTests.test_can_interrupt_tight_loops ThreadTests.test_PyThreadState_SetAsyncExc"
        " ThreadTests.test_various_ops ThreadTests.test_various_ops_large_stack"
        " ThreadTests.test_various_ops_small_stack",
        _NATIVE,
    ),
    Row("test_threading", "MiscTestCase.test__all__", "compares the module in which each name was defined"),
    Row(
        "test_threading",
        "ThreadTests.test_disallow_instantiation",
        "a lock of ours is made by its class",
        before=(3, 13),
    ),
    Row("test_threading", "ThreadTests.test_old_threading_api", "wants that isSet() of an event warns"),
)
"""Tests that fail, or are left out, when their module is patched: one that passes has to leave this table."""

HANGING: tuple[Row, ...] = (
    Row(
        "test_queue",
        " ".join(
            f"{kind}{order}QueueTest.test_shutdown_{how}all_methods_in_many_threads"
            for kind in ("C", "Py")
            for order in ("", "Lifo", "Priority")
            for how in ("", "immediate_")
        ),
        _SPINS,
        since=(3, 13),
    ),
    Row(
        "test_queue",
        "CSimpleQueueTest.test_many_threads CSimpleQueueTest.test_many_threads_nonblock"
        " CSimpleQueueTest.test_many_threads_timeout CSimpleQueueTest.test_order",
        "imports the module afresh, which has the native SimpleQueue then",
    ),
    Row(
        "test_socket",
        "ThreadedVSOCKSocketStreamTest.testStream",
        "waits for ever, unpatched too, on a virtual machine that has vsock and no way to itself",
    ),
)
"""Tests that are not run: they would wait for ever."""
