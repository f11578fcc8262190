"""Holds a user's connection open beside other work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from laneway.client import calls
from laneway.client.asynchronous.connection import AsyncConnection
from laneway.client.asynchronous.stream import follow
from laneway.client.models import Event


@asynccontextmanager
async def hold(connection: AsyncConnection) -> AsyncIterator[Event]:
    """Be connected while the block runs: a task holds the connection. Yields the first event."""
    events = follow(connection, calls.connect())
    try:
        first = await anext(events)
        holding = asyncio.create_task(_drain(events))
        try:
            yield first
        finally:
            holding.cancel()
            with suppress(asyncio.CancelledError):
                await holding
    finally:
        await events.aclose()


async def _drain(events: AsyncGenerator[Any, None]) -> None:
    """Read events that nobody needs."""
    async for _ in events:
        pass
