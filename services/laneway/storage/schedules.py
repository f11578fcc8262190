"""Schedules: requests that are enqueued at times given by cron or an interval. The janitor fires them: `laneway.scheduler`.

`_id` is `<user>/<name>`: a user's schedules are one range of it, and a name is taken once. `next_at` is the earliest fire time
that has not been fired yet, and changes only by compare-and-set. From `due_at` on the janitor fires the schedule: from
`next_at` on, or later after a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from laneway.choices import Missed
from laneway.fire_times import Cron, Every, Timing
from laneway.storage.mongo import Document, now, primary, reported_as

SCHEDULES = "schedules"
DUE_INDEX = [("paused", 1), ("due_at", 1)]


class SchedulesUnavailable(Exception):
    """MongoDB is away, refuses or answers too late. Raised from pymongo's error."""


class TooManySchedules(Exception):
    """The user has as many schedules as a user may have."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The job that a schedule enqueues, and when. `request` is JSON text; `max_attempts` comes from the type's handler."""

    type: str
    request: bytes
    max_attempts: int
    timing: Timing
    missed: Missed
    unique_key: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as MongoDB keeps it. `last_fired_at` is a fire time, whenever its job was enqueued."""

    user: str
    name: str
    plan: Plan
    paused: bool
    next_at: datetime
    created_at: datetime
    last_fired_at: datetime | None = None
    last_job_id: str | None = None
    last_error: str | None = None
    """Why the latest fire time could not be fired; None since the last success."""

    @property
    def key(self) -> str:
        """The `_id` of the document."""
        return f"{self.user}/{self.name}"


class Schedules:
    """What the API does with schedules. Every method raises SchedulesUnavailable."""

    def __init__(self, database: AsyncDatabase[Document], *, max_per_user: int) -> None:
        self._schedules = primary(database, SCHEDULES)
        self._max_per_user = max_per_user
        self._indexed = False

    async def put(self, user: str, name: str, plan: Plan) -> tuple[Schedule, bool]:
        """Create the user's schedule of this name, or replace what it does. Return it, and whether it is new.

        An unchanged timing goes on as it was: a program may put its schedules at each start. Raises TooManySchedules, and
        InvalidTiming for a timing that never fires.
        """
        created_at = now()
        timing = _timing_fields(plan.timing)
        start = _start_fields(plan.timing, created_at)
        work = {
            "type": plan.type,
            "request": plan.request,
            "max_attempts": plan.max_attempts,
            "missed": plan.missed.value,
            "unique_key": plan.unique_key,
        }
        mine = {"_id": f"{user}/{name}"}
        async with reported_as(SchedulesUnavailable):
            await self._index()
            while True:
                for query, fields in ((mine | timing, work), (mine, work | timing | start)):
                    found = await self._schedules.find_one_and_update(
                        query, {"$set": fields}, return_document=ReturnDocument.AFTER
                    )
                    if found:
                        return schedule_of(found), False
                document = mine | work | timing | start | {"paused": False, "created_at": created_at}
                with suppress(DuplicateKeyError):  # somebody else has just created it: replace it
                    await self._create(user, document)
                    return schedule_of(document), True

    async def _create(self, user: str, document: Document) -> None:
        """Insert a schedule. It counts afterwards, so that two at once cannot pass the limit together."""
        await self._schedules.insert_one(document)
        if await self._schedules.count_documents(_of(user)) > self._max_per_user:
            await self._schedules.delete_one({"_id": document["_id"]})
            raise TooManySchedules(f"a user has at most {self._max_per_user} schedules: delete one first")

    async def of_user(self, user: str) -> list[Schedule]:
        """Return the user's schedules in the order of their names."""
        async with reported_as(SchedulesUnavailable):
            return [schedule_of(found) async for found in self._schedules.find(_of(user)).sort("_id", 1)]

    async def find(self, user: str, name: str) -> Schedule | None:
        """Return one of the user's schedules."""
        async with reported_as(SchedulesUnavailable):
            found = await self._schedules.find_one({"_id": f"{user}/{name}"})
        return schedule_of(found) if found else None

    async def pause(self, user: str, name: str, *, paused: bool) -> Schedule | None:
        """Pause or resume a schedule and return it; None if there is none.

        Fire times that pass meanwhile have been missed when it is resumed.
        """
        async with reported_as(SchedulesUnavailable):
            found = await self._schedules.find_one_and_update(
                {"_id": f"{user}/{name}"},
                {"$set": {"paused": paused}},
                return_document=ReturnDocument.AFTER,
            )
        return schedule_of(found) if found else None

    async def delete(self, user: str, name: str) -> bool:
        """Delete a schedule. Return whether there was one."""
        async with reported_as(SchedulesUnavailable):
            return bool((await self._schedules.delete_one({"_id": f"{user}/{name}"})).deleted_count)

    async def delete_all(self, user: str) -> None:
        """Delete all schedules of the user."""
        async with reported_as(SchedulesUnavailable):
            await self._schedules.delete_many(_of(user))

    async def _index(self) -> None:
        if not self._indexed:
            await self._schedules.create_index(DUE_INDEX)
            self._indexed = True


def schedule_of(document: Mapping[str, Any]) -> Schedule:
    """Return the schedule in a document. Its times must be aware."""
    user, _, name = document["_id"].partition("/")
    if document["cron"] is None:
        timing: Timing = Every(document["every_seconds"], document["start_at"])
    else:
        timing = Cron(document["cron"], document["time_zone"])
    return Schedule(
        user=user,
        name=name,
        plan=Plan(
            type=document["type"],
            request=document["request"],
            max_attempts=document["max_attempts"],
            timing=timing,
            missed=Missed(document["missed"]),
            unique_key=document.get("unique_key", ""),
        ),
        paused=document["paused"],
        next_at=document["next_at"],
        created_at=document["created_at"],
        last_fired_at=document.get("last_fired_at"),
        last_job_id=document.get("last_job_id"),
        last_error=document.get("last_error"),
    )


def _timing_fields(timing: Timing) -> dict[str, Any]:
    if isinstance(timing, Cron):
        return {"cron": timing.expression, "time_zone": timing.time_zone, "every_seconds": None}
    return {"cron": None, "time_zone": None, "every_seconds": timing.seconds}


def _start_fields(timing: Timing, at: datetime) -> dict[str, Any]:
    """What a new timing sets beside itself."""
    next_at = timing.after(at)
    start = timing.start if isinstance(timing, Every) else None
    return {"start_at": start, "next_at": next_at, "due_at": next_at, "last_error": None}


def _of(user: str) -> dict[str, Any]:
    """The query for all schedules of a user: `0` follows `/`."""
    return {"_id": {"$gte": f"{user}/", "$lt": f"{user}0"}}
