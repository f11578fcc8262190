# Written by docs/synchronous_client.py: change asynchronous/stream.py instead.
"""Event streams that reconnect and continue after the last event."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
import msgspec

from laneway.client.calls import Call
from laneway.client.models import Event

if TYPE_CHECKING:
    from laneway.client.synchronous.connection import Connection

PAUSE_SECONDS = 0.2
"""The pause before a stream that has ended is opened again."""


def follow(connection: Connection, call: Call[Event]) -> Generator[Event, None]:
    """Yield the events of a stream. When it ends, open it again and go on after the last event. Raises `ClientError`."""
    last_id = ""
    while True:
        response = connection.stream(_after(call, last_id))
        try:
            for event in httpx2.EventSource(response):
                last_id = event.id or last_id
                yield msgspec.json.decode(event.data, type=Event)
        except httpx2.TransportError:
            pass
        finally:
            response.close()
        time.sleep(PAUSE_SECONDS)


def _after(call: Call[Event], last_id: str) -> Call[Event]:
    headers: Mapping[str, str] = {"last-event-id": last_id} if last_id else {}
    return replace(call, headers={**call.headers, **headers})
