"""The caller's webhooks: URLs of the user's own to which the ends of jobs are delivered, signed and with retries."""

from __future__ import annotations

import asyncio
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Response

from laneway.api import body, views, webhooks
from laneway.api.deps import Caller, Sys, WebhookId, problems
from laneway.api.webhook_schemas import NewWebhook, NewWebhookReply, TestDelivery, WebhookList, WebhookReply
from laneway.choices import DisabledBy
from laneway.lanes.errors import TokenRevoked
from laneway.lanes.model import JobState
from laneway.scopes import Scope
from laneway.webhooks.signing import secret_of

log = structlog.get_logger()
router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])
_NewWebhook = Annotated[NewWebhook, Depends(body.of(NewWebhook))]
_PROBLEMS = problems(400, 401, 403, 404, 503)


@router.get("", response_model=WebhookList, responses=problems(401, 403, 503))
async def list_webhooks(caller: Caller, system: Sys) -> Response:
    """List the caller's webhooks, oldest first. Nobody can read their secrets again."""
    found = await system.webhooks.of_user(caller.user)
    shown = await asyncio.gather(*(webhooks.shown(system, webhook) for webhook in found))
    return views.answer({"webhooks": shown})


@router.post(
    "",
    status_code=201,
    response_model=NewWebhookReply,
    responses=problems(400, 401, 403, 408, 409, 413, 503),
    openapi_extra=body.documented(NewWebhook),
)
async def create_webhook(caller: Caller, new: _NewWebhook, system: Sys) -> Response:
    """Add a webhook. This answer alone shows its secret, which signs the deliveries as Standard Webhooks says.

    An API key needs the scopes `write` and `read`, because deliveries show jobs. The webhook belongs to the user, so it outlives the
    key. 403: also for a host to which an administrator has disabled a webhook of the caller.
    """
    caller.require(Scope.READ)
    key = webhooks.key_of(system)
    await webhooks.check_url(system, new.url)
    await webhooks.check_receiver(system, caller.user, new.url)
    states = sorted({JobState(state.value) for state in new.states})
    webhook = await system.webhooks.create(caller.user, new.url, states, sorted(set(new.types)))
    try:
        await system.revocations.check(caller)
    except TokenRevoked:  # the account may have been deleted meanwhile, with all webhooks but this one
        await system.webhooks.delete(caller.user, webhook.id)
        raise
    log.info("webhook_created", user=caller.user, webhook=webhook.id)
    secret = secret_of(key, webhook.id, webhook.secret)
    return views.answer({**await webhooks.shown(system, webhook), "secret": secret}, 201)


@router.get("/{webhook_id}", response_model=WebhookReply, responses=_PROBLEMS)
async def get_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Show one of the caller's webhooks: its last delivery, and what waits."""
    return views.answer(await webhooks.shown(system, await webhooks.find(system, caller.user, webhook_id)))


@router.delete("/{webhook_id}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def delete_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Delete one of the caller's webhooks, and cancel the deliveries that wait. 403: an administrator has disabled it."""
    await webhooks.delete(system, caller.user, webhook_id)
    log.info("webhook_deleted", user=caller.user, webhook=webhook_id)
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate", response_model=NewWebhookReply, responses=_PROBLEMS)
async def rotate_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Replace the secret of one of the caller's webhooks. This answer alone shows the new one.

    For a day, deliveries are signed with the old secret too. Those that wait are signed with both.
    """
    key = webhooks.key_of(system)
    webhook = webhooks.existing(await system.webhooks.rotate(caller.user, webhook_id))
    log.info("webhook_rotated", user=caller.user, webhook=webhook_id)
    secret = secret_of(key, webhook.id, webhook.secret)
    return views.answer({**await webhooks.shown(system, webhook), "secret": secret})


@router.post("/{webhook_id}/enable", response_model=WebhookReply, responses=_PROBLEMS)
async def enable_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Let one of the caller's webhooks get deliveries again after it was disabled. What was missed is not made up for.

    403: an administrator has disabled it, so only an administrator enables it again.
    """
    webhook = await webhooks.enable(system, caller.user, webhook_id)
    log.info("webhook_enabled", user=caller.user, webhook=webhook_id)
    return views.answer(await webhooks.shown(system, webhook))


@router.post("/{webhook_id}/disable", response_model=WebhookReply, responses=_PROBLEMS)
async def disable_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Let one of the caller's webhooks get no more deliveries until it is enabled, and cancel those that wait."""
    disabled = await webhooks.disable(
        system, caller.user, webhook_id, "you have disabled it", DisabledBy.USER
    )
    log.info("webhook_disabled", user=caller.user, webhook=webhook_id)
    return views.answer(await webhooks.shown(system, disabled))


@router.post(
    "/{webhook_id}/test", status_code=202, response_model=TestDelivery, responses=_PROBLEMS | problems(429)
)
async def test_webhook(webhook_id: WebhookId, caller: Caller, system: Sys) -> Response:
    """Deliver an event `webhook.test`, once and soon, whatever waits. `last` of the webhook will have the result.

    403: an administrator has disabled it.
    """
    webhook = await webhooks.find(system, caller.user, webhook_id)
    return views.answer({"message_id": await webhooks.test(system, webhook)}, 202)
