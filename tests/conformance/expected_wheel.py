"""How gevent 26.9.0's own tests end on gevent itself whose greenlets are ours, as data.

What belongs here: which files stand for all, and for each test that passes on greenlet and not on greenswitch
a row with the reason. What never does: running them. `python tests/conformance wheel` runs all files.
"""

from __future__ import annotations

from table import Row

FILES = """
    test__GreenletExit test___ident test___monitor test__api test__api_timeout test__backdoor
    test__contextvars test__core test__core_async test__core_callback test__core_fork test__core_loop_run
    test__core_stat test__core_timer test__core_watcher test__destroy test__destroy_default_loop
    test__event test__events test__exc_info test__fileobject test__greenlet test__greenletset test__hub
    test__hub_join test__hub_join_timeout test__import_wait test__issue112 test__issue1864
    test__issue2013 test__issue230 test__issue330 test__issue467 test__issue6 test__issue600
    test__issue607 test__issue639 test__issue_728 test__issues461_471 test__iwait test__joinall
    test__local test__lock test__loop_callback test__makefile_ref test__monkey test__monkey_hub_in_thread
    test__monkey_module_run test__monkey_queue test__monkey_select test__nondefaultloop test__order
    test__os test__pywsgi test__queue test__real_greenlet test__refcount test__refcount_core test__select
    test__selectors test__semaphore test__server test__signal test__sleep0 test__socket
    test__socket_close test__socket_timeout test__systemerror test__thread test__threading
    test__threading_2 test__threading_fork_from_dummy test__threading_patched_local
    test__threading_vs_settrace test__threadpool test__timeout test__util
""".split()
"""What leans on greenlets most: without most of what is about the standard library, and what sleeps long."""

LEFT_OUT: dict[str, str] = {}

FAILED: tuple[Row, ...] = ()
"""Tests that fail, and have to: one that passes has to leave this table."""

EITHER = (
    Row(
        "test__monkey_fork_atomic",
        "Test.test_forks_do_not_overlap",
        "gives two seconds to 16 interpreters, each of which finds greenswitch first",
    ),
    Row(
        "test__core_timer",
        "TestTimerResolution.test_resolution",
        "wants that one turn of a loop with a closed socket reaches a timer; fails on greenlet too",
    ),
    Row(
        "test__issue1686",
        "TestDestroyInChildWithActiveSpawn.test",
        "races with a child of its own; fails on greenlet too",
    ),
)
"""Tests that pass or fail by what the machine is doing besides."""
