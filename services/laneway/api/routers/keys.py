"""The caller's own API keys: make one, list them, revoke one."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Response

from laneway.api import body, keys, views
from laneway.api.account_schemas import Keys, NewKey, NewKeyReply
from laneway.api.deps import KeyId, KeyKeeper, Sys, problems
from laneway.api.problem import Problem
from laneway.api.tokens import Token
from laneway.scopes import Scope

log = structlog.get_logger()
router = APIRouter(prefix="/api/keys", tags=["API keys"])
_NewKey = Annotated[NewKey, Depends(body.of(NewKey))]


@router.get("", response_model=Keys, responses=problems(401, 403, 503))
async def list_keys(caller: KeyKeeper, system: Sys) -> Response:
    """List the caller's API keys. Nobody can read their secrets again."""
    return views.answer({"keys": [keys.shown(key) for key in await system.api_keys.of_user(caller.user)]})


@router.post(
    "",
    status_code=201,
    response_model=NewKeyReply,
    responses=problems(400, 401, 403, 408, 409, 413, 503),
    openapi_extra=body.documented(NewKey),
)
async def create_key(caller: KeyKeeper, new: _NewKey, system: Sys) -> Response:
    """Make an API key. This answer alone shows its secret.

    An API key with the scope `keys` can make keys with scopes of its own, which expire no later than itself.
    """
    scopes = frozenset(map(Scope, new.scopes))
    _check_heritage(caller, scopes, new.expires_in)
    lifetime = timedelta(seconds=new.expires_in) if new.expires_in else None
    key, text = await system.api_keys.create(caller.user, new.name, scopes, lifetime)
    log.info("key_created", user=key.user, key_id=key.id, scopes=sorted(key.scopes))
    return views.answer({**keys.shown(key), "key": text}, 201)


@router.delete(
    "/{key_id}", status_code=204, response_class=Response, responses=problems(400, 401, 403, 404, 503)
)
async def revoke_key(caller: KeyKeeper, key_id: KeyId, system: Sys) -> Response:
    """Revoke an API key: no request with it succeeds from now on, and its live connections are closed."""
    await keys.revoke(system, caller.user, key_id)
    log.info("key_revoked", user=caller.user, key_id=key_id)
    return Response(status_code=204)


def _check_heritage(caller: Token, scopes: frozenset[Scope], expires_in: int | None) -> None:
    """Refuse a new key that has more scopes than the caller's key, or expires later. Raises Problem."""
    if caller.scopes is None:
        return
    for scope in sorted(scopes):
        caller.require(scope)
    if time.time() + (expires_in or math.inf) > caller.expires_at:
        raise Problem(403, "missing-scope", "an API key makes no key that expires later than itself")
