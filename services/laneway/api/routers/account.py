"""The caller's own account."""

from __future__ import annotations

from fastapi import APIRouter, Response

from laneway.api import views
from laneway.api.account_schemas import Account
from laneway.api.deps import Caller, Sys, problems

router = APIRouter(prefix="/api/account", tags=["users"])


@router.get("", response_model=Account, responses=problems(401, 403, 503))
async def get_account(caller: Caller, system: Sys) -> Response:
    """Show the caller's name and role, and what the API key of this request may do."""
    user = await system.users.find(caller.user)
    return views.answer(
        {
            "username": caller.user,
            "role": caller.role,
            "created_at": user.created_at if user else None,
            "scopes": None if caller.scopes is None else sorted(caller.scopes),
        }
    )
