"""Any user's webhooks, for administrators: list, disable and enable them. Nobody sees their secrets."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from laneway.api import views, webhooks
from laneway.api.audit import Auditor
from laneway.api.deps import Admin, Sys, UserName, WebhookId, problems
from laneway.api.problem import Problem
from laneway.api.webhook_schemas import WebhookList, WebhookReply
from laneway.choices import DisabledBy

router = APIRouter(prefix="/api/admin/users/{user}/webhooks", tags=["administration"])


@router.get("", response_model=WebhookList, responses=problems(400, 401, 403, 503))
async def list_webhooks_of_user(user: UserName, _admin: Admin, system: Sys) -> Response:
    """List the webhooks of any user, oldest first. Of a URL only scheme, host and port are shown: the rest may hold a secret of
    the receiver."""
    found = await system.webhooks.of_user(user)
    shown = await asyncio.gather(*(webhooks.shown_to_admin(system, webhook) for webhook in found))
    return views.answer({"webhooks": shown})


@router.post(
    "/{webhook_id}/disable", response_model=WebhookReply, responses=problems(400, 401, 403, 404, 503)
)
async def disable_webhook_of_user(
    user: UserName, webhook_id: WebhookId, auditor: Auditor, system: Sys
) -> Response:
    """Let a webhook of any user get no more deliveries until an administrator enables it, and cancel those that wait."""
    reason = "an administrator has disabled it"
    disabled = await webhooks.disable(system, user, webhook_id, reason, DisabledBy.ADMINISTRATOR)
    await auditor.record("webhook_disabled", user, webhook=webhook_id)
    return views.answer(await webhooks.shown_to_admin(system, disabled))


@router.post(
    "/{webhook_id}/enable", response_model=WebhookReply, responses=problems(400, 401, 403, 404, 409, 503)
)
async def enable_webhook_of_user(
    user: UserName, webhook_id: WebhookId, auditor: Auditor, system: Sys
) -> Response:
    """Let a webhook of any user get deliveries again that an administrator has disabled. 409: somebody else has disabled it."""
    enabled = webhooks.existing(await system.webhooks.enable(user, webhook_id, by_administrator=True))
    if enabled.disabled_reason is not None:
        detail = f"no administrator has disabled it, so its user has to enable it: {enabled.disabled_reason}"
        raise Problem(409, "not-disabled-by-administrator", detail)
    await auditor.record("webhook_enabled", user, webhook=webhook_id)
    return views.answer(await webhooks.shown_to_admin(system, enabled))
