"""A job that a client has enqueued."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from laneway.client.errors import JobNotEnded
from laneway.client.models import ENDED, Cancellation, Event, JobView, Why

if TYPE_CHECKING:
    from laneway.client.asynchronous.client import AsyncClient


class AsyncJob:
    """A job that this client has enqueued, or `AsyncJob(client, job_id)` for any other of the caller's."""

    def __init__(self, client: AsyncClient, job_id: str) -> None:
        self._client = client
        self.id = job_id

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    async def look(self) -> JobView:
        """The job as it is now."""
        return await self._client.job(self.id)

    async def watch(self) -> AsyncIterator[Event]:
        """Yield what happens to the job, live, up to its end. Raises as the client's `watch` does."""
        async for event in self._client.watch():
            if event.event in ("connected", "missed"):
                view = await self.look()
                if view.ended:
                    yield Event("state", job_id=self.id, state=view.state, attempts=view.attempts)
                    return
            elif event.job_id == self.id:
                yield event
                if event.state in ENDED:
                    return

    async def cancel(self) -> Cancellation:
        """Cancel the job; a running one is asked to stop. Raises `Conflict` when it has ended."""
        return await self._client.cancel(self.id)

    async def why(self) -> Why:
        """Why the job has not started."""
        return await self._client.why(self.id)

    async def wait(self, timeout_seconds: float | None = None) -> JobView:
        """Wait until the job has ended, and return it, whatever its end was. Raises `JobNotEnded` after `timeout_seconds`.

        Asks the API: at first after 20 ms, then ever more rarely, at last once a second.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause_seconds = 0.02
        while not (view := await self.look()).ended:
            if deadline is not None and time.monotonic() >= deadline:
                raise JobNotEnded(self.id, timeout_seconds or 0)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(1.0, pause_seconds * 1.5)
        return view
