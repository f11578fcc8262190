"""What endpoints ask for, as `Annotated` aliases."""

from __future__ import annotations

import re
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BeforeValidator
from starlette.requests import HTTPConnection
from starlette.types import Scope

from laneway.api.errors import Problem
from laneway.api.security import Token
from laneway.api.system import System
from laneway.lanes.model import ID_LENGTH
from laneway.storage.users import USERNAME, Role, canonical

_bearer = HTTPBearer(
    bearerFormat="JWT", description="The token that `POST /api/login` answers.", auto_error=False
)


def system_of(scope: Scope) -> System:
    """The system of the app that serves this connection."""
    return cast("System", scope["state"]["system"])


async def _system(connection: HTTPConnection) -> System:
    return system_of(connection.scope)


Sys = Annotated[System, Depends(_system)]


async def _caller(
    connection: HTTPConnection,
    system: Sys,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Token:
    token = system.tokens.verify(connection.headers.get("authorization", "").encode("latin-1"))
    await system.revocations.check(token)
    return token


Caller = Annotated[Token, Depends(_caller)]
"""The verified token of whoever calls, known not to be revoked."""


async def _admin(token: Caller, system: Sys) -> Token:
    if token.role is not Role.ADMIN:
        raise Problem(403, "forbidden", "this needs the role 'admin'")
    await system.revocations.check_role(token)
    return token


Admin = Annotated[Token, Depends(_admin)]

_ID = rf"[0-9a-f]{{{ID_LENGTH}}}"
JobId = Annotated[str, Path(description=f"{ID_LENGTH} hexadecimal digits, as enqueue answered them.")]
UserName = Annotated[
    str,
    BeforeValidator(canonical),
    Path(pattern=f"^{USERNAME.pattern}$", description="Name of a user, in any case."),
]
Before = Annotated[
    str, Query(pattern=f"^({_ID})?$", description="`next` of the page before; none for the first.")
]
After = Annotated[str, Query(max_length=100, description="`next` of the page before; none for the first.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Most entries of the page.")]

PROBLEM: dict[str, Any] = {
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def known_form(job_id: str) -> str:
    """The id, if it can be one. Raises Problem."""
    if not re.fullmatch(_ID, job_id):
        raise no_job()
    return job_id


def no_job() -> Problem:
    return Problem(404, "unknown-job", "there is no such job, or it is another user's")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint that may answer problems with these statuses."""
    texts = {
        400: "The request is malformed or cannot be done.",
        401: "The token is missing, not valid, expired or revoked.",
        403: "The caller is no administrator.",
        404: "There is no such thing, or it is not the caller's.",
        409: "The job has ended.",
        413: "The body is too large.",
        429: "The lane is full, or requests come too fast; see Retry-After.",
        503: "Redis or MongoDB is not available; see Retry-After.",
    }
    return {status: {"description": texts[status], **PROBLEM} for status in statuses}
