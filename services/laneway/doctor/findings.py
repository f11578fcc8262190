"""What the doctor finds: one line for each thing that is well, worth knowing or wrong."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import redirect_stdout
from typing import Literal, NamedTuple

from laneway.handlers.errors import HandlerError
from laneway.handlers.loader import HandlerSettings, configured
from laneway.lanes.errors import LaneError
from laneway.lanes.health import Finding, clock_findings, server_name, store_health, sync_findings
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.storage.health import mongo_health
from laneway.url_password import without_secrets

REDIS_SECONDS, MONGO_SECONDS = 3.0, 5.0
"""How long a server may take to answer: longer than for a request, so that a slow one is not taken for one that is away."""

Area = Literal["settings", "handlers", "redis", "mongodb"]


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


async def mongo(url: str, database: str) -> AsyncIterator[Line]:
    """Look at MongoDB: whether it answers, what it allows, and whether it acknowledges durable writes."""
    where = without_secrets(url)
    health = await mongo_health(url, database, timeout_seconds=MONGO_SECONDS)
    if health.version:
        yield Line("mongodb", "ok", "server", f"{where}: MongoDB {health.version} answers")
    for problem in health.problems:
        yield Line("mongodb", "wrong", problem.kind, f"{where}: {problem.text}")
    for line in _lines("mongodb", health.notes, "note"):
        yield line


def _is_away(found: Iterable[Finding]) -> bool:
    return any(finding.kind in ("no_answer", "log_in", "no_descriptors") for finding in found)


def _lines(area: Area, found: Iterable[Finding], status: Literal["note", "wrong"]) -> Iterator[Line]:
    return (Line(area, status, finding.kind, finding.text) for finding in found)
