"""log, inspect_log and the log of an ended job: what runs have logged is kept, bounded, and costs nothing where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from laneway.lanes import events, run_log
from laneway.lanes.commands import Cancel, Finish, InspectJob, InspectLog, Log, NewLines, Watch
from laneway.lanes.model import LOST_LOG, JobState, Lease, Outcome
from laneway.lanes.run_log import JobLines, LogLine, RunEnd, RunOutcome, RunState, encode_run, line
from tests.lanes.driver import Driver

ENDS = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]


def lines(*texts: str) -> list[LogLine]:
    return [line(number, 7, "info", text) for number, text in enumerate(texts, 1)]


def log(lanes: Driver, lease: Lease, *texts: str, kept: int = 200) -> list[bool]:
    return lanes.run(Log([NewLines(lease, run_log.newest(lines(*texts)), kept)]))


def finish(lanes: Driver, lease: Lease, state: JobState, text: bytes, delay: float = 0) -> None:
    assert lanes.run(Finish("w1", [Outcome(lease, state, 1000, b"1", delay, text)])) == [True]


def run_of(lease: Lease, *texts: str) -> bytes:
    return encode_run(lease.attempt, 1000, "w1", lines(*texts))


def found(lanes: Driver, job_id: str, user: str = "ann") -> JobLines:
    log = lanes.run(InspectLog(user, job_id))
    assert log is not None
    return log


def shown(log: JobLines) -> list[tuple[int, RunState, list[str]]]:
    return [(run.attempt, run.state, [one.text for one in run.lines]) for run in log.runs]


def test_lines_of_a_running_job_are_kept_in_order_as_many_as_it_says(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert log(lanes, lease, "one", "two") == [True]
    assert log(lanes, lease, "three", "four", kept=3) == [True]
    assert shown(found(lanes, lease.job_id)) == [(1, RunState.RUNNING, ["two", "three", "four"])]
    (run,) = found(lanes, lease.job_id).runs
    assert (run.started_us, run.worker) == (1000, "w1")


def test_a_log_does_not_make_a_job_count_as_started(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    first, _ = lanes.claim()
    log(lanes, first, "early")
    assert shown(found(lanes, ids[0])) == [(1, RunState.RUNNING, ["early"])]
    assert not lanes.client.exists(lanes.key(f"job:{ids[0]}"))
    lanes.release(first)
    assert lanes.where("ann", ids[0]) == ["waiting"]


def test_a_line_under_a_stale_lease_changes_nothing(lanes: Driver) -> None:
    (old,) = lanes.started("ann")
    lanes.lose(old)
    before = lanes.snapshot()
    assert log(lanes, old, "late") == [False]
    assert lanes.snapshot() == before


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("started", [True, False])
def test_the_end_keeps_the_log_and_nothing_else(lanes: Driver, state: JobState, *, started: bool) -> None:
    (lease,) = lanes.started("ann") if started else lanes.claimed("ann")
    log(lanes, lease, "one")
    finish(lanes, lease, state, run_of(lease, "one", "two"))
    assert shown(found(lanes, lease.job_id)) == [(1, RunState.ENDED, ["one", "two"])]
    job = lanes.run(InspectJob("ann", lease.job_id))
    assert job is not None
    assert (job.user, job.state) == ("ann", state)
    assert lanes.all_keys() == {f"spec:{lease.job_id}", f"ended:{lease.job_id}", "outbox", "clock", "wakeups"}


def test_each_run_has_its_lines_through_retries_interruptions_and_losses(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    finish(lanes, lease, JobState.RETRYING, run_of(lease, "fails"))
    (lease,) = lanes.claim()
    log(lanes, lease, "dies")
    lanes.process_dies(lease)
    (lease,) = lanes.claim()
    lanes.start(lease)
    log(lanes, lease, "its worker is lost")
    lanes.lose(lease)
    (lease,) = lanes.claim()
    finish(lanes, lease, JobState.QUEUED, run_of(lease, "interrupted"))
    (lease,) = lanes.claim()
    lanes.start(lease)
    log(lanes, lease, "killed")
    finish(lanes, lease, JobState.RETRYING, LOST_LOG)
    (lease,) = lanes.claim()
    lanes.start(lease)
    log(lanes, lease, "present")
    past = [
        (1, RunState.ENDED, ["fails"]),
        (2, RunState.LOST, ["dies"]),
        (2, RunState.LOST, ["its worker is lost"]),
        (2, RunState.ENDED, ["interrupted"]),
        (2, RunState.LOST, ["killed"]),
    ]
    assert shown(found(lanes, lease.job_id)) == [*past, (3, RunState.RUNNING, ["present"])]
    finish(lanes, lease, JobState.SUCCEEDED, run_of(lease, "present", "done"))
    assert shown(found(lanes, lease.job_id)) == [*past, (3, RunState.ENDED, ["present", "done"])]


@pytest.mark.parametrize("state", [*ENDS, JobState.RETRYING, JobState.QUEUED])
def test_a_run_that_was_killed_leaves_what_was_sent(lanes: Driver, state: JobState) -> None:
    (lease,) = lanes.started("ann")
    log(lanes, lease, "killed")
    finish(lanes, lease, state, LOST_LOG)
    assert shown(found(lanes, lease.job_id)) == [(1, RunState.LOST, ["killed"])]


def test_a_later_run_without_a_line_keeps_the_log_of_earlier_ones(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    finish(lanes, lease, JobState.RETRYING, run_of(lease, "fails"))
    (lease,) = lanes.claim()
    finish(lanes, lease, JobState.SUCCEEDED, b"")
    assert shown(found(lanes, lease.job_id)) == [(1, RunState.ENDED, ["fails"])]


def test_a_job_that_is_cancelled_between_two_attempts_keeps_its_log(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    finish(lanes, lease, JobState.RETRYING, run_of(lease, "fails"), delay=50)
    assert lanes.run(Cancel("ann", lease.job_id, "enough")) == "cancelled"
    assert shown(found(lanes, lease.job_id)) == [(1, RunState.ENDED, ["fails"])]


def test_the_oldest_runs_of_a_long_log_are_dropped_and_counted(lanes: Driver) -> None:
    (lease,) = lanes.started("ann", max_attempts=9)
    large = ["x" * 990] * 45
    for _ in range(4):
        finish(lanes, lease, JobState.RETRYING, run_of(lease, *large))
        (lease,) = lanes.claim()
    finish(lanes, lease, JobState.FAILED, run_of(lease, "at last"))
    log = found(lanes, lease.job_id)
    assert log.dropped_runs == 2
    assert shown(log) == [
        (3, RunState.ENDED, large),
        (4, RunState.ENDED, large),
        (5, RunState.ENDED, ["at last"]),
    ]
    job = lanes.run(InspectJob("ann", lease.job_id))
    assert job is not None
    assert len(job.log or b"") < 102_000


def test_a_finish_of_jobs_without_a_line_is_what_it_was_before_there_were_logs(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    outcome = Outcome(lease, JobState.SUCCEEDED, 1000, b'"done"', 2)
    sent = ["w1", lease.handle, "ann", "succeeded", 1, 1000, b'"done"', 2000]
    assert list(Finish("w1", [outcome]).args()) == sent
    lanes.run(Finish("w1", [outcome]))
    text = lanes.client.get(lanes.key(f"ended:{lease.job_id}"))
    assert text.split(b"\n")[9:] == [b"ann", b'"done"']
    assert found(lanes, lease.job_id) == JobLines(0, [])


def test_a_log_is_not_shown_to_another_user(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    log(lanes, lease, "mine")
    assert lanes.run(InspectLog("bob", lease.job_id)) is None
    finish(lanes, lease, JobState.SUCCEEDED, run_of(lease, "mine"))
    assert lanes.run(InspectLog("bob", lease.job_id)) is None


def test_a_delayed_job_has_an_empty_log(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=100)
    assert found(lanes, job_id) == JobLines(0, [])
    assert lanes.run(InspectLog("bob", job_id)) is None


def test_new_lines_are_published_to_those_who_watch_and_leave_the_backlog_alone(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Watch(["ann"], 60))
    backlog = lanes.client.xlen(lanes.key("backlog:ann"))
    with lanes.client.pubsub() as channel:
        channel.subscribe(lanes.keys.events("ann"))
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        log(lanes, lease, 'a "line"', "two\t\x1b")
        message: Any = channel.get_message(timeout=5)
        event = events.parse(message["data"])
    assert (event.job_id, event.state, event.attempts, event.entry) == (lease.job_id, "log", 1, "")
    assert list(event.lines) == lines('a "line"', "two\t\x1b")
    assert lanes.client.xlen(lanes.key("backlog:ann")) == backlog


def test_lines_that_nobody_removes_expire(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    log(lanes, lease, "one")
    assert 0 < lanes.client.pttl(lanes.key(f"lines:{lease.job_id}")) <= 86_400_000


def test_a_damaged_run_counts_as_dropped() -> None:
    good = encode_run(1, 2, "w", lines("text")).decode()
    for bad in ("", "{", "[]", '{"attempt":1}', json.dumps({"attempt": 1, "lines": [[1]]})):
        log = run_log.decode(f"2\t{bad}\t{good}".encode())
        assert (log.dropped_runs, shown(log)) == (3, [(1, RunState.ENDED, ["text"])])


def test_a_run_after_which_the_job_goes_on_says_how_it_ended_though_it_logged_nothing(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    error = b'{"type":"Boom","message":"%b","errors":[]}' % (b"x" * 3000)
    text = encode_run(1, 1000, "w1", [], RunEnd(2000, RunOutcome.FAILED, error))
    finish(lanes, lease, JobState.RETRYING, text)
    (lease,) = lanes.claim()
    text = encode_run(2, 3000, "w1", [], RunEnd(4000, RunOutcome.INTERRUPTED, b"the worker stopped"))
    finish(lanes, lease, JobState.QUEUED, text)
    (lease,) = lanes.claim()
    lanes.start(lease)
    lanes.lose(lease)
    (lease,) = lanes.claim()
    finish(lanes, lease, JobState.SUCCEEDED, b"")
    failed, interrupted, lost = found(lanes, lease.job_id).runs
    assert (failed.started_us, failed.ended_us, failed.outcome) == (1000, 2000, RunOutcome.FAILED)
    assert failed.error == {"type": "Boom", "message": "x" * 1000}
    assert (interrupted.ended_us, interrupted.outcome) == (4000, RunOutcome.INTERRUPTED)
    assert interrupted.error == {"type": "Interrupted", "message": "the worker stopped"}
    assert (lost.state, lost.outcome, lost.error) == (RunState.LOST, None, None)
    assert lost.ended_us is not None
    assert abs(lost.ended_us - lanes.now_us()) < 60_000_000


def test_a_long_error_takes_room_from_the_lines_of_its_run() -> None:
    lines = [line(number, 1000, "info", "x" * 900) for number in range(1, 101)]
    error = json.dumps({"type": "Boom", "message": "\x01" * 1000}).encode()
    run = encode_run(1, 1000, "w1", lines, RunEnd(2000, RunOutcome.FAILED, error))
    assert run_log.MAX_RUN_BYTES - 1000 < len(run) <= run_log.MAX_RUN_BYTES
    (kept,) = run_log.decode(b"0\t" + run).runs
    assert kept.lines[-1] == lines[-1]


def test_a_run_that_was_killed_for_what_it_did_has_its_error(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert lanes.run(
        Finish(
            "w1",
            [Outcome(lease, JobState.RETRYING, 1000, b'{"type":"TimeLimit","message":"2 s"}', 0, LOST_LOG)],
        )
    ) == [True]
    (run,) = found(lanes, lease.job_id).runs
    assert (run.state, run.outcome) == (RunState.LOST, RunOutcome.FAILED)
    assert run.error == {"type": "TimeLimit", "message": "2 s"}


def test_the_records_of_many_failed_attempts_are_bounded(lanes: Driver) -> None:
    (lease,) = lanes.started("ann", max_attempts=1000)
    error = b'{"type":"Boom","message":"%b"}' % (b"x" * 3000)
    for _ in range(150):
        text = encode_run(lease.attempt, 1000, "w1", [], RunEnd(2000, RunOutcome.FAILED, error))
        finish(lanes, lease, JobState.RETRYING, text)
        (lease,) = lanes.claim()
    assert lanes.client.hstrlen(lanes.key(f"job:{lease.job_id}"), "log") < 102_000
    log = found(lanes, lease.job_id)
    assert log.dropped_runs + len(log.runs) == 150
    assert [run.attempt for run in log.runs] == list(range(151 - len(log.runs), 151))
