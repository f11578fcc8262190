"""An operation that a client has started: one action on all jobs that match a filter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from laneway.client import calls
from laneway.client.errors import OperationNotEnded
from laneway.client.models import OperationView

if TYPE_CHECKING:
    from laneway.client.asynchronous.client import AsyncClient

_PAUSE_SECONDS = 0.02, 1.0


class AsyncOperation:
    """An operation of the caller, or `AsyncOperation(client, id, as_admin=True)` for anybody's."""

    def __init__(self, client: AsyncClient, operation_id: str, *, as_admin: bool = False) -> None:
        self._client, self._as_admin = client, as_admin
        self.id = operation_id

    def __repr__(self) -> str:
        return f"AsyncOperation({self.id!r})"

    async def look(self) -> OperationView:
        """The operation as it is now. Raises `NotFound`."""
        read = calls.any_operation if self._as_admin else calls.operation
        return await self._client.run(read(self.id))

    async def cancel(self) -> OperationView:
        """End the operation. What has been done stays done. Raises `Conflict` when it has ended."""
        end = calls.cancel_any_operation if self._as_admin else calls.cancel_operation
        return await self._client.run(end(self.id))

    async def watch(self, timeout_seconds: float | None = None) -> AsyncIterator[OperationView]:
        """Yield the operation whenever it has gone on, up to its end. Raises `OperationNotEnded` after `timeout_seconds`.

        Asks the API: at first after 20 ms, then ever more rarely, at last once a second.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause_seconds, longest_seconds = _PAUSE_SECONDS
        last: OperationView | None = None
        while True:
            view = await self.look()
            if view != last:
                yield view
            if view.ended:
                return
            last = view
            if deadline is not None and time.monotonic() >= deadline:
                raise OperationNotEnded(self.id, timeout_seconds or 0)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(longest_seconds, pause_seconds * 1.5)

    async def wait(self, timeout_seconds: float | None = None) -> OperationView:
        """Wait until the operation has ended, and return it. Raises `OperationNotEnded` after `timeout_seconds`."""
        async for _ in self.watch(timeout_seconds):
            pass
        return await self.look()
