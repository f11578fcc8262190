"""Register, log in, log out."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from laneway.api import body, schemas, views
from laneway.api.deps import Caller, Sys, problems

router = APIRouter(prefix="/api", tags=["users"])
_Credentials = Annotated[schemas.Credentials, Depends(body.of(schemas.Credentials))]
_DOCUMENTED = body.documented(schemas.Credentials)


@router.post(
    "/register",
    status_code=201,
    response_model=schemas.Message,
    responses=problems(400, 413, 503),
    openapi_extra=_DOCUMENTED,
)
async def register(credentials: _Credentials, system: Sys) -> Response:
    """Register a user. 400 says why not: taken, weak or malformed."""
    user = await system.users.register(credentials.username, credentials.password)
    return views.answer({"message": f"registered {user.name}"}, 201)


@router.post(
    "/login", response_model=schemas.Login, responses=problems(400, 413, 503), openapi_extra=_DOCUMENTED
)
async def login(credentials: _Credentials, system: Sys) -> Response:
    """A token for the `Authorization: Bearer` header."""
    asked_at = time.time()
    user = await system.users.log_in(credentials.username, credentials.password)
    token = system.tokens.issue(user.name, user.role, asked_at)
    return views.answer({"token": token, "token_type": "bearer", "expires_in": system.tokens.seconds})


@router.post("/logout", status_code=204, response_class=Response, responses=problems(401, 503))
async def logout(caller: Caller, system: Sys) -> Response:
    """Revoke the token and close its live connections. Without another one open the user has disconnected now."""
    await system.revocations.revoke(caller)
    await system.live.logout(caller)
    return Response(status_code=204)
