"""The audit log: what administrators did, to whom, from where and when. Entries are added and read, never changed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from laneway.storage.mongo import Document, now, primary, reported_as
from laneway.storage.users import UsersUnavailable

ID_LENGTH = 21


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `id` sorts by time; `key_id` is the API key with which it was done; `user` is whom it concerns."""

    id: str
    at: datetime
    action: str
    by: str
    key_id: str | None
    address: str
    user: str
    details: Mapping[str, Any]


class Audit:
    """The collection `audit`. Every method raises UsersUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._entries = primary(database, "audit")

    async def add(
        self, action: str, *, by: str, key_id: str | None, address: str, user: str, details: Mapping[str, Any]
    ) -> None:
        """Add an entry for an action that was done now."""
        document: Document = {
            "_id": f"{time.time_ns() // 1000:013x}{secrets.token_hex(4)}",
            "at": now(),
            "action": action,
            "by": by,
            "key_id": key_id,
            "address": address,
            "user": user,
            "details": dict(details),
        }
        async with reported_as(UsersUnavailable):
            await self._entries.insert_one(document)

    async def page(self, before: str, limit: int) -> list[Entry]:
        """Return entries, newest first, that are older than the entry `before`; '' starts with the newest."""
        query = {"_id": {"$lt": before}} if before else {}
        async with reported_as(UsersUnavailable):
            return [
                Entry(id=found.pop("_id"), **found)
                async for found in self._entries.find(query).sort("_id", -1).limit(limit)
            ]
