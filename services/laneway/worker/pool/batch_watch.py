"""Looks after the batch of the main thread from the event loop, so that no job and no lane waits behind a slow handler.

A claimed job blocks its lane for other processes until Redis knows that it has started or ended. Fast jobs end so soon that no
start is sent. The start of a slow job is sent as soon as it has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from laneway.lanes.commands import Release
from laneway.worker.pool.jobs import Batch, ChosenJob
from laneway.worker.pool.lease_keeper_link import LeaseKeeperLink
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.start_notices import StartNotices
from laneway.worker.protocol import BatchPlanned, HeldJob, LeasesEnded

SLOW_SECONDS = 0.05
"""A batch that has run for this long must hold up nobody: what has not started goes back, the lane of what runs goes on."""
START_POLL_SECONDS = 0.001
"""How often to look whether a job of a slow type has started."""


class BatchWatch:
    """`hand_over` gives a batch to the main thread; `wake` makes the turn collect what has ended."""

    def __init__(
        self,
        running: RunningJobs,
        notices: StartNotices,
        messenger: Messenger,
        reports: Reports,
        link: LeaseKeeperLink,
        hand_over: Callable[[Batch], None],
        wake: Callable[[], None],
    ) -> None:
        self._running, self._notices, self._messenger, self._reports = running, notices, messenger, reports
        self._link, self._hand_over, self._wake = link, hand_over, wake
        self._generation = 0

    def start(self, jobs: list[ChosenJob], claimed_at: float, *, notify_start: bool) -> None:
        """Give plain jobs to the main thread. `notify_start`: send the start of the first one as soon as it has started."""
        self._generation = (self._generation + 1) % 256
        batch = self._running.batch = Batch(self._generation, jobs, claimed_at)
        planned = [HeldJob.of(job.lease, job.spec) for job in jobs]
        self._link.send(BatchPlanned.of(batch.generation, planned))
        self._link.start_tokens.fill(batch.generation, len(jobs))
        self._hand_over(batch)
        loop = asyncio.get_running_loop()
        if notify_start:
            loop.call_later(START_POLL_SECONDS, self._notice_first_start, batch)
        loop.call_later(SLOW_SECONDS, self._unblock, batch)

    def give_back(self) -> None:
        """Return the jobs of the present batch that have not started to their lanes."""
        if (batch := self._running.batch) is None:
            return
        leases = [batch.jobs[index].lease for _, index in self._link.start_tokens.take_all()]
        if leases:
            self._reports.count("job_returned", len(leases))
            self._link.send(LeasesEnded([lease.handle for lease in leases]))
            self._messenger.send_soon([Release(leases)])

    def _notice_first_start(self, batch: Batch) -> None:
        """Polled from here: a call out of the main thread would release the GIL just before the handler begins, and then the
        next job of the lane could begin in another process before it. See `_has_begun`."""
        if batch is not self._running.batch or batch.is_over or batch.start_sent >= 0:
            return
        if self._has_begun(batch, running := batch.running):
            self._send_start(batch, running)
        else:
            asyncio.get_running_loop().call_later(START_POLL_SECONDS, self._notice_first_start, batch)

    def _unblock(self, batch: Batch) -> None:
        """Called as long as the batch runs, which is longer than planned.

        The ends before the present job are recorded first. If its start were, and then the worker was lost, the present job
        would come back as one that has run, and overtake those that ended before it.
        """
        if batch is not self._running.batch or batch.is_over:
            return
        self.give_back()
        running = batch.running  # read first: by then `ended` has the ends before it
        if batch.ended or batch.is_recording:
            self._wake()
            next_seconds = START_POLL_SECONDS
        elif self._has_begun(batch, running):
            self._send_start(batch, running)
            next_seconds = SLOW_SECONDS
        else:
            next_seconds = START_POLL_SECONDS
        asyncio.get_running_loop().call_later(next_seconds, self._unblock, batch)

    def _has_begun(self, batch: Batch, running: int) -> bool:
        """Whether the handler of the job at the index `running` has begun.

        On a busy machine the main thread may stand still for long between taking a job and calling its handler. If the start
        were sent by then, the next job of the lane could begin first, in another process.
        """
        return running >= 0 and self._link.running_mark.has_begun(batch.generation, running)

    def _send_start(self, batch: Batch, running: int) -> None:
        """Send the start of the job that the main thread runs, once. `running`: its index."""
        if 0 <= running != batch.start_sent:
            batch.start_sent = running
            lease = batch.jobs[running].lease
            self._messenger.spawn(self._notices.send([lease], batch.running_since))
