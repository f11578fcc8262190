"""The janitor's access to schedules: it finds those that are due and moves them on. Called from threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from bson.codec_options import CodecOptions
from pymongo import ReadPreference, UpdateOne
from pymongo.database import Database
from pymongo.errors import PyMongoError

from laneway.storage.mongo import DURABLE, Document
from laneway.storage.schedules import DUE_INDEX, SCHEDULES, Schedule, SchedulesUnavailable, schedule_of

UNREADABLE_PAUSE = timedelta(minutes=1)
"""The pause before a schedule that cannot be read is tried again."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Move:
    """The next state of a schedule. `next_at` is its earliest fire time not fired yet; the janitor fires it from `due_at` on.

    `fired_at` and `job_id` belong to the last job that was enqueued. `error` says why another one was refused.
    """

    schedule: Schedule
    next_at: datetime
    due_at: datetime
    fired_at: datetime | None
    job_id: str | None
    error: str | None


class DueSchedules:
    """Finds due schedules and moves them. Every method raises SchedulesUnavailable."""

    def __init__(self, database: Database[Document]) -> None:
        self._schedules = database.get_collection(
            SCHEDULES,
            codec_options=CodecOptions(tz_aware=True),
            read_preference=ReadPreference.PRIMARY,
            write_concern=DURABLE,
        )
        self._indexed = False

    def due(self, now: datetime, limit: int) -> list[Schedule]:
        """Return at most `limit` schedules that are due, the longest due first. Paused ones are not.

        A schedule that cannot be read, because a newer release wrote it, is left alone for a minute.
        """
        try:
            if not self._indexed:
                self._schedules.create_index(DUE_INDEX)
                self._indexed = True
            query = {"paused": False, "due_at": {"$lte": now}}
            documents = list(self._schedules.find(query).sort("due_at", 1).limit(limit))
            return [schedule for document in documents if (schedule := self._read(document, now))]
        except PyMongoError as error:
            raise SchedulesUnavailable(str(error)) from error

    def move(self, moves: Sequence[Move]) -> None:
        """Move schedules, each only if nobody else has moved, replaced or deleted it meanwhile."""
        updates = [
            UpdateOne({"_id": move.schedule.key, "next_at": move.schedule.next_at}, {"$set": _fields(move)})
            for move in moves
        ]
        try:
            if updates:
                self._schedules.bulk_write(updates, ordered=False)
        except PyMongoError as error:
            raise SchedulesUnavailable(str(error)) from error

    def _read(self, document: Document, now: datetime) -> Schedule | None:
        try:
            return schedule_of(document)
        except (KeyError, TypeError, ValueError):
            log.exception("schedule_unreadable", schedule=document["_id"])
            self._schedules.update_one({"_id": document["_id"]}, {"$set": {"due_at": now + UNREADABLE_PAUSE}})
            return None


def _fields(move: Move) -> dict[str, Any]:
    fields: dict[str, Any] = {"next_at": move.next_at, "due_at": move.due_at, "last_error": move.error}
    if move.fired_at:
        fields |= {"last_fired_at": move.fired_at, "last_job_id": move.job_id}
    return fields
