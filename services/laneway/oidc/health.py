"""What is wrong with an issuer, so that its users cannot log in. It is asked what anybody may ask, and for a token for a code that
cannot exist: so it says whether it accepts the client and its secret."""

from __future__ import annotations

import secrets
import ssl
import time
from email.utils import parsedate_to_datetime

import httpx2

from laneway.lanes.health import Finding, clock_finding
from laneway.oidc.fetched import IssuerUnavailable
from laneway.oidc.provider import (
    ANSWER_SECONDS,
    Client,
    CodeRefused,
    OtherIssuer,
    Provider,
    TokenRefused,
)

CLOCK_SECONDS = 10.0
"""Difference to the issuer's clock from which it is a finding. Tokens are refused from 30 s on."""
_CLIENT_ERRORS = ("invalid_client", "unauthorized_client")
"""RFC 6749, section 5.2."""
_REDIRECT_URI = "http://127.0.0.1/ui/login"


async def issuer_findings(client: Client, *, has_log_in: bool) -> list[Finding]:
    """Return what is wrong. `has_log_in`: people log in there, not only programs."""
    dates: list[tuple[str, float]] = []

    async def note_date(reply: httpx2.Response) -> None:
        dates.append((reply.headers.get("date", ""), time.time()))

    http = httpx2.AsyncClient(
        verify=ssl.create_default_context(), timeout=ANSWER_SECONDS, event_hooks={"response": [note_date]}
    )
    async with http:
        provider = Provider(client, http)
        try:
            endpoints = await provider.endpoints()
        except OtherIssuer as error:
            return [Finding("other_issuer", f"{error}: set LANEWAY_OIDC_ISSUER to exactly what it says")]
        except IssuerUnavailable as error:
            text = (
                f"{error}: check LANEWAY_OIDC_ISSUER, and that API pods reach it (name, proxy, network policy, "
                "certificate; SSL_CERT_FILE names authorities of your own)"
            )
            return [Finding("discovery", text)]
        found = [*_clock_findings(dates)]
        if has_log_in and not (endpoints.authorization and endpoints.token):
            text = "the issuer names no authorization or no token endpoint, so nobody logs in there: enable the code flow"
            found.append(Finding("endpoints", text))
        elif has_log_in:
            found += await _client_findings(provider)
        try:
            if not await provider.has_keys():
                text = "the issuer's key set has no key for signatures, so no token can be verified: look at its keys"
                found.append(Finding("keys", text))
        except IssuerUnavailable as error:
            found.append(
                Finding("keys", f"the issuer's keys cannot be read, so no token is accepted: {error}")
            )
    return found


async def _client_findings(provider: Provider) -> list[Finding]:
    """Ask for a token for a code that cannot exist. An issuer looks at the client before it looks at the code."""
    try:
        await provider.exchange(secrets.token_urlsafe(), secrets.token_urlsafe(), _REDIRECT_URI)
    except CodeRefused:
        return []
    except TokenRefused as refused:
        if refused.error not in _CLIENT_ERRORS:
            return []  # it looked at something else first: much of this request is wrong on purpose
        remedy = (
            "check LANEWAY_OIDC_CLIENT_ID and LANEWAY_OIDC_CLIENT_SECRET; only a public client has no secret"
        )
        return [
            Finding("client", f"the issuer refuses the client, so nobody logs in there: {refused}: {remedy}")
        ]
    except IssuerUnavailable as error:
        return [Finding("token_endpoint", f"nobody logs in with the issuer: {error}")]
    return []


def _clock_findings(dates: list[tuple[str, float]]) -> list[Finding]:
    """Compare the clock of this machine with the issuer's, which its answer gives in whole seconds."""
    text, at = dates[0]
    try:
        ahead = at - (parsedate_to_datetime(text).timestamp() + 0.5)
    except ValueError:  # it gives none
        return []
    if abs(ahead) < CLOCK_SECONDS:
        return []
    other = "the issuer, and from 30 s on its tokens are refused"
    return [clock_finding(f"{abs(ahead):,.0f}", ahead, other)]
