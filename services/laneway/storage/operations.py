"""Operations: one action on all jobs that match a filter. API processes carry them out, a step at a time.

A document holds all that the next step needs, so that any process can go on where another one died. `pending` are the jobs of the
next step: they are written down before anything is done to them, and `settled` is false while a process works on them.
Whoever takes over an operation that is not settled knows that some of them may have been dealt with.

A process holds an operation by a token until a moment by Redis's clock. Progress is saved only by the holder.
More than 250 lines, because all that reads or writes such a document is here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bson.int64 import Int64
from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from laneway.lanes.model import JobState
from laneway.storage.job_query import NEVER_US
from laneway.storage.mongo import Document, now, primary, reported_as

OPERATIONS = "operations"
ID_LENGTH = 21
KEPT = timedelta(days=30)
"""How long an operation is kept after its end."""
MAX_EXAMPLES = 100
"""Jobs that an operation names with the reason why nothing was done to them. All are counted."""


class OperationsUnavailable(Exception):
    """MongoDB is away, refuses or answers too late. Raised from pymongo's error."""


class TooManyOperations(Exception):
    """As many operations of one user run as may run at once."""


class Action(StrEnum):
    """What is done to the jobs: cancel what has not ended, retry or drop dead letters."""

    CANCEL = "cancel"
    RETRY = "retry"
    DROP = "drop"


class OperationState(StrEnum):
    """The state of an operation. The last two are final."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


LIVE_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)


@dataclass(frozen=True, slots=True)
class Target:
    """Which jobs. '' selects all; `failure` is for dead letters, states and times of acceptance are for the others."""

    user: str = ""
    type: str = ""
    failure: str = ""
    states: tuple[JobState, ...] = LIVE_STATES
    since_us: int = 0
    until_us: int = NEVER_US


@dataclass(frozen=True, slots=True)
class NotDone:
    """A job to which nothing was done."""

    user: str
    job_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as MongoDB keeps it. Only jobs that were accepted (dead letters: that had failed) by `begun_us` are concerned."""

    id: str
    by: str
    """Who started it."""
    is_admins: bool
    """Whether an administrator started it as one."""
    action: Action
    target: Target
    begun_us: int
    total: int
    """How many jobs matched when it was started. `is_total_low`: at least so many."""
    is_total_low: bool
    created_at: datetime
    state: OperationState = OperationState.RUNNING
    done: int = 0
    not_done: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[NotDone] = ()
    waits_for: str | None = None
    """Why it does not go on."""
    waits_since_us: int = 0
    finished_at: datetime | None = None
    cursor: str = ""
    """Where the search for more jobs goes on."""
    is_selected: bool = False
    """Whether all jobs have been found: only the pending ones are left."""
    pending: Sequence[str] = ()
    """Keys (`<user>/<job id>`) of the jobs that are next."""
    is_settled: bool = True
    """Whether nothing has been done to the pending jobs."""


