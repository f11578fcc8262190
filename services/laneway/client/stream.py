"""Live connections of the clients: streams that go on after they break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from laneway.client.models import Event
from laneway.client.operations import Operation

if TYPE_CHECKING:
    from laneway.client.asynchronous import AsyncClient
    from laneway.client.synchronous import Client

SILENCE_SECONDS = 60.0
"""A stream that is silent for this long is broken: the server writes at every heartbeat (10 s by default)."""
PAUSE_SECONDS = 0.2
"""The pause before a stream that has ended is opened anew."""


def follow(client: Client, operation: Operation[Event]) -> Iterator[Event]:
    """Yield the events of a stream. When it ends, open it anew and go on after the last event. Raises `ClientError`."""
    last_id = ""
    while True:
        response = client.stream(_after(operation, last_id))
        try:
            for event in httpx2.EventSource(response):
                last_id = event.id or last_id
                yield msgspec.json.decode(event.data, type=Event)
        except httpx2.TransportError:
            pass
        finally:
            response.close()
        time.sleep(PAUSE_SECONDS)


async def follow_async(client: AsyncClient, operation: Operation[Event]) -> AsyncGenerator[Event, None]:
    """Do as `follow`."""
    last_id = ""
    while True:
        response = await client.stream(_after(operation, last_id))
        try:
            async for event in httpx2.EventSource(response):
                last_id = event.id or last_id
                yield msgspec.json.decode(event.data, type=Event)
        except httpx2.TransportError:
            pass
        finally:
            await response.aclose()
        await asyncio.sleep(PAUSE_SECONDS)


async def drain(events: AsyncIterator[Any]) -> None:
    """Read events that nobody needs, to hold the connection open."""
    async for _ in events:
        pass


def _after(operation: Operation[Event], last_id: str) -> Operation[Event]:
    headers: Mapping[str, str] = {"last-event-id": last_id} if last_id else {}
    return replace(operation, headers={**operation.headers, **headers})
