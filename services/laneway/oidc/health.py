"""What is wrong with an issuer, so that its users cannot log in. Nothing is sent to it but what anybody may ask."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime

import httpx2

from laneway.lanes.health import Finding, clock_finding
from laneway.oidc.fetched import IssuerUnavailable
from laneway.oidc.provider import ANSWER_SECONDS, Client, OtherIssuer, Provider

CLOCK_SECONDS = 10.0
"""Difference to the issuer's clock from which it is a finding. Tokens are refused from 30 s on."""


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
        try:
            if not await provider.has_keys():
                text = "the issuer's key set has no key for signatures, so no token can be verified: look at its keys"
                found.append(Finding("keys", text))
        except IssuerUnavailable as error:
            found.append(
                Finding("keys", f"the issuer's keys cannot be read, so no token is accepted: {error}")
            )
    return found


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
