"""Progress reports of handlers, thinned out: of each job the newest, a few times a second."""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial

from laneway.handlers import Context
from laneway.lanes.commands import Progress
from laneway.lanes.model import Lease
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.run_logs import RunLogs

SEND_SECONDS = 0.2
"""Wait between two sendings of progress."""


class ProgressReports:
    """Makes the contexts of handlers, and sends what they report. For the event loop."""

    def __init__(self, messenger: Messenger, logs: RunLogs) -> None:
        self._messenger, self._logs = messenger, logs
        self._newest: dict[str, Progress] = {}

    def context(self, lease: Lease) -> Context:
        """Make the context of a job. Its handler may run in any thread."""
        loop = asyncio.get_running_loop()

        def report(percent: float, note: str) -> None:
            progress = Progress(lease, percent, note)
            # In a context of its own: what we log ourselves belongs to no job.
            loop.call_soon_threadsafe(self._take, progress, context=contextvars.Context())

        return Context(
            lease.job_id, lease.user, lease.attempt, report, partial(self._logs.add, lease, "info")
        )

    def _take(self, progress: Progress) -> None:
        if not self._newest:
            asyncio.get_running_loop().call_later(SEND_SECONDS, self._send)
        self._newest[progress.lease.handle] = progress

    def _send(self) -> None:
        reports, self._newest = list(self._newest.values()), {}
        self._messenger.send_soon(reports)
