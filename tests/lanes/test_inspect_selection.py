"""inspect_selection: finds jobs that have not ended and match a filter."""

from __future__ import annotations

from typing import Any

import pytest

from laneway.lanes.commands import Enqueue, InspectSelection
from laneway.lanes.model import JobState, seq_of
from tests.lanes.driver import FOR_EVER, Driver, new_job

LIVE = [JobState.QUEUED, JobState.RUNNING, JobState.RETRYING]


def select(
    lanes: Driver, where: Any = "lane", user: str = "ann", **changes: Any
) -> list[tuple[str, str, str]]:
    """All pieces together."""
    found: list[tuple[str, str, str]] = []
    before = "+inf"
    options: dict[str, Any] = {
        "until_us": FOR_EVER,
        "from_us": 0,
        "before_us": FOR_EVER,
        "states": LIVE,
    } | changes
    while True:
        piece = lanes.run(InspectSelection(where, user, before=before, **options))
        found += [(job.user, job.job_id, str(job.state)) for job in piece.jobs]
        if not (before := piece.next):
            return found


@pytest.fixture
def ids(lanes: Driver) -> list[str]:
    """Six jobs: ended, claimed, started, waiting for a retry, waiting, waiting; with jobs of another user beside them."""
    lanes.enqueue("bob")
    ids = lanes.enqueue("ann", 4)
    by_id = {lease.job_id: lease for lease in lanes.claim()}
    lanes.finish(by_id[ids[0]])
    lanes.start(by_id[ids[2]])
    lanes.finish(by_id[ids[3]], state=JobState.RETRYING, delay=100)
    return ids + lanes.enqueue("ann", 2)


@pytest.mark.parametrize("limit", [1, 2, 200])
def test_waiting_jobs_come_first_and_the_newest_before_the_others(
    lanes: Driver, ids: list[str], limit: int
) -> None:
    _ended, claimed, started, retrying, *waiting = ids
    assert select(lanes, limit=limit) == [
        ("ann", waiting[1], "queued"),
        ("ann", waiting[0], "queued"),
        ("ann", retrying, "retrying"),
        ("ann", started, "running"),
        ("ann", claimed, "queued"),
    ]


def test_jobs_in_other_states_are_left_out(lanes: Driver, ids: list[str]) -> None:
    assert [found[1] for found in select(lanes, states=[JobState.RUNNING])] == [ids[2]]
    assert [found[1] for found in select(lanes, states=[JobState.RETRYING])] == [ids[3]]
    assert len(select(lanes, states=[JobState.QUEUED])) == 3


def test_times_limit_it(lanes: Driver, ids: list[str]) -> None:
    seqs = [seq_of(job_id) for job_id in ids]
    assert len(select(lanes, until_us=seqs[4])) == 4
    assert len(select(lanes, from_us=seqs[4])) == 2
    assert len(select(lanes, before_us=seqs[4])) == 3


def test_a_type_limits_it(lanes: Driver) -> None:
    accepted = lanes.run(
        Enqueue("ann", [new_job(type_="a"), new_job(type_="b"), new_job(type_="a", delay=9)])
    )
    assert [found[1] for found in select(lanes, type="a")] == [accepted.job_ids[0]]
    assert [found[1] for found in select(lanes, "delayed", type="a")] == [accepted.job_ids[2]]
    assert select(lanes, type="c") == select(lanes, "delayed", type="b") == []


def test_a_type_finds_jobs_with_a_unique_key_too(lanes: Driver) -> None:
    jobs = [new_job(type_="a", unique_key="one"), new_job(type_="a", unique_key="two", delay=9)]
    waiting, delayed = lanes.run(Enqueue("ann", jobs)).job_ids
    assert [found[1] for found in select(lanes, type="a")] == [waiting]
    assert [found[1] for found in select(lanes, "delayed", type="a")] == [delayed]


@pytest.mark.parametrize("limit", [1, 200])
def test_delayed_jobs_of_a_user_or_of_all(lanes: Driver, limit: int) -> None:
    (ann,) = lanes.enqueue("ann", delay=100)
    before_us = lanes.now_us()
    (bob,) = lanes.enqueue("bob", delay=50)
    both = [("ann", ann, "queued"), ("bob", bob, "queued")]
    assert select(lanes, "delayed", limit=limit) == both[:1]
    assert select(lanes, "delayed", "", limit=limit) == both
    assert select(lanes, "delayed", "", until_us=before_us) == both[:1], "accepted later"
    assert select(lanes, "delayed", "", states=[JobState.RUNNING]) == []
    assert select(lanes) == select(lanes, user="bob") == []
