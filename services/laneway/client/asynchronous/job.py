"""A job that a client has enqueued."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from laneway.client.errors import JobNotEnded
from laneway.client.models import ENDED, Cancellation, Event, JobLog, JobView, LogLine, Why
from laneway.client.seen_lines import SeenLines

if TYPE_CHECKING:
    from laneway.client.asynchronous.client import AsyncClient


class AsyncJob:
    """A job that this client has enqueued, or `AsyncJob(client, job_id)` for any other of the caller's."""

    def __init__(self, client: AsyncClient, job_id: str, *, duplicate: bool = False) -> None:
        self._client = client
        self.id = job_id
        self.duplicate = duplicate
        """Enqueueing made no job, because this one has the same unique key and has not ended."""

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

    async def logs(self) -> JobLog:
        """What the job has logged so far."""
        return await self._client.logs(self.id)

    async def follow_log(self) -> AsyncIterator[LogLine]:
        """Yield what the job has logged so far, then each line as it is logged, up to the end of the job.

        Of a run that logs faster than some hundred lines a second, the newest lines are what is kept. Raises as the client's
        `watch` does.
        """
        seen = SeenLines()
        async for event in self._client.watch():
            if event.job_id not in (self.id, None) or event.event == "progress":
                continue
            new, ended = seen.in_event(event.lines) if event.lines else None, False
            if new is None:
                ended = (await self.look()).ended  # asked first: then the log is complete
                new = seen.in_log(await self.logs())
            for line in new:
                yield line
            if ended:
                return

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
