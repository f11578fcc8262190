"""Permits: a job of a limited type starts only with one. Jobs of other types cost nothing here.

Permits are asked for after the jobs to start were chosen and before any of them starts: a permit must not lie idle. Those that
get none have gone back to their lanes by the time the reply is here.
"""

from __future__ import annotations

from collections.abc import Iterable

from laneway.handlers import Registry
from laneway.lanes.commands import GRANTED, Asking, CallWaiters, Permit
from laneway.worker.pool.choose import Choice
from laneway.worker.pool.jobs import ChosenJob, EndedRun
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.type_limits import limit_of


class Permits:
    """One per process, for its event loop."""

    def __init__(self, registry: Registry, messenger: Messenger, reports: Reports) -> None:
        self._messenger, self._reports = messenger, reports
        self._limited = {name for name, spec in registry.types.items() if spec.limits}

    async def ask(self, choice: Choice) -> None:
        """Ask for the permits that the chosen jobs need, and take those out of the choice that get none.

        If Redis does not answer, all of them go back for a while: it may have given permits, which end with the leases.
        """
        jobs = choice.limited
        replies = await self._messenger.send([Permit([_asking(job) for job in jobs])])
        if not replies:
            choice.withdraw({job.lease.handle for job in jobs}, are_back=False)
            return
        refused = {job.lease.handle for job, reply in zip(jobs, replies[0], strict=True) if reply != GRANTED}
        self._reports.count("permit_refused", len(refused))
        if refused:
            choice.withdraw(refused)

    def calls(self, runs: Iterable[EndedRun]) -> list[CallWaiters]:
        """Return the command that lets others start where these runs have ended."""
        if not self._limited:
            return []
        types = {run.outcome.lease.type for run in runs} & self._limited
        return [CallWaiters(sorted(types))] if types else []


def _asking(job: ChosenJob) -> Asking:
    return Asking(job.lease, limit_of(job.spec))
