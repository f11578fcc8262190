"""inspect_job: reads one live job."""

from __future__ import annotations

from laneway.lanes.commands import Archived, Cancel, Enqueue, InspectJob, Start
from laneway.lanes.model import Job, JobState, seq_of
from tests.lanes.driver import Driver, new_job


def look(lanes: Driver, job_id: str, user: str = "ann") -> Job:
    job = lanes.run(InspectJob(user, job_id))
    assert job is not None
    return job


def test_a_queued_job_has_a_position(lanes: Driver) -> None:
    lanes.enqueue("ann", 2)
    (job_id,) = lanes.run(Enqueue("ann", [new_job(b'{"n":1}', 2, "sleep")])).job_ids
    assert look(lanes, job_id) == Job(job_id, "ann", "sleep", b'{"n":1}', JobState.QUEUED, 0, 2, position=3)
    assert look(lanes, job_id).enqueued_us == seq_of(job_id)


def test_positions_count_from_the_head_of_the_lane(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    lanes.finish(*lanes.claim(2), state=JobState.RETRYING)
    lanes.start(*lanes.claim(1))
    assert [look(lanes, job_id).position for job_id in ids] == [None, 1, 2, 3]


def test_a_running_job(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann")
    assert look(lanes, lease.job_id).state is JobState.QUEUED
    lanes.run(Start("w3", [lease], [777]))
    job = look(lanes, lease.job_id)
    assert (job.state, job.attempts, job.worker, job.started_us) == (JobState.RUNNING, 1, "w3", 777)
    assert (job.position, job.finished_us) == (None, None)


def test_a_job_that_waits_for_a_retry_says_why(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.finish(lease, state=JobState.RETRYING, delay=100, body=b'{"type":"E"}')
    job = look(lanes, lease.job_id)
    assert (job.state, job.position, job.error) == (JobState.RETRYING, None, b'{"type":"E"}')


def test_an_ended_job_is_seen_until_it_is_archived(lanes: Driver) -> None:
    done, cancelled = lanes.enqueue("ann", 2)
    lanes.run(Cancel("ann", cancelled, "enough"))
    lanes.finish(*lanes.claim(), body=b"[1]")
    assert look(lanes, done).result == b"[1]"
    assert look(lanes, done).finished_us is not None
    assert (look(lanes, cancelled).state, look(lanes, cancelled).reason) == (JobState.CANCELLED, "enough")
    lanes.run(Archived([done]))
    assert lanes.run(InspectJob("ann", done)) is None


def test_another_users_job_is_not_shown(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann")
    assert lanes.run(InspectJob("bob", job_id)) is None
    assert lanes.run(InspectJob("ann", "0" * 25)) is None
    assert lanes.run(InspectJob("ann", "")) is None
