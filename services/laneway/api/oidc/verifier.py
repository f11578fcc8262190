"""Checks a token of the issuer: signature, issuer, audience, times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from laneway.api.tokens import ALGORITHM as OUR_ALGORITHM
from laneway.api.tokens import InvalidToken
from laneway.oidc.provider import Provider

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Public keys only: with a shared key whoever verifies can sign, and `none` is no signature."""
CLOCK_SKEW_SECONDS = 30
MAX_LIFETIME_SECONDS = 86_400
"""Longest time between issue and expiry. Revocations are kept for as long."""
MAX_BYTES = 16_384
"""Longest token. Verified ones are remembered."""
_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
"""A logout token (`logout+jwt`) is signed with the same key and logs nobody in."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that the issuer has signed for us. Times are Unix seconds."""

    issuer: str
    subject: str
    token_id: str
    issued_at: float
    expires_at: float
    claims: Mapping[str, Any]


def is_foreign(authorization: bytes) -> bool:
    """Whether a token claims to be signed with another algorithm than ours. Either way it is verified."""
    try:
        text = authorization.partition(b" ")[2]
        return bool(jwt.get_unverified_header(text).get("alg") != OUR_ALGORITHM)
    except jwt.PyJWTError:
        return False


class Verifier:
    """Verifies tokens for `audience`. If that is our own client id, the token must have been made for our client."""

    def __init__(self, provider: Provider, audience: str) -> None:
        self._provider, self._audience = provider, audience

    async def verify(self, text: str, *, nonce: str | None = None) -> Verified:
        """Return what a token says. With a nonce, it must be the ID token of the log-in with that nonce.

        Raises InvalidToken, IssuerUnavailable.
        """
        if len(text) > MAX_BYTES:
            raise InvalidToken(f"a token of the issuer may have {MAX_BYTES} bytes")
        try:
            claims = await self._claims(text)
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired; get a new one from the issuer") from None
        except jwt.InvalidAudienceError:
            raise InvalidToken(f"the token is not for the audience {self._audience!r}") from None
        except jwt.InvalidIssuerError:
            raise InvalidToken("the token is of another issuer") from None
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError):
            raise InvalidToken("the token is not valid") from None
        if nonce is not None and claims.get("nonce") != nonce:
            raise InvalidToken("the token belongs to another log-in")
        return Verified(
            claims["iss"],
            claims["sub"],
            # Of the signed part alone: a signature has several valid spellings, and a log-out must revoke them all.
            "oidc/" + hashlib.sha256(text.rpartition(".")[0].encode()).hexdigest()[:32],
            float(claims["iat"]),
            float(claims["exp"]) + CLOCK_SKEW_SECONDS,
            claims,
        )

    async def _claims(self, text: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(text)
        algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if algorithm not in ALGORITHMS or (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
            raise jwt.InvalidAlgorithmError
        key = await self._provider.key(key_id, algorithm)
        if key is None:
            raise InvalidToken("the token is signed with a key that the issuer does not have")
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=(await self._provider.endpoints()).issuer,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
        self._check(claims)
        return claims

    def _check(self, claims: Mapping[str, Any]) -> None:
        """Check what PyJWT does not."""
        subject, lifetime = claims["sub"], float(claims["exp"]) - float(claims["iat"])
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise InvalidToken("the token has no subject")
        if not 0 < lifetime <= MAX_LIFETIME_SECONDS:
            raise InvalidToken(
                f"a token may be valid for {MAX_LIFETIME_SECONDS} s, and this one is for {lifetime:.0f} s"
            )
        if "events" in claims:
            raise InvalidToken("this is no token of a log-in")
        if self._audience != self._client_id:
            return
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else self._client_id) != self._client_id:
            raise InvalidToken("the token was made for another client")

    @property
    def _client_id(self) -> str:
        return self._provider.client.client_id
