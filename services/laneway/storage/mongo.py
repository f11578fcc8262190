"""Connections to MongoDB, and what every collection needs of them.

Time limits come from the URL where it has them, else from the caller: a server far away needs more than one next door.
Collections read from the primary whatever the URL prefers, because the API reads what another process has just written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pymongo import AsyncMongoClient, MongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

Document = dict[str, Any]

DURABLE = WriteConcern("majority", j=True)
"""A write is acknowledged when a majority of servers has it on disk."""
_STEP_TIMEOUTS = ("serverselectiontimeoutms", "connecttimeoutms", "sockettimeoutms")


def connect_async(url: str, *, timeout_seconds: float, appname: str) -> AsyncMongoClient[Document]:
    """Return a client for an event loop whose operations end within `timeout_seconds`, or the time limits of the URL."""
    return AsyncMongoClient(url, **_limits(url, timeout_seconds), tz_aware=True, appname=appname)


def connect(url: str, *, timeout_seconds: float, appname: str) -> MongoClient[Document]:
    """Return a client for threads, as `connect_async` does."""
    return MongoClient(url, **_limits(url, timeout_seconds), appname=appname)


def connect_janitor(url: str) -> MongoClient[Document]:
    """Return the client of a janitor, which can wait: its operations end within 20 s. Call it after any fork."""
    return connect(url, timeout_seconds=20, appname="laneway-janitor")


def primary(database: AsyncDatabase[Document], name: str) -> AsyncCollection[Document]:
    """Return a collection that reads its own writes and acknowledges them when they are durable."""
    return database.get_collection(name, read_preference=ReadPreference.PRIMARY, write_concern=DURABLE)


def now() -> datetime:
    """Return the time as MongoDB keeps it: in UTC, in whole milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@asynccontextmanager
async def reported_as(unavailable: type[Exception]) -> AsyncIterator[None]:
    """Raise `unavailable` from any error of pymongo."""
    try:
        yield
    except PyMongoError as error:
        raise unavailable(str(error)) from error


def _limits(url: str, timeout_seconds: float) -> dict[str, Any]:
    """Choose the time limits that the URL does not have.

    `timeoutMS` limits a whole operation, with the search for a server and a new connection. If the URL limits single steps
    instead, they must fit in, so it grows to their sum.
    """
    given = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    steps_ms = sum(int(given[name]) for name in _STEP_TIMEOUTS if given.get(name, "").isdecimal())
    limit_ms = max(int(timeout_seconds * 1000), steps_ms)
    limits: dict[str, Any] = {
        "timeoutMS": limit_ms,
        "connectTimeoutMS": limit_ms,
        "serverSelectionTimeoutMS": limit_ms,  # `close` obeys no other, and would wait 30 s for a server that is away
    }
    return {name: value for name, value in limits.items() if name.lower() not in given}
