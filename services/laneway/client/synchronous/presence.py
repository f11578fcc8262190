"""Holds a user's connection open beside other work. Not generated: a thread has no cancellation, so an event loop does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from laneway.client.asynchronous.client import AsyncClient
from laneway.client.models import Event

if TYPE_CHECKING:
    from laneway.client.synchronous.connection import Connection


@contextmanager
def hold(connection: Connection) -> Iterator[Event]:
    """Be connected while the block runs: an event loop in a thread holds the connection. Yields the first event."""
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - few programs need it

    held = AsyncClient(
        str(connection._http.base_url),  # noqa: SLF001 - a part of the connection
        token=connection._token,  # noqa: SLF001
        username=connection._username,  # noqa: SLF001
        password=connection._password,  # noqa: SLF001
        retry_seconds=connection._retry_seconds,  # noqa: SLF001
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(held),
        portal.wrap_async_context_manager(held.connect()) as first,
    ):
        yield first
