"""Announces ended jobs to webhooks: makes a delivery for each webhook that wants one, and notes how deliveries ended.

The archiver calls it before it forgets the jobs. So a crash at any moment repeats an announcement and loses none, and the
delivery's idempotency key keeps a repeated one from being enqueued twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
import structlog

from laneway import delivery_lanes
from laneway.delivery_lanes import DeliveryLane
from laneway.lanes.commands import Enqueue, EnqueueLimits
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.model import Job, JobState, time_of, us_of
from laneway.lanes.purge import purge
from laneway.lanes.refusals import Reason
from laneway.lanes.store import Lanes
from laneway.storage.webhook_targets import WebhookTargets
from laneway.storage.webhooks import LastDelivery, Webhook
from laneway.telemetry import job_events
from laneway.telemetry.janitor_metrics import DeliveryCounts, DeliveryOutcome
from laneway.telemetry.job_log import JobLog
from laneway.webhooks import events
from laneway.webhooks.deliveries import Delivery
from laneway.webhooks.sending import Gone
from laneway.webhooks.signing import signing_numbers

LIMITS = EnqueueLimits(
    lane_length=10_000,
    backlog=2**53,  # the archiver must never wait for the outbox that it empties itself
    lane_bytes=8_388_608,
    request_max_bytes=65_536,
    idempotency_seconds=3600,
)
"""What one webhook may have waiting, for three days at most. An announcement that could not be finished is repeated within
seconds, so an hour is enough to know it again."""
_FINGERPRINT = "webhook"
_TOGETHER = 100
"""Deliveries that are enqueued in one round trip."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Announcement:
    webhook: Webhook
    job: Job


class Announcer:
    """Used by one thread at a time, except for `find`."""

    def __init__(self, lanes: Lanes, targets: WebhookTargets, job_log: JobLog) -> None:
        self._lanes, self._targets, self._job_log = lanes, targets, job_log
        self.counts = DeliveryCounts()

    def find(self, jobs: Sequence[Job]) -> Sequence[_Announcement]:
        """Return what is to be announced of users' jobs: one question to MongoDB for all. Raises HistoryUnavailable."""
        if not jobs:
            return ()
        webhooks = self._targets.of_users({job.user for job in jobs})
        if not webhooks:
            return ()
        return [
            _Announcement(webhook, job)
            for job in jobs
            for webhook in webhooks.get(job.user, ())
            if webhook.wants(job.type, job.state)
        ]

    def announce(self, found: Sequence[_Announcement]) -> None:
        """Enqueue the deliveries, in order. Raises StoreUnavailable; then repeat it.

        A delivery is dropped if too many of its webhook wait, or if Redis has no memory: archiving is what frees some.
        """
        for first in range(0, len(found), _TOGETHER):
            piece = found[first : first + _TOGETHER]
            now = datetime.now(UTC)
            results = self._lanes.run_all([_command(item, now) for item in piece])
            accepted = []
            for item, result in zip(piece, results, strict=True):
                if isinstance(result, StoreUnavailable) and result.reason is not Reason.NO_MEMORY:
                    raise result
                if isinstance(result, LaneError):
                    self.counts.outcomes["dropped"] += 1
                    log.warning(
                        "delivery_dropped", user=item.job.user, webhook=item.webhook.id, error=str(result)
                    )
                elif not result.repeated:
                    lane = DeliveryLane(item.job.user, item.webhook.id).name
                    accepted.append(job_events.accepted(result.job_ids[0], lane, delivery_lanes.DELIVERY))
            if accepted:
                self.counts.accepted += len(accepted)
                self._job_log.write(accepted)

    def record_ends(self, deliveries: Sequence[Job]) -> None:
        """Note how deliveries ended, and disable webhooks whose receivers want no more or have been away for too long.

        Raises HistoryUnavailable, StoreUnavailable; then repeat it.
        """
        latest: dict[str, LastDelivery] = {}
        delivered_at: dict[str, datetime] = {}
        for job in deliveries:
            if job.state is not JobState.CANCELLED:  # else the webhook was deleted or disabled
                webhook_id = delivery_lanes.parse(job.user).webhook_id
                last = latest[webhook_id] = _ended(job)
                if last.delivered:
                    delivered_at[webhook_id] = last.at
        for webhook_id, last in latest.items():
            self._targets.record(webhook_id, last, delivered_at.get(webhook_id))
        for job in deliveries:
            if job.state is JobState.FAILED:
                self._disable(job, delivery_lanes.parse(job.user))
        self.counts.outcomes.update(_OUTCOMES[job.state] for job in deliveries)

    def _disable(self, job: Job, lane: DeliveryLane) -> None:
        """Disable the webhook of a failed delivery, if that says enough about its receiver."""
        if lane.is_test:
            return
        if _member(job.error, "type") == Gone.__name__:
            reason, since = "the receiver answered 410", None
        elif job.attempts >= job.max_attempts:
            reason, since = "the receiver has not accepted a delivery for days", time_of(job.enqueued_us)
        else:
            return
        if self._targets.disable(lane.webhook_id, reason, unless_delivered_since=since):
            self.counts.webhooks_disabled += 1
            log.warning("webhook_disabled", user=lane.user, webhook=lane.webhook_id, reason=reason)
            for _ in self._purge(lane, "the webhook was disabled"):
                pass

    def _purge(self, lane: DeliveryLane, reason: str) -> Iterator[list[str]]:
        return purge(self._lanes, lane.name, us_of(*self._lanes.client.time()), reason)


_OUTCOMES: dict[JobState, DeliveryOutcome] = {
    JobState.SUCCEEDED: "delivered",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def _command(item: _Announcement, now: datetime) -> Enqueue:
    webhook, job = item.webhook, item.job
    delivery = Delivery(
        webhook_id=webhook.id,
        message_id=f"msg_{webhook.id}_{job.job_id}",
        url=webhook.url,
        secrets=signing_numbers(webhook.secret, webhook.rotated_at, now),
        body=events.ended(job),
    )
    lane = DeliveryLane(job.user, webhook.id).name
    return Enqueue(lane, [delivery.job(os.urandom(6).hex())], LIMITS, job.job_id, _FINGERPRINT)


def _ended(job: Job) -> LastDelivery:
    delivered = job.state is JobState.SUCCEEDED
    if delivered:
        detail = f"the receiver answered {_member(job.result, 'status')}"
    else:
        detail = _member(job.error, "message")
    return LastDelivery(
        at=time_of(job.finished_us or job.enqueued_us),
        message_id=_member(job.request, "message_id"),
        delivered=delivered,
        attempts=job.attempts,
        detail=detail,
    )


def _member(text: bytes | None, name: str) -> str:
    """Return a member of a JSON object; '' if there is none. A delivery may have lost its payload, and must not block others."""
    value = orjson.loads(text or b"{}")
    return str(value.get(name, "")) if isinstance(value, dict) else ""