class Operations:
    """The collection `operations`. Every method raises OperationsUnavailable."""

    def __init__(self, database: AsyncDatabase[Document], *, max_running: int) -> None:
        self._operations = primary(database, OPERATIONS)
        self._max_running = max_running
        self._indexed = False

    async def start(self, operation: Operation) -> None:
        """Keep a new operation; some process will carry it out. Raises TooManyOperations."""
        document = _document_of(operation) | {"held_until_us": 0, "holder": "", "is_settled": True}
        running = {"by": operation.by, "state": OperationState.RUNNING.value}
        async with reported_as(OperationsUnavailable):
            await self._index()
            await self._operations.insert_one(document)
            # counted afterwards, so that two at once cannot pass the limit together
            if await self._operations.count_documents(running) > self._max_running:
                await self._operations.delete_one({"_id": operation.id})
                raise TooManyOperations(
                    f"{self._max_running} operations of this user are running: wait for one to end, or cancel one"
                )

    async def find(self, id_: str, by: str | None) -> Operation | None:
        """Return an operation; with `by` only if that user started it."""
        async with reported_as(OperationsUnavailable):
            found = await self._operations.find_one({"_id": id_} | _started_by(by))
        return _operation_of(found) if found else None

    async def page(self, by: str | None, before: str, limit: int) -> list[Operation]:
        """Return operations, newest first, that are older than `before`; '' starts with the newest."""
        query = _started_by(by) | ({"_id": {"$lt": before}} if before else {})
        async with reported_as(OperationsUnavailable):
            found = self._operations.find(query).sort("_id", -1).limit(limit)
            return [_operation_of(document) async for document in found]

    async def cancel(self, id_: str, by: str | None) -> Operation | None:
        """End an operation, and return it as it was before; None if there is none. What has been done stays done."""
        query = {"_id": id_, "state": OperationState.RUNNING.value} | _started_by(by)
        async with reported_as(OperationsUnavailable):
            found = await self._operations.find_one_and_update(
                query, {"$set": _end(OperationState.CANCELLED)}
            )
        return _operation_of(found) if found else await self.find(id_, by)

    async def delete_all(self, user: str) -> None:
        """Delete the operations that the user started."""
        async with reported_as(OperationsUnavailable):
            await self._operations.delete_many({"by": user})

    async def hold(self, holder: str, now_us: int, hold_us: int) -> Operation | None:
        """Take the running operation that nobody holds and that has waited longest, for `hold_us`. None if there is none."""
        query = {"state": OperationState.RUNNING.value, "held_until_us": {"$lte": now_us}}
        fields = {"holder": holder, "held_until_us": now_us + hold_us, "is_settled": False}
        async with reported_as(OperationsUnavailable):
            await self._index()
            found = await self._operations.find_one_and_update(
                query, {"$set": fields}, sort=[("held_until_us", 1)], return_document=ReturnDocument.BEFORE
            )
        return _operation_of(found) if found else None

    async def save(self, operation: Operation, holder: str, held_until_us: int, *, goes_on: bool) -> bool:
        """Save progress, and the end if it has ended. False if it is over, or another process holds it.

        Counts are saved although somebody has cancelled it meanwhile. `goes_on`: the holder begins with the pending jobs now.
        """
        fields = _progress_of(operation) | {"held_until_us": held_until_us, "is_settled": not goes_on}
        mine = {"_id": operation.id, "holder": holder}
        async with reported_as(OperationsUnavailable):
            found = await self._operations.find_one_and_update(mine, {"$set": fields}, {"state": 1})
            if found is None or found["state"] != OperationState.RUNNING.value:
                return False
            if operation.state is not OperationState.RUNNING:
                running = mine | {"state": OperationState.RUNNING.value}
                await self._operations.update_one(running, {"$set": _end(operation.state)})
                return False
        return True

    async def _index(self) -> None:
        if not self._indexed:
            await self._operations.create_index([("state", 1), ("held_until_us", 1)])
            await self._operations.create_index([("by", 1), ("_id", -1)])
            await self._operations.create_index("expires_at", expireAfterSeconds=0, sparse=True)
            self._indexed = True


def new_id(now_us: int) -> str:
    """Return an id that nobody can guess. Ids sort by time."""
    return f"{now_us:013x}{secrets.token_hex(4)}"


def _started_by(by: str | None) -> Document:
    return {} if by is None else {"by": by}


def _end(state: OperationState) -> Document:
    finished_at = now()
    return {"state": state.value, "finished_at": finished_at, "expires_at": finished_at + KEPT}


def _document_of(operation: Operation) -> Document:
    target = operation.target
    return {
        "_id": operation.id,
        "by": operation.by,
        "is_admins": operation.is_admins,
        "action": operation.action.value,
        "target": {
            "user": target.user,
            "type": target.type,
            "failure": target.failure,
            "states": [state.value for state in target.states],
            "since_us": target.since_us,
            "until_us": target.until_us,
        },
        "begun_us": operation.begun_us,
        "total": operation.total,
        "is_total_low": operation.is_total_low,
        "created_at": operation.created_at,
        "state": operation.state.value,
        "finished_at": operation.finished_at,
    } | _progress_of(operation)


def _progress_of(operation: Operation) -> Document:
    return {
        "done": operation.done,
        "not_done": operation.not_done,
        "reasons": [[reason, count] for reason, count in operation.reasons.items()],
        "examples": [[one.user, one.job_id, one.reason] for one in operation.examples],
        "waits_for": operation.waits_for,
        "waits_since_us": operation.waits_since_us,
        "cursor": operation.cursor,
        "is_selected": operation.is_selected,
        "pending": list(operation.pending),
    }


def _operation_of(document: Mapping[str, Any]) -> Operation:
    target = {name: _plain(value) for name, value in document["target"].items()}
    fields = {
        name: _plain(document[name])
        for name in Operation.__dataclass_fields__
        if name not in ("id", "action", "state", "target", "reasons", "examples")
    }
    return Operation(
        id=document["_id"],
        action=Action(document["action"]),
        state=OperationState(document["state"]),
        target=Target(**target | {"states": tuple(JobState(state) for state in target["states"])}),
        reasons=dict(document["reasons"]),
        examples=[NotDone(*one) for one in document["examples"]],
        **fields,
    )


def _plain(value: Any) -> Any:
    """Return an integer as Python's own: the driver's class for long ones cannot be sent to Redis."""
    return int(value) if isinstance(value, Int64) else value
