"""How gevent 26.9.0's own tests end on greenswitch, as data.

What belongs here: the number of tests in each file, and for each test that does not pass a row with the
reason. What never does: running them. `python tests/conformance gevent` shows how they end now.
"""

from __future__ import annotations

from table import Row

FILES = {
    "test__GreenletExit": 1,
    "test__api": 8,
    "test__api_timeout": 5,
    "test__ares_host_result": 5,
    "test__ares_timeout": 1,
    "test__backdoor": 12,
    "test__contextvars": 18,
    "test__core": 21,
    "test__core_async": 1,
    "test__core_callback": 1,
    "test__core_fork": 1,
    "test__core_loop_run": 1,
    "test__core_stat": 3,
    "test__core_timer": 4,
    "test__core_watcher": 6,
    "test__destroy": 2,
    "test__destroy_default_loop": 2,
    "test__event": 46,
    "test__events": 4,
    "test__exc_info": 2,
    "test__fileobject": 79,
    "test__greenio": 2,
    "test__greenlet": 107,
    "test__greenletset": 9,
    "test__greenness": 1,
    "test__hub": 18,
    "test__hub_join": 3,
    "test__hub_join_timeout": 12,
    "test__import_blocking_in_greenlet": 1,
    "test__import_wait": 1,
    "test__issue112": 1,
    "test__issue1686": 1,
    "test__issue1864": 1,
    "test__issue2013": 3,
    "test__issue230": 1,
    "test__issue330": 4,
    "test__issue467": 1,
    "test__issue6": 1,
    "test__issue600": 2,
    "test__issue607": 3,
    "test__issue639": 1,
    "test__issue_728": 1,
    "test__issues461_471": 1,
    "test__iwait": 3,
    "test__joinall": 1,
    "test__local": 21,
    "test__lock": 6,
    "test__loop_callback": 1,
    "test__makefile_ref": 14,
    "test__monkey": 9,
    "test__monkey_builtins_future": 1,
    "test__monkey_fork_atomic": 1,
    "test__monkey_futures_thread_fork": 2,
    "test__monkey_hub_in_thread": 1,
    "test__monkey_logging": 1,
    "test__monkey_module_run": 7,
    "test__monkey_queue": 14,
    "test__monkey_select": 4,
    "test__monkey_selectors": 9,
    "test__monkey_sigchld_2": 1,
    "test__monkey_sigchld_3": 1,
    "test__nondefaultloop": 1,
    "test__order": 5,
    "test__os": 9,
    "test__pool": 132,
    "test__pywsgi": 120,
    "test__queue": 100,
    "test__real_greenlet": 1,
    "test__refcount": 2,
    "test__refcount_core": 1,
    "test__select": 16,
    "test__selectors": 5,
    "test__semaphore": 19,
    "test__server": 39,
    "test__server_pywsgi": 37,
    "test__signal": 3,
    "test__sleep0": 1,
    "test__socket": 26,
    "test__socket_close": 2,
    "test__socket_dns": 157,
    "test__socket_dns6": 37,
    "test__socket_errors": 1,
    "test__socket_ex": 2,
    "test__socket_send_memoryview": 2,
    "test__socket_ssl": 2,
    "test__socket_timeout": 1,
    "test__socketpair": 2,
    "test__ssl": 18,
    "test__subprocess": 36,
    "test__subprocess_interrupted": 1,
    "test__subprocess_poll": 1,
    "test__systemerror": 10,
    "test__thread": 1,
    "test__threading": 4,
    "test__threading_2": 89,
    "test__threading_before_monkey": 1,
    "test__threading_fork_from_dummy": 1,
    "test__threading_holding_lock_while_monkey": 1,
    "test__threading_monkey_in_thread": 1,
    "test__threading_native_before_monkey": 2,
    "test__threading_no_monkey": 1,
    "test__threading_patched_local": 1,
    "test__threading_shutdown_atexit": 2,
    "test__threading_vs_settrace": 5,
    "test__threadpool": 94,
    "test__threadpool_executor_patched": 4,
    "test__timeout": 11,
    "test__util": 10,
}
"""How many tests each file has, on every CPython version, without those that are not run."""

