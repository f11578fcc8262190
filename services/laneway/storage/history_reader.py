"""The history's reader: ended jobs, for the API's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pymongo
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase

from laneway.lanes.model import Job
from laneway.lanes.run_log import JobLines, decode
from laneway.storage.documents import (
    DEAD_LETTERS,
    HISTORY,
    HistoryUnavailable,
    job_id_of,
    job_of,
    payload_bytes,
)
from laneway.storage.job_query import JobQuery
from laneway.storage.mongo import Document, primary, reported_as

MAX_PAGE_BYTES = 8_000_000
"""Payload of one page, its last job apart. Without this limit a hundred jobs could have more than a gigabyte."""
MAX_SCAN = 5_000
"""Jobs that one page with a filter reads."""
INDEX_SECONDS, INDEX_WAIT_SECONDS = 600, 0.5
"""Longest time to build an index, and how long a request waits for it."""
ERASED_TOGETHER, MOST_ERASED_TOGETHER = 100, 1600
"""Jobs that one command deletes: at first, and at most where commands are quick. Each has the time of a request, and on the
embedded server it takes four times as long for twice as many."""
QUICK_SECONDS = 0.2
WITHOUT_LOG = {"log": 0}
"""What is read of jobs. A log may be larger than all the rest, and is read by itself."""
_LAST = "/~"
"""Sorts behind every job id of a user."""


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first unless the oldest were asked for. `scanned_to` is where the next page begins; None if this is the last one."""

    jobs: list[Job]
    scanned_to: str | None


