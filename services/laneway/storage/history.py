"""Ended jobs, kept in MongoDB: `history` has all of them, `dead_letters` those that failed until somebody retries or drops them.

`_id` is `<user>/<job id>`. Ids sort by acceptance, so that one index finds a job, lists a user's jobs newest first, and makes
storing idempotent: an ended job never changes, hence one that exists is stored already. Request, result and error are JSON text as
bytes, never parsed here; times are microseconds since 2020, which MongoDB's own dates cannot hold.

`HistoryWriter` is the janitor's face (threads, tens of thousands of jobs a second), `History` the API's (event loop).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from laneway.lanes.model import ID_LENGTH, Job, JobState, time_of

Document = dict[str, Any]

COMMAND_BYTES = 8_000_000
"""Payload in one insert: half of the 16 MB that MongoDB takes in one command."""
BODY_BYTES = 12_000_000
"""Payload of one job: a document may have 16 MB. A longer result is not kept (and must not block those behind it)."""
PAGE_BYTES = 8_000_000
"""Payload of one page, the last job apart: what is behind it is not read, for a hundred jobs may have more than a gigabyte."""
SCAN = 5_000
"""Most jobs that one page with a filter looks at."""
WRITER_SECONDS = 20
INDEX_SECONDS, INDEX_WAIT_SECONDS = 600, 0.5
"""Longest time to make an index, and what a request waits for it."""
_DUPLICATE, _INDEX_GONE = 11000, 27
_EXPIRY = "expires"
_LAST = "/~"
"""Sorts behind every job id of a user."""
_TOO_LONG = b'{"type":"TooLong","message":"the result is too long to be kept"}'


class HistoryUnavailable(Exception):
    """MongoDB is away, refuses or answers too late; raised from pymongo's error."""


class HistoryWriter:
    """Stores ended jobs. `days`: how long they are kept, 0 for ever."""

    def __init__(self, database: Database[Document], *, days: int = 0) -> None:
        self._database = database
        self._days = days
        self._prepared = False

    @classmethod
    def connect(cls, url: str, database: str, *, days: int = 0) -> HistoryWriter:
        """With a client of its own, made after any fork; each of its operations ends within WRITER_SECONDS."""
        client: MongoClient[Document] = MongoClient(
            url,
            timeoutMS=WRITER_SECONDS * 1000,
            serverSelectionTimeoutMS=2000,
            connectTimeoutMS=2000,
            appname="laneway-janitor",
        )
        return cls(client[database], days=days)

    def store(self, jobs: Sequence[Job]) -> None:
        """When this returns, all of them are kept, by a majority of servers and on disk. Repeating it does no harm.

        Raises HistoryUnavailable; some may be stored then.
        """
        try:
            if not self._prepared:
                self._prepare()
            if failed := [self._document(job) for job in jobs if job.state is JobState.FAILED]:
                self._insert("dead_letters", self._new(failed))
            self._insert("history", map(self._document, jobs))
        except PyMongoError as error:
            raise HistoryUnavailable(str(error)) from error

    def _new(self, documents: list[Document]) -> Iterable[Document]:
        """Those that history does not have. One that it has was stored before, and its dead letter may have been dropped since."""
        ids = [document["_id"] for document in documents]
        known = {found["_id"] for found in self._database["history"].find({"_id": {"$in": ids}}, {"_id": 1})}
        return (document for document in documents if document["_id"] not in known)

    def _insert(self, collection: str, documents: Iterable[Document]) -> None:
        for piece in _pieces(documents):
            reply = (
                self._database.command(  # a third cheaper than insert_many, which builds its list three times
                    {
                        "insert": collection,
                        "documents": piece,
                        "ordered": False,
                        "writeConcern": {"w": "majority", "j": True},
                    }
                )
            )
            for error in [*reply.get("writeErrors", ()), *filter(None, [reply.get("writeConcernError")])]:
                if error["code"] != _DUPLICATE:
                    raise OperationFailure(error["errmsg"], error["code"], error)

    def _prepare(self) -> None:
        """An index on the date of expiry, if there is one: it costs something with every job."""
        for collection in (self._database["history"], self._database["dead_letters"]):
            if self._days:
                collection.create_index("expires_at", name=_EXPIRY, expireAfterSeconds=0, sparse=True)
            elif _EXPIRY in collection.index_information():
                try:
                    collection.drop_index(_EXPIRY)
                except OperationFailure as error:  # another writer was faster
                    if error.code != _INDEX_GONE:
                        raise
        self._prepared = True

    def _document(self, job: Job) -> Document:
        document: Document = {
            "_id": f"{job.user}/{job.job_id}",
            "user": job.user,
            "type": job.type,
            "request": job.request,
            "state": job.state.value,
            "attempts": job.attempts,
            "max_attempts": job.max_attempts,
            "finished_us": job.finished_us,
        }
        if job.started_us is not None:
            document["started_us"] = job.started_us
            document["worker"] = job.worker
        if job.result is not None:
            document["result"] = job.result
        if job.error is not None:
            document["error"] = job.error
        if job.reason is not None:
            document["reason"] = job.reason
        if job.progress is not None:
            document["progress"], document["note"] = job.progress, job.note
        if _size(document) > BODY_BYTES:
            document["result"], document["error"] = None, _TOO_LONG
        if self._days:
            document["expires_at"] = _expiry(job, self._days)
        return document


def _expiry(job: Job, days: int) -> datetime:
    return time_of(job.finished_us or job.enqueued_us) + timedelta(days=days)


