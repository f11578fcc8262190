"""What the doctor finds: one line for each thing that is well, worth knowing or wrong."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from ipaddress import ip_address
from typing import Literal, NamedTuple

from laneway.handlers.errors import HandlerError
from laneway.handlers.loader import HandlerSettings, configured
from laneway.lanes.errors import LaneError
from laneway.lanes.health import Finding, clock_findings, server_name, store_health, sync_findings
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.oidc.health import issuer_findings
from laneway.oidc.provider import Client
from laneway.storage.health import mongo_health
from laneway.url_password import without_secrets
from laneway.webhooks.addresses import Network

REDIS_SECONDS, MONGO_SECONDS = 3.0, 5.0
"""How long a server may take to answer: longer than for a request, so that a slow one is not taken for one that is away."""

MIN_DIFFERENT = 8
"""Different characters that a key must have. A generated one of 32 bytes has far more."""
METADATA = tuple(map(ip_address, ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200")))
"""Where clouds give the credentials of a machine to whoever asks from it."""

Area = Literal["settings", "handlers", "redis", "mongodb", "issuer", "webhooks"]


class Line(NamedTuple):
    """One thing found. `note`: a choice that has a cost. `kind`: a word for programs, or the name of a setting."""

    area: Area
    status: Literal["ok", "note", "wrong"]
    kind: str
    text: str


def handlers(settings: HandlerSettings) -> Iterator[Line]:
    """Import the modules of handlers. What they print goes to standard error."""
    try:
        with redirect_stdout(sys.stderr):
            types = configured(settings).types
    except HandlerError as error:
        yield Line("handlers", "wrong", "LANEWAY_HANDLERS", str(error))
        return
    yield Line("handlers", "ok", "types", f"{', '.join(settings.handler_modules())}: {', '.join(types)}")


async def redis(url: str, key_prefix: str) -> AsyncIterator[Line]:
    """Look at Redis: whether it answers, what it allows, what it would lose, and what its clock says."""
    client = connect_async(url, timeout_seconds=REDIS_SECONDS)
    lanes = AsyncLanes(client, Keys(key_prefix))
    where = without_secrets(url)
    try:
        health = await store_health(lanes)
        found = (*health.problems, *health.warnings)
        if _is_away(found):
            yield Line("redis", "wrong", found[0].kind, f"{where}: {found[0].text}")
            return
        clock = await clock_findings(lanes)
        yield Line("redis", "ok", "server", f"{where}: {await server_name(lanes)} answers")
        for line in _lines("redis", (*found, *clock), "wrong"):
            yield line
        for line in _lines("redis", await sync_findings(lanes), "note"):
            yield line
    except LaneError as error:
        yield Line("redis", "wrong", "no_answer", f"{where}: {error}")
    finally:
        await client.aclose()


async def mongo(url: str, database: str, *, has_webhooks_key: bool) -> AsyncIterator[Line]:
    """Look at MongoDB: whether it answers, what it allows, and whether it acknowledges durable writes; and whether it has webhooks
    that get nothing because there is no key."""
    where = without_secrets(url)
    health = await mongo_health(url, database, timeout_seconds=MONGO_SECONDS)
    if health.version:
        yield Line("mongodb", "ok", "server", f"{where}: MongoDB {health.version} answers")
    for problem in health.problems:
        yield Line("mongodb", "wrong", problem.kind, f"{where}: {problem.text}")
    for line in _lines("mongodb", health.notes, "note"):
        yield line
    if health.has_webhooks and not has_webhooks_key:
        text = (
            "users have webhooks, and get no deliveries here, because LANEWAY_WEBHOOKS_KEY is not set: set it for API and workers "
            "to the key that they had, since another one changes all secrets"
        )
        yield Line("webhooks", "wrong", "no_key", text)


async def issuer(client: Client) -> AsyncIterator[Line]:
    """Look at the OpenID Connect issuer, if there is one: whether its users can log in and its tokens can be verified."""
    if not client.issuer:
        return
    found = await issuer_findings(client, has_log_in=bool(client.client_id))
    if not found:
        yield Line("issuer", "ok", "issuer", f"{client.issuer} answers, and has keys")
    for line in _lines("issuer", found, "wrong"):
        yield line


def webhooks(key: str | None, jwt_secret: str | None, allowed: Sequence[Network]) -> Iterator[Line]:
    """Look at what webhooks need: a key of their own, and networks that are safe to reach."""
    key_name, allow_private = "LANEWAY_WEBHOOKS_KEY", "LANEWAY_WEBHOOKS_ALLOW_PRIVATE"
    if key is None:
        yield Line("webhooks", "ok", "off", f"{key_name} is not set, so there are no webhooks")
        if allowed:
            yield Line("webhooks", "note", allow_private, f"{allow_private} has no effect without {key_name}")
        return
    if key == jwt_secret:
        text = (
            f"{key_name} is the same as LANEWAY_JWT_SECRET: handlers can read it, and could make tokens of any user; "
            "give it a value of its own"
        )
        yield Line("webhooks", "wrong", key_name, text)
    elif len(set(key)) < MIN_DIFFERENT:
        text = f"{key_name} is easy to guess: generate one, with `openssl rand -base64 32`, for example"
        yield Line("webhooks", "wrong", key_name, text)
    else:
        text = f"{key_name} is set here; API and workers must have the same one"
        yield Line("webhooks", "ok", "on", text)
    if metadata := [str(network) for network in allowed if _reaches_metadata(network)]:
        text = (
            f"{allow_private} has {', '.join(metadata)}, which the metadata of a cloud is in: any user could have a worker ask "
            "for it; name only the networks of your receivers"
        )
        yield Line("webhooks", "wrong", allow_private, text)
    elif allowed:
        networks = ", ".join(map(str, allowed))
        text = f"any user's webhooks may go to {networks}, over plain HTTP too ({allow_private})"
        yield Line("webhooks", "note", allow_private, text)


def _reaches_metadata(network: Network) -> bool:
    return any(address in network for address in METADATA)


def _is_away(found: Iterable[Finding]) -> bool:
    return any(finding.kind in ("no_answer", "log_in", "no_descriptors") for finding in found)


def _lines(area: Area, found: Iterable[Finding], status: Literal["note", "wrong"]) -> Iterator[Line]:
    return (Line(area, status, finding.kind, finding.text) for finding in found)
