"""What the lease keeper knows of the jobs that a process holds: of its batch, and those that it is about to give back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from laneway.lanes.model import Lease
from laneway.worker.lease_keeper.watched_process import WatchedProcess
from laneway.worker.protocol import BatchPlanned, HeldJob
from laneway.worker.start_tokens import RunningMark, StartTokens

LEASES = [Lease(str(number), "ann", f"{number:025}", "work", b"", 1, 3, suspect=False) for number in (1, 2)]
JOBS = [HeldJob.of(lease, None) for lease in LEASES]
NO_WRITER = cast("Any", None)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[WatchedProcess]:
    tokens, mark = StartTokens(tmp_path / "tokens", create=True), RunningMark(tmp_path / "mark")
    process = WatchedProcess(1, NO_WRITER, tokens, mark)
    process.plan_batch(BatchPlanned.of(0, [HeldJob.of(replace(LEASES[0], token="batch"), None)]))
    process.plan_return(JOBS)
    yield process
    process.close()


def test_a_return_that_lasts_is_taken_over_once(process: WatchedProcess) -> None:
    assert process.take_overdue_return(60) == []
    assert process.take_overdue_return(-1) == LEASES
    assert process.take_overdue_return(-1) == []


def test_a_return_that_has_ended_is_nobodys_concern(process: WatchedProcess) -> None:
    assert process.in_flight == 3
    process.end_return()
    assert process.in_flight == 1
    assert process.take_overdue_return(-1) == []


def test_a_dead_processs_return_is_among_what_had_not_started(process: WatchedProcess) -> None:
    process.start_tokens.fill(0, 1)
    running, begun, waiting = process.split_at_death()
    assert (running, begun) == ([], [])
    assert [held.lease for held in waiting][-2:] == LEASES
    assert len(waiting) == 3


@pytest.mark.parametrize("lasts", [True, False])
def test_the_jobs_of_a_batch_are_in_flight_until_it_ends_whether_or_not_it_lasts(
    process: WatchedProcess, lasts: bool
) -> None:
    process.end_return()
    assert (process.in_flight, process.held) == (1, {})
    if lasts:
        process.expand()
        assert (process.in_flight, len(process.held)) == (1, 1)
    process.end_batch()
    assert (process.in_flight, process.held) == (0, {})
    process.expand()
    assert process.held == {}, "nobody holds the jobs of a batch that is over"


def test_the_start_of_the_present_job_is_sent_only_once_its_handler_has_begun(
    process: WatchedProcess,
) -> None:
    first, second = HeldJob.of(LEASES[0], None), HeldJob.of(LEASES[1], None)
    process.plan_batch(BatchPlanned.of(7, [first, second]))
    process.expand()
    for job in (first, second):  # both have been taken
        process.held[job.handle].started = 1.0
    process.running_mark.set(7, 0)
    process.running_mark.begin()
    process.running_mark.clear()
    process.running_mark.set(7, 1)
    assert [held.lease.job_id for held in process.take_unsent_starts()] == [first.job_id]
    process.running_mark.begin()
    assert [held.lease.job_id for held in process.take_unsent_starts()] == [second.job_id]
    assert process.take_unsent_starts() == []


def test_a_process_that_is_halted_while_it_marks_a_job_does_not_say_that_one_has_begun(
    tmp_path: Path,
) -> None:
    """The last batch ended with a higher index."""
    mark = RunningMark(tmp_path / "mark")
    said = []

    class Memory(bytearray):
        def __setitem__(self, place: Any, value: Any) -> None:
            super().__setitem__(place, value)
            said.append([mark.has_begun(2, index) for index in range(6)])

    mark._memory.close()
    mark._memory = cast("Any", Memory(3))
    mark.set(1, 5)
    mark.begin()
    mark.clear()
    said.clear()
    mark.set(2, 0)
    assert len(said) == 3
    assert not any(any(begun[1:]) for begun in said)
    assert said[-1] == [False] * 6
