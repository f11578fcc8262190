"""What an issuer says of itself: its endpoints (OpenID Connect Discovery) and its keys, and the exchange of a code for a token.

Both are read again in the background: endpoints after an hour, keys after five minutes. While the issuer is away, endpoints are
used until they are a day old, and keys for an hour only: one that the issuer has withdrawn must not be accepted for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import httpx2
import jwt
import orjson
from pydantic import SecretStr

from laneway.oidc.fetched import Fetched, IssuerUnavailable

DISCOVERY = "/.well-known/openid-configuration"
ANSWER_SECONDS = 4.0
"""How long an answer may take: a client waits for it."""
ANSWER_BYTES = 1_000_000
ENDPOINTS_FRESH_SECONDS, ENDPOINTS_USABLE_SECONDS = 3600.0, 86_400.0
KEYS_FRESH_SECONDS, KEYS_USABLE_SECONDS = 300.0, 3600.0
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


class OtherIssuer(IssuerUnavailable):
    """The discovery document is of another issuer."""


class TokenRefused(IssuerUnavailable):
    """The issuer refuses a token for a reason other than the code. `error`: its error code, see RFC 6749, section 5.2."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(f"the token endpoint answered {status}: {error:.80}")
        self.error = error


class CodeRefused(Exception):
    """The issuer refuses a code: it is used or too old."""


@dataclass(frozen=True, slots=True)
class Client:
    """Laneway as a client of an issuer. Without a secret it is a public client, which PKCE protects."""

    issuer: str
    client_id: str
    secret: SecretStr | None
    scopes: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The parts of the discovery document that we use. Those for log-in may be missing."""

    issuer: str
    keys: str
    authorization: str | None
    token: str | None
    wants_secret_in_body: bool


class _Key(NamedTuple):
    id: str | None
    algorithm: str | None
    """The only one that it signs with, if the issuer says so."""
    public: Any


class Provider:
    """One issuer. All methods raise IssuerUnavailable."""

    def __init__(self, client: Client, http: httpx2.AsyncClient) -> None:
        self.client = client
        self._http = http
        self._endpoints = Fetched(
            self._discover, fresh_seconds=ENDPOINTS_FRESH_SECONDS, usable_seconds=ENDPOINTS_USABLE_SECONDS
        )
        self._keys = Fetched(
            self._read_keys, fresh_seconds=KEYS_FRESH_SECONDS, usable_seconds=KEYS_USABLE_SECONDS
        )

    async def endpoints(self) -> Endpoints:
        """Return where the issuer's endpoints are."""
        return await self._endpoints.get()

    async def key(self, key_id: str | None, algorithm: str) -> Any:
        """Return the public key that signs with this algorithm under this id; None if there is none.

        An unknown id makes it ask the issuer again, at most every few seconds: the issuer may have a new key.
        """
        found = _key_of(await self._keys.get(), key_id, algorithm)
        return found or _key_of(await self._keys.newer(), key_id, algorithm)

    async def has_keys(self) -> bool:
        """Return whether the issuer has any key that we can verify with."""
        return bool(await self._keys.get())

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Return the ID token for a code. Raises CodeRefused, TokenRefused."""
        endpoints = await self.endpoints()
        if endpoints.token is None:
            raise IssuerUnavailable("the issuer has no token endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.client.client_id,
            "code_verifier": verifier,
        }
        auth: tuple[str, str] | None = None
        if self.client.secret is not None:
            secret = self.client.secret.get_secret_value()
            if endpoints.wants_secret_in_body:
                form["client_secret"] = secret
            else:  # RFC 6749, section 2.3.1: both are form-encoded first
                auth = quote_plus(self.client.client_id), quote_plus(secret)
        status, answer = await self._ask("POST", endpoints.token, data=form, auth=auth)
        if status == 400 and answer.get("error") == "invalid_grant":
            raise CodeRefused
        if status != 200 and "error" in answer:
            raise TokenRefused(status, str(answer["error"]))
        if status != 200:
            raise IssuerUnavailable(f"the token endpoint answered {status}: no reason")
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise IssuerUnavailable(
                "the token endpoint answered without an ID token; is 'openid' among the scopes?"
            )
        return token

    async def _discover(self) -> Endpoints:
        issuer = self.client.issuer.rstrip("/")
        answer = await self._get(issuer + DISCOVERY)
        if str(answer.get("issuer", "")).rstrip("/") != issuer:
            raise OtherIssuer(f"the discovery document is of another issuer: {answer.get('issuer')!s:.200}")
        methods = answer.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Endpoints(
            answer["issuer"],
            self._address(answer, "jwks_uri") or "",
            self._address(answer, "authorization_endpoint"),
            self._address(answer, "token_endpoint"),
            "client_secret_basic" not in methods,
        )

    def _address(self, answer: Mapping[str, Any], name: str) -> str | None:
        """Return an endpoint. It must have TLS, unless the issuer itself, which is on this machine then, has none."""
        address = answer.get(name)
        schemes = ("https://",) if self.client.issuer.startswith("https://") else ("https://", "http://")
        if address is not None and not str(address).startswith(schemes):
            raise IssuerUnavailable(f"{name} in the discovery document is no https address")
        return address

    async def _read_keys(self) -> list[_Key]:
        answer = await self._get((await self.endpoints()).keys)
        keys = answer.get("keys")
        if not isinstance(keys, list):
            raise IssuerUnavailable("the issuer's key set has no list of keys")
        return [key for key in map(_usable_key, keys) if key is not None]

    async def _get(self, url: str) -> dict[str, Any]:
        status, answer = await self._ask("GET", url)
        if status != 200:
            raise IssuerUnavailable(f"{url} answered {status}")
        return answer

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._http.stream(method, url, headers={"accept": "application/json"}, **options) as reply,
            ):
                body = b""
                async for piece in reply.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        raise IssuerUnavailable(f"{url} answers more than {ANSWER_BYTES} bytes")
                answer = orjson.loads(body) if body else {}
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            raise IssuerUnavailable(f"{url} does not answer: {str(error) or type(error).__name__}") from error
        except ValueError as error:
            raise IssuerUnavailable(f"{url} answers something else than JSON") from error
        if not isinstance(answer, dict):
            raise IssuerUnavailable(f"{url} answers something else than a JSON object")
        return reply.status_code, answer


def _usable_key(values: Any) -> _Key | None:
    """Return a public key for signatures, or None for any other and for one that PyJWT does not know."""
    if (
        not isinstance(values, dict)
        or values.get("kty") not in _KEY_TYPES
        or values.get("use", "sig") != "sig"
    ):
        return None
    try:
        return _Key(values.get("kid"), values.get("alg"), jwt.PyJWK(values).key)
    except jwt.PyJWTError:
        return None


def _key_of(keys: list[_Key], key_id: str | None, algorithm: str) -> Any:
    """Return the key with this id. A token without an id can only mean the only key."""
    found = keys if key_id is None else [key for key in keys if key.id == key_id]
    if len(found) != 1 or found[0].algorithm not in (None, algorithm):
        return None
    return found[0].public
