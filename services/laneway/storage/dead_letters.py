"""Dead letters: failed jobs until somebody retries or drops them, and their failures in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymongo.asynchronous.database import AsyncDatabase

from laneway.lanes.model import Job
from laneway.storage.documents import DEAD_LETTERS, HistoryUnavailable, job_id_of, job_of
from laneway.storage.failure import UNSORTED
from laneway.storage.mongo import Document, primary, reported_as

_LAST = "/~"
"""Sorts behind every job id of a user."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of dead letters; '' selects all. `failure` is a kind of failure, as `failure_of` returns it."""

    user: str = ""
    type: str = ""
    failure: str = ""
    ended_by_us: int | None = None
    """Only jobs that had ended by then; None for all."""

    def query(self, after: str = "") -> Document:
        """Return the query for those behind the key `after` (see `key_of`).

        No bound that selects all: some servers would walk it instead of the index on failures.
        """
        query: Document = {}
        if self.user:
            query["_id"] = {"$gt": max(after, f"{self.user}/"), "$lt": self.user + _LAST}
        elif after:
            query["_id"] = {"$gt": after}
        if self.type:
            query["type"] = self.type
        if self.failure:
            query["failure"] = None if self.failure == UNSORTED else self.failure
        if self.ended_by_us is not None:
            query["finished_us"] = {"$lte": self.ended_by_us}
        return query


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead letters of one type that failed alike. `example` is the last one that failed; times as in `Job`."""

    type: str
    failure: str
    count: int
    first_us: int
    last_us: int
    example_user: str
    example_id: str


class DeadLetters:
    """The collection `dead_letters`. Every method raises HistoryUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._dead = primary(database, DEAD_LETTERS)

    async def page(self, selection: Selection, after: str, limit: int) -> list[Job]:
        """Return dead letters behind the key `after` in the order of their keys: by user, then by acceptance."""
        async with reported_as(HistoryUnavailable):
            cursor = self._dead.find(selection.query(after)).sort("_id", 1).limit(limit)
            return [job_of(found) async for found in cursor]

    async def count(self, selection: Selection, after: str = "") -> int:
        """Return how many there are behind the key `after`."""
        async with reported_as(HistoryUnavailable):
            return await self._dead.count_documents(selection.query(after))

    async def keys(self, selection: Selection, after: str, limit: int) -> list[str]:
        """Return the keys of dead letters, in the order of `page`."""
        async with reported_as(HistoryUnavailable):
            cursor = self._dead.find(selection.query(after), {"_id": 1}).sort("_id", 1).limit(limit)
            return [found["_id"] async for found in cursor]

    async def with_keys(self, keys: Sequence[str]) -> dict[str, Job]:
        """Return the dead letters with these keys that are still there."""
        async with reported_as(HistoryUnavailable):
            return {
                found["_id"]: job_of(found) async for found in self._dead.find({"_id": {"$in": list(keys)}})
            }

    async def drop_with_keys(self, keys: Sequence[str]) -> int:
        """Drop the dead letters with these keys and return how many there were."""
        async with reported_as(HistoryUnavailable):
            return (await self._dead.delete_many({"_id": {"$in": list(keys)}})).deleted_count

    async def find(self, user: str, job_id: str) -> Job | None:
        """Return one of the user's dead letters."""
        async with reported_as(HistoryUnavailable):
            found = await self._dead.find_one({"_id": f"{user}/{job_id}"})
        return job_of(found) if found else None

    async def drop(self, user: str, job_id: str) -> bool:
        """Drop a dead letter and return whether there was one. The job stays in the history."""
        async with reported_as(HistoryUnavailable):
            return (await self._dead.delete_one({"_id": f"{user}/{job_id}"})).deleted_count == 1

    async def count_by_user(self, limit: int) -> dict[str, int]:
        """Return the numbers of dead letters of the users who have most. Cost: one pass over the dead letters."""
        async with reported_as(HistoryUnavailable):
            steps: list[Document] = [
                {"$group": {"_id": "$user", "count": {"$sum": 1}}},
                {"$sort": {"count": -1, "_id": 1}},
                {"$limit": limit},
            ]
            return {found["_id"]: found["count"] async for found in await self._dead.aggregate(steps)}

    async def groups(self, selection: Selection, limit: int) -> list[FailureGroup]:
        """Return the largest groups of failures, the largest first. Cost: one pass over the dead letters."""
        async with reported_as(HistoryUnavailable):
            steps: list[Document] = [
                {"$match": selection.query()},
                {"$group": {"_id": {"type": "$type", "failure": "$failure"}, "count": {"$sum": 1}}},
                {"$sort": {"count": -1, "_id": 1}},
                {"$limit": limit},
            ]
            found = await (await self._dead.aggregate(steps)).to_list()
            groups = [await self._group(selection, one["_id"], one["count"]) for one in found]
        return [group for group in groups if group]

    async def _group(self, selection: Selection, same: Document, count: int) -> FailureGroup | None:
        """Return a group, None if it has been retried or dropped meanwhile.

        First and last are read one by one, by an index: FerretDB cannot group by a minimum.
        """
        query = selection.query() | {"type": same["type"], "failure": same.get("failure")}
        ends = [
            await self._dead.find_one(query, {"finished_us": 1}, sort=[("finished_us", order)])
            for order in (1, -1)
        ]
        first, last = ends
        if first is None or last is None:
            return None
        user, job_id = last["_id"].rpartition("/")[0], job_id_of(last)
        times = first["finished_us"], last["finished_us"]
        return FailureGroup(same["type"], same.get("failure") or UNSORTED, count, *times, user, job_id)
