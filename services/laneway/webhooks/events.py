"""The events that webhooks deliver, as JSON text that stays the same for all attempts: the signature covers each of its bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from laneway.lanes import shown
from laneway.lanes.model import Job

MAX_VALUE_BYTES = 16_384
"""The largest request and the largest result that an event has. Receivers limit bodies, and Redis holds deliveries."""


def ended(job: Job) -> str:
    """Return the event of an ended job: `job.succeeded`, `job.failed` or `job.cancelled`.

    `data` is the job as `GET /api/jobs/{job_id}` shows it. `omitted` names members that are too large, and null here.
    """
    too_large = [
        name
        for name, value in (("request", job.request), ("result", job.result))
        if value is not None and len(value) > MAX_VALUE_BYTES
    ]
    data = shown.job(job) | dict.fromkeys(too_large) | {"omitted": too_large}
    return _text(f"job.{job.state.value}", shown.time(job.finished_us), data)


def test(user: str, webhook_id: str, at: datetime) -> str:
    """Return the event of a test delivery."""
    return _text("webhook.test", at, {"user": user, "webhook_id": webhook_id})


def _text(type_: str, timestamp: Any, data: Any) -> str:
    event = {"type": type_, "timestamp": timestamp, "data": data}
    return orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()
