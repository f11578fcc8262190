"""Event streams that reconnect and continue after the last event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
import msgspec

from laneway.client.calls import Call
from laneway.client.models import Event

if TYPE_CHECKING:
    from laneway.client.asynchronous.connection import AsyncConnection

PAUSE_SECONDS = 0.2
"""The pause before a stream that has ended is opened again."""


async def follow(connection: AsyncConnection, call: Call[Event]) -> AsyncGenerator[Event, None]:
    """Yield the events of a stream. When it ends, open it again and go on after the last event. Raises `ClientError`."""
    last_id = ""
    while True:
        response = await connection.stream(_after(call, last_id))
        try:
            async for event in httpx2.EventSource(response):
                last_id = event.id or last_id
                yield msgspec.json.decode(event.data, type=Event)
        except httpx2.TransportError:
            pass
        finally:
            await response.aclose()
        await asyncio.sleep(PAUSE_SECONDS)


def _after(call: Call[Event], last_id: str) -> Call[Event]:
    headers: Mapping[str, str] = {"last-event-id": last_id} if last_id else {}
    return replace(call, headers={**call.headers, **headers})
