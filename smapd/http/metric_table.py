"""Every metric of ``/metrics``: its name, kind, labels, what it says, and where it is read.

All is read from what the rooms show in ``/status``. A number that is not there makes no sample, so
a part that a daemon does without, or that cannot be read just now, costs nothing but itself.

Names follow Prometheus: base units, ``_total`` on what only grows. Labels name reports, drivers,
connectors, thread pools and listeners, never a stream: a larger tree has no more samples.
"""

from __future__ import annotations

from typing import Final

from .metric_reads import (
    answers,
    connection,
    connection_error,
    connection_gaps,
    connection_up,
    counter,
    driver_trouble,
    durations,
    failing,
    gauge,
    histogram,
    jobs,
    journal_dropped,
    length,
    longest,
    of,
    one,
    report_gaps,
    report_info,
    report_lag,
    report_time,
    state,
    threads,
    until_loss,
    version,
)

REPORT_STATES: Final = ("idle", "sending", "waiting", "paused", "stopped", "removed")
DRIVER_STATES: Final = ("setting up", "ready", "running", "failed", "stopped")

FAMILIES: Final = (
    gauge("smapd_build_info", "Always 1; which version runs.", version, "version"),
    gauge("smapd_ready", "1 once everything has started, as /readyz.", one("ready")),
    gauge("smapd_healthy", "1 while nothing stands still, as /healthz.", one("healthy")),
    gauge("smapd_faults", "Things that fail now; /status names them.", length("faults")),
    counter(
        "smapd_clock_steps_total",
        "Times that the wall clock was set by half a second or more.",
        one("clock", "steps"),
    ),
    # readings in
    gauge("smapd_tree_nodes", "Collections and timeseries.", one("tree", "nodes")),
    counter(
        "smapd_readings_total",
        "Readings taken into the tree, from drivers and over HTTP.",
        one("tree", "readings"),
    ),
    counter(
        "smapd_readings_refused_total",
        "Readings whose value or time does not fit their stream.",
        one("tree", "refused"),
    ),
    counter(
        "smapd_readings_dropped_total",
        "Readings lost because too many waited to be taken into the tree.",
        one("tree", "dropped"),
    ),
    gauge(
        "smapd_readings_queued",
        "Readings, blocks and refusals that wait to be taken into the tree.",
        one("tree", "queued"),
    ),
    # the journal
    counter(
        "smapd_journal_taken_total",
        "Readings that the journal took to keep, because somebody selects them.",
        one("journal", "taken"),
    ),
    counter(
        "smapd_journal_committed_total",
        "Readings that are on the disk, synced.",
        one("journal", "committed"),
    ),
    gauge(
        "smapd_journal_uncommitted_readings",
        "Readings in memory that a crash would lose.",
        one("journal", "uncommitted"),
    ),
    gauge(
        "smapd_journal_uncommitted_bytes",
        "Bytes that wait, packed, for a commit to begin.",
        one("journal", "uncommitted_bytes"),
    ),
    counter(
        "smapd_journal_commits_total", "Commits; each syncs the disk.", one("journal", "commits")
    ),
    histogram(
        "smapd_journal_commit_seconds",
        "How long a commit took on the disk's thread, its sync included.",
        durations("commits"),
    ),
    gauge("smapd_journal_failing", "1 while the journal cannot be written.", failing),
    counter(
        "smapd_journal_written_bytes_total",
        "Bytes of readings written, as stored.",
        one("journal", "written_bytes"),
    ),
    gauge("smapd_journal_bytes", "Size on disk of all segments.", one("journal", "bytes")),
    gauge("smapd_journal_segments", "Files of the journal.", one("journal", "segments")),
    counter(
        "smapd_journal_dropped_total",
        "Readings that became a gap, by cause; what several reports lost counts for each.",
        journal_dropped,
        "why",
    ),
    gauge(
        "smapd_quarantine_bytes",
        "Bytes of what was found damaged and set aside in quarantine/; QuarantineBytes bounds it.",
        one("quarantine", "bytes"),
    ),
    counter(
        "smapd_disk_written_bytes_total",
        "Bytes that this process gave the disk to write, for whatever file.",
        one("disk writes", "bytes"),
    ),
    gauge(
        "smapd_disk_written_bytes_per_day",
        "The same over the last day; scaled to a day while less is known, none for 10 minutes.",
        one("disk writes", "bytes_per_day"),
    ),
    gauge(
        "smapd_disk_write_budget_bytes",
        "Bytes a day that the disk may be given, by [server] WriteBudget; none without.",
        one("disk writes", "budget"),
    ),
    # readings out
    gauge(
        "smapd_report_info",
        "Always 1; what a report is.",
        report_info,
        "report",
        "uuid",
        "origin",
        "format",
    ),
    gauge(
        "smapd_report_state",
        "1 for the state that a report is in, 0 for the others.",
        state("reports", REPORT_STATES),
        "report",
        "state",
    ),
    counter(
        "smapd_report_readings_total",
        "Readings that the consumer accepted.",
        of("reports", "readings"),
        "report",
    ),
    counter(
        "smapd_report_bodies_total",
        "Bodies that the consumer accepted.",
        of("reports", "bodies"),
        "report",
    ),
    counter(
        "smapd_report_sent_bytes_total",
        "Bytes of bodies sent on the wire, whatever came of them.",
        of("reports", "bytes"),
        "report",
    ),
    counter(
        "smapd_report_failures_total",
        "Tries that failed and are made again.",
        of("reports", "failures"),
        "report",
    ),
    counter(
        "smapd_report_refusals_total",
        "Bodies that the consumer refused.",
        of("reports", "refused"),
        "report",
    ),
    gauge(
        "smapd_report_waiting_readings",
        "Committed readings that are still to be delivered.",
        of("reports", "waiting"),
        "report",
    ),
    gauge(
        "smapd_report_lag_seconds",
        "How far delivery is behind, by the readings' own times; 0 while nothing waits.",
        report_lag,
        "report",
    ),
    gauge(
        "smapd_report_oldest_unsent_timestamp_seconds",
        "Time of the oldest reading in what failed to be sent; none while all goes well.",
        report_time("oldest_unsent_ms"),
        "report",
    ),
    gauge(
        "smapd_report_last_success_timestamp_seconds",
        "When the consumer last accepted a body; none before the first.",
        report_time("last_ms"),
        "report",
    ),
    gauge(
        "smapd_report_until_loss_seconds",
        "When readings are lost if nothing is delivered from now on; none if that is not known.",
        until_loss,
        "report",
    ),
    counter(
        "smapd_report_gap_readings_total",
        "Readings that this consumer never gets, by cause.",
        report_gaps,
        "report",
        "why",
    ),
    # connectors
    gauge(
        "smapd_connector_up",
        "1 while a connector's source is connected and configured.",
        connection_up,
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_connects_total",
        "Times that a source was connected.",
        connection("counters", "connected"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_failures_total",
        "Connections of a source that failed, or did not live long.",
        connection("counters", "failures"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_notifications_total",
        "Notifications that a source sent; one that was sent again counts again.",
        connection("counters", "notifications"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_readings_total",
        "Readings that the server has read for sure.",
        connection("readings", "readings"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_events_total",
        "Events that the server has read for sure.",
        connection("events", "sent"),
        "connector",
        "source",
    ),
    gauge(
        "smapd_connector_waiting_readings",
        "Committed readings that are still to be delivered.",
        connection("readings", "waiting"),
        "connector",
        "source",
    ),
    gauge(
        "smapd_connector_waiting_events",
        "Events that are still to be delivered.",
        connection("events", "waiting"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_gap_readings_total",
        "Readings that this source's server never gets, by cause.",
        connection_gaps,
        "connector",
        "source",
        "why",
    ),
    counter(
        "smapd_connector_publishes_total",
        "Publishes that came.",
        connection("counters", "publishes"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_publish_failures_total",
        "Publishes that should have changed something here, and could not.",
        connection("published", "failed"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_queries_total",
        "Queries that came.",
        connection("counters", "queries"),
        "connector",
        "source",
    ),
    counter(
        "smapd_connector_query_errors_total",
        "Queries that were answered with an error.",
        connection("counters", "errors_answered"),
        "connector",
        "source",
    ),
    gauge(
        "smapd_connector_last_error_timestamp_seconds",
        "When a delivery or a publish of a source last failed; none if none did.",
        connection_error,
        "connector",
        "source",
    ),
    # drivers and their polls
    gauge(
        "smapd_driver_state",
        "1 for the state that a driver is in, 0 for the others.",
        state("drivers", DRIVER_STATES),
        "driver",
        "state",
    ),
    gauge(
        "smapd_driver_trouble",
        "1 while a driver failed to start, or one of its polls fails or hangs.",
        driver_trouble,
        "driver",
    ),
    counter(
        "smapd_driver_reactor_seconds_total",
        "Time that a driver with ON_REACTOR held the reactor.",
        of("drivers", "reactor_s"),
        "driver",
    ),
    gauge("smapd_poll_calls", "Periodic calls there are.", one("polls", "calls")),
    counter("smapd_poll_runs_total", "Polls that ended.", one("polls", "runs"), may_fall=True),
    counter(
        "smapd_poll_missed_total",
        "Polls left out because the one before still ran, or came too late.",
        one("polls", "missed"),
        may_fall=True,
    ),
    counter(
        "smapd_poll_failed_total",
        "Polls that raised, or whose device did not answer.",
        one("polls", "failed"),
        may_fall=True,
    ),
    counter(
        "smapd_poll_bad_readings_total",
        "Polls that a device answered with something that is no reading.",
        one("polls", "bad_readings"),
        may_fall=True,
    ),
    counter(
        "smapd_poll_no_thread_total",
        "Polls left out because the queue of the poll threads was full.",
        one("polls", "left_out_for_lack_of_threads"),
    ),
    gauge("smapd_poll_hung", "Polls that hang now.", length("polls", "hung")),
    counter(
        "smapd_poll_seconds_total",
        "Time that polls took, all together.",
        one("polls", "took_s"),
        may_fall=True,
    ),
    counter(
        "smapd_poll_late_seconds_total",
        "Time that polls began after they were due, all together.",
        one("polls", "late_s"),
        may_fall=True,
    ),
    gauge(
        "smapd_poll_worst_late_seconds",
        "The longest that any poll began after it was due.",
        one("polls", "worst_late_s"),
    ),
    # the reactor and the threads
    histogram(
        "smapd_reactor_lag_seconds",
        "How late a timer of one second came: all else on the reactor waited as long.",
        durations("reactor"),
    ),
    gauge(
        "smapd_reactor_recent_lag_seconds",
        "The worst of them in the last minute.",
        one("reactor", "recent_worst_s"),
    ),
    gauge("smapd_threads", "Threads of each pool.", threads, "pool", "state"),
    gauge(
        "smapd_thread_queue_calls", "Calls that wait for a thread.", of("pools", "queued"), "pool"
    ),
    counter(
        "smapd_thread_calls_total", "Calls that threads have ended.", of("pools", "done"), "pool"
    ),
    gauge(
        "smapd_thread_longest_call_seconds",
        "For how long the longest of the calls under way has run.",
        longest,
        "pool",
    ),
    gauge(
        "smapd_loop_calls",
        "Coroutines under way on each asyncio loop.",
        of("loops", "open"),
        "loop",
    ),
    gauge(
        "smapd_loop_worst_block_seconds",
        "The longest that a coroutine kept a loop from all others.",
        of("loops", "worst_block_s"),
        "loop",
    ),
    # actuators
    counter("smapd_actuator_gets_total", "Times a device was asked.", one("actuation", "gets")),
    counter("smapd_actuator_sets_total", "Times a device was set.", one("actuation", "sets")),
    counter(
        "smapd_actuator_failures_total", "Gets and sets that failed.", one("actuation", "failed")
    ),
    gauge(
        "smapd_actuator_hanging",
        "Calls of actuators that hang now.",
        length("actuation", "hanging"),
    ),
    gauge("smapd_jobs", "Jobs that are not over.", jobs, "state"),
    counter("smapd_jobs_done_total", "Jobs that ended well.", one("jobs", "done")),
    counter("smapd_jobs_failed_total", "Jobs that failed.", one("jobs", "failed")),
    # HTTP
    counter("smapd_http_answers_total", "Answers by HTTP status.", answers, "listener", "code"),
    gauge(
        "smapd_http_connections", "Open connections.", of("listeners", "connections"), "listener"
    ),
    gauge(
        "smapd_http_streams",
        "Answers under way that are sent in pieces.",
        of("listeners", "streams"),
        "listener",
    ),
    gauge(
        "smapd_http_body_bytes",
        "Bytes of request bodies in memory.",
        of("listeners", "body_bytes"),
        "listener",
    ),
    counter(
        "smapd_http_refused_total",
        "Requests cut off before a route saw them: malformed, too large or too slow.",
        of("listeners", "refused"),
        "listener",
    ),
    counter(
        "smapd_http_surplus_connections_total",
        "Connections turned away beyond MaxConnections.",
        of("listeners", "surplus_connections"),
        "listener",
    ),
    counter(
        "smapd_http_incidents_total",
        "Answers 500: mistakes of ours, each in the log.",
        of("listeners", "incidents"),
        "listener",
    ),
)
"""In the order in which they are answered."""
