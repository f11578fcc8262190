# Written by docs/synchronous_client.py: change asynchronous/job.py instead.
"""A job that a client has enqueued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from laneway.client.errors import JobNotEnded
from laneway.client.models import ENDED, Cancellation, Event, JobLog, JobView, LogLine, Why
from laneway.client.seen_lines import SeenLines

if TYPE_CHECKING:
    from laneway.client.synchronous.client import Client


class Job:
    """A job that this client has enqueued, or `Job(client, job_id)` for any other of the caller's."""

    def __init__(self, client: Client, job_id: str, *, duplicate: bool = False) -> None:
        self._client = client
        self.id = job_id
        self.duplicate = duplicate
        """Enqueueing made no job, because this one has the same unique key and has not ended."""

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def look(self) -> JobView:
        """The job as it is now."""
        return self._client.job(self.id)

    def watch(self) -> Iterator[Event]:
        """Yield what happens to the job, live, up to its end. Raises as the client's `watch` does."""
        for event in self._client.watch():
            if event.event in ("connected", "missed"):
                view = self.look()
                if view.ended:
                    yield Event("state", job_id=self.id, state=view.state, attempts=view.attempts)
                    return
            elif event.job_id == self.id:
                yield event
                if event.state in ENDED:
                    return

    def cancel(self) -> Cancellation:
        """Cancel the job; a running one is asked to stop. Raises `Conflict` when it has ended."""
        return self._client.cancel(self.id)

    def why(self) -> Why:
        """Why the job has not started."""
        return self._client.why(self.id)

    def logs(self) -> JobLog:
        """What the job has logged so far."""
        return self._client.logs(self.id)

    def follow_log(self) -> Iterator[LogLine]:
        """Yield what the job has logged so far, then each line as it is logged, up to the end of the job.

        Of a run that logs faster than some hundred lines a second, the newest lines are what is kept. Raises as the client's
        `watch` does.
        """
        seen = SeenLines()
        for event in self._client.watch():
            if event.job_id not in (self.id, None) or event.event == "progress":
                continue
            new, ended = seen.in_event(event.lines) if event.lines else None, False
            if new is None:
                ended = self.look().ended  # asked first: then the log is complete
                new = seen.in_log(self.logs())
            yield from new
            if ended:
                return

    def wait(self, timeout_seconds: float | None = None) -> JobView:
        """Wait until the job has ended, and return it, whatever its end was. Raises `JobNotEnded` after `timeout_seconds`.

        Asks the API: at first after 20 ms, then ever more rarely, at last once a second.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause_seconds = 0.02
        while not (view := self.look()).ended:
            if deadline is not None and time.monotonic() >= deadline:
                raise JobNotEnded(self.id, timeout_seconds or 0)
            time.sleep(pause_seconds)
            pause_seconds = min(1.0, pause_seconds * 1.5)
        return view
