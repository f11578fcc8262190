"""Writes activity to MongoDB: `ActivityWriter` for the archiver's thread, `AcceptanceCounter` for the API's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import structlog
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database
from pymongo.errors import PyMongoError

from laneway.lanes.model import Job, seq_of, us_at, us_of
from laneway.storage.activity import ACTIVITY, FLUSH_SECONDS, HOUR_SECONDS, ActivityCounts, outdated
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.mongo import Document, now

log = structlog.get_logger()


class ActivityWriter:
    """Counts the jobs that the janitor archives and those that schedules enqueue. Deletes counts that have been kept long enough.

    Any thread may count, and one flushes.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._database = database
        self._counts, self._lock = ActivityCounts(), threading.Lock()
        self._flushed_at = time.monotonic()
        self._pruned_at = float("-inf")

    def accepted(self, jobs: int) -> None:
        """Count jobs that were accepted now."""
        if jobs:
            with self._lock:
                self._counts.accepted(us_at(now()), jobs)

    def ended(self, jobs: Sequence[Job]) -> None:
        """Count jobs that have ended. Pass each job once."""
        with self._lock:
            self._counts.ended(jobs)

    def flush_when_due(self) -> None:
        """Flush at most once in FLUSH_SECONDS. Raises HistoryUnavailable."""
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the counts; keep them if that fails. Raises HistoryUnavailable."""
        self._flushed_at = time.monotonic()
        try:
            with self._lock:
                command = self._counts.command()
            if command:
                self._counts.forget_written(self._database.command(command))
            if time.monotonic() - self._pruned_at >= HOUR_SECONDS:
                for query in outdated(us_at(now())):
                    self._database[ACTIVITY].delete_many(query)
                self._pruned_at = time.monotonic()
        except PyMongoError as error:
            raise HistoryUnavailable(str(error)) from error


class AcceptanceCounter:
    """Counts jobs that this process has accepted."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._counts = ActivityCounts()

    def add(self, job_id: str, jobs: int) -> None:
        """Count jobs that were accepted together, just now. `job_id`: the id of the first."""
        # The id of a delayed job names a moment to come.
        self._counts.accepted(min(seq_of(job_id), us_of(*divmod(time.time_ns() // 1000, 1_000_000))), jobs)

    async def flush_forever(self) -> None:
        """Write the counts every FLUSH_SECONDS. While MongoDB is away they are kept."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write the counts. If that fails, log it and keep them for the next flush."""
        if not (command := self._counts.command()):
            return
        try:
            self._counts.forget_written(await self._database.command(command))
        except PyMongoError as error:
            log.warning("activity_write_failed", error=str(error))
