"""What endpoints and the deletion of accounts do with webhooks: show them, test them, and delete them with their deliveries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import orjson

from laneway.api import lookup
from laneway.api.problem import Problem, bad_request
from laneway.api.system import System
from laneway.choices import DisabledBy
from laneway.delivery_lanes import DeliveryLane
from laneway.lanes.commands import Cancel, Enqueue, EnqueueLimits, InspectJobs, InspectLane
from laneway.lanes.purge import purge_async
from laneway.storage.mongo import now
from laneway.storage.webhooks import Webhook
from laneway.webhooks import events, signing
from laneway.webhooks.addresses import Refused, target_of
from laneway.webhooks.deliveries import Delivery

_TEST_LIMITS = EnqueueLimits(lane_length=10)
"""Test deliveries of one webhook that may wait. They are tried once."""


def key_of(system: System) -> str:
    """Return the key that secrets are made of. Raises Problem if there is none."""
    if system.webhooks_key is None:
        raise Problem(403, "webhooks-off", "webhooks are off here: LANEWAY_WEBHOOKS_KEY is not set")
    return system.webhooks_key


async def check_url(system: System, url: str) -> None:
    """Refuse a URL that nothing may be delivered to. Raises Problem."""
    try:
        await system.destinations.addresses(target_of(url))
    except Refused as refused:
        raise bad_request(str(refused), "#/body/url") from None


async def find(system: System, user: str, webhook_id: str) -> Webhook:
    """Return one of the user's webhooks. Raises Problem, WebhooksUnavailable."""
    return existing(await system.webhooks.find(user, webhook_id))


def existing(webhook: Webhook | None) -> Webhook:
    """Return the webhook. Raises Problem if there is none."""
    if webhook is None:
        raise Problem(404, "unknown-webhook", "the user has no such webhook")
    return webhook


async def test(system: System, webhook: Webhook) -> str:
    """Enqueue a test delivery and return the id of its message. Raises Problem, LaneError."""
    key_of(system)
    check_administrator(webhook)
    message_id = f"msg_{webhook.id}_test{os.urandom(6).hex()}"
    delivery = Delivery(
        webhook_id=webhook.id,
        message_id=message_id,
        url=webhook.url,
        secrets=signing.signing_numbers(webhook.secret, webhook.rotated_at, now()),
        body=events.test(webhook.user, webhook.id, now()),
    )
    lane = DeliveryLane(webhook.user, webhook.id, is_test=True).name
    await system.lanes.run(Enqueue(lane, [delivery.job(os.urandom(6).hex(), attempts=1)], _TEST_LIMITS))
    return message_id


async def check_receiver(system: System, user: str, url: str) -> None:
    """Refuse a host to which an administrator has disabled a webhook of the user. Raises Problem, WebhooksUnavailable."""
    host = target_of(url).host
    for webhook in await system.webhooks.of_user(user):
        if target_of(webhook.url).host == host:
            check_administrator(webhook)


def check_administrator(webhook: Webhook) -> None:
    """Refuse a webhook that an administrator has disabled. Raises Problem."""
    if webhook.disabled_by is DisabledBy.ADMINISTRATOR:
        raise Problem(
            403,
            "disabled-by-administrator",
            f"an administrator has disabled the webhook {webhook.id}: ask an administrator to enable it again",
        )


async def enable(system: System, user: str, webhook_id: str) -> Webhook:
    """Let one of the user's webhooks get deliveries again, unless an administrator has disabled it, and return it.

    Raises Problem, WebhooksUnavailable.
    """
    enabled = existing(await system.webhooks.enable(user, webhook_id, by_administrator=False))
    check_administrator(enabled)
    return enabled


async def delete(system: System, user: str, webhook_id: str) -> None:
    """Delete one of the user's webhooks, and what waits to be delivered, unless an administrator has disabled it.

    Raises Problem, WebhooksUnavailable, StoreUnavailable.
    """
    check_administrator(await find(system, user, webhook_id))
    if not await system.webhooks.delete(user, webhook_id):
        raise Problem(404, "unknown-webhook", "the user has no such webhook")
    await cancel(system, user, [webhook_id], "the webhook was deleted")


async def disable(system: System, user: str, webhook_id: str, reason: str, by: DisabledBy) -> Webhook:
    """Let one of the user's webhooks get no more deliveries, cancel those that wait, and return it.

    Raises Problem, WebhooksUnavailable, StoreUnavailable.
    """
    disabled = existing(await system.webhooks.disable(user, webhook_id, reason, by))
    await cancel(system, user, [webhook_id], "the webhook was disabled")
    return disabled


async def delete_all(system: System, user: str) -> list[str]:
    """Delete the user's webhooks. Return their ids, whose deliveries `cancel` cancels. Raises WebhooksUnavailable."""
    ids = [webhook.id for webhook in await system.webhooks.of_user(user)]
    for webhook_id in ids:
        await system.webhooks.delete(user, webhook_id)
    return ids


async def cancel(system: System, user: str, webhook_ids: Collection[str], reason: str) -> None:
    """Cancel what waits to be delivered to these webhooks. Raises StoreUnavailable."""
    for webhook_id in webhook_ids:
        for is_test in (False, True):
            lane = DeliveryLane(user, webhook_id, is_test).name
            until_us = (await system.presence.inspect(lane)).now_us
            async for _ in purge_async(system.lanes, lane, until_us, reason):
                pass
            async for job in lookup.live(system, lane):
                if not job.state.ended:
                    await system.lanes.run(Cancel(lane, job.job_id, reason))


async def shown(system: System, webhook: Webhook) -> dict[str, Any]:
    """Return a webhook for an answer. Raises StoreUnavailable."""
    lane = DeliveryLane(webhook.user, webhook.id).name
    view, oldest = await asyncio.gather(
        system.lanes.run(InspectLane(lane)), system.lanes.run(InspectJobs(lane, 0, 1, oldest_first=True))
    )
    error = oldest[0].error if oldest and not oldest[0].state.ended else None
    return {
        "webhook_id": webhook.id,
        "url": webhook.url,
        "states": webhook.states,
        "types": webhook.types,
        "created_at": webhook.created_at,
        "rotated_at": webhook.rotated_at,
        "disabled_at": webhook.disabled_at,
        "disabled_reason": webhook.disabled_reason,
        "disabled_by": webhook.disabled_by,
        "waiting": view.queued + view.running,
        "last_error": orjson.loads(error).get("message") if error else None,
        "last": asdict(webhook.last) if webhook.last else None,
    }


async def shown_to_admin(system: System, webhook: Webhook) -> dict[str, Any]:
    """Return a webhook of another user for an answer: the path and the query of its URL are left out. Raises StoreUnavailable."""
    target = target_of(webhook.url)
    return {**await shown(system, webhook), "url": f"{target.scheme}://{target.authority}"}
