"""Revoked tokens, kept in Redis until they would have expired anyway. Questions asked at the same time share a round trip."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from laneway.api.callers import USABLE_SECONDS, token_id_of
from laneway.api.tokens import Token
from laneway.batcher import Batcher
from laneway.lanes.errors import TokenRevoked
from laneway.lanes.keys import Keys
from laneway.lanes.refusals import error_of


class Revocations:
    """Revokes tokens and roles, and checks tokens. Every method raises StoreUnavailable."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._values: Batcher[str, bytes | None] = Batcher(self._get_all)

    async def revoke(self, token: Token) -> None:
        """Refuse this token from now on."""
        await self._set(self._keys.revoked(token.token_id), b"1", token.expires_at - time.time())

    async def revoke_key(self, key_id: str) -> None:
        """Refuse this API key from now on, until no process remembers it any more."""
        await self._set(self._keys.revoked(token_id_of(key_id)), b"1", 2 * USABLE_SECONDS)

    async def revoke_log_ins(self, user: str, token_seconds: int) -> float:
        """Refuse all tokens of this user that were issued up to now; API keys stay valid. Return that moment in Unix seconds.

        Tokens are valid for `token_seconds`.
        """
        moment_ms = int(time.time() * 1000)
        await self._set(self._log_ins_key(user), b"%d" % moment_ms, token_seconds)
        return moment_ms / 1000

    async def revoke_role(self, user: str, token_seconds: int) -> None:
        """Refuse administration to all tokens of this user that were issued up to now. They are valid for `token_seconds`."""
        await self._set(self._role_key(user), repr(time.time()).encode(), token_seconds)

    async def check(self, token: Token) -> None:
        """Raises TokenRevoked if the token has been revoked."""
        values = await asyncio.gather(*map(self._values.submit, self._keys_of(token)))
        if _is_revoked(token, values):
            if token.scopes is not None:
                raise TokenRevoked("the API key has been revoked")
            raise TokenRevoked("the token has been revoked; log in again")

    async def check_role(self, token: Token) -> None:
        """Raises TokenRevoked if the role was taken from the user after the token was issued."""
        changed_at = await self._values.submit(self._role_key(token.user))
        if changed_at is not None and token.issued_at <= float(changed_at):
            raise TokenRevoked("the role has changed since the token was issued; log in again")

    async def revoked(self, tokens: Sequence[Token]) -> set[str]:
        """Return the ids of those of these tokens that have been revoked."""
        if not tokens:
            return set()
        values = await self._get_all([key for token in tokens for key in self._keys_of(token)])
        pairs = zip(values[::2], values[1::2], strict=True)
        return {token.token_id for token, pair in zip(tokens, pairs, strict=True) if _is_revoked(token, pair)}

    async def use_once(self, invitation_id: str, seconds: float) -> bool:
        """Use up an invitation, which is valid for `seconds` more. False if it has been used."""
        try:
            key = self._keys.revoked(f"invitation/{invitation_id}")
            return bool(await self._client.set(key, b"1", px=max(1, int(seconds * 1000)), nx=True))
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    async def give_back(self, invitation_id: str) -> None:
        """Make an invitation usable again, because nobody was registered by it."""
        try:
            await self._client.delete(self._keys.revoked(f"invitation/{invitation_id}"))
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    def _keys_of(self, token: Token) -> tuple[str, str]:
        return self._keys.revoked(token.token_id), self._log_ins_key(token.user)

    def _log_ins_key(self, user: str) -> str:
        return self._keys.revoked(f"log-ins/{user}")

    def _role_key(self, user: str) -> str:
        return self._keys.revoked(f"role/{user}")

    async def _set(self, key: str, value: bytes, seconds: float) -> None:
        try:
            await self._client.set(key, value, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    async def _get_all(self, keys: list[str]) -> Sequence[bytes | None]:
        try:
            values: list[Any] = await self._client.mget(keys)
            return values
        except (RedisError, OSError) as error:
            raise error_of(error) from error


def _is_revoked(token: Token, values: Sequence[bytes | None]) -> bool:
    """Read what Redis has under the two keys of a token. The scripts do the same (`enqueue.lua`)."""
    revoked, log_ins_until_ms = values
    too_old = log_ins_until_ms is not None and 0 < token.logged_in_ms <= int(log_ins_until_ms)
    return revoked is not None or too_old
