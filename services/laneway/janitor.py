"""Periodic repair and cleaning: expired leases, due retries, missing turns, ended jobs that MongoDB does not have yet, and
the lanes of users who have disconnected.

The same code runs in the operator on Kubernetes and beside the worker elsewhere. Several janitors at once do no harm: every
step is atomic or idempotent; archiving, the one step with much data, is done by whoever holds a lock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from laneway.lanes.commands import Archived, Expire, HoldArchiver, LeaveArchiver, Outbox
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import Expired, Job, JobState
from laneway.lanes.purge import purge
from laneway.lanes.store import Lanes
from laneway.presence import PresenceSweeper
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.history_writer import HistoryWriter
from laneway.telemetry import job_events
from laneway.telemetry.job_log import JobLog

ARCHIVE_BATCH = 500
ARCHIVE_TOGETHER = 2
ARCHIVE_SECONDS = 0.2
LOCK_SECONDS = 30
WARN_SECONDS = 30
OUTAGE_SECONDS = 3.0
"""Redis was away if no janitor has reached it for so long, or for three rounds."""
_EXPIRE_BATCH = 500
log = structlog.get_logger()

Policy = Literal["purge", "drain"]


@dataclass(slots=True)
class JanitorStats:
    """What the janitor has done, for metrics."""

    leases_expired: int = 0
    archived: int = 0
    disconnected: int = 0
    purged: int = 0
    last_pass: float = 0
    """`time.monotonic()` of the last pass that met no error; 0 before the first."""


class Janitor:
    """`grace_seconds`: how long a user may be away. `policy`: what happens to the jobs of one who has disconnected."""

    def __init__(
        self,
        lanes: Lanes,
        history: HistoryWriter,
        presence: PresenceSweeper,
        job_log: JobLog,
        *,
        grace_seconds: float,
        policy: Policy,
        backlog: int,
    ) -> None:
        self._lanes, self._history, self._presence, self._job_log = lanes, history, presence, job_log
        self._grace_seconds, self._policy, self._backlog = grace_seconds, policy, backlog
        self._warned_at = 0.0
        self.stats = JanitorStats()

    def run(self, stop: threading.Event, interval_seconds: float) -> None:
        """Until `stop` is set: repairs and cleans every `interval_seconds`, archives more often."""
        archiving = threading.Thread(
            target=self._repeat, args=(self.archive, ARCHIVE_SECONDS, stop), name="archive", daemon=True
        )
        archiving.start()
        outage_seconds = max(OUTAGE_SECONDS, 3 * interval_seconds)
        self._repeat(lambda: self.tidy(outage_seconds), interval_seconds, stop)
        archiving.join()

    def _repeat(self, work: Callable[[], None], seconds: float, stop: threading.Event) -> None:
        while not stop.wait(seconds):
            try:
                work()
            except (StoreUnavailable, RedisError) as error:
                self._warn("redis_unavailable", error=str(error))
            except HistoryUnavailable as error:
                self._warn("history_unavailable", error=str(error))
            except Exception:
                log.exception("janitor_error")

    def tidy(self, outage_seconds: float = OUTAGE_SECONDS) -> None:
        """One pass of repair and cleaning."""
        while True:
            expired = self._lanes.run(Expire(_EXPIRE_BATCH, outage_seconds=outage_seconds))
            self._tell(expired)
            if len(expired) < _EXPIRE_BATCH:
                break
        for user, until_us in self._presence.take_disconnected(self._grace_seconds):
            self.stats.disconnected += 1
            log.info("user_disconnected", user=user, policy=self._policy)
            if self._policy == "purge":
                self.purge(user, until_us, "the user has disconnected")
        self.stats.last_pass = time.monotonic()

    def purge(self, user: str, until_us: int, reason: str) -> int:
        """Cancel what the user's lane holds and does not run, accepted up to `until_us`; how many that were."""
        count = 0
        for job_ids in purge(self._lanes, user, until_us, reason):
            self._job_log.write(job_events.cancelled(job_id, user, reason=reason) for job_id in job_ids)
            count += len(job_ids)
        self.stats.purged += count
        return count

    def archive(self) -> None:
        """Bring ended jobs to MongoDB; Redis forgets them only after that. Raises HistoryUnavailable."""
        token = secrets.token_hex(8)
        hold = HoldArchiver(token, LOCK_SECONDS)
        if not self._lanes.run(hold):
            return
        try:
            with ThreadPoolExecutor(ARCHIVE_TOGETHER) as pool:
                self._archive(pool, hold)
        finally:
            self._lanes.run(LeaveArchiver(token))

    def _archive(self, pool: Executor, hold: HoldArchiver) -> None:
        """While MongoDB stores one batch, the next is read and packed."""
        stored: deque[tuple[list[Job], Future[None]]] = deque()
        behind, more = 0, True
        while more or stored:
            if more:
                jobs = self._lanes.run(Outbox(ARCHIVE_BATCH, behind))
                more = bool(jobs)
                behind += len(jobs)
                if jobs:
                    stored.append((jobs, pool.submit(self._history.store, jobs)))
            if stored and not (more and len(stored) < ARCHIVE_TOGETHER):
                jobs, storing = stored.popleft()
                storing.result()
                self._lanes.run(Archived([job.job_id for job in jobs]))
                behind -= len(jobs)
                self.stats.archived += len(jobs)
                if not self._lanes.run(hold):
                    log.warning("archiver_lock_lost")
                    return

    def _tell(self, expired: list[Expired]) -> None:
        self.stats.leases_expired += len(expired)
        self._job_log.write(expired_events(expired))
        returned = [job.job_id for job in expired if job.state is JobState.QUEUED]
        if returned:
            log.warning("claims_expired", jobs=len(returned))

    def _warn(self, event: str, **fields: str) -> None:
        """At most every WARN_SECONDS, with how much waits."""
        if time.monotonic() - self._warned_at < WARN_SECONDS and self._warned_at:
            return
        self._warned_at = time.monotonic()
        try:
            waiting = int(self._lanes.client.llen(self._lanes.keys.outbox))
        except RedisError:
            waiting = -1
        log.warning(event, ended_jobs_waiting=waiting, most=self._backlog, **fields)


def expired_events(expired: Iterable[Expired]) -> Iterator[job_events.JobEvent]:
    """Make the job events of expired leases. A job that had not started has none: no attempt has ended."""
    for job in expired:
        if job.state in job_events.STATE_EVENTS:
            yield job_events.ended(
                job.state, job.job_id, job.user, job.type, job.attempts, reason="lease expired"
            )


class JanitorCollector(Collector):
    """Serves what a janitor has done in Prometheus's terms (the operator has one, too)."""

    def __init__(self, stats: JanitorStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        yield CounterMetricFamily("laneway_leases_expired", "Leases that ran out.", stats.leases_expired)
        yield CounterMetricFamily("laneway_jobs_archived", "Ended jobs stored in MongoDB.", stats.archived)
        yield CounterMetricFamily(
            "laneway_users_disconnected", "Users who have disconnected.", stats.disconnected
        )
        yield CounterMetricFamily(
            "laneway_jobs_purged", "Jobs cancelled because their user disconnected.", stats.purged
        )
        age = time.monotonic() - stats.last_pass if stats.last_pass else float("nan")
        yield GaugeMetricFamily("laneway_janitor_age_seconds", "Since the janitor's last good pass.", age)
