"""The caller's own account: show it, change its password, delete it."""

from __future__ import annotations

import time
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Response

from laneway.api import body, deletion, schemas, views
from laneway.api.account_schemas import Account, NewPassword, Password
from laneway.api.deps import Address, Caller, LoggedIn, Sys, problems
from laneway.api.problem import Problem
from laneway.api.schemas import Login
from laneway.api.tokens import Token

log = structlog.get_logger()
router = APIRouter(prefix="/api/account", tags=["users"])
_NewPassword = Annotated[NewPassword, Depends(body.of(NewPassword))]
NEW_LOG_IN_SECONDS = 600.0
_Password = Annotated[Password, Depends(body.of(Password))]


@router.get("", response_model=Account, responses=problems(401, 403, 503))
async def get_account(caller: Caller, system: Sys) -> Response:
    """Show the caller's name and role, and what the API key of this request may do."""
    user = await system.users.find(caller.user)
    return views.answer(
        {
            "username": caller.user,
            "role": caller.role,
            "created_at": user.created_at if user else None,
            "issuer": user.issuer if user else None,
            "scopes": None if caller.scopes is None else sorted(caller.scopes),
        }
    )


@router.put(
    "/password",
    response_model=Login,
    responses=problems(400, 401, 403, 408, 413, 503),
    openapi_extra=body.documented(NewPassword),
)
async def change_password(caller: LoggedIn, new: _NewPassword, address: Address, system: Sys) -> Response:
    """Change the caller's password. All tokens issued before end; go on with the one in the answer. API keys stay valid."""
    place = system.password_queue.place(address, caller.user)
    user = await system.users.change_password(caller.user, new.password, new.new_password, place=place)
    # After the change: a log-in with the old password that was under way has an earlier time of issue.
    ended_at = await system.revocations.revoke_log_ins(caller.user, system.tokens.revoked_seconds)
    await system.hub.end_log_ins(caller.user)
    log.info("password_changed", user=caller.user, address=address)
    token = system.tokens.issue(user.name, user.role, ended_at + 0.001)
    return views.answer({"token": token, "token_type": "bearer", "expires_in": system.tokens.seconds})


@router.post(
    "/delete",
    response_model=schemas.Message,
    responses=problems(400, 401, 403, 408, 409, 413, 503),
    openapi_extra=body.documented(Password),
)
async def delete_account(caller: LoggedIn, confirmed: _Password, address: Address, system: Sys) -> Response:
    """Delete the caller's account, for ever: nobody can register the name again.

    API keys and tokens end, schedules and webhooks go. Jobs that wait are cancelled, and those that run are asked to stop. The history and the dead
    letters are deleted; what still runs leaves a record that only administrators see. A long history takes several calls:
    repeat a 503. The last administrator cannot be deleted.

    A user whom an issuer logs in has no password: the log-in must be some minutes old at most, and `password` is not looked at.
    """
    user = await system.users.find(caller.user)
    if user is not None and user.issuer is not None:
        _require_new_log_in(caller)
    else:
        place = system.password_queue.place(address, caller.user)
        await system.users.log_in(caller.user, confirmed.password, place=place)
    await deletion.delete_account(system, caller)
    log.info("account_deleted", user=caller.user, address=address)
    return views.answer({"message": f"deleted {caller.user}"})


def _require_new_log_in(caller: Token) -> None:
    """Raises Problem if the token is old: somebody may have found the browser open."""
    if time.time() - caller.issued_at > NEW_LOG_IN_SECONDS:
        raise Problem(403, "log-in-too-old", "log in again at the issuer, and repeat this within ten minutes")
