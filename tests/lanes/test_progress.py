"""progress: records the progress of a running job."""

from __future__ import annotations

from laneway.lanes.commands import InspectJob, Progress
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


def test_progress_is_visible_in_the_job(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert lanes.run(Progress(lease, 12.5, "page 1 of 8"))
    job = lanes.run(InspectJob("ann", lease.job_id))
    assert job is not None
    assert (job.progress, job.note) == (12.5, "page 1 of 8")


def test_progress_under_a_stale_lease_changes_nothing(lanes: Driver) -> None:
    (old,) = lanes.started("ann")
    lanes.lose(old)
    before = lanes.snapshot()
    assert not lanes.run(Progress(old, 50, ""))
    (new,) = lanes.claim()
    lanes.finish(new)
    assert not lanes.run(Progress(new, 50, ""))
    assert lanes.job(old.job_id).get("progress") is None
    assert "progress" not in str(before)


def test_a_note_that_utf_8_cannot_hold_is_written_with_escapes(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert lanes.run(Progress(lease, 50, "caf\udce9"))
    assert lanes.job(lease.job_id)["note"] == "caf\\udce9"


def test_progress_belongs_to_one_attempt(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Progress(lease, 90, "nearly"))
    lanes.finish(lease, state=JobState.RETRYING)
    assert lanes.job(lease.job_id).keys().isdisjoint({"progress", "note"})


def test_an_ended_job_keeps_its_last_progress(lanes: Driver) -> None:
    lease, lost = lanes.started("ann", 2, max_attempts=1)
    for one in (lease, lost):
        lanes.run(Progress(one, 12.5, "page 1 of 8"))
    assert lanes.finish(lease) == [True]
    assert [one.state for one in lanes.process_dies(lost, max_losses=1)] == [JobState.FAILED]
    for one in (lease, lost):
        job = lanes.run(InspectJob("ann", one.job_id))
        assert job is not None
        assert job.state.ended
        assert (job.progress, job.note) == (12.5, "page 1 of 8")