_EXAMPLES = """
    test__example_echoserver test__example_portforwarder test__example_udp_client test__example_udp_server
    test__example_webproxy test__example_wsgiserver test__example_wsgiserver_ssl
"""
_ITS_OWN_WAY = "is prepared by its own way of being run: fails on gevent too"

BY_HAND = {
    **dict.fromkeys(_EXAMPLES.split(), "runs an example of gevent's source distribution"),
    "test__examples": "runs the files of gevent's source distribution",
    "test__getaddrinfo_import": "looks up names of the internet",
    "test__monkey_multiple_imports": _ITS_OWN_WAY,
    "test__monkey_sigchld": "a script that has no tests to count",
    "test__monkey_sigchld_wakeup_fd": "a script that has no tests to count",
    "test__monkey_ssl_warning": "needs a setuptools of before its version 82",
    "test__monkey_ssl_warning2": _ITS_OWN_WAY,
    "test__monkey_ssl_warning3": _ITS_OWN_WAY,
    "test__resolver_dnspython": "about a resolver on another package, dnspython, that greenswitch has not",
}
"""The files that want what a fresh machine may lack, or say nothing: they are run by hand only."""

LEFT_OUT = {
    "test___config": "about the classes that gevent's settings are made of",
    "test___ident": "about a class that gevent keeps its greenlets' numbers in",
    "test___monitor": "about the inside of gevent's monitor, with its clock and its threads replaced",
    "test___monkey_patching": "runs all of CPython's tests that gevent has changed, which are not installed",
    "test__all__": "walks through the files of gevent's package",
    "test__close_backend_fd": "closes the descriptors of libev's backends",
    "test__compat": "about gevent's private module for differences between Python versions",
    "test__doctests": "walks through the files of gevent's package",
    "test__environ": "asks that GEVENT_BACKEND chooses libev's backend",
    "test__execmodules": "walks through the files of gevent's package",
    "test__memleak": "about gevent's own measuring of leaks",
}
"""The files that are about gevent's inside, and are not run."""

_CYTHON = "asks whether gevent's module is a compiled one"
_PRIVATE = "takes hold of private names of gevent's"
_NO_HUB = "wants that a lock belongs to the hub that uses it first; here it belongs to none"

