"""Finishes jobs: collects ended runs, keeps them until Redis has recorded them, then gives up their leases and reports them."""

from __future__ import annotations

from collections.abc import Sequence

from laneway.lanes.commands import Release
from laneway.worker.pool.jobs import EndedRun
from laneway.worker.pool.lease_keeper_link import LeaseKeeperLink
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.running import RunningJobs
from laneway.worker.protocol import BatchRecorded, LeasesEnded


class Finisher:
    """One per process, for its event loop."""

    def __init__(
        self, running: RunningJobs, messenger: Messenger, link: LeaseKeeperLink, reports: Reports
    ) -> None:
        self._running, self._messenger, self._link, self._reports = running, messenger, link, reports
        self._unrecorded: list[EndedRun] = []
        self._leases_to_end: list[str] = []
        """Leases of unrecorded runs that `BatchRecorded` does not cover."""
        self._batch_ended = False

    @property
    def is_idle(self) -> bool:
        """Whether all runs that have ended are recorded."""
        return not self._unrecorded and not self._running.tasks.uncollected

    def collect(self) -> Sequence[EndedRun]:
        """Return the runs that have ended and are not recorded yet. Send them, and call `recorded` with the replies."""
        singles, of_batch = self._running.tasks.take_ended(), []
        batch = self._running.batch
        if batch is not None:
            is_over = batch.is_over  # read first: the main thread adds nothing after it has set it
            while batch.ended:
                of_batch.append(batch.ended.popleft())
            if is_over:
                self._running.batch, self._batch_ended = None, True
                if batch.unstarted:
                    self._messenger.send_soon([Release(batch.unstarted)])
            else:
                batch.is_recording = batch.is_recording or bool(of_batch)
                singles, of_batch = singles + of_batch, []
        self._leases_to_end += [run.outcome.lease.handle for run in singles]
        self._unrecorded += singles + of_batch
        if not self._unrecorded:
            self._end_batch()
        return self._unrecorded

    def recorded(self, replies: Sequence[bool]) -> None:
        """Give up the leases of the collected runs and report them: Redis has recorded or refused each of them."""
        runs, self._unrecorded = self._unrecorded, []
        if self._running.batch is not None:
            self._running.batch.is_recording = False
        self._end_batch()
        if self._leases_to_end:
            self._link.send(LeasesEnded(self._leases_to_end))
            self._leases_to_end = []
        self._reports.ended(runs, replies)

    def _end_batch(self) -> None:
        """Give up the leases of a batch that has ended, before the next one is planned. All its jobs may have gone back unstarted."""
        if self._batch_ended:
            self._link.send(BatchRecorded())
            self._batch_ended = False
