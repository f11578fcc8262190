"""API keys: secrets with scopes by which programs act for a user, instead of a password.

Only the SHA-256 of a key is stored. An expired key is refused; it stays in the list until its user makes another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from laneway.scopes import Scope
from laneway.storage import key_format
from laneway.storage.mongo import Document, now, primary, reported_as
from laneway.storage.users import UsersUnavailable

MAX_KEYS = 50
"""Keys that one user may have."""


class TooManyKeys(Exception):
    """The user has as many keys as a user may have."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `expires_at` is None for a key that never expires."""

    id: str
    user: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeys:
    """The collection `api_keys`, whose `_id` is the id in a key's text. Every method raises UsersUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._keys = primary(database, "api_keys")
        self._indexed = False

    async def create(
        self, user: str, name: str, scopes: Iterable[Scope], lifetime: timedelta | None
    ) -> tuple[ApiKey, str]:
        """Make a key, which expires after its lifetime. Return it with its text, which nobody can read again.

        Raises TooManyKeys.
        """
        created_at = now()
        text = key_format.new_text()
        document: Document = {
            "_id": key_format.id_of(text),
            "user": user,
            "name": name,
            "hash": key_format.digest(text),
            "scopes": sorted(scopes),
            "created_at": created_at,
        } | ({"expires_at": created_at + lifetime} if lifetime else {})
        async with reported_as(UsersUnavailable):
            await self._index()
            await self._keys.delete_many({"user": user, "expires_at": {"$lt": created_at}})
            await self._keys.insert_one(document)
            if await self._keys.count_documents({"user": user}) > MAX_KEYS:
                await self._keys.delete_one({"_id": document["_id"]})
                raise TooManyKeys(f"a user has at most {MAX_KEYS} API keys: revoke one first")
        return _key(document), text

    async def of_user(self, user: str) -> list[ApiKey]:
        """Return the user's keys, oldest first."""
        async with reported_as(UsersUnavailable):
            keys = [_key(found) async for found in self._keys.find({"user": user}, {"hash": 0})]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def find(self, user: str, key_id: str) -> ApiKey | None:
        """Return one of the user's keys."""
        async with reported_as(UsersUnavailable):
            found = await self._keys.find_one({"_id": key_id, "user": user}, {"hash": 0})
        return _key(found) if found else None

    async def use(self, text: str) -> ApiKey | None:
        """Return the key with this text and record that it was used now. None if there is none, or it has been revoked."""
        mine = {"_id": key_format.id_of(text), "hash": key_format.digest(text)}
        async with reported_as(UsersUnavailable):
            found = await self._keys.find_one_and_update(mine, {"$set": {"last_used_at": now()}})
        return _key(found) if found else None

    async def delete(self, key_id: str) -> None:
        """Delete a key. Processes that cache it must be notified separately (`laneway.api.revocations`)."""
        async with reported_as(UsersUnavailable):
            await self._keys.delete_one({"_id": key_id})

    async def _index(self) -> None:
        if not self._indexed:
            await self._keys.create_index("user")
            self._indexed = True


def _key(document: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        user=document["user"],
        name=document["name"],
        scopes=frozenset(map(Scope, document["scopes"])),
        created_at=document["created_at"],
        expires_at=document.get("expires_at"),
        last_used_at=document.get("last_used_at"),
    )