FAILED = (
    Row(
        "test__fileobject",
        "TestGreenOpenDescripton.test_atomicwrite_fd TestOpenDescriptor.test_atomicwrite_fd",
        _PRIVATE,
    ),
    Row(
        "test__os",
        "TestForkAndWatch.test_waitpid_all TestOS_nb.test_event_closed_on_read"
        " TestOS_nb.test_event_closed_on_read_error TestOS_nb.test_event_closed_on_write"
        " TestOS_nb.test_event_closed_on_write_error",
        _PRIVATE,
    ),
    Row(
        "test__subprocess",
        "TestFDs.test_close_fds_brute_force TestFDs.test_close_fds_from_path"
        " TestFDs.test_close_fds_from_path_bad_values TestFDs.test_close_fds_no_dir"
        " TestFDs.test_close_fds_with_dir"
        " TestPopen.test_exit_ignores_reentrant_call_from_foreign_greenlet"
        " TestPopen.test_exit_stops_communicating_greenlets_before_closing",
        _PRIVATE,
    ),
    Row(
        "test__subprocess",
        "TestPopen.test_subprocess_in_native_thread",
        "wants that a child is refused outside of the main thread; here every thread may have some",
    ),
    Row(
        "test__api_timeout",
        "Test.test_sleep_calls_update_now Test.test_timeout_calls_update_now",
        "counts calls of loop.update_now(), which nothing here has to call",
    ),
    Row(
        "test__core",
        "TestLibevCext.test_EVENTS TestLibevCext.test_events_conversion TestLibevCext.test_flags_conversion"
        " TestLibevCext.test_get_version TestLibevCext.test_io",
        "about names in the module of libev's loop",
    ),
    Row("test__core_stat", "TestCoreStat.test_watcher_basics", _PRIVATE),
    Row(
        "test__event",
        "TestAsyncResultCrossThread.test_cross_thread_callback_can_run_before_scheduling_returns"
        " TestEventCrossThread.test_cross_thread_callback_can_run_before_scheduling_returns",
        "replaces the hub's loop to see run_callback_threadsafe() called; links go another way here",
    ),
    Row(
        "test__event",
        "TestEventBasics.test_wait_while_notifying",
        "wants that wait() of a set event waits while others are being woken; here it returns at once",
    ),
    Row(
        "test__events",
        "TestEvents.test_is_zope TestImplements.test_event_loop_blocked TestImplements.test_mem_decreased"
        " TestImplements.test_mem_threshold",
        "wants zope.event and zope.interface, and greenswitch needs no other package",
    ),
    Row("test__greenlet", "TestBasic.test_minimal_ident_parent_not_hub", "wants Cython's error messages"),
    Row(
        "test__greenlet",
        "TestBasic.test_spawn_non_callable",
        "wants a TypeError of spawn_later() without a function; a Greenlet without one does nothing",
    ),
    Row(
        "test__greenlet",
        "TestBasic.test_tree_locals",
        "wants that what spawn_raw() makes is tracked; here it is a plain greenlet",
    ),
    Row("test__greenlet", "TestCExt.test_c_extension", _CYTHON),
    Row("test__greenlet", "TestStuff.test_minimal_id", "wants that a hub has a minimal_ident"),
    Row(
        "test__hub",
        "TestHandleError.test_exception_in_custom_handle_error_does_not_crash",
        "replaces handle_error by one that fails; here the failure reaches the main greenlet",
    ),
    Row(
        "test__hub",
        "TestPeriodicMonitoringThread.test_blocking_this_thread",
        "counts the monitor's functions, with one for memory only where psutil is; here there is always one",
    ),
    Row(
        "test__hub",
        "TestPeriodicMonitoringThread.test_blocking_threadpool_thread_multi_greenlet"
        " TestPeriodicMonitoringThread.test_blocking_threadpool_thread_one_greenlet"
        " TestPeriodicMonitoringThread.test_blocking_threadpool_thread_task_queue",
        "wants that a hub has no monitor before it runs; here it has one when it is made",
    ),
    Row(
        "test__issue467",
        "Test.test",
        "wants that iwait() yields what is ready before anybody else runs",
    ),
    Row(
        "test__iwait",
        "Testiwait.test_iwait_nogarbage",
        "wants that a link to a ready semaphore is not called before the second turn",
    ),
    Row("test__local", "TestCExt.test_c_extension", _CYTHON),
    Row(
        "test__lock",
        "TestRLockMultiThread.test_dueling_threads TestRLockMultiThread.test_dueling_threads_timeout"
        " TestRLockMultiThread.test_dueling_threads_with_hub",
        _NO_HUB,
    ),
    Row(
        "test__monkey_queue",
        "FailingQueueTest.test_failing_queue",
        "wants that put() calls _put() of a subclass also where somebody waits for an item",
    ),
    Row(
        "test__monkey",
        "TestMonkey.test_patch_events TestMonkey.test_patch_twice_warnings_events",
        "takes hold of what gevent keeps among the originals besides them",
    ),
    Row("test__monkey_logging", "process", "wants that an RLock is made of the lock of another class"),
    Row("test__monkey_module_run", "TestRun.test_issue_302", "wants that our socket calls itself gevent's"),
    Row(
        "test__monkey_module_run",
        "TestRun.test_threadpool_in_patched_after_patch"
        " TestRun.test_threadpool_in_patched_after_patch_module",
        "calls patch_all(sys=True)",
    ),
    Row(
        "test__monkey_module_run",
        "TestRun.test_threadpool_not_patched_after_patch_module",
        "wants that a native thread has another number when it is asked for as a greenlet",
    ),
    Row(
        "test__monkey_select",
        "TestSelect.test_epoll_removed",
        "wants that there is no epoll; here there is one that lets others run",
    ),
    Row(
        "test__pool",
        "TestPool.test_imap_unordered_bounded_queue TestPool10.test_imap_unordered_bounded_queue"
        " TestPool2.test_imap_unordered_bounded_queue TestPool3.test_imap_unordered_bounded_queue"
        " TestPoolUnlimit.test_imap_unordered_bounded_queue",
        "looks at the queue inside of what imap_unordered() gives",
    ),
    Row(
        "test__queue",
        "TestChannel.test_subscript TestLifoQueue.test_subscript TestPriorityQueue.test_subscript"
        " TestQueue.test_subscript TestSimpleQueue.test_subscript",
        "wants that Queue[int] is a types.GenericAlias; here it is typing's, which does the same",
    ),
    Row(
        "test__pywsgi",
        "ChunkedInputTests.test_chunked_readline ChunkedInputTests.test_short_read_with_content_length"
        " ChunkedInputTests.test_short_read_with_zero_content_length",
        "sends a request with a Content-Length beside the chunks, which is refused here",
    ),
    Row(
        "test__pywsgi", "ChunkedInputTests.test_dirt", "has a zero byte between the chunks, which is refused"
    ),
    Row("test__pywsgi", "TestContentLength304.test_err", "wants that an exception has its text as bytes"),
    Row("test__pywsgi", "TestMultiLineHeader.test_multiline_116", "folds a header, which is refused here"),
    Row(
        "test__server_pywsgi",
        "TestDefaultSpawn.test_server_closes_client_sockets TestPoolSpawn.test_server_closes_client_sockets"
        " TestRawSpawn.test_server_closes_client_sockets",
        "has an application that says nothing; here the client gets a 500, which the test compares with text",
    ),
    Row(
        "test__server_pywsgi",
        "TestSSLGetCertificate.test_wrap_socket_and_handle_wrap_failure",
        "has a handshake without a socket; here that would be given a timeout",
    ),
    Row(
        "test__semaphore",
        "TestBoundedSemaphoreMultiThread.test_dueling_threads"
        " TestBoundedSemaphoreMultiThread.test_dueling_threads_timeout"
        " TestBoundedSemaphoreMultiThread.test_dueling_threads_with_hub"
        " TestSemaphoreMultiThread.test_dueling_threads TestSemaphoreMultiThread.test_dueling_threads_timeout"
        " TestSemaphoreMultiThread.test_dueling_threads_with_hub",
        _NO_HUB,
    ),
    Row(
        "test__monkey_selectors",
        "TestSelectors.test_selectors_select_is_patched",
        "looks for a mark that gevent puts on functions",
    ),
    Row("test__refcount", "Test.test_clean_exit Test.test_timeout_exit", _PRIVATE),
    Row(
        "test__selectors",
        "TestPossibleCrashes.test_closing_fd_before_selecting",
        "wants ValueError for a closed descriptor; here it is the OSError of the standard class",
    ),
    Row("test__semaphore", "TestCExt.test_c_extension", _CYTHON),
    Row(
        "test__socket",
        "TestFunctions.test_resolve_ipv6_scope_id",
        _PRIVATE,
    ),
    Row("test__socket_ex", "TestRef.test", _PRIVATE),
    Row(
        "test__threading_2",
        "ThreadTests.test_join_nondaemon_on_shutdown",
        "compares the name of the module that time.sleep() is from",
    ),
    Row(
        "test__threading_2",
        "ThreadTests.test_various_ops ThreadTests.test_various_ops_large_stack"
        " ThreadTests.test_various_ops_small_stack",
        "wants that a thread which was not started is called stopped; here it is as in CPython",
        since=(3, 13),
    ),
    Row("test__threading_fork_from_dummy", "Test.test_fork_from_dummy_thread", _PRIVATE),
    Row(
        "test__threading_monkey_in_thread",
        "Test.test_patch_in_thread",
        "wants warnings; here everything works when it was patched in another thread",
    ),
    Row(
        "test__threading_native_before_monkey",
        "Test.test_main_thread",
        "is prepared by its own way of being run; fails on gevent too",
    ),
    Row(
        "test__threading_vs_settrace",
        "TestTrace.test_untraceable_lock",
        "wants that locks are not written in Python",
    ),
    Row(
        "test__threadpool",
        "TestBeforeRunTaskFailure.test_audit_hook_rejection_does_not_hang"
        " TestBeforeRunTaskFailure.test_caller_gets_exception_and_slot_is_released"
        " TestBeforeRunTaskFailure.test_queued_task_runs_after_all_workers_fail"
        " TestPool.test_greenlet_class TestPool10.test_greenlet_class TestPool2.test_greenlet_class"
        " TestPool3.test_greenlet_class"
        " TestWorkerProfileAndTrace.test_get_profile TestWorkerProfileAndTrace.test_get_trace"
        " TestWorkerProfileAndTrace.test_hooks_set_by_task_are_cleared"
        " TestWorkerProfileAndTrace.test_profile_called_in_task"
        " TestWorkerProfileAndTrace.test_setters_not_called_without_hooks"
        " TestWorkerProfileAndTrace.test_trace_called_in_task",
        _PRIVATE,
    ),
    Row(
        "test__threadpool",
        "TestSpawn.test_basics",
        "wants that a pool takes one task more than it has threads",
    ),
    Row(
        "test__threadpool",
        "TestTPE.test_future_wait_gevent_function",
        "calls unlink() of a future",
    ),
    Row(
        "test__threadpool",
        "TestTPE.test_future_wait_module_function",
        "wants that concurrent.futures.wait() fails with futures of the pool; here it works",
    ),
    Row("test__threadpool", "TestThreadResult.test_exception_in_on_async_doesnt_crash", _PRIVATE),
    Row(
        "test__threadpool_executor_patched",
        "TestPatchedTPE.test_future_wait_gevent_function",
        "calls unlink() of a future",
    ),
    Row(
        "test__util",
        "TestAssertSwitches.test_nested TestAssertSwitches.test_time_sleep"
        " TestFuncs.test_clear_stack_frames TestTree.test_forest_fake_parent TestTree.test_tree",
        "compares texts and private attributes that are not gevent's here",
    ),
)
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
        "wants that one turn of a loop with a closed socket reaches a timer; fails on gevent too",
    ),
    Row(
        "test__event",
        "TestEvent_SetThenClear1000.test",
        "wants that 1,000 greenlets start within a millisecond",
    ),
    Row(
        "test__select",
        "TestPossibleCrashes.test_closing_object_while_polling"
        " TestPossibleCrashes.test_closing_object_while_selecting",
        "close a socket before or after somebody waits for it, by how long the loop has been busy: the system"
        " says what it is, or that it was closed meanwhile is said (EBADF, POLLNVAL)",
    ),
    Row(
        "test__socket_dns",
        "TestGeventOrg.test_AI_CANONNAME Test_getaddrinfo.test_enums",
        "looks up names of the internet",
    ),
    Row(
        "test__local",
        "TestGeventLocal.test_locals_collected_when_greenlet_dead_but_still_referenced",
        "wants that native threads have ended when they were just started",
    ),
)
"""Tests that pass or fail by what the machine is doing besides."""