def _size(document: Mapping[str, Any]) -> int:
    return len(document["request"]) + len(document.get("result") or b"") + len(document.get("error") or b"")


def _pieces(documents: Iterable[Document]) -> Iterator[list[Document]]:
    piece: list[Document] = []
    total = 0
    for document in documents:
        size = _size(document) + 500
        if piece and total + size > COMMAND_BYTES:
            yield piece
            piece, total = [], 0
        piece.append(document)
        total += size
    if piece:
        yield piece


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first. `scanned_to`: there may be more, accepted before this one; None if there are no more."""

    jobs: list[Job]
    scanned_to: str | None


class History:
    """Looks at ended jobs, and at dead letters. All of it raises HistoryUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._history = database["history"]
        self._dead = database["dead_letters"]
        self._listable = False
        self._indexing: asyncio.Task[None] | None = None

    async def find(self, user: str, job_id: str) -> Job | None:
        """One of the user's ended jobs."""
        async with _available():
            found = await self._history.find_one({"_id": f"{user}/{job_id}"})
        return _job(found) if found else None

    async def page(self, user: str, before: str, limit: int, state: JobState | None = None) -> Page:
        """The user's ended jobs that were accepted before the job `before` ('' for all). The page may be short though there is
        more: it ends behind PAGE_BYTES, and with a state that is rare no more than SCAN jobs are looked at."""
        newer = {
            "user": user,
            "_id": {"$gt": f"{user}/", "$lt": f"{user}/{before}" if before else user + _LAST},
        }
        async with _available():
            await self._make_listable()
            if state is None:
                found, more = await _read(self._history.find(newer).sort("_id", -1).limit(limit), limit)
                return Page([_job(document) for document in found], _id(found[-1]) if more else None)
            steps: list[Document] = [
                {"$match": newer},
                {"$sort": {"_id": -1}},
                {"$limit": SCAN},
                {"$match": {"state": state.value}},
            ]
            found, more = await _read(await self._history.aggregate([*steps, {"$limit": limit}]), limit)
            jobs = [_job(document) for document in found]
            if more:
                return Page(jobs, _id(found[-1]))
            last = (
                await self._history.find(newer, {"_id": 1}).sort("_id", -1).skip(SCAN - 1).limit(1).to_list()
            )
        return Page(jobs, _id(last[0]) if last else None)

    async def dead_letters(self, after: str, limit: int, user: str = "") -> list[Job]:
        """Dead letters in the order of their keys (see `key_of`), behind the key `after`; of one user or of all."""
        bounds = {"$gt": max(after, f"{user}/" if user else "")} | ({"$lt": user + _LAST} if user else {})
        async with _available():
            return [
                _job(found) async for found in self._dead.find({"_id": bounds}).sort("_id", 1).limit(limit)
            ]

    async def dead_letter(self, user: str, job_id: str) -> Job | None:
        async with _available():
            found = await self._dead.find_one({"_id": f"{user}/{job_id}"})
        return _job(found) if found else None

    async def drop_dead_letter(self, user: str, job_id: str) -> bool:
        """False if there was none. The job stays in the history."""
        async with _available():
            return (await self._dead.delete_one({"_id": f"{user}/{job_id}"})).deleted_count == 1

    async def _make_listable(self) -> None:
        """MongoDB lists a user's jobs by the index that `_id` has. The embedded server reads the whole collection for that, so
        there, and there only, a first listing makes an index on the user. That takes as long as it takes, whatever the time that
        this request has: who comes before it is ready is told to come again."""
        if self._listable:
            return
        if self._indexing is None or self._indexing.done():
            self._indexing = asyncio.create_task(self._index())
        done, _ = await asyncio.wait({self._indexing}, timeout=INDEX_WAIT_SECONDS)
        if not done:
            raise HistoryUnavailable("the jobs are being indexed")
        await self._indexing

    async def _index(self) -> None:
        with pymongo.timeout(INDEX_SECONDS):
            newer = {"user": "", "_id": {"$gt": "/", "$lt": "0"}}
            plan = await self._history.find(newer).sort("_id", -1).explain()
            if "COLLSCAN" in str(plan["queryPlanner"]):
                await self._history.create_index("user")
        self._listable = True


def key_of(job: Job) -> str:
    """Where a job stands among the dead letters."""
    return f"{job.user}/{job.job_id}"


@asynccontextmanager
async def _available() -> AsyncIterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise HistoryUnavailable(str(error)) from error


async def _read(
    cursor: AsyncCursor[Document] | AsyncCommandCursor[Document], limit: int
) -> tuple[list[Document], bool]:
    """What it finds, at most `limit`, up to PAGE_BYTES; and whether there may be more."""
    found: list[Document] = []
    size = 0
    async with cursor:
        async for document in cursor:
            found.append(document)
            size += _size(document)
            if size > PAGE_BYTES:
                return found, True
    return found, len(found) == limit


def _id(document: Mapping[str, Any]) -> str:
    return str(document["_id"])[-ID_LENGTH:]


def _job(document: Mapping[str, Any]) -> Job:
    return Job(
        job_id=_id(document),
        user=document["_id"][: -ID_LENGTH - 1],
        type=document["type"],
        request=document["request"],
        state=JobState(document["state"]),
        attempts=document["attempts"],
        max_attempts=document["max_attempts"],
        progress=document.get("progress"),
        note=document.get("note"),
        result=document.get("result"),
        error=document.get("error"),
        reason=document.get("reason"),
        worker=document.get("worker"),
        started_us=document.get("started_us"),
        finished_us=document.get("finished_us"),
    )
