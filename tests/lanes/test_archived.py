"""archived: Redis forgets the ended jobs that MongoDB has, and no others."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import Archived, Outbox
from tests.lanes.driver import Driver


@pytest.fixture
def ended(lanes: Driver) -> list[str]:
    lanes.finish(*lanes.claimed("ann", 5))
    return lanes.done()


def stored(lanes: Driver) -> set[str]:
    return {key for key in lanes.all_keys() if key.startswith(("spec:", "ended:", "job:"))}


def test_stored_jobs_are_forgotten(lanes: Driver, ended: list[str]) -> None:
    assert lanes.run(Archived(ended[:2])) == 2
    assert lanes.done() == ended[2:]
    assert stored(lanes) == {f"{kind}:{job_id}" for job_id in ended[2:] for kind in ("spec", "ended")}
    assert lanes.run(Archived(ended[2:])) == 3
    assert lanes.all_keys() == {"clock", "wakeups"}


def test_repeating_it_forgets_nothing_more(lanes: Driver, ended: list[str]) -> None:
    lanes.run(Archived(ended[:2]))
    assert lanes.run(Archived(ended[:2])) == 0
    assert lanes.done() == ended[2:]


@pytest.mark.parametrize("order", [(2, 4), (4, 2)], ids=str)
def test_two_archivers_that_read_different_pieces(
    lanes: Driver, ended: list[str], order: tuple[int, int]
) -> None:
    pieces = [ended[:count] for count in order]  # both read before either stored anything
    for piece in pieces:
        lanes.run(Archived(piece))
    assert lanes.done() == ended[4:]
    assert [job.job_id for job in lanes.run(Outbox(10))] == ended[4:]


def test_jobs_stored_out_of_order_hide_no_other_job(lanes: Driver, ended: list[str]) -> None:
    lanes.run(Archived(ended[1:3]))
    assert [job.job_id for job in lanes.run(Outbox(10))] == [ended[0], *ended[3:]]
    for _ in range(10):  # an archiver with small batches
        jobs = lanes.run(Outbox(1))
        if not jobs:
            break
        lanes.run(Archived([job.job_id for job in jobs]))
    assert lanes.all_keys() == {"clock", "wakeups"}


def test_without_ids_nothing_is_forgotten(lanes: Driver, ended: list[str]) -> None:
    assert lanes.run(Archived([])) == 0
    assert lanes.done() == ended
