"""Tokens: JSON Web Tokens signed with HMAC-SHA256, with a key id (`kid`) for rotation and a token id (`jti`) for revocation.

A token that was verified once is remembered until it expires, since the signature cannot change; whether it was revoked is asked of
Redis with every request: by `Enqueue` in its own script, and for all others by `Revocations`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import redis.asyncio
from redis.exceptions import RedisError

from laneway.lanes.errors import StoreUnavailable, TokenRevoked
from laneway.lanes.keys import Keys
from laneway.storage.users import USERNAME, Role

ALGORITHM = "HS256"
REMEMBERED = 20_000
"""Verified tokens that one process remembers, some 500 bytes each."""
_CLAIMS = ["exp", "iat", "jti", "sub", "role"]


class InvalidToken(Exception):
    """There is no token, or not a valid one. The text says which, and may be shown."""

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token. Times in seconds since 1970."""

    user: str
    role: Role
    token_id: str
    issued_at: float
    expires_at: float


class Tokens:
    """Issues tokens with the key `key_id`, verifies them with any of `keys`."""

    def __init__(self, keys: Mapping[str, bytes], key_id: str, *, seconds: int) -> None:
        self._keys = dict(keys)
        self._key_id = key_id
        self.seconds = seconds
        self._verified: OrderedDict[bytes, Token] = OrderedDict()

    def issue(self, user: str, role: Role, asked_at: float | None = None) -> str:
        """A new token, valid for `seconds`. `asked_at`: the Unix time of the request, from before the role was looked up: whoever
        takes a role away takes it from all that were issued until then. Now by default."""
        now = time.time() if asked_at is None else asked_at
        claims = {
            "sub": user,
            "role": role.value,
            "iat": round(now, 3),
            "exp": int(now) + self.seconds,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._keys[self._key_id], ALGORITHM, headers={"kid": self._key_id})

    def verify(self, authorization: bytes) -> Token:
        """The token in the value of an Authorization header (b"" if there is none). Raises InvalidToken."""
        token = self._verified.get(authorization)
        if token is None:
            token = self._verified[authorization] = self._decode(authorization)
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(authorization)
        if token.expires_at <= time.time():
            del self._verified[authorization]
            raise InvalidToken("the token has expired")
        return token

    def _decode(self, authorization: bytes) -> Token:
        if not authorization:
            raise InvalidToken("a token is needed: send 'Authorization: Bearer <token>'", missing=True)
        scheme, _, text = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken("the Authorization header must be 'Bearer <token>'")
        try:
            key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
            if key is None:
                raise InvalidToken("the token was not issued here")
            # Not before its time of issue: clocks of pods differ, and the signature already says that it is ours.
            options: Any = {"require": _CLAIMS, "verify_iat": False}
            claims = jwt.decode(text, key, algorithms=[ALGORITHM], options=options)
            return _token(claims)
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired") from None
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise InvalidToken("the token is not valid") from None


def _token(claims: Mapping[str, Any]) -> Token:
    """Raises ValueError or TypeError if a claim is not what we write."""
    if not USERNAME.fullmatch(claims["sub"]) or not isinstance(claims["jti"], str):
        raise ValueError("foreign claims")
    return Token(
        claims["sub"], Role(claims["role"]), claims["jti"], float(claims["iat"]), float(claims["exp"])
    )


class Revocations:
    """Tokens that were revoked before they expired, kept in Redis until they would have. All of it raises StoreUnavailable."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._asked: dict[str, asyncio.Future[bytes | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def revoke(self, token: Token) -> None:
        await self._set(self._keys.revoked(token.token_id), b"1", token.expires_at - time.time())

    async def revoke_role(self, user: str, token_seconds: int) -> None:
        """Admin tokens of this user that were issued up to now are not taken as such any more."""
        await self._set(self._role_key(user), repr(time.time()).encode(), token_seconds)

    async def check(self, token: Token) -> None:
        """Raises TokenRevoked."""
        if await self._get(self._keys.revoked(token.token_id)) is not None:
            raise TokenRevoked("the token has been revoked")

    async def check_role(self, token: Token) -> None:
        """Raises TokenRevoked if the role was taken from the user after the token was issued."""
        changed_at = await self._get(self._role_key(token.user))
        if changed_at is not None and token.issued_at <= float(changed_at):
            raise TokenRevoked("the role has been changed since the token was issued")

    async def revoked(self, token_ids: list[str]) -> set[str]:
        """Those among many that have been revoked."""
        values = (
            await self._mget([self._keys.revoked(token_id) for token_id in token_ids]) if token_ids else []
        )
        return {token_id for token_id, value in zip(token_ids, values, strict=True) if value is not None}

    def _role_key(self, user: str) -> str:
        return self._keys.revoked(f"role/{user}")

    async def _set(self, key: str, value: bytes, seconds: float) -> None:
        try:
            await self._client.set(key, value, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    async def _get(self, key: str) -> bytes | None:
        """Those that are asked for at the same time share a round trip."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(future)

    async def _ask(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                values = await self._mget(list(asked))
            except StoreUnavailable as error:  # those who have asked since would meet the same
                waiting, self._asked = self._asked, {}
                for future in (*asked.values(), *waiting.values()):
                    future.set_exception(error)
                    future.exception()  # taken note of: whoever asked may have gone
            else:
                for future, value in zip(asked.values(), values, strict=True):
                    future.set_result(value)

    async def _mget(self, keys: list[str]) -> list[bytes | None]:
        try:
            values: list[Any] = await self._client.mget(keys)
            return values
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
