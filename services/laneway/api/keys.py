"""What users and administrators do with API keys alike: show them and revoke them."""

from __future__ import annotations

from typing import Any

from laneway.api.callers import token_id_of
from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.storage.api_keys import ApiKey


async def revoke(system: System, user: str, key_id: str) -> None:
    """Refuse one of the user's keys from now on, and close its live connections.

    Raises Problem if the user has no such key, StoreUnavailable, UsersUnavailable. A call that failed can be repeated.
    """
    if await system.api_keys.find(user, key_id) is None:
        raise Problem(404, "unknown-key", "the user has no such API key")
    # Redis first: a process that reads the key from MongoDB meanwhile remembers it, and must not let it pass.
    await system.revocations.revoke_key(key_id)
    await system.hub.logout(user, token_id_of(key_id))
    await system.api_keys.delete(key_id)


def shown(key: ApiKey) -> dict[str, Any]:
    """Return a key for an answer."""
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