HANGING = (
    Row(
        "test__lock",
        "TestLockReinitAfterFork.test_it",
        "starts a program that waits for ever where threading's locks are not patched",
    ),
)
"""Tests that are not run."""

LACKING = (
    Row(
        "test__ares_host_result",
        "TestPickle.test0 TestPickle.test1 TestPickle.test2 TestPickle.test3 TestPickle.test4",
        "about gevent's resolver on the library c-ares",
    ),
    Row("test__ares_timeout", "TestTimeout.test", "about gevent's resolver on the library c-ares"),
)
"""Tests that are skipped for want of what they are about, and pass on gevent."""

MISSING = (
    Row(
        "test__monkey_selectors",
        "TestSelectors.test_selector_GeventSelector",
        "is called after gevent's class; here it is test_selector_DefaultSelector",
    ),
    Row("test__monkey_logging", "script", "wants that an RLock is made of the lock of another class"),
)
"""Tests that there are on gevent only."""

SKIPPED = (
    Row(
        "test__monkey_selectors",
        "TestSelectors.test_selector_DevpollSelector TestSelectors.test_selector_KqueueSelector",
        "for other systems",
    ),
    Row(
        "test__core",
        "TestLibevCffi.test_EVENTS TestLibevCffi.test_events_conversion TestLibevCffi.test_flags_conversion"
        " TestLibevCffi.test_get_version TestLibevCffi.test_io TestLibevCffi.test_signal_constructor"
        " TestLibevCffi.test_timer_constructor TestLibuvCffi.test_EVENTS TestLibuvCffi.test_events_conversion"
        " TestLibuvCffi.test_get_version TestLibuvCffi.test_io TestLibuvCffi.test_io_multiplex_events"
        " TestLibuvCffi.test_signal_constructor TestLibuvCffi.test_timer_constructor",
        "for loops that are made with cffi",
    ),
    Row(
        "test__greenlet",
        "TestBasic.test_getframe_value_error TestPure.test_pure",
        "for a gevent without its compiled modules",
    ),
    Row(
        "test__fileobject",
        "TestFileObjectBlock.test_rU_produces_native TestFileObjectBlock.test_rbU_produces_bytes_readline"
        " TestFileObjectPosix.test_newlines TestFileObjectPosix.test_rU_produces_native"
        " TestFileObjectPosix.test_rbU_produces_bytes_readline TestFileObjectThread.test_newlines"
        " TestFileObjectThread.test_rU_produces_native TestFileObjectThread.test_rbU_produces_bytes_readline",
        "for CPython before 3.11",
        since=(3, 11),
    ),
    Row(
        "test__fileobject",
        "TestFileObjectThread.test_del TestFileObjectThread.test_del_close",
        "a race, its authors say",
    ),
    Row("test__subprocess", "TestPopen.test_popen_bufsize", "for Python 2"),
    Row("test__issue112", "Test.test", "for Python 2"),
    Row("test__threading_2", "ThreadTests.test_enumerate_after_join", "for Python 2"),
    Row(
        "test__threading_native_before_monkey",
        "Test.test_join_native_thread",
        "is prepared by its own way of being run",
    ),
    Row("test__local", "TestPure.test_extension", "for a gevent without its compiled modules"),
    Row(
        "test__pywsgi",
        " ".join(
            f"{case}.test_006_reject_long_urls"
            for case in (
                "TestBytearray",
                "TestConnectionUpgrades",
                "TestExplicitContentLength",
                "TestNoChunks",
                "TestNoChunks10",
                "TestNoChunks10KeepAlive",
                "TestYield",
            )
        ),
        "gevent's authors are not sure of it",
    ),
    Row(
        "test__queue",
        "TestChannel.test_init_and_bottleneck_methods"
        " TestGetInterruptSimpleQueue.test_outer_timeout_is_not_lost"
        " TestGetInterruptSimpleQueue.test_raises_timeout_Timeout"
        " TestGetInterruptSimpleQueue.test_raises_timeout_Timeout_exc_customized",
        "of a class that the test is not about",
    ),
    Row(
        "test__socket_dns6",
        " ".join(
            f"{case}.test__{name}__{call}"
            for case, *names in (
                ("Test6", "aaaa_test_ipv6_com"),
                ("Test6_ds", "aaaa_test_ipv6_com", "ds_test_ipv6_com"),
                ("Test6_google", "aaaa_test_ipv6_com", "ipv6_google_com"),
            )
            for name in names
            for call in ("gethostbyname", "gethostbyname_ex")
        ),
        "asks for IPv6 by functions that know none",
    ),
    Row(
        "test__socket_ssl",
        "AmazonHTTPSTests.test_amazon_response AmazonHTTPSTests.test_str_and_repr",
        "for Python 2",
    ),
    Row(
        "test__select",
        "TestPollRead.test_poll_invalid",
        "for no poller: libev and libuv may abort the process",
    ),
    Row("test__ssl", "TestSSL.test_empty_send", "for an error that OpenSSL has no more"),
    Row("test__server", "TestSSLSocketNotAllowed.test", "for Python 2"),
    Row("test__server_pywsgi", "TestSSLSocketNotAllowed.test", "for Python 2"),
)
"""Tests that gevent's package itself skips, on gevent too."""
