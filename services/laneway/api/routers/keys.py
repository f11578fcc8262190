"""The caller's own API keys: make one, list them, revoke one."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Path, Response

from laneway.api import body, views
from laneway.api.account_schemas import Keys, NewKey, NewKeyReply
from laneway.api.callers import token_id_of
from laneway.api.deps import KeyKeeper, Sys, problems
from laneway.api.problem import Problem
from laneway.api.tokens import Token
from laneway.storage.api_keys import ApiKey, Scope

log = structlog.get_logger()
router = APIRouter(prefix="/api/keys", tags=["API keys"])
_NewKey = Annotated[NewKey, Depends(body.of(NewKey))]
_KeyId = Annotated[str, Path(max_length=64, description="The key's id, as the list shows it.")]


@router.get("", response_model=Keys, responses=problems(401, 403, 503))
async def list_keys(caller: KeyKeeper, system: Sys) -> Response:
    """List the caller's API keys. Nobody can read their secrets again."""
    return views.answer({"keys": [_shown(key) for key in await system.api_keys.of_user(caller.user)]})


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
    return views.answer({**_shown(key), "key": text}, 201)


@router.delete(
    "/{key_id}", status_code=204, response_class=Response, responses=problems(400, 401, 403, 404, 503)
)
async def revoke_key(caller: KeyKeeper, key_id: _KeyId, system: Sys) -> Response:
    """Revoke an API key: no request with it succeeds from now on, and its live connections are closed."""
    if await system.api_keys.find(caller.user, key_id) is None:
        raise Problem(404, "unknown-key", "the caller has no such API key")
    # Redis first: a process that reads the key from MongoDB meanwhile remembers it, and must not let it pass.
    await system.revocations.revoke_key(key_id)
    await system.hub.logout(caller.user, token_id_of(key_id))
    await system.api_keys.delete(key_id)
    log.info("key_revoked", user=caller.user, key_id=key_id)
    return Response(status_code=204)


def _check_heritage(caller: Token, scopes: frozenset[Scope], expires_in: int | None) -> None:
    """A key must not make one that may do more, or lives longer, than itself. Raises Problem."""
    if caller.scopes is None:
        return
    for scope in sorted(scopes):
        caller.require(scope)
    if time.time() + (expires_in or math.inf) > caller.expires_at:
        raise Problem(403, "missing-scope", "an API key makes no key that expires later than itself")


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
