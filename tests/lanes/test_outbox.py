"""outbox: reads ended jobs that MongoDB does not have yet, oldest first."""

from __future__ import annotations

from laneway.lanes.commands import Cancel, Outbox, Start
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


def test_ended_jobs_are_complete_and_in_the_order_of_their_ends(lanes: Driver) -> None:
    cancelled, succeeded, failed, _waiting = lanes.enqueue("ann", 4)
    lanes.run(Cancel("ann", cancelled, "enough"))
    first, second = lanes.claim(2)
    lanes.run(Start("w2", [first, second], [5, 6]))
    lanes.finish(second, state=JobState.FAILED, body=b'{"type":"E"}')
    lanes.finish(first, body=b"42")
    jobs = lanes.run(Outbox(10))
    assert [(job.job_id, job.state) for job in jobs] == [
        (cancelled, JobState.CANCELLED),
        (failed, JobState.FAILED),
        (succeeded, JobState.SUCCEEDED),
    ]
    assert jobs[0].reason == "enough"
    assert (jobs[1].error, jobs[1].attempts, jobs[1].worker) == (b'{"type":"E"}', 1, "w1")
    assert (jobs[2].result, jobs[2].user, jobs[2].request) == (b"42", "ann", b"null")
    assert all(job.finished_us is not None for job in jobs)


def test_it_returns_no_more_than_asked_for_and_changes_nothing(lanes: Driver) -> None:
    lanes.finish(*lanes.claimed("ann", 3))
    before = lanes.snapshot()
    assert [job.job_id for job in lanes.run(Outbox(2))] == lanes.done()[:2]
    assert lanes.snapshot() == before


def test_the_oldest_can_be_skipped(lanes: Driver) -> None:
    lanes.finish(*lanes.claimed("ann", 5))
    for behind, limit in ((0, 2), (2, 2), (4, 2), (5, 2)):
        found = [job.job_id for job in lanes.run(Outbox(limit, behind))]
        assert found == lanes.done()[behind : behind + limit]


def test_without_ended_jobs_it_is_empty(lanes: Driver) -> None:
    lanes.enqueue("ann")
    assert lanes.run(Outbox(10)) == []


def test_long_jobs_come_in_smaller_numbers(lanes: Driver) -> None:
    """The archiver's memory is limited."""
    leases = [lease for user in "abcdefghij" for lease in lanes.started(user, 5)]
    lanes.finish(*leases, body=b'"' + 1000 * b"x" + b'"')
    jobs = lanes.run(Outbox(50, 0, max_bytes=20_000))
    assert [job.job_id for job in jobs] == [lease.job_id for lease in leases[:32]]
    assert len(lanes.run(Outbox(50, 32, max_bytes=20_000))) == 18
