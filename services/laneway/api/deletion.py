"""Deletes an account: everything that belongs to the user first, the user last, so that a call that failed can be repeated."""

from __future__ import annotations

from laneway.api import keys, lookup, metrics, webhooks
from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.api.tokens import Token
from laneway.lanes.commands import Cancel
from laneway.lanes.purge import purge_async
from laneway.telemetry import job_events

ERASE_SECONDS = 5.0
"""How long one call deletes history. A client that repeats calls waits no longer for one answer."""
REASON = "the account was deleted"


async def delete_account(system: System, caller: Token) -> None:
    """Delete the caller's keys, schedules, operations, webhooks, jobs, history and account.

    Raises LastAdministrator, Problem if history is left, UsersUnavailable, SchedulesUnavailable, WebhooksUnavailable,
    HistoryUnavailable, StoreUnavailable.
    """
    user = caller.user
    await system.users.check_demotion(user)
    for key in await system.api_keys.of_user(user):
        await keys.revoke(system, user, key.id)
    await system.schedules.delete_all(user)
    await system.operations.delete_all(user)
    webhook_ids = await webhooks.delete_all(system, user)
    await webhooks.cancel(system, user, webhook_ids, REASON)
    await _cancel_jobs(system, user)
    if not await system.history.erase(user, seconds=ERASE_SECONDS):
        raise Problem(503, "history-long", "some of the history is left: repeat this", retry_after_seconds=1)
    await system.revocations.revoke_log_ins(user, system.tokens.revoked_seconds)
    await system.users.delete(user)
    await system.revocations.revoke_log_ins(
        user, system.tokens.revoked_seconds
    )  # somebody may have logged in meanwhile
    await system.hub.end_log_ins(user)
    await system.schedules.delete_all(user)  # and put a schedule
    await system.operations.delete_all(user)
    # Or a webhook, and deliveries may have been on their way to the lanes of those that are deleted.
    await webhooks.cancel(system, user, [*webhook_ids, *await webhooks.delete_all(system, user)], REASON)
    await _cancel_jobs(system, user)  # those that the user enqueued meanwhile


async def _cancel_jobs(system: System, user: str) -> None:
    until_us = (await system.presence.inspect(user)).now_us
    async for job_ids in purge_async(system.lanes, user, until_us, REASON):
        metrics.jobs_total.labels("cancelled").inc(len(job_ids))
        for job_id in job_ids:
            system.job_lines.add(job_events.cancelled(job_id, user, reason=REASON))
    async for job in lookup.live(system, user):
        if not job.state.ended:
            await system.lanes.run(Cancel(user, job.job_id, REASON))
