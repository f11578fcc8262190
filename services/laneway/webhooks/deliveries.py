"""Deliveries as jobs: what their payload holds, and how they are retried."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from laneway.delivery_lanes import DELIVERY
from laneway.handlers import Spec
from laneway.lanes.model import NewJob

FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 5.0, 900.0
ATTEMPTS = 295
"""Waits of 5, 10, 20 ... 640 s and then of 15 minutes: three days in all, so that a receiver may be away over a weekend."""
LIMIT_SECONDS = 30.0
"""Time limit of an attempt, in case the limits of `sending` do not hold."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a URL. `secrets`: the numbers of the secrets that sign it."""

    webhook_id: str
    message_id: str
    url: str
    secrets: Sequence[int]
    body: str

    def job(self, nonce: str, *, attempts: int = ATTEMPTS) -> NewJob:
        """Return the job that delivers it. `nonce`: as in `NewJob`."""
        return NewJob(nonce, DELIVERY, msgspec.json.encode(self), attempts)

    @classmethod
    def of(cls, payload: Any) -> Self:
        """Read the payload of such a job."""
        return msgspec.convert(payload, cls)


def spec(deliver: Callable[[Any], Coroutine[Any, Any, Any]]) -> Spec:
    """Return the type of deliveries, whose handler is `deliver`."""
    return Spec(
        type=DELIVERY,
        function=deliver,
        is_async=True,
        wants_context=False,
        max_attempts=ATTEMPTS,
        backoff_seconds=FIRST_BACKOFF_SECONDS,
        backoff_max_seconds=MAX_BACKOFF_SECONDS,
        soft_seconds=None,
        hard_seconds=LIMIT_SECONDS,
        description="Delivers an event to a webhook.",
    )
