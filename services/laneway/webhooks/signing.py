"""Secrets and signatures of webhooks, as Standard Webhooks says: https://www.standardwebhooks.com.

A secret is stored nowhere: it is an HMAC of the webhook's id and the number of its secret under `LANEWAY_WEBHOOKS_KEY`. So
neither a copy of MongoDB nor one of Redis lets anybody sign, and rotating a secret is counting up its number.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from standardwebhooks.webhooks import Webhook

OVERLAP = timedelta(days=1)
"""How long the previous secret signs beside a new one."""
_PURPOSE = b"laneway webhook secret"


def secret_of(key: str, webhook_id: str, number: int) -> str:
    """Return a webhook's secret of this number: `whsec_` and 32 bytes in base64."""
    message = b"%b\0%b\0%d" % (_PURPOSE, webhook_id.encode(), number)
    return "whsec_" + base64.b64encode(hmac.digest(key.encode(), message, hashlib.sha256)).decode()


def signing_numbers(number: int, rotated_at: datetime | None, now: datetime) -> list[int]:
    """Return the numbers of the secrets that sign a delivery made now.

    The next one is among them, so that a delivery which waits for a retry still passes after its webhook was rotated.
    """
    overlaps = rotated_at is not None and now - rotated_at < OVERLAP
    return [number, number + 1, *([number - 1] if overlaps else [])]


def headers(
    message_id: str, body: str, secrets: Iterable[str], now: datetime | None = None
) -> dict[str, str]:
    """Return the headers of one attempt. The id is the same for all attempts of a delivery, the time is not."""
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, body) for secret in secrets),
    }
