"""The janitor's access to webhooks: whose jobs are delivered where, and how deliveries ended. Called from threads."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime

import structlog
from bson.codec_options import CodecOptions
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import PyMongoError

from laneway.choices import DisabledBy
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.mongo import DURABLE, Document, now
from laneway.storage.webhooks import KNOWN_SECONDS, WEBHOOKS, LastDelivery, Webhook, webhook_of

MAX_KNOWN = 100
"""Webhooks whose users are remembered. With more, MongoDB is asked for each batch."""
log = structlog.get_logger()


class WebhookTargets:
    """Every method raises HistoryUnavailable: what cannot be delivered stays in the outbox."""

    def __init__(self, database: Database[Document]) -> None:
        self._webhooks = database.get_collection(
            WEBHOOKS,
            codec_options=CodecOptions(tz_aware=True),
            read_preference=ReadPreference.PRIMARY,
            write_concern=DURABLE,
        )
        self._known: frozenset[str] | None = None
        """The users who have webhooks; None if they are not known, or too many."""
        self._known_at = float("-inf")

    def of_users(self, users: Collection[str]) -> Mapping[str, list[Webhook]]:
        """Return the webhooks of these users that get deliveries.

        While few users have any, the others cost one question in KNOWN_SECONDS. Whoever adds a webhook waits as long.
        """
        found: dict[str, list[Webhook]] = {}
        try:
            if time.monotonic() - self._known_at > KNOWN_SECONDS:
                self._learn()
            if self._known is not None:
                users = self._known.intersection(users)
            if not users:
                return found
            for document in self._webhooks.find({"user": {"$in": list(users)}, "disabled_reason": None}):
                try:
                    webhook = webhook_of(document)
                except (
                    KeyError,
                    TypeError,
                    ValueError,
                ):  # of a newer release: it must not hold up the others
                    log.exception("webhook_unreadable", webhook=document["_id"])
                else:
                    found.setdefault(webhook.user, []).append(webhook)
        except PyMongoError as error:
            raise HistoryUnavailable(str(error)) from error
        return found

    def _learn(self) -> None:
        asked_at = time.monotonic()
        enabled = self._webhooks.find({"disabled_reason": None}, {"_id": 0, "user": 1}).limit(MAX_KNOWN + 1)
        users = [document["user"] for document in enabled]
        self._known = frozenset(users) if len(users) <= MAX_KNOWN else None
        self._known_at = asked_at

    def record(self, webhook_id: str, last: LastDelivery, delivered_at: datetime | None) -> None:
        """Record the delivery that ended last, and when one was delivered if that is news."""
        changes: Document = {"last": asdict(last)}
        if delivered_at is not None:
            changes["delivered_at"] = delivered_at
        self._update({"_id": webhook_id}, changes)

    def disable(
        self, webhook_id: str, reason: str, *, unless_delivered_since: datetime | None = None
    ) -> bool:
        """Let a webhook get no more deliveries. Return whether it was enabled."""
        query: Document = {"_id": webhook_id, "disabled_reason": None}
        if unless_delivered_since is not None:
            query["$or"] = [{"delivered_at": None}, {"delivered_at": {"$lt": unless_delivered_since}}]
        changes = {"disabled_reason": reason, "disabled_at": now(), "disabled_by": DisabledBy.LANEWAY.value}
        return self._update(query, changes)

    def _update(self, query: Document, changes: Document) -> bool:
        try:
            return bool(self._webhooks.update_one(query, {"$set": changes}).matched_count)
        except PyMongoError as error:
            raise HistoryUnavailable(str(error)) from error
