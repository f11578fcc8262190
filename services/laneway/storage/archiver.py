"""Moves ended jobs from the outbox in Redis to MongoDB.

A job leaves the outbox only when MongoDB has it on disk, so a crash at any moment costs at most a repetition, which changes
nothing. One archiver at a time does it, the one that holds a lock in Redis: two would store everything twice.

Deliveries of webhooks end as jobs do. They are no part of anybody's history.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import structlog
from redis.exceptions import RedisError

from laneway.delivery_lanes import is_delivery_lane
from laneway.lanes.commands import Archived, HoldArchiver, LeaveArchiver, Outbox
from laneway.lanes.model import Job
from laneway.lanes.refusals import error_of
from laneway.lanes.store import Lanes
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.history_writer import HistoryWriter

BATCH_JOBS = 500
BATCHES_IN_FLIGHT = 2
"""While MongoDB stores one batch, the next is read and encoded."""
LOCK_SECONDS, RENEW_SECONDS = 5.0, 1.0
"""The lock is renewed while MongoDB stores, however long that takes. So a killed archiver holds the others up for five seconds."""
log = structlog.get_logger()


class Announcer(Protocol):
    """Who announces ended jobs to webhooks: see `laneway.announcing`."""

    def find(self, jobs: Sequence[Job]) -> Any:
        """Return what there is to announce."""

    def announce(self, found: Any) -> None:
        """Announce what was found."""

    def record_ends(self, deliveries: Sequence[Job]) -> None:
        """Note how deliveries ended."""


class _Batch:
    """Jobs that leave the outbox together."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.size, self.archived = len(jobs), Archived.of(jobs)
        self.deliveries = [job for job in jobs if is_delivery_lane(job.user)]
        self.jobs = [job for job in jobs if not is_delivery_lane(job.user)] if self.deliveries else jobs


class Archiver:
    """Archives what is in the outbox, and counts it as activity. `archived` is called with the jobs of each batch.

    Without an `announcer` nothing is delivered to webhooks.
    """

    def __init__(
        self,
        lanes: Lanes,
        history: HistoryWriter,
        activity: ActivityWriter,
        archived: Callable[[Sequence[Job]], None],
        announcer: Announcer | None = None,
    ) -> None:
        self._announcer = announcer
        self._lanes, self._history, self._activity, self._archived = lanes, history, activity, archived
        self._token = secrets.token_hex(
            8
        )  # one for all runs: a release that was lost must not lock this archiver out

    def run(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Empty the outbox, or do nothing while it is empty or another archiver holds the lock.

        Once `is_stopping` is true it reads no more: others may fill the outbox as fast as it is emptied. Raises
        HistoryUnavailable and StoreUnavailable; what was not stored stays in the outbox.
        """
        self._activity.flush_when_due()
        if not self._is_outbox_filled():
            return  # without a write, which Redis would sync to disk: there are five passes a second
        lock = HoldArchiver(self._token, LOCK_SECONDS)
        if not self._lanes.run(lock):
            return
        try:
            with ThreadPoolExecutor(BATCHES_IN_FLIGHT) as pool:
                self._empty_outbox(pool, lock, is_stopping)
        finally:
            self._lanes.run(LeaveArchiver(self._token))

    def _is_outbox_filled(self) -> bool:
        try:
            return bool(self._lanes.client.llen(self._lanes.keys.outbox))
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    def _empty_outbox(self, pool: Executor, lock: HoldArchiver, is_stopping: Callable[[], bool]) -> None:
        in_flight: deque[tuple[_Batch, Future[tuple[list[Job], Any]]]] = deque()
        offset, more = 0, True
        while more or in_flight:
            more = more and not is_stopping()
            if more:
                jobs = self._lanes.run(Outbox(BATCH_JOBS, offset))
                more = bool(jobs)
                offset += len(jobs)
                if jobs:
                    batch = _Batch(jobs)
                    in_flight.append((batch, pool.submit(self._store, batch)))
            if in_flight and not (more and len(in_flight) < BATCHES_IN_FLIGHT):
                batch, storing = in_flight.popleft()
                while not wait({storing}, RENEW_SECONDS).done:
                    self._lanes.run(lock)
                new, found = storing.result()
                self._activity.ended(new)
                if self._announcer:
                    self._announcer.announce(found)
                    self._announcer.record_ends(batch.deliveries)
                self._lanes.run(batch.archived)
                offset -= batch.size
                self._activity.flush_when_due()
                self._archived(batch.jobs)
                if not self._lanes.run(lock):
                    log.warning("archiver_lock_lost")
                    return

    def _store(self, batch: _Batch) -> tuple[list[Job], Any]:
        """Return the jobs that were not stored before, and what there is to announce."""
        new = self._history.store(batch.jobs)
        return new, self._announcer.find(batch.jobs) if self._announcer else ()
