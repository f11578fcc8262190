"""The log-in link of `laneway dev`: a code in the URL's fragment, which the dashboard exchanges for a token.

`laneway dev` puts the code's hash into Redis, where it lives briefly, and prints the link. The exchange takes the hash away, so a
code works once, whichever API process is asked. It works from this machine alone, and on `laneway dev` alone.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError
from starlette.requests import Request

from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.ip_address import parse_ip
from laneway.lanes.refusals import error_of
from laneway.storage.users import User

_NOT_VALID = "this log-in link was used before or is too old; start `laneway dev` again for a new one, or log in with the password"
_PROXIED = {"forwarded", "x-forwarded-for"}


async def redeem(system: System, request: Request, code: str) -> User:
    """Return the user whom a code logs in. The code is not valid any more. Raises Problem, StoreUnavailable, UsersUnavailable."""
    if not system.is_dev:
        raise Problem(404, "not-found", "log-in links exist on `laneway dev` only")
    if not _is_local(request):
        raise Problem(
            403, "invalid-link", "a log-in link works only on the machine on which `laneway dev` runs"
        )
    key = system.lanes.keys.log_in_code(code)
    try:
        name: Any = await system.redis.get(key)
        user = await system.users.find(name.decode()) if name else None
        if name and user is None:
            raise Problem(503, "starting", "the user of this link is being registered", retry_after_seconds=1)
        if user is not None and await system.redis.delete(key):  # one of many at the same time deletes it
            return user
    except (RedisError, OSError) as error:
        raise error_of(error) from error
    raise Problem(403, "invalid-link", _NOT_VALID)


def _is_local(request: Request) -> bool:
    """Whether a program on this machine has sent the request itself, and no proxy for somebody else."""
    if request.client is None or _PROXIED & set(request.headers):
        return False
    return parse_ip(request.client.host).is_loopback
