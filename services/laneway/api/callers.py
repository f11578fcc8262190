"""Who sends a request: the user of a token, of an API key, or of a token of an OpenID Connect issuer.

A key is looked up in MongoDB when a process meets it first, and remembered. Once a minute a request makes the process look
again, in the background: no other request waits for MongoDB, and while MongoDB is away a remembered key stays valid for an
hour, as a token would. A revoked key is refused at once all the same, because Redis is asked with every request
(`laneway.api.revocations`). A token of the issuer is treated alike: it is verified when a process meets it first, and once a
minute after that.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from laneway.api.oidc.verifier import is_foreign
from laneway.api.problem import Problem
from laneway.api.tokens import MAX_REMEMBERED, InvalidToken, Token, Tokens
from laneway.storage import key_format
from laneway.storage.api_keys import ApiKeys
from laneway.storage.users import Users

FRESH_SECONDS = 60.0
"""Seconds after which a cached key is read from MongoDB again, in the background."""
USABLE_SECONDS = 3600.0
"""Seconds for which a cached key is valid while MongoDB is away. Revocations in Redis last longer."""
_KEY = "key/"
"""How the token id of a key begins."""
_MARK = f" {key_format.PREFIX}".encode()
"""Only an Authorization header with a key has this in it: tokens have no blanks."""


@dataclass(slots=True)
class _Known:
    """What is remembered of a key or a token of the issuer. `token` is None for a key that does not exist."""

    token: Token | None
    read_at: float
    tried_at: float


class Callers:
    """Verifies tokens, API keys and tokens of an issuer. It does not ask whether they have been revoked.

    `of_issuer` returns what stands for a token of an issuer (`IssuerLogIns.token`).
    """

    def __init__(
        self,
        tokens: Tokens,
        keys: ApiKeys,
        users: Users,
        of_issuer: Callable[[str], Awaitable[Token]] | None = None,
    ) -> None:
        self._tokens, self._keys, self._users, self._of_issuer = tokens, keys, users, of_issuer
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._reads: dict[bytes, asyncio.Task[_Known]] = {}

    async def verify(self, authorization: bytes) -> Token:
        """Return the token, or what stands for the key, in an Authorization header's value (b"" without a header).

        Raises InvalidToken, what `of_issuer` raises, and UsersUnavailable if a key is not known yet while MongoDB is away.
        """
        if _MARK not in authorization and not self._is_of_issuer(authorization):
            return self._tokens.verify(authorization)
        now = time.monotonic()
        known = self._known.get(authorization)
        if known is None or now - known.read_at > USABLE_SECONDS:
            known = await asyncio.shield(self._read(authorization))
        elif now - known.tried_at > FRESH_SECONDS:
            known.tried_at = now
            self._read(authorization)
        if known.token is None:
            raise InvalidToken("the API key does not exist or has been revoked")
        if known.token.expires_at <= time.time():
            raise InvalidToken(
                "the token has expired"
                if known.token.scopes is None
                else "the API key has expired; make a new one"
            )
        return known.token

    def _is_of_issuer(self, authorization: bytes) -> bool:
        if self._of_issuer is None or authorization in self._tokens:
            return False
        return authorization in self._known or is_foreign(authorization)

    def _read(self, authorization: bytes) -> asyncio.Task[_Known]:
        """Look up an API key, or check a token. Concurrent requests with the same one share the look-up."""
        task = self._reads.get(authorization)
        if task is None:
            text = _text_in(authorization)
            task = self._reads[authorization] = asyncio.create_task(self._look_up(authorization, text))
            task.add_done_callback(lambda done: self._end_read(authorization, done))
        return task

    def _end_read(self, authorization: bytes, task: asyncio.Task[_Known]) -> None:
        del self._reads[authorization]
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it, and a refresh that failed is tried again later

    async def _look_up(self, authorization: bytes, text: str) -> _Known:
        asked_at, now = time.time(), time.monotonic()
        try:
            token = await self._token(text, asked_at)
        except (InvalidToken, Problem):  # it has become invalid; an outage says nothing about it
            self._known.pop(authorization, None)
            raise
        known = self._known[authorization] = _Known(token, now, now)
        self._known.move_to_end(authorization)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return known

    async def _token(self, text: str, asked_at: float) -> Token | None:
        """Return what stands for a key, issued when it was read: a role that was taken away since does not count."""
        if self._of_issuer is not None and key_format.id_of(text) is None:
            return await self._of_issuer(text)
        key = await self._keys.use(text)
        user = await self._users.find(key.user) if key else None
        if key is None or user is None:
            return None
        expires_at = key.expires_at.timestamp() if key.expires_at else math.inf
        return Token(user.name, user.role, token_id_of(key.id), asked_at, expires_at, key.scopes)


def token_id_of(key_id: str) -> str:
    """Return the token id under which a key is revoked and its live connections are known."""
    return _KEY + key_id


def key_id_of(token_id: str) -> str | None:
    """Return the id of the key that a token id stands for; None for a token."""
    return token_id.removeprefix(_KEY) if token_id.startswith(_KEY) else None


def _text_in(authorization: bytes) -> str:
    """Return the text of a token of the issuer, or of a key with a right checksum. Raises InvalidToken."""
    scheme, _, text = authorization.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidToken("the Authorization header must be 'Bearer <token or API key>'")
    if _MARK in authorization and key_format.id_of(text) is None:
        raise InvalidToken("the API key has a mistake in it, or has been cut off")
    return text
