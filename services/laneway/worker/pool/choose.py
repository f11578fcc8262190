"""Which of the jobs that a claim gave may start in this process now, and which go back to their lanes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from laneway.handlers import Context, Registry, Spec
from laneway.lanes.model import Lease
from laneway.worker.pool.batch_sizer import PATIENCE_SECONDS, DurationEstimates

ALONE_SECONDS = 5
"""How long a process takes nothing new so that a suspect can run alone in it."""


class ChosenJob(NamedTuple):
    lease: Lease
    spec: Spec
    context: Context | None
    """None where the handler does not ask for it."""


@dataclass(slots=True)
class Choice:
    """`plain` run one after another in the main thread, `tasks` at the same time in the event loop, `back` not here."""

    plain: list[ChosenJob] = field(default_factory=list)
    tasks: list[ChosenJob] = field(default_factory=list)
    back: list[Lease] = field(default_factory=list)
    planned_seconds: float = 0
    """What the plain ones will take together."""

    @property
    def alone(self) -> bool:
        """A single plain job that Redis must charge first: it is suspect, or this is its last attempt. If it takes the
        process or the whole pod with it, it alone is charged."""
        lease = self.plain[0].lease if len(self.plain) == 1 else None
        return lease is not None and (lease.suspect or lease.attempt >= lease.max_attempts)


class Chooser:
    """Keeps what can start at once or very soon. Order within a lane is kept: once a job of it goes back, so do all after
    it, and no task overtakes a plain job of its lane that has not started."""

    def __init__(
        self,
        registry: Registry,
        durations: DurationEstimates,
        async_jobs: int,
        context: Callable[[Lease], Context],
    ) -> None:
        self._registry, self._durations, self._async_jobs, self._context = (
            registry,
            durations,
            async_jobs,
            context,
        )
        self._alone_until: float | None = None

    def wants_quiet(self, running_tasks: int) -> bool:
        """Whether nothing new may be taken, because a suspect waits for the others here to end, or has just begun alone."""
        return running_tasks > 0 and self.quiet_seconds() is not None

    def quiet_seconds(self) -> float | None:
        """For how long at most that is so; None if it is not."""
        left = 0.0 if self._alone_until is None else self._alone_until - time.monotonic()
        return left if left > 0 else None

    def choose(self, leases: Iterable[Lease], running_tasks: int) -> Choice:
        choice = Choice()
        if running_tasks == 0:
            self._alone_until = None  # who was alone has ended, or those have for whom a suspect waited
        alone = False
        held_back: set[str] = set()
        behind: set[str] = set()
        for lease in leases:
            spec = self._registry.get(lease.type) or _without_handler(lease)
            others = running_tasks + len(choice.tasks)
            seconds = self._durations.of(lease.type)
            waits = lease.user in held_back or alone
            if waits or (lease.suspect and not self._may_run(others + len(choice.plain))):
                fits = False
            elif spec.is_async:
                fits = lease.user not in behind and others < self._async_jobs
            else:
                last = lease.suspect or lease.attempt >= lease.max_attempts
                fits = not choice.plain or (not last and choice.planned_seconds + seconds <= PATIENCE_SECONDS)
                fits = fits and not choice.alone
            alone = alone or (fits and lease.suspect)
            if not fits:
                choice.back.append(lease)
                held_back.add(lease.user)
            elif spec.is_async:
                choice.tasks.append(
                    ChosenJob(lease, spec, self._context(lease) if spec.wants_context else None)
                )
            else:
                choice.plain.append(
                    ChosenJob(lease, spec, self._context(lease) if spec.wants_context else None)
                )
                behind.add(lease.user)
                choice.planned_seconds += seconds
        return choice

    def _may_run(self, others: int) -> bool:
        """Whether a suspect may run beside `others`: only if it has waited long for them to end."""
        if others == 0:
            self._alone_until = time.monotonic() + ALONE_SECONDS  # and nothing joins it for a while
            return True
        if self._alone_until is not None and time.monotonic() >= self._alone_until:
            self._alone_until = None
            return True
        if self._alone_until is None:
            self._alone_until = time.monotonic() + ALONE_SECONDS
        return False


def _without_handler(lease: Lease) -> Spec:
    """For a type that this worker does not know (an older release, say): the attempt fails; another worker may know it."""

    def fail(_payload: object) -> None:
        raise LookupError(f"this worker has no handler for the type {lease.type!r}")

    return Spec(lease.type, fail, False, False, lease.max_attempts, 1, 300, None, None)
