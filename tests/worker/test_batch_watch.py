"""What Redis learns of a batch that takes longer than planned, and in which order. No servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any
from unittest.mock import Mock

import pytest

from laneway.lanes.model import JobState, Lease, Outcome
from laneway.worker.pool import batch_watch
from laneway.worker.pool.batch_watch import BatchWatch
from laneway.worker.pool.jobs import Batch, ChosenJob, EndedRun
from laneway.worker.pool.lease_keeper_link import LeaseKeeperLink
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.start_notices import StartNotices

JOBS = [
    ChosenJob(
        Lease("7", "ann", f"{n:025}", "light", b"null", 1, 3, False, n > 0), Mock(hard_seconds=None), None
    )
    for n in range(4)
]


class Watched:
    """A batch whose main thread the test plays."""

    def __init__(self) -> None:
        self.running = Mock(spec=RunningJobs, batch=None)
        self.sent: list[str] = []
        """Jobs whose start was sent."""
        self.woken, self.started = asyncio.Event(), asyncio.Event()
        messenger = Mock(spec=Messenger)
        messenger.spawn = lambda work: asyncio.get_running_loop().create_task(work)
        notices = Mock(spec=StartNotices)
        notices.send = self._send
        link = Mock(spec=LeaseKeeperLink)
        link.start_tokens = Mock(take_all=list)
        link.running_mark = Mock(has_begun=lambda _generation, index: self.has_begun(index))
        self.begun = 0
        """The index of the newest job whose handler has begun."""
        self.looks, self.begins_at = 0, 0
        """How often it was looked whether a handler has begun, and at which look it does."""
        watch = BatchWatch(
            self.running, notices, messenger, Mock(spec=Reports), link, lambda batch: None, self.woken.set
        )
        watch.start(JOBS, time.monotonic(), notify_start=False)

    def has_begun(self, index: int) -> bool:
        self.looks += 1
        if self.looks == self.begins_at:
            self.begun = self.batch.running
        return index <= self.begun

    async def _send(self, leases: list[Lease], started: float) -> None:
        self.sent += [lease.job_id for lease in leases]
        self.started.set()

    @property
    def batch(self) -> Batch:
        batch = self.running.batch
        assert isinstance(batch, Batch)
        return batch

    def end(self, index: int) -> None:
        """End a job and start the next."""
        outcome = Outcome(JOBS[index].lease, JobState.SUCCEEDED, 1, b"1")
        self.batch.ended.append(EndedRun(outcome, 0.001))
        self.batch.running = self.begun = index + 1


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test, 10)

    asyncio.run(limited())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_watch, "SLOW_SECONDS", 0.002)


def test_the_start_of_the_present_job_is_sent_once_the_ends_before_it_are_recorded() -> None:
    """Otherwise a lost worker could bring the present job back ahead of those that ended before it."""

    async def test() -> None:
        watched = Watched()
        watched.end(0)
        watched.end(1)
        await watched.woken.wait()
        assert watched.sent == []
        watched.batch.ended.clear()
        watched.batch.is_recording = True  # collected, and on its way
        watched.woken.clear()
        await watched.woken.wait()
        assert watched.sent == []
        watched.batch.is_recording = False
        await watched.started.wait()
        assert watched.sent == [JOBS[2].lease.job_id]

    run(test())


def test_a_first_job_that_is_slow_is_sent_at_once() -> None:
    async def test() -> None:
        watched = Watched()
        watched.batch.running = 0
        await watched.started.wait()
        assert watched.sent == [JOBS[0].lease.job_id]
        assert not watched.woken.is_set()

    run(test())


def test_no_start_is_sent_before_the_handler_begins() -> None:
    """The main thread may stand still for long before it calls the handler, and the next job of the lane would overtake it."""

    async def test() -> None:
        watched = Watched()
        watched.end(0)
        watched.begun = 0
        watched.batch.ended.clear()
        watched.begins_at = 5
        await watched.started.wait()
        assert watched.looks == 5
        assert watched.sent == [JOBS[1].lease.job_id]

    run(test())
