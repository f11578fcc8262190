"""Tokens: JSON Web Tokens signed with HMAC-SHA256, with a key id (`kid`) for rotation and a token id (`jti`) for revocation.

A verified token is remembered until it expires, since its signature cannot change. Whether it has been revoked is asked of
Redis with every request: by the enqueue script itself, and for all other requests by `laneway.api.revocations`.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from laneway.api.problem import Problem
from laneway.scopes import Scope
from laneway.storage.users import USERNAME, Role

ALGORITHM = "HS256"
MAX_REMEMBERED = 20_000
"""Verified tokens that one process remembers, some 500 bytes each."""
_INVITATION = "invitation"
_CLAIMS = ["exp", "iat", "jti", "sub", "role"]


class InvalidToken(Exception):
    """The token is missing or not valid. The text says which, and may be shown to the client."""

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token, or what stands for a verified API key (see `laneway.api.callers`). Times are Unix seconds."""

    user: str
    role: Role
    token_id: str
    issued_at: float
    expires_at: float
    scopes: frozenset[Scope] | None = None
    """What an API key may do; None for a token, which may do all that its user may."""

    @property
    def logged_in_ms(self) -> int:
        """When the user logged in, in Unix milliseconds; 0 for an API key, which outlives log-ins."""
        return 0 if self.scopes is not None else round(self.issued_at * 1000)

    def require(self, scope: Scope) -> None:
        """Raises Problem if this is an API key without the scope."""
        if self.scopes is not None and scope not in self.scopes:
            raise Problem(403, "missing-scope", f"this needs an API key with the scope '{scope}'")


class Tokens:
    """Issues tokens with the key `key_id` and verifies them with any of `keys`. A token is valid for `seconds`.

    `revoked_seconds` is how long the tokens of an issuer are valid, if there is one.
    """

    def __init__(
        self, keys: Mapping[str, bytes], key_id: str, *, seconds: int, revoked_seconds: int = 0
    ) -> None:
        self._keys = dict(keys)
        self._key_id = key_id
        self.seconds = seconds
        self.revoked_seconds = max(seconds, revoked_seconds)
        """How long log-ins and roles that were revoked must be remembered."""
        self._verified: OrderedDict[bytes, Token] = OrderedDict()

    def __contains__(self, authorization: bytes) -> bool:
        """Whether this header's token is remembered as one of ours."""
        return authorization in self._verified

    def issue(self, user: str, role: Role, asked_at: float | None = None) -> str:
        """Return a new token.

        `asked_at` is the Unix time of the request, taken before the role was looked up (default: now). Taking a role away
        invalidates every token issued up to that moment, so a token must not look younger than the role in it.
        """
        now = time.time() if asked_at is None else asked_at
        claims = {
            "sub": user,
            "role": role.value,
            "iat": round(now, 3),
            "exp": int(now) + self.seconds,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._keys[self._key_id], ALGORITHM, headers={"kid": self._key_id})

    def invite(self, seconds: int) -> str:
        """Return a new invitation to register, valid for `seconds`."""
        claims = {"use": _INVITATION, "exp": int(time.time()) + seconds, "jti": secrets.token_hex(16)}
        return jwt.encode(claims, self._keys[self._key_id], ALGORITHM, headers={"kid": self._key_id})

    def verify_invitation(self, text: str) -> tuple[str, float]:
        """Return an invitation's id and the seconds for which it is still valid. Raises InvalidToken."""
        claims = self._claims(text, ["exp", "jti", "use"])
        if claims["use"] != _INVITATION:
            raise InvalidToken("this is not an invitation")
        return str(claims["jti"]), max(0.0, claims["exp"] - time.time())

    def verify(self, authorization: bytes) -> Token:
        """Return the token in an Authorization header's value (b"" if there is no header). Raises InvalidToken."""
        token = self._verified.get(authorization)
        if token is None:
            token = self._verified[authorization] = self._decode(authorization)
            if len(self._verified) > MAX_REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(authorization)
        if token.expires_at <= time.time():
            del self._verified[authorization]
            raise InvalidToken("the token has expired; log in again")
        return token

    def _decode(self, authorization: bytes) -> Token:
        if not authorization:
            raise InvalidToken("a token is needed: send 'Authorization: Bearer <token>'", missing=True)
        scheme, _, text = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken("the Authorization header must be 'Bearer <token>'")
        try:
            return _token(self._claims(text, _CLAIMS))
        except (TypeError, ValueError):
            raise InvalidToken("the token is not valid") from None

    def _claims(self, text: str, required: list[str]) -> dict[str, Any]:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
            if key is None:
                raise InvalidToken("the token was not issued here")
            # The time of issue is not checked: clocks of pods differ, and the signature proves that the token is ours.
            options: Any = {"require": required, "verify_iat": False}
            return jwt.decode(text, key, algorithms=[ALGORITHM], options=options)
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired; log in again") from None
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise InvalidToken("the token is not valid") from None


def _token(claims: Mapping[str, Any]) -> Token:
    """Raises ValueError or TypeError for claims that we would not write."""
    if not USERNAME.fullmatch(claims["sub"]) or not isinstance(claims["jti"], str):
        raise ValueError("foreign claims")
    return Token(
        claims["sub"], Role(claims["role"]), claims["jti"], float(claims["iat"]), float(claims["exp"])
    )


def authorization_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the value of the Authorization header, b"" if there is none. Raises Problem if there are several."""
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise Problem(400, "bad-request", "send one Authorization header, not several")
            found = value
    return found or b""
