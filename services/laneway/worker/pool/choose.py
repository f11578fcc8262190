"""Chooses which of the claimed jobs start in this process now, and which go back to their lanes.

Order within a lane is kept: once a job of a lane goes back, so do all jobs after it, and no task overtakes a plain job of its
lane that has not started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from laneway.handlers import Context, Registry, Spec
from laneway.lanes.model import Lease
from laneway.worker.pool.batch_sizer import MAX_WAIT_SECONDS
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import SuspectIsolation
from laneway.worker.pool.jobs import ChosenJob


@dataclass(slots=True)
class Choice:
    """What becomes of the jobs of one claim."""

    plain: list[ChosenJob] = field(default_factory=list)
    """Run one after another in the main thread."""
    tasks: list[ChosenJob] = field(default_factory=list)
    """Run at the same time in the event loop."""
    back: list[Lease] = field(default_factory=list)
    """Do not run here."""
    planned_seconds: float = 0
    """How long the plain ones will take together."""
    has_suspect: bool = False
    """The one job that starts is a suspect."""
    _returned_lanes: set[str] = field(default_factory=set)
    _plain_lanes: set[str] = field(default_factory=set)

    @property
    def charge_first(self) -> bool:
        """Whether Redis must charge the only plain job before it starts: a suspect, or a job in its last attempt."""
        return len(self.plain) == 1 and _is_charged_first(self.plain[0].lease)

    def takes(self, lease: Lease) -> bool:
        """Whether nothing chosen so far keeps this job from starting."""
        return not self.has_suspect and lease.user not in self._returned_lanes

    def takes_task(self, lease: Lease) -> bool:
        """Whether a task would overtake no plain job of its lane."""
        return lease.user not in self._plain_lanes

    def takes_plain(self, lease: Lease, seconds: float) -> bool:
        """Whether a plain job is the first, or waits for at most MAX_WAIT_SECONDS behind others that start with it."""
        if not self.plain:
            return True
        if self.charge_first or _is_charged_first(lease):
            return False
        return self.planned_seconds + seconds <= MAX_WAIT_SECONDS

    def keep(self, job: ChosenJob, seconds: float) -> None:
        """Start this job here."""
        self.has_suspect = self.has_suspect or job.lease.suspect
        if job.spec.is_async:
            self.tasks.append(job)
        else:
            self.plain.append(job)
            self._plain_lanes.add(job.lease.user)
            self.planned_seconds += seconds

    def give_back(self, lease: Lease) -> None:
        """Return this job to its lane, and all that follow it there."""
        self.back.append(lease)
        self._returned_lanes.add(lease.user)


class Chooser:
    """One a process. `context` makes what a handler is handed that asks for a context."""

    def __init__(
        self,
        registry: Registry,
        durations: DurationEstimates,
        isolation: SuspectIsolation,
        context: Callable[[Lease], Context],
        *,
        async_jobs: int,
    ) -> None:
        self._registry, self._durations, self._isolation = registry, durations, isolation
        self._context, self._async_jobs = context, async_jobs

    def choose(self, leases: Iterable[Lease], running_tasks: int) -> Choice:
        """Decide for each job of a claim, in order. No plain job may be running."""
        choice = Choice()
        self._isolation.refresh(running_tasks)
        for lease in leases:
            spec = self._registry.get(lease.type) or _without_handler(lease)
            if self._starts(lease, spec, choice, running_tasks):
                context = self._context(lease) if spec.wants_context else None
                choice.keep(ChosenJob(lease, spec, context), self._durations.of(lease.type))
            else:
                choice.give_back(lease)
        return choice

    def _starts(self, lease: Lease, spec: Spec, choice: Choice, running_tasks: int) -> bool:
        if not choice.takes(lease):
            return False
        tasks = running_tasks + len(choice.tasks)
        if lease.suspect and not self._isolation.admits_suspect(tasks + len(choice.plain)):
            return False
        if spec.is_async:
            return tasks < self._async_jobs and choice.takes_task(lease)
        return choice.takes_plain(lease, self._durations.of(lease.type))


def _is_charged_first(lease: Lease) -> bool:
    return lease.suspect or lease.attempt >= lease.max_attempts


def _without_handler(lease: Lease) -> Spec:
    """Make a handler for a type that this worker does not know: the attempt fails, and another worker may know the type."""

    def fail(_payload: object) -> None:
        raise LookupError(f"this worker has no handler for the type {lease.type!r}")

    return Spec(lease.type, fail, False, False, lease.max_attempts, 1, 300, None, None)
