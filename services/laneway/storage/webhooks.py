"""Webhooks: the URLs to which users have the ends of their jobs delivered. Their secrets are not stored: see `laneway.webhooks.signing`.

`_id` is the webhook's id. `secret` counts the rotations. A webhook with `disabled_reason` gets no deliveries; `disabled_by` says who
may change that.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from laneway.choices import DisabledBy
from laneway.lanes.model import JobState
from laneway.storage.mongo import Document, now, primary, reported_as

WEBHOOKS = "webhooks"
KNOWN_SECONDS = 0.25
"""How long the janitor may remember which users have webhooks."""


class WebhooksUnavailable(Exception):
    """MongoDB is away, refuses or answers too late. Raised from pymongo's error."""


class TooManyWebhooks(Exception):
    """The user has as many webhooks as a user may have."""


@dataclass(frozen=True, slots=True)
class LastDelivery:
    """The delivery of a webhook that ended last. `detail` says what the receiver answered, or what went wrong."""

    at: datetime
    message_id: str
    delivered: bool
    attempts: int
    detail: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as MongoDB keeps it. Empty `types`: jobs of any type. `secret`: the number of its secret."""

    id: str
    user: str
    url: str
    states: Sequence[JobState]
    types: Sequence[str]
    secret: int
    created_at: datetime
    rotated_at: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    disabled_by: DisabledBy | None
    last: LastDelivery | None

    def wants(self, type_: str, state: JobState) -> bool:
        """Whether the end of such a job is to be delivered."""
        return state in self.states and (not self.types or type_ in self.types)


class Webhooks:
    """What the API does with webhooks. Every method raises WebhooksUnavailable."""

    def __init__(self, database: AsyncDatabase[Document], *, max_per_user: int) -> None:
        self._webhooks = primary(database, WEBHOOKS)
        self._max_per_user = max_per_user
        self._indexed = False

    async def create(self, user: str, url: str, states: Sequence[JobState], types: Sequence[str]) -> Webhook:
        """Add a webhook. It gets the ends of all jobs that end after this returns. Raises TooManyWebhooks."""
        document: Document = {
            "_id": secrets.token_hex(6),
            "user": user,
            "url": url,
            "states": [state.value for state in states],
            "types": list(types),
            "secret": 1,
            "created_at": now(),
        }
        async with reported_as(WebhooksUnavailable):
            if not self._indexed:
                await self._webhooks.create_index("user")
                self._indexed = True
            await self._webhooks.insert_one(document)
            # It counts afterwards, so that two at once cannot pass the limit together.
            if await self._webhooks.count_documents({"user": user}) > self._max_per_user:
                await self._webhooks.delete_one({"_id": document["_id"]})
                raise TooManyWebhooks(f"a user has at most {self._max_per_user} webhooks: delete one first")
        await asyncio.sleep(KNOWN_SECONDS)
        return webhook_of(document)

    async def of_user(self, user: str) -> list[Webhook]:
        """Return the user's webhooks, oldest first."""
        async with reported_as(WebhooksUnavailable):
            found = [webhook_of(document) async for document in self._webhooks.find({"user": user})]
        return sorted(found, key=lambda webhook: (webhook.created_at, webhook.id))

    async def find(self, user: str, webhook_id: str) -> Webhook | None:
        """Return one of the user's webhooks."""
        async with reported_as(WebhooksUnavailable):
            found = await self._webhooks.find_one({"_id": webhook_id, "user": user})
        return webhook_of(found) if found else None

    async def rotate(self, user: str, webhook_id: str) -> Webhook | None:
        """Give one of the user's webhooks its next secret and return it; None if there is none."""
        return await self._update(user, webhook_id, {"$inc": {"secret": 1}, "$set": {"rotated_at": now()}})

    async def enable(self, user: str, webhook_id: str, *, by_administrator: bool) -> Webhook | None:
        """Enable one of the user's webhooks and return it. None if the user has no such webhook.

        Administrators enable what an administrator has disabled, and users everything else. Otherwise it stays as it is.
        """
        administrator = DisabledBy.ADMINISTRATOR.value
        changed = await self._change(
            {
                "_id": webhook_id,
                "user": user,
                "disabled_by": administrator if by_administrator else {"$ne": administrator},
            },
            {"$unset": {"disabled_at": "", "disabled_reason": "", "disabled_by": ""}},
        )
        if changed:
            await asyncio.sleep(KNOWN_SECONDS)
        return await self.find(user, webhook_id)

    async def disable(self, user: str, webhook_id: str, reason: str, by: DisabledBy) -> Webhook | None:
        """Disable one of the user's webhooks and return it. None if the user has no such webhook.

        A webhook that is disabled already keeps its reason, unless an administrator gives another.
        """
        query: Document = {"_id": webhook_id, "user": user}
        if by is DisabledBy.ADMINISTRATOR:
            query["disabled_by"] = {"$ne": by.value}
        else:
            query["disabled_reason"] = None
        changes = {"disabled_at": now(), "disabled_reason": reason, "disabled_by": by.value}
        await self._change(query, {"$set": changes})
        return await self.find(user, webhook_id)

    async def _change(self, query: Document, change: Mapping[str, Any]) -> bool:
        async with reported_as(WebhooksUnavailable):
            return bool((await self._webhooks.update_one(query, change)).matched_count)

    async def delete(self, user: str, webhook_id: str) -> bool:
        """Delete one of the user's webhooks. Return whether there was one."""
        async with reported_as(WebhooksUnavailable):
            return bool((await self._webhooks.delete_one({"_id": webhook_id, "user": user})).deleted_count)

    async def _update(self, user: str, webhook_id: str, change: Mapping[str, Any]) -> Webhook | None:
        async with reported_as(WebhooksUnavailable):
            found = await self._webhooks.find_one_and_update(
                {"_id": webhook_id, "user": user}, change, return_document=ReturnDocument.AFTER
            )
        return webhook_of(found) if found else None


def webhook_of(document: Mapping[str, Any]) -> Webhook:
    """Return the webhook in a document."""
    last, disabled_by = document.get("last"), document.get("disabled_by")
    return Webhook(
        id=document["_id"],
        user=document["user"],
        url=document["url"],
        states=[JobState(state) for state in document["states"]],
        types=document["types"],
        secret=document["secret"],
        created_at=document["created_at"],
        rotated_at=document.get("rotated_at"),
        disabled_at=document.get("disabled_at"),
        disabled_reason=document.get("disabled_reason"),
        disabled_by=DisabledBy(disabled_by) if disabled_by else None,
        last=LastDelivery(**last) if last else None,
    )
