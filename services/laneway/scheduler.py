"""Fires schedules: enqueues the jobs of their due fire times. The janitor calls it, in as many processes as there are janitors.

A fire time whose unique key is taken enqueues nothing, and counts as fired with the job that holds the key.

A fire time is enqueued with an idempotency key of its own, and then the schedule moves on by compare-and-set. So two janitors
at once enqueue one job, and so does a janitor that goes on where another died between the two steps. The key is remembered for
KEY_SECONDS: only a fire time whose schedule could not be moved for longer than that may fire twice.

Fire times are compared with Redis's clock: whatever the clocks of the pods say, all janitors agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from laneway.fire_times import InvalidTiming, due_times
from laneway.lanes.commands import Enqueue, EnqueueLimits
from laneway.lanes.errors import IdempotencyMismatch, LaneError, StoreUnavailable
from laneway.lanes.model import Accepted, NewJob
from laneway.lanes.store import Lanes
from laneway.storage.due_schedules import DueSchedules, Move
from laneway.storage.schedules import Schedule
from laneway.telemetry import job_events
from laneway.telemetry.job_log import JobLog

KEY_SECONDS = 86_400
"""How long a fire time is remembered in Redis."""
_FINGERPRINT = "schedule"
"""The same for all requests: if a schedule's request is replaced between two tries, the new one is not enqueued beside the old one."""
RETRY_PAUSE = timedelta(seconds=5)
"""The pause before a refused fire time is tried again. It is refused because the lane is full, for example."""
SLICE, MAX_SLICES = 100, 50
"""How many schedules are read and moved together, and how many such slices a pass has at most."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass did with one slice of due schedules."""

    fired: int
    refused: int
    missed: int
    """Schedules that dropped fire times, as their policy says."""


class Scheduler:
    """Fires due schedules within `limits`, as if their users enqueued."""

    def __init__(self, lanes: Lanes, schedules: DueSchedules, job_log: JobLog, limits: EnqueueLimits) -> None:
        self._lanes, self._schedules, self._job_log = lanes, schedules, job_log
        self._limits = replace(limits, idempotency_seconds=KEY_SECONDS)

    def fire(self) -> Iterator[Pass]:
        """Fire what is due, and yield what each slice of schedules did. Raises SchedulesUnavailable, StoreUnavailable, RedisError."""
        for _ in range(MAX_SLICES):
            seconds, microseconds = self._lanes.client.time()
            now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds // 1000 * 1000)
            due = self._schedules.due(now, SLICE)
            yield self._fire(due, now)
            if len(due) < SLICE:
                return

    def _fire(self, due: Sequence[Schedule], now: datetime) -> Pass:
        firings = [_Firing(schedule, now) for schedule in due]
        while ready := [firing for firing in firings if firing.waiting]:
            self._enqueue(ready)
        self._schedules.move([firing.move() for firing in firings])
        return Pass(
            fired=sum(firing.fired for firing in firings),
            refused=sum(firing.error is not None for firing in firings),
            missed=sum(firing.is_dropping for firing in firings),
        )

    def _enqueue(self, firings: Sequence[_Firing]) -> None:
        """Enqueue the next fire time of each schedule, in one round trip."""
        results = self._lanes.run_all(
            [_command(firing.schedule, firing.waiting[0], self._limits) for firing in firings]
        )
        new = []
        for firing, result in zip(firings, results, strict=True):
            if not isinstance(result, StoreUnavailable) and (job_id := firing.record(result)):
                new.append(job_events.accepted(job_id, firing.schedule.user, firing.schedule.plan.type))
        self._job_log.write(new)
        for result in results:
            if isinstance(result, StoreUnavailable):  # the next pass tries all of them again
                raise result


class _Firing:
    """The work on one due schedule: the fire times to enqueue, and their results."""

    def __init__(self, schedule: Schedule, now: datetime) -> None:
        self.schedule = schedule
        self.waiting: list[datetime] = []
        """Fire times to enqueue, oldest first."""
        self.fired = 0
        self.error: str | None = None
        self.is_dropping = False
        """Whether fire times are dropped, as the policy says."""
        self._next_at = self._due_at = schedule.next_at
        self._fired_at: datetime | None = None
        self._job_id: str | None = None
        self._retry_at = now + RETRY_PAUSE
        try:
            list(_command(schedule, now, EnqueueLimits()).args())  # an error here would end the pass for all
            due = due_times(schedule.plan.timing, schedule.plan.missed, schedule.next_at, now)
            self._next_at = self._due_at = schedule.plan.timing.after(now)
        except InvalidTiming as error:  # the time zone has gone from the database of time zones
            self._fail(schedule.next_at, error)
        except Exception as error:  # noqa: BLE001 - damaged or of a newer release: it must not hold up the others
            self._fail(schedule.next_at, ValueError(f"it cannot be read, put it again: {error!r}"))
        else:
            self.waiting = due
            self.is_dropping = due[:1] != [schedule.next_at]

    def record(self, result: Accepted | LaneError) -> str | None:
        """Record the result of enqueueing the first waiting fire time. Return the id of its job if it is new."""
        time = self.waiting.pop(0)
        if isinstance(result, LaneError) and not isinstance(result, IdempotencyMismatch):
            self._fail(time, result)
            return None
        self._fired_at = time
        if not isinstance(result, Accepted):
            return None
        self._job_id = result.job_ids[0]
        self.fired += len(result.new)
        return self._job_id if result.new else None

    def move(self) -> Move:
        """Return the schedule's next state: the fire time after the last one, or again the one that was refused."""
        return Move(self.schedule, self._next_at, self._due_at, self._fired_at, self._job_id, self.error)

    def _fail(self, time: datetime, error: Exception) -> None:
        self.waiting = []
        self.error, self._next_at, self._due_at = str(error), time, self._retry_at
        log.warning(
            "schedule_refused", user=self.schedule.user, schedule=self.schedule.name, error=self.error
        )


def _command(schedule: Schedule, time: datetime, limits: EnqueueLimits) -> Enqueue:
    """Return the command that enqueues the job of one fire time."""
    plan = schedule.plan
    job = NewJob(
        os.urandom(6).hex(),
        plan.type,
        plan.request,
        plan.max_attempts,
        unique_key=plan.unique_key,
        schedule=schedule.name,
    )
    key = f"schedule:{schedule.name}:{time:%Y%m%dT%H%M%S}"
    return Enqueue(schedule.user, [job], limits, key, _FINGERPRINT)
