"""What endpoints ask for, as `Annotated` aliases, and the parts of the documentation that they share."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BeforeValidator
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.api.tokens import Token, authorization_of
from laneway.lanes.model import ID_LENGTH
from laneway.scopes import Scope as KeyScope
from laneway.storage.users import USERNAME, Role, canonical

_bearer = HTTPBearer(
    bearerFormat="JWT",
    description="The token that `POST /api/login` returns, or an API key. A key needs the scope `enqueue` to enqueue, `keys` "
    "for `/api/keys`, `admin` for `/api/admin`, and for everything else `read` (GET) or `write`. To put a schedule it needs `write` "
    "and `enqueue`, to add a webhook `write` and `read`.",
    auto_error=False,
)


def share_of(host: str) -> str:
    """Return the address that counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((int(address), 64), strict=False))


def system_of(scope: Scope) -> System:
    """Return the system of the process that serves this connection."""
    return cast("System", scope["state"]["system"])


async def _system(connection: HTTPConnection) -> System:
    return system_of(connection.scope)


Sys = Annotated[System, Depends(_system)]


async def _address(request: Request) -> str:
    return share_of(request.client.host) if request.client else "unknown"


Address = Annotated[str, Depends(_address)]
"""The address that a client's share of the password checks belongs to."""


async def verified(system: System, authorization: bytes) -> Token:
    """Return the token or API key in an Authorization header's value, unless it has been revoked.

    Raises InvalidToken, TokenRevoked, UsersUnavailable, StoreUnavailable.
    """
    token = await system.callers.verify(authorization)
    await system.revocations.check(token)
    return token


async def _verified(
    connection: HTTPConnection,
    system: Sys,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Token:
    return await verified(system, authorization_of(connection.scope["headers"]))


_Verified = Annotated[Token, Depends(_verified)]


async def _caller(connection: HTTPConnection, token: _Verified) -> Token:
    reads = connection.scope["method"] in ("GET", "HEAD")
    token.require(KeyScope.READ if reads else KeyScope.WRITE)
    return token


Caller = Annotated[Token, Depends(_caller)]
"""The caller's verified token, which has not been revoked. An API key needs the scope `read`, or `write` if this is no GET."""


async def _enqueuer(token: _Verified) -> Token:
    token.require(KeyScope.ENQUEUE)
    return token


Enqueuer = Annotated[Token, Depends(_enqueuer)]
"""As `Caller`, but an API key needs the scope `enqueue`."""


async def _key_keeper(token: _Verified) -> Token:
    token.require(KeyScope.KEYS)
    return token


KeyKeeper = Annotated[Token, Depends(_key_keeper)]
"""As `Caller`, but an API key needs the scope `keys`."""


async def _logged_in(token: _Verified) -> Token:
    if token.scopes is not None:
        raise Problem(403, "log-in-needed", "an API key cannot do this: log in with the password")
    return token


LoggedIn = Annotated[Token, Depends(_logged_in)]
"""As `Caller`, but an API key will not do."""


async def _admin(token: _Verified, system: Sys) -> Token:
    token.require(KeyScope.ADMIN)
    if token.role is not Role.ADMIN:
        raise Problem(403, "forbidden", "this needs the role 'admin'")
    await system.revocations.check_role(token)
    return token


Admin = Annotated[Token, Depends(_admin)]
"""As `Caller`, for administrators only."""

_ID = rf"[0-9a-f]{{{ID_LENGTH}}}"
JobId = Annotated[str, Path(description=f"The job's id, as enqueue returned it: {ID_LENGTH} hex digits.")]
KeyId = Annotated[str, Path(max_length=64, description="The key's id, as the list shows it.")]
ScheduleName = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="The schedule's name."),
]
WebhookId = Annotated[
    str, Path(pattern="^[0-9a-f]{12}$", description="The webhook's id, as the list shows it.")
]
UserName = Annotated[
    str,
    BeforeValidator(canonical),
    Path(pattern=f"^{USERNAME.pattern}$", description="The user's name, in any case."),
]
OfUser = Annotated[
    str, Query(alias="user", pattern=f"^({USERNAME.pattern})?$", description="Only those of this user.")
]
OfType = Annotated[str, Query(alias="type", max_length=512, description="Only those of this type.")]
Before = Annotated[
    str, Query(pattern=f"^({_ID})?$", description="`next` of the previous page; leave it out for the first.")
]
After = Annotated[
    str, Query(max_length=100, description="`next` of the previous page; leave it out for the first.")
]
Limit = Annotated[int, Query(ge=1, le=100, description="The largest number of entries to return.")]

PROBLEM: dict[str, Any] = {
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_DESCRIPTIONS = {
    400: "The request is malformed or cannot be carried out.",
    401: "The token is missing, not valid, expired or revoked.",
    403: "The caller may not do this; `type` says why.",
    404: "There is no such thing, or it belongs to another user.",
    408: "The body took too long to arrive.",
    409: "It cannot be done now; `type` says why.",
    413: "The body is too large.",
    429: "A limit has been reached; `type` names it and Retry-After says when to try again.",
    503: "Redis or MongoDB is not available; `type` says which. See Retry-After.",
}


def valid_job_id(job_id: str) -> str:
    """Return the id if it has the form of one. Raises Problem."""
    if not re.fullmatch(_ID, job_id):
        raise unknown_job()
    return job_id


def unknown_job() -> Problem:
    """The problem for a job that does not exist or that the caller may not see."""
    return Problem(404, "unknown-job", "there is no such job, or it belongs to another user")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint that answers problems with these statuses."""
    return {status: {"description": _DESCRIPTIONS[status], **PROBLEM} for status in statuses}
