"""Chooses which of the claimed jobs start in this process now, and which go back to their lanes.

Order within a lane is kept: once a job of a lane goes back, so do all jobs after it, and no task overtakes a plain job of its
lane that has not started. A follower has no slot of its own, so it starts only behind a plain job of its lane.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from laneway.handlers import Context, Registry, Room, Spec
from laneway.lanes.model import Lease
from laneway.worker.pool.batch_sizer import MAX_WAIT_SECONDS
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import Admission, SuspectIsolation
from laneway.worker.pool.jobs import ChosenJob


@dataclass(slots=True)
class Choice:
    """What becomes of the jobs of one claim."""

    plain: list[ChosenJob] = field(default_factory=list)
    """Run one after another in the main thread."""
    tasks: list[ChosenJob] = field(default_factory=list)
    """Run at the same time in the event loop."""
    back: list[Lease] = field(default_factory=list)
    """Return to their lanes at once."""
    later: list[Lease] = field(default_factory=list)
    """These return to their lanes and wait there for a while: suspects, and jobs that could not ask for a permit."""
    crowded: dict[str, tuple[Room, list[Lease]]] = field(default_factory=dict)
    """By type: jobs for which this process has no room. They wait in their lanes until it may have some."""
    unknown: list[Lease] = field(default_factory=list)
    """Jobs whose type has no handler here. They return to their lanes and wait for another worker."""
    planned_seconds: float = 0
    """How long the plain ones will take together."""
    limited: list[ChosenJob] = field(default_factory=list)
    """Those of the jobs to start that need a permit, in order."""
    withdrawn: int = 0
    """How many jobs were taken out again, because they or a job before them got no permit."""
    has_suspect: bool = False
    """The one job that starts is a suspect."""
    _returned_lanes: set[str] = field(default_factory=set)
    _plain_lanes: set[str] = field(default_factory=set)

    @property
    def kept(self) -> int:
        """How many jobs start here."""
        return len(self.plain) + len(self.tasks)

    def takes(self, lease: Lease) -> bool:
        """Whether nothing chosen so far keeps this job from starting."""
        return not self.has_suspect and lease.user not in self._returned_lanes

    def takes_task(self, lease: Lease) -> bool:
        """Whether a task would overtake no plain job of its lane."""
        return lease.user not in self._plain_lanes

    def has_slot(self, lease: Lease) -> bool:
        """Whether the job has a slot, be it that of a plain job before it."""
        return not lease.follows or lease.user in self._plain_lanes

    def takes_plain(self, seconds: float) -> bool:
        """Whether a plain job is the first, or waits for at most MAX_WAIT_SECONDS behind others that start with it."""
        return not self.plain or self.planned_seconds + seconds <= MAX_WAIT_SECONDS

    def keep(self, job: ChosenJob, seconds: float) -> None:
        """Start this job here."""
        self.has_suspect = self.has_suspect or job.lease.suspect
        if job.spec.is_async:
            self.tasks.append(job)
        else:
            self.plain.append(job)
            self._plain_lanes.add(job.lease.user)
            self.planned_seconds += seconds
        if job.spec.limits is not None:
            self.limited.append(job)

    def withdraw(self, handles: Collection[str], *, are_back: bool = True) -> None:
        """Take out jobs by their leases, and give back what follows them in their lanes. Unless they `are_back` in their lanes
        already, they return later."""
        lanes: set[str] = set()
        for jobs in (self.tasks, self.plain):  # the tasks of a lane come before its plain jobs
            for job in list(jobs):
                if (is_out := job.lease.handle in handles) or job.lease.user in lanes:
                    lanes.add(job.lease.user)
                    jobs.remove(job)
                    self.withdrawn += 1
                    if not is_out:
                        self.back.append(job.lease)
                    elif not are_back:
                        self.later.append(job.lease)

    def give_back(self, lease: Lease, place: list[Lease]) -> None:
        """Return this job to its lane by way of `place`, a list of this choice, and at once all that follow it there."""
        place.append(lease)
        self._returned_lanes.add(lease.user)


class Chooser:
    """One per process. `context` makes what a handler is handed that asks for a context."""

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

    def choose(self, leases: Iterable[Lease], held_tasks: int) -> Choice:
        """Decide for each job of a claim, in order. `held_tasks`: tasks that run here or whose end is not recorded."""
        choice = Choice()
        self._isolation.refresh(held_tasks)
        for lease in leases:
            spec = self._registry.get(lease.type)
            if not choice.takes(lease):
                choice.give_back(lease, choice.back)
            elif spec is None:
                choice.give_back(lease, choice.unknown)
            elif (place := self._obstacle(lease, spec, choice, held_tasks + len(choice.tasks))) is not None:
                choice.give_back(lease, place)
            else:
                context = self._context(lease) if spec.wants_context else None
                choice.keep(ChosenJob(lease, spec, context), self._durations.of(lease.type))
        return choice

    def _obstacle(self, lease: Lease, spec: Spec, choice: Choice, tasks: int) -> list[Lease] | None:
        """Return the list that a job which cannot start goes to; None if it starts."""
        if lease.suspect:
            match self._isolation.admit(tasks + len(choice.plain)):
                case Admission.NOW:
                    return None
                case Admission.SOON:
                    return choice.back
                case Admission.LATER:
                    return choice.later
        if spec.room is not None and spec.room.free() <= sum(job.spec is spec for job in choice.tasks):
            return choice.crowded.setdefault(spec.type, (spec.room, []))[1]
        if spec.is_async:
            starts = tasks < self._async_jobs and not lease.follows and choice.takes_task(lease)
        else:
            starts = choice.has_slot(lease) and choice.takes_plain(self._durations.of(lease.type))
        return None if starts else choice.back
