"""Which jobs of a batch the main thread starts, and which go back. No servers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from laneway.handlers import Permanent, Spec
from laneway.lanes.model import JobState, Lease
from laneway.worker.pool.condition import Condition
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.jobs import Batch, ChosenJob
from laneway.worker.pool.plain import PlainRunner
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.temporary_files import TemporaryFiles
from laneway.worker.start_tokens import RunningMark, StartTokens

LEASE_SECONDS = 30.0


def obey(payload: Any) -> None:
    """Do what the payload says."""
    if payload == "fail":
        raise RuntimeError
    if payload == "give up":
        raise Permanent("for good")


SPEC = Spec("obey", obey, False, False, 3, 0.2, 60.0, None, None)


def job(number: int, user: str, payload: bytes = b"null", *, follows: bool = False) -> ChosenJob:
    lease = Lease("7", user, f"{number:025}", "obey", payload, 1, 3, suspect=False, follows=follows)
    return ChosenJob(lease, SPEC, None)


class Bench:
    """A runner and the batch that it is given."""

    def __init__(self, folder: Path) -> None:
        self.tokens = StartTokens(folder / "tokens", create=True)
        self.mark = RunningMark(folder / "mark")
        self.condition = Mock(spec=Condition, is_starved=False)
        self._runner = PlainRunner(
            self.tokens,
            self.mark,
            lambda seconds: int(seconds * 1e6),
            Mock(spec=ForkGuard),
            Mock(spec=TemporaryFiles),
            self.condition,
            RunLogs("w1", Mock(), int, Mock(), lambda _lease: False),
            lease_seconds=LEASE_SECONDS,
            max_result_bytes=1000,
        )

    def run(self, *jobs: ChosenJob, age_seconds: float = 0) -> tuple[list[int], list[int]]:
        """Return the numbers of the jobs that ran, and of those that go back."""
        batch = Batch(3, list(jobs), time.monotonic() - age_seconds)
        self.tokens.fill(batch.generation, len(jobs))
        self._runner.run(batch)
        assert batch.is_over
        assert self.tokens.left() == 0
        ran = [int(run.outcome.lease.job_id) for run in batch.ended]
        return ran, [int(lease.job_id) for lease in batch.unstarted]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    alarm = signal.getsignal(signal.SIGALRM)
    bench = Bench(tmp_path)
    yield bench
    signal.signal(signal.SIGALRM, alarm)
    bench.tokens.close()
    bench.mark.close()


def test_followers_run_in_order_behind_the_job_with_the_slot(bench: Bench) -> None:
    jobs = [job(0, "ann"), *(job(number, "ann", follows=True) for number in range(1, 5))]
    assert bench.run(*jobs) == ([0, 1, 2, 3, 4], [])


def test_at_a_follower_behind_a_failed_job_everything_goes_back(bench: Bench) -> None:
    """With one slot the retry of the first job comes before the second one. Bob's job must not make ann's wait for it here."""
    jobs = [job(0, "ann", b'"fail"'), job(1, "ann", follows=True), job(2, "bob"), job(3, "ann", follows=True)]
    assert bench.run(*jobs) == ([0], [1, 2, 3])


def test_a_failed_follower_keeps_the_slot_too(bench: Bench) -> None:
    jobs = [job(0, "ann"), job(1, "ann", b'"fail"', follows=True), job(2, "ann", follows=True)]
    assert bench.run(*jobs) == ([0, 1], [2])


def test_a_failed_job_holds_up_no_job_with_a_slot_of_its_own(bench: Bench) -> None:
    jobs = [job(0, "ann", b'"fail"'), job(1, "ann"), job(2, "ann"), job(3, "ann", follows=True)]
    assert bench.run(*jobs) == ([0, 1, 2], [3])


def test_a_failed_job_holds_up_no_follower_of_another_lane(bench: Bench) -> None:
    jobs = [job(0, "ann", b'"fail"'), job(1, "bob"), job(2, "bob", follows=True)]
    assert bench.run(*jobs) == ([0, 1, 2], [])


def test_a_job_that_failed_for_good_leaves_its_slot_to_the_next(bench: Bench) -> None:
    jobs = [job(0, "ann", b'"give up"'), job(1, "ann", follows=True)]
    assert bench.run(*jobs) == ([0, 1], [])


def test_nothing_starts_under_leases_that_may_have_run_out(bench: Bench) -> None:
    assert bench.run(job(0, "ann"), job(1, "bob"), age_seconds=LEASE_SECONDS + 1) == ([], [0, 1])


def test_nothing_starts_without_a_descriptor(bench: Bench) -> None:
    bench.condition.is_starved = True
    assert bench.run(job(0, "ann"), job(1, "bob")) == ([], [0, 1])


def test_a_batch_of_which_jobs_were_given_back_stops_at_the_first_of_them(bench: Bench) -> None:
    """A token that another process, or the event loop, has taken is gone; no job behind it starts either."""
    batch = Batch(3, [job(0, "ann"), job(1, "ann", follows=True)], time.monotonic())
    bench.tokens.fill(batch.generation, 1)
    bench._runner.run(batch)
    assert [run.outcome.state for run in batch.ended] == [JobState.SUCCEEDED]
    assert batch.unstarted == []


def test_a_handler_has_begun_once_it_is_called_and_not_before(bench: Bench) -> None:
    """Reading the payload takes a while. Until the handler begins, the next job of the lane must not start elsewhere."""
    seen: list[tuple[str, bool]] = []

    def look(moment: str) -> None:
        seen.append((moment, bench.mark.has_begun(3, 0)))

    takes = Mock(read=lambda _text: look("payload"))
    spec = replace(SPEC, takes=takes, function=lambda _payload: look("handler"))
    bench.run(ChosenJob(job(0, "ann").lease, spec, None))
    look("afterwards")
    assert seen == [("payload", False), ("handler", True), ("afterwards", True)]
