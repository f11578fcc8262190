"""inspect_jobs: reads a user's live jobs, newest first."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import InspectJobs, Outbox
from laneway.lanes.model import JobState, seq_of
from tests.lanes.driver import FOR_EVER, Driver


@pytest.fixture
def ids(lanes: Driver) -> list[str]:
    """Seven jobs: ended, claimed, started, delayed, due, waiting, waiting, with jobs of another user between them."""
    lanes.enqueue("bob")
    ids = lanes.enqueue("ann", 5)
    lanes.enqueue("bob")
    by_id = {lease.job_id: lease for lease in lanes.claim()}
    lanes.finish(by_id[ids[0]])
    lanes.start(by_id[ids[2]])
    lanes.finish(by_id[ids[3]], state=JobState.RETRYING, delay=100)
    lanes.finish(by_id[ids[4]], state=JobState.RETRYING)
    ids += lanes.enqueue("ann", 2)
    assert lanes.where("ann", *ids) == [None, "claimed", "started", "started", "due", "waiting", "waiting"]
    lanes.finish(*(lease for lease in by_id.values() if lease.user == "bob"))
    return ids


def listed(lanes: Driver, before_us: int, limit: int) -> list[str]:
    return [job.job_id for job in lanes.run(InspectJobs("ann", before_us, limit))]


@pytest.mark.parametrize("before_us", [FOR_EVER, 2**52, 2**53 - 1, 10**18], ids=str)
def test_jobs_of_all_bands_come_once_newest_first(lanes: Driver, ids: list[str], before_us: int) -> None:
    assert listed(lanes, before_us, 50) == ids[::-1]


def test_pages_follow_one_another(lanes: Driver, ids: list[str]) -> None:
    pages: list[list[str]] = []
    before_us = FOR_EVER
    while page := listed(lanes, before_us, 2):
        pages.append(page)
        before_us = seq_of(page[-1])
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    assert [len(page) for page in pages] == [2, 2, 2, 1]


def test_pages_of_the_oldest_first(lanes: Driver, ids: list[str]) -> None:
    found: list[str] = []
    after_us = 0
    while page := lanes.run(InspectJobs("ann", after_us, 2, oldest_first=True)):
        found += [job.job_id for job in page]
        after_us = seq_of(found[-1])
    assert found == ids
    for after_us in (FOR_EVER, 2**52, 10**18):
        assert lanes.run(InspectJobs("ann", after_us, 50, oldest_first=True)) == []


def test_states_are_returned(lanes: Driver, ids: list[str]) -> None:
    states = [str(job.state) for job in lanes.run(InspectJobs("ann", FOR_EVER, 50))]
    assert states[::-1] == ["succeeded", "queued", "running", "retrying", "retrying", "queued", "queued"]


def test_a_user_without_jobs_has_none(lanes: Driver, ids: list[str]) -> None:
    assert lanes.run(InspectJobs("eve", FOR_EVER, 50)) == []


def test_ended_jobs_are_found_behind_many_of_others(lanes: Driver) -> None:
    (mine,) = lanes.claimed("ann")
    lanes.finish(mine)
    lanes.enqueue("bob", 900)
    while leases := lanes.claim():
        lanes.finish(*leases)
    assert listed(lanes, FOR_EVER, 5) == [mine.job_id]
    assert len(lanes.run(Outbox(2000))) == 901
