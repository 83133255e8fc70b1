"""How greenlet 3.5.6's own tests end on greenswitch, as data.

What belongs here: the number of tests in each file, and for each test that does not pass a row with the
reason. What never does: running them. `python tests/conformance` shows how they end now.
"""

from __future__ import annotations

from table import Row

FILES = {
    "test_contextvars": 9,
    "test_cpp": 6,
    "test_extension_interface": 12,
    "test_gc": 8,
    "test_generator": 1,
    "test_generator_nested": 5,
    "test_greenlet": 73,
    "test_greenlet_trash": 1,
    "test_interpreter_shutdown": 23,
    "test_leaks": 12,
    "test_stack_saved": 1,
    "test_throw": 7,
    "test_tracing": 10,
    "test_weakref": 3,
}
"""How many tests each file has, on every CPython version."""

LEFT_OUT = {
    "test_version": "compares greenlet's version with that of any setup.py in a folder above it",
}

FAILED = (
    Row(
        "test_greenlet",
        "TestBrokenGreenlets.test_failed_to_initialstub"
        " TestBrokenGreenlets.test_failed_to_slp_switch_into_running"
        " TestBrokenGreenlets.test_failed_to_switch_into_running",
        "greenlet's UnswitchableGreenlet makes its C code fail on purpose; greenswitch's has no such switch",
    ),
    Row(
        "test_greenlet",
        "TestGreenlet.test_throw_to_dead_thread_doesnt_crash",
        "looks into the frame that greenlet leaks with a thread; here it has gone with the thread",
    ),
    Row(
        "test_leaks",
        "TestLeaks.test_untracked_memory_doesnt_increase_unfinished_thread_dealloc_in_main",
        "wants that nothing is raised in what a thread leaves suspended; here its thread raises GreenletExit",
    ),
    Row(
        "test_stack_saved",
        "Test.test_stack_saved",
        "expects that a part of the main greenlet's stack was copied; nothing was in its way, so nothing was",
    ),
)
"""Tests that fail, and have to: one that passes has to leave this table."""

TIGHT = (
    Row(
        "test_gc",
        "TestGC.test_finalizer_crash",
        "expects that a suspended greenlet which the collector gives up leaks",
    ),
    Row(
        "test_leaks",
        "TestLeaks.test_issue251_issue252_explicit_reference_not_collectable"
        " TestLeaks.test_issue251_issue252_need_to_collect_in_background"
        " TestLeaks.test_issue251_issue252_need_to_collect_in_background_cleanup_disabled",
        "expects that a greenlet which its thread leaves suspended leaks",
    ),
)
"""Tests that greenlet marks as leaking. They pass when their leak is not asked for."""

SKIPPED = (
    Row(
        "test_gc",
        "TestGC.test_c_stack_refs_suspended_gc TestGC.test_issue515_freethread_c_stack_refs",
        "for free-threaded builds",
    ),
    Row(
        "test_gc",
        "TestGC.test_crashing_deferred_object TestGC.test_cycle_in_suspended_frame",
        "for CPython 3.15 and newer",
        before=(3, 15),
    ),
    Row(
        "test_greenlet",
        "TestBrokenGreenlets.test_switch_leaves_no_critical_section_held",
        "for free-threaded builds",
    ),
    Row(
        "test_greenlet",
        "TestModule.test_no_gil_on_free_threaded",
        "asks CPython 3.13 and newer whether there is a GIL",
        before=(3, 13),
    ),
)
"""Tests that greenlet's package itself skips."""
