"""Starts chosen jobs: the lease keeper learns of them first, then they go to the event loop or to the main thread."""

from __future__ import annotations

import time
from typing import Any

from laneway.lanes.commands import Command, Release
from laneway.worker.pool.batch_sizer import MAX_WAIT_SECONDS
from laneway.worker.pool.batch_watch import BatchWatch
from laneway.worker.pool.choose import Choice
from laneway.worker.pool.crowds import Crowds
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import LATER_SECONDS
from laneway.worker.pool.jobs import ChosenJob
from laneway.worker.pool.lease_keeper_link import LeaseKeeperLink
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.start_notices import StartNotices
from laneway.worker.pool.tasks import TaskRunner
from laneway.worker.pool.unknown_types import UNKNOWN_TYPE_SECONDS, UnknownTypes
from laneway.worker.protocol import HeldJob, ReturnEnded, ReturnPlanned, TasksPlanned


class Starter:
    """One per process."""

    def __init__(
        self,
        tasks: TaskRunner,
        batches: BatchWatch,
        notices: StartNotices,
        messenger: Messenger,
        link: LeaseKeeperLink,
        reports: Reports,
        durations: DurationEstimates,
    ) -> None:
        self._tasks, self._batches, self._notices = tasks, batches, notices
        self._messenger, self._link, self._reports, self._durations = messenger, link, reports, durations
        self._unknown_types, self._crowds = UnknownTypes(reports), Crowds(durations)

    async def start(self, choice: Choice, claimed_at: float) -> None:
        """Start what was chosen and return the rest. The leases run at least from the monotonic time `claimed_at`."""
        crowded = [lease for _, leases in choice.crowded.values() for lease in leases]
        if not (returning := choice.back + choice.later + choice.unknown + crowded):
            await self._start(choice, [], claimed_at)
            return
        self._link.send(ReturnPlanned([HeldJob.of(lease, None) for lease in returning]))
        try:
            await self._start(choice, self._releases(choice), claimed_at)
        finally:
            self._link.send(ReturnEnded())

    async def _start(self, choice: Choice, releases: list[Command[Any]], claimed_at: float) -> None:
        if choice.has_suspect and releases:  # nothing may be claimed here while a suspect runs
            if not await self._messenger.send(releases):
                self._messenger.send_soon([Release([job.lease for job in choice.plain + choice.tasks])])
                return
            releases = []
        if choice.tasks and await self._start_tasks(choice.tasks, releases):
            releases = []
        if choice.plain:
            is_slow = self._durations.of(choice.plain[0].spec.type) > MAX_WAIT_SECONDS
            self._batches.start(choice.plain, claimed_at, notify_start=is_slow or choice.has_suspect)
        if releases:
            await self._messenger.send(releases)

    def _releases(self, choice: Choice) -> list[Command[Any]]:
        releases = [Release(choice.back), Release(choice.later, LATER_SECONDS)]
        for type_, (room, leases) in choice.crowded.items():
            releases.append(Release(leases, self._crowds.return_seconds(type_, room, len(leases))))
        self._reports.count("job_returned", sum(len(release.leases) for release in releases))
        if choice.unknown:
            self._unknown_types.report(choice.unknown)
            releases.append(Release(choice.unknown, UNKNOWN_TYPE_SECONDS))
        return [release for release in releases if release.leases]

    async def _start_tasks(self, jobs: list[ChosenJob], commands: list[Command[Any]]) -> bool:
        """Whether `commands` were sent, with the notice of what still runs after its first step."""
        self._link.send(TasksPlanned([HeldJob.of(job.lease, job.spec) for job in jobs]))
        running = await self._tasks.start(jobs)
        if running:
            await self._notices.send(running, time.monotonic(), *commands)
        return bool(running)