class HistoryReader:
    """Finds and lists ended jobs. Every method raises HistoryUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._history = primary(database, HISTORY)
        self._dead = primary(database, DEAD_LETTERS)
        self._listable = False
        self._indexing: asyncio.Task[None] | None = None

    async def find(self, user: str, job_id: str) -> Job | None:
        """Return one of the user's ended jobs."""
        async with reported_as(HistoryUnavailable):
            found = await self._history.find_one({"_id": f"{user}/{job_id}"}, WITHOUT_LOG)
        return job_of(found) if found else None

    async def find_all(self, user: str, job_ids: Sequence[str], *, oldest_first: bool = False) -> Page:
        """Return the user's ended jobs with these ids.

        The page ends after MAX_PAGE_BYTES. To read the rest, ask for the ids that come after its `scanned_to`.
        """
        keys = [f"{user}/{job_id}" for job_id in job_ids]
        async with reported_as(HistoryUnavailable):
            cursor = self._history.find({"_id": {"$in": keys}}, WITHOUT_LOG)
            found, more = await _read(cursor.sort("_id", 1 if oldest_first else -1), len(keys) + 1)
        return Page([job_of(document) for document in found], job_id_of(found[-1]) if more else None)

    async def find_log(self, user: str, job_id: str) -> JobLines | None:
        """Return what one of the user's ended jobs has logged; None if there is no such job."""
        async with reported_as(HistoryUnavailable):
            found = await self._history.find_one({"_id": f"{user}/{job_id}"}, {"log": 1})
        return decode(found.get("log")) if found else None

    async def page(self, user: str, query: JobQuery, limit: int) -> Page:
        """Return the user's ended jobs that are asked for.

        A page may hold less than `limit` although more follow: it ends after MAX_PAGE_BYTES, and the search for rare jobs
        ends after MAX_SCAN jobs.
        """
        low, high = query.bounds
        within = {"user": user, "_id": {"$gte": f"{user}/{low}", "$lt": f"{user}/{high}"}}
        order = 1 if query.oldest_first else -1
        async with reported_as(HistoryUnavailable):
            await self._make_listable()
            if query.selects:
                found, scanned_to = await self._search(within, order, query, limit)
            else:
                found, more = await _read(
                    self._history.find(within, WITHOUT_LOG).sort("_id", order).limit(limit), limit
                )
                scanned_to = job_id_of(found[-1]) if more else None
        return Page([job_of(document) for document in found], scanned_to)

    async def _search(
        self, within: Document, order: int, query: JobQuery, limit: int
    ) -> tuple[list[Document], str | None]:
        """Read up to MAX_SCAN jobs for those that the query selects, and say where the search ended."""
        steps: list[Document] = [
            {"$match": within},
            {"$sort": {"_id": order}},
            {"$limit": MAX_SCAN},
            {"$match": _selection(query)},
        ]
        if query.error:
            ids = await self._with_error(steps, query, limit)
            found, more = await _read(
                self._history.find({"_id": {"$in": ids}}, WITHOUT_LOG).sort("_id", order), limit
            )
        else:
            found, more = await _read(
                await self._history.aggregate([*steps, {"$limit": limit}, {"$project": WITHOUT_LOG}]), limit
            )
        if more:
            return found, job_id_of(found[-1])
        in_order = self._history.find(within, {"_id": 1}).sort("_id", order)
        last = await in_order.skip(MAX_SCAN - 1).limit(1).to_list()
        return found, job_id_of(last[0]) if last else None

    async def _with_error(self, steps: list[Document], query: JobQuery, limit: int) -> list[str]:
        """Return the keys of jobs with the error. It is bytes in MongoDB, so the text is searched here."""
        keys: list[str] = []
        async with await self._history.aggregate([*steps, {"$project": {"error": 1}}]) as errors:
            async for document in errors:
                if query.has_error(document["error"]):
                    keys.append(document["_id"])
                    if len(keys) == limit:
                        break
        return keys

    async def erase(self, user: str, *, seconds: float) -> bool:
        """Delete a user's ended jobs and dead letters. False if some are left after `seconds`: repeat it."""
        deadline, together = time.monotonic() + seconds, ERASED_TOGETHER
        bounds = {"$gt": f"{user}/", "$lt": user + _LAST}
        async with reported_as(HistoryUnavailable):
            await self._make_listable()
            for collection in (self._dead, self._history):
                while True:
                    began = time.monotonic()
                    piece = collection.find({"user": user, "_id": bounds}, {"_id": 1}).limit(together)
                    ids = [found["_id"] async for found in piece]
                    if not ids:
                        break
                    await collection.delete_many({"_id": {"$in": ids}})
                    if (now := time.monotonic()) > deadline:
                        return False
                    is_quick = now - began < QUICK_SECONDS
                    together = min(2 * together, MOST_ERASED_TOGETHER) if is_quick else ERASED_TOGETHER
        return True

    async def _make_listable(self) -> None:
        """Wait for the index that listing needs, or raise HistoryUnavailable while it is being built.

        MongoDB lists a user's jobs by the index on `_id`. The embedded server reads the whole collection for that, so the
        first listing there builds an index on the user, which may take longer than a request may wait.
        """
        if self._listable:
            return
        if self._indexing is None or self._indexing.done():
            self._indexing = asyncio.create_task(self._index())
        done, _ = await asyncio.wait({self._indexing}, timeout=INDEX_WAIT_SECONDS)
        if not done:
            raise HistoryUnavailable("the index on the user is being built; try again")
        await self._indexing

    async def _index(self) -> None:
        with pymongo.timeout(INDEX_SECONDS):
            sample = {"user": "", "_id": {"$gt": "/", "$lt": "0"}}
            plan = await self._history.find(sample).sort("_id", -1).explain()
            if "COLLSCAN" in str(plan["queryPlanner"]):
                await self._history.create_index("user")
        self._listable = True


def _selection(query: JobQuery) -> Document:
    selection: Document = {"state": {"$in": query.ended_states}}
    if query.type:
        selection["type"] = query.type
    if query.schedule:
        selection["schedule"] = query.schedule
    if query.error:
        selection["error"] = {"$ne": None}
    return selection


async def _read(
    cursor: AsyncCursor[Document] | AsyncCommandCursor[Document], limit: int
) -> tuple[list[Document], bool]:
    """Read up to `limit` documents and MAX_PAGE_BYTES, and say whether more may follow."""
    found: list[Document] = []
    total_bytes = 0
    async with cursor:
        async for document in cursor:
            found.append(document)
            total_bytes += payload_bytes(document)
            if total_bytes > MAX_PAGE_BYTES:
                return found, True
    return found, len(found) == limit
