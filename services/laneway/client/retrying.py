"""What is sent again, and when.

Nearly every call of the client may be repeated: reads change nothing, an enqueue carries an idempotency key, and cancelling,
logging in or out twice ends the same way (`Call.repeatable` names the exceptions). So the client repeats what could not be delivered, what was answered 503, and
what was answered 429, each after the `Retry-After` that the server gave, else after an exponential backoff.
"""

from __future__ import annotations

import httpx2

from laneway.client.errors import ClientError, ServerUnavailable, TooManyRequests

WAIT_MAX_SECONDS = 2.0
"""The longest pause between two attempts, where the server does not ask for another."""


def unreachable(error: httpx2.TransportError) -> ServerUnavailable:
    """The error to raise from one of the transport."""
    return ServerUnavailable(f"the API cannot be reached: {str(error) or type(error).__name__}")


def backoff(error: Exception) -> bool | float:
    """Whether to repeat the call, or the seconds to wait before it is repeated; stamina asks."""
    if not isinstance(error, ClientError):
        return False
    if isinstance(error, ServerUnavailable | TooManyRequests):
        return error.retry_after_seconds or True
    return False
