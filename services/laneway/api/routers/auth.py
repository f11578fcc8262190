"""Register, log in, log out."""

from __future__ import annotations

import time
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response

from laneway.api import body, log_in_links, metrics, schemas, views
from laneway.api.deps import Address, LoggedIn, Sys, problems
from laneway.api.problem import Problem, bad_request
from laneway.storage.passwords import TooManyPasswords
from laneway.storage.users import WrongCredentials, canonical

log = structlog.get_logger()
router = APIRouter(prefix="/api", tags=["users"])
_NewUser = Annotated[schemas.NewUser, Depends(body.of(schemas.NewUser))]
_Credentials = Annotated[schemas.Credentials, Depends(body.of(schemas.Credentials))]
_IssuerCode = Annotated[schemas.IssuerCode, Depends(body.of(schemas.IssuerCode))]
_LinkCode = Annotated[schemas.LinkCode, Depends(body.of(schemas.LinkCode))]
REDIRECT_PATH = "/ui/login"
"""Where the issuer sends browsers back to: a page of the dashboard."""
_DOCUMENTED = body.documented(schemas.Credentials)


@router.post(
    "/register",
    status_code=201,
    response_model=schemas.Message,
    responses=problems(400, 403, 408, 413, 429, 503),
    openapi_extra=body.documented(schemas.NewUser),
)
async def register(credentials: _NewUser, address: Address, system: Sys) -> Response:
    """Register a user. A 400 says what is wrong with the name or the password."""
    place = system.password_queue.place(address, canonical(credentials.username))
    user = await system.registration.register(
        credentials.username, credentials.password, credentials.invitation, address=address, place=place
    )
    log.info("user_registered", user=user.name, address=address)
    return views.answer({"message": f"registered {user.name}"}, 201)


@router.post(
    "/login", response_model=schemas.Login, responses=problems(400, 408, 413, 503), openapi_extra=_DOCUMENTED
)
async def login(credentials: _Credentials, address: Address, system: Sys) -> Response:
    """Exchange a password for a token, to be sent in the header `Authorization: Bearer <token>`."""
    asked_at = time.time()
    name = canonical(credentials.username)
    try:
        place = system.password_queue.place(address, name)
        user = await system.users.log_in(name, credentials.password, place=place)
    except WrongCredentials:
        metrics.log_ins_total.labels("failed").inc()
        log.warning("log_in_failed", user=name[:64], address=address)
        raise
    except TooManyPasswords:
        metrics.log_ins_total.labels("refused").inc()
        raise
    metrics.log_ins_total.labels("succeeded").inc()
    log.info("log_in_succeeded", user=user.name, address=address)
    token = system.tokens.issue(user.name, user.role, asked_at)
    return views.answer({"token": token, "token_type": "bearer", "expires_in": system.tokens.seconds})


@router.get("/login", response_model=schemas.WaysToLogIn)
async def ways_to_log_in(system: Sys) -> Response:
    """Show how users log in: with a password, and at an OpenID Connect issuer where one is set up."""
    issuer = None
    if system.issuer is not None and system.issuer.client.client_id:
        endpoints = await system.issuer.endpoints()
        issuer = {
            "issuer": system.issuer.client.issuer,
            "client_id": system.issuer.client.client_id,
            "scope": system.issuer.client.scopes,
            "authorization_endpoint": endpoints.authorization if endpoints else None,
        }
    return views.answer({"registration": system.registration.policy, "issuer": issuer, "dev": system.is_dev})


@router.post(
    "/login/oidc",
    response_model=schemas.Login,
    responses=problems(400, 403, 404, 408, 413, 503),
    openapi_extra=body.documented(schemas.IssuerCode),
)
async def log_in_at_issuer(sent: _IssuerCode, request: Request, address: Address, system: Sys) -> Response:
    """Exchange a code of the OpenID Connect issuer for a token of this API, as the dashboard does.

    The issuer's users need no registration: the first log-in makes the user. A 403, `not-a-user`, says why somebody is none.
    """
    if system.issuer is None or not system.issuer.client.client_id:
        raise Problem(404, "no-issuer", "OpenID Connect is not set up: log in with a password")
    path = request.scope.get("root_path", "") + REDIRECT_PATH
    if not sent.redirect_uri.endswith(path):
        raise bad_request(f"it must end with {path}", "#/body/redirect_uri")
    try:
        user, asked_at = await system.issuer.log_in(
            sent.code, sent.code_verifier, sent.nonce, sent.redirect_uri, address=address
        )
    except Problem as problem:
        metrics.log_ins_total.labels("refused" if problem.status >= 500 else "failed").inc()
        log.warning("log_in_failed", issuer=system.issuer.client.issuer, error=str(problem), address=address)
        raise
    metrics.log_ins_total.labels("succeeded").inc()
    log.info("log_in_succeeded", user=user.name, issuer=user.issuer, address=address)
    token = system.tokens.issue(user.name, user.role, asked_at)
    return views.answer({"token": token, "token_type": "bearer", "expires_in": system.tokens.seconds})


@router.post("/login/link", include_in_schema=False)
async def log_in_by_link(sent: _LinkCode, request: Request, address: Address, system: Sys) -> Response:
    """Exchange the code of a log-in link, which `laneway dev` prints, for a token. Once, soon, and on its own machine."""
    asked_at = time.time()
    try:
        user = await log_in_links.redeem(system, request, sent.code)
    except Problem as problem:
        metrics.log_ins_total.labels("failed").inc()
        log.warning("log_in_failed", link=True, error=str(problem), address=address)
        raise
    metrics.log_ins_total.labels("succeeded").inc()
    log.info("log_in_succeeded", user=user.name, link=True, address=address)
    token = system.tokens.issue(user.name, user.role, asked_at)
    return views.answer({"token": token, "token_type": "bearer", "expires_in": system.tokens.seconds})


@router.post("/logout", status_code=204, response_class=Response, responses=problems(401, 403, 503))
async def logout(caller: LoggedIn, system: Sys) -> Response:
    """Revoke the token and close its live connections. A user who has no other connection open is disconnected at once."""
    await system.revocations.revoke(caller)
    await system.hub.logout(caller.user, caller.token_id)
    return Response(status_code=204)
