"""Periodic repair and cleaning: expired leases, due retries, missing turns, ended jobs that MongoDB does not have yet, the
lanes of users who have disconnected, and schedules that are due.

The operator runs it on Kubernetes, a worker elsewhere: the same code. Several janitors at once do no harm, since every step is
atomic or idempotent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import structlog
from redis.exceptions import RedisError

from laneway.announcing import Announcer
from laneway.lanes.checker import Checker
from laneway.lanes.codec import LOST
from laneway.lanes.commands import WORKER_LOSS_LIMITS, CallWaiters, Expire, WorkerLossLimits
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import Job, JobState, LostJob
from laneway.lanes.purge import purge
from laneway.lanes.store import Lanes
from laneway.loss_events import lost_events
from laneway.presence import PresenceSweeper
from laneway.scheduler import Scheduler
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.archiver import Archiver
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.schedules import SchedulesUnavailable
from laneway.telemetry import job_events
from laneway.telemetry.janitor_metrics import DeliveryCounts, JanitorStats
from laneway.telemetry.job_log import JobLog

ARCHIVE_INTERVAL_SECONDS = 0.2
FIRE_INTERVAL_SECONDS = 0.5
FIRE_END_SECONDS = 1.0
"""How long a shutdown waits for schedules that are being fired. Another janitor goes on wherever this one breaks off."""
WARN_INTERVAL_SECONDS = 30
UNSERVED_SECONDS = 10.0
"""Work in the ring that waits this long while no job is in flight is reported: nobody serves it."""
OUTAGE_SECONDS = 3.0
"""Redis counts as having been away if no janitor reached it for this long, or for three passes if that is longer."""
_EXPIRE_BATCH = 500
log = structlog.get_logger()

Policy = Literal["purge", "drain"]


class Janitor:
    """Repairs and cleans. A user is disconnected after `grace_seconds` without a connection; `policy` says what happens to
    the jobs. `backlog` is the number of jobs in the outbox from which enqueue answers 503. Without a `scheduler` no schedule
    fires, and without an `announcer` nothing is delivered to webhooks."""

    def __init__(
        self,
        lanes: Lanes,
        history: HistoryWriter,
        activity: ActivityWriter,
        presence: PresenceSweeper,
        job_log: JobLog,
        *,
        grace_seconds: float,
        policy: Policy,
        backlog: int,
        losses: WorkerLossLimits = WORKER_LOSS_LIMITS,
        scheduler: Scheduler | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        self._lanes, self._presence, self._job_log = lanes, presence, job_log
        self._grace_seconds, self._policy, self._backlog = grace_seconds, policy, backlog
        self._archiver = Archiver(lanes, history, activity, self._count_archived, announcer)
        self._checker = Checker(lanes)
        self._warned_at: dict[str, float] = {}
        deliveries = announcer.counts if announcer else DeliveryCounts()
        self.stats = JanitorStats(damage=self._checker.mended, deliveries=deliveries)
        self._losses = losses
        self._scheduler, self._activity = scheduler, activity

    def run(self, stop: threading.Event, interval_seconds: float) -> None:
        """Make a pass every `interval_seconds`, and archive and fire more often, until `stop` is set. No error ends it."""
        # In threads of their own: they wait for MongoDB, and the passes of repair must not.
        archiving, firing = (
            threading.Thread(target=self._repeat, args=(work, seconds, stop), name=name, daemon=True)
            for name, work, seconds in (
                ("archive", partial(self.archive, stop.is_set), ARCHIVE_INTERVAL_SECONDS),
                ("fire", self.fire, FIRE_INTERVAL_SECONDS),
            )
        )
        archiving.start()
        firing.start()
        outage_seconds = max(OUTAGE_SECONDS, 3 * interval_seconds)
        self._repeat(lambda: self.tidy(outage_seconds), interval_seconds, stop)
        archiving.join()
        firing.join(FIRE_END_SECONDS)
        try:
            self._activity.flush()
        except HistoryUnavailable as error:
            self._warn("history_unavailable", str(error))

    def tidy(self, outage_seconds: float = OUTAGE_SECONDS) -> None:
        """Make one pass of repair and cleaning. Raises StoreUnavailable."""
        if mended := self._checker.check_slice():  # first: damage may end what follows
            log.error("damage_mended", **mended)
        while True:
            expired = self._lanes.run(Expire(_EXPIRE_BATCH, outage_seconds, self._losses))
            self._report(expired)
            if len(expired) < _EXPIRE_BATCH:
                break
        self._lanes.run(CallWaiters())  # for permits that a dead or a cancelled job has left
        self.stats.unserved_seconds = self._checker.unserved_seconds
        if self.stats.unserved_seconds > UNSERVED_SECONDS:
            seconds = round(self.stats.unserved_seconds)
            self._warn("ring_unserved", f"no worker has claimed the first lane of the ring for {seconds} s")
        for user, until_us in self._presence.take_disconnected(self._grace_seconds):
            self.stats.disconnected += 1
            log.info("user_disconnected", user=user, policy=self._policy)
            if self._policy == "purge":
                self._purge(user, until_us)
        self.stats.last_pass = time.monotonic()

    def archive(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Move ended jobs to MongoDB, until `is_stopping`. Raises HistoryUnavailable and StoreUnavailable."""
        self._archiver.run(is_stopping)

    def fire(self) -> None:
        """Enqueue the jobs of schedules that are due. Raises SchedulesUnavailable and StoreUnavailable."""
        if self._scheduler is None:
            return
        for done in self._scheduler.fire():
            self._activity.accepted(done.fired)
            self.stats.schedules_fired += done.fired
            self.stats.schedules_refused += done.refused
            self.stats.schedules_missed += done.missed
        self.stats.last_firing = time.monotonic()

    def _purge(self, user: str, until_us: int) -> None:
        reason = "the user has disconnected"
        for job_ids in purge(self._lanes, user, until_us, reason):
            self._job_log.write(job_events.cancelled(job_id, user, reason=reason) for job_id in job_ids)
            self.stats.purged += len(job_ids)

    def _count_archived(self, jobs: Sequence[Job]) -> None:
        self.stats.archived += len(jobs)
        for job in jobs:
            if job.reason == LOST:
                self.stats.lost += 1
                log.error("job_lost", job_id=job.job_id, user=job.user)

    def _report(self, expired: list[LostJob]) -> None:
        self.stats.leases_expired += len(expired)
        self._job_log.write(lost_events(expired, "its lease expired"))
        if returned := sum(job.state is JobState.QUEUED for job in expired):
            log.warning("leases_expired", jobs=returned)

    def _repeat(self, work: Callable[[], None], interval_seconds: float, stop: threading.Event) -> None:
        while not stop.wait(interval_seconds):
            try:
                work()
            except (StoreUnavailable, RedisError) as error:
                self._warn("redis_unavailable", str(error))
            except HistoryUnavailable as error:
                self._warn("history_unavailable", str(error))
            except SchedulesUnavailable as error:
                self._warn("schedules_unavailable", str(error))
            except Exception:
                log.exception("janitor_failed")

    def _warn(self, event: str, error: str) -> None:
        """Log a warning with the length of the outbox, each event at most every WARN_INTERVAL_SECONDS."""
        if time.monotonic() - self._warned_at.get(event, float("-inf")) < WARN_INTERVAL_SECONDS:
            return
        self._warned_at[event] = time.monotonic()
        try:
            waiting: int | None = int(self._lanes.client.llen(self._lanes.keys.outbox))
        except RedisError:
            waiting = None
        log.warning(event, error=error, ended_jobs_waiting=waiting, limit=self._backlog)
