"""The link that logs the developer in once, so that nobody has to register to see the dashboard."""

from __future__ import annotations

import ipaddress
import secrets

VALID_SECONDS = 600
"""Long enough to find the terminal again, and short enough for a line that stays on the screen."""


def new_code(redis_url: str, key_prefix: str, user: str) -> str | None:
    """Make a code that logs this user in once, within VALID_SECONDS. None if Redis does not accept it."""
    # Imported late: whatever `laneway dev` imports before it starts the servers delays them.
    from redis.exceptions import RedisError  # noqa: PLC0415

    from laneway.lanes.connection import connect  # noqa: PLC0415
    from laneway.lanes.keys import Keys  # noqa: PLC0415

    code = secrets.token_urlsafe(16)
    client = connect(redis_url)
    try:
        client.set(Keys(key_prefix).log_in_code(code), user.encode(), ex=VALID_SECONDS)
    except (RedisError, OSError):
        return None
    finally:
        client.close()
    return code


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a program that listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
