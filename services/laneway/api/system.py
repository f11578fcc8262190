"""What an API process works with: made by the app's lifespan, reached by endpoints through `deps`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from pymongo.asynchronous.database import AsyncDatabase

from laneway.api.intake import Intake
from laneway.api.live import Live
from laneway.api.metrics import LaneSampler
from laneway.api.security import Revocations, Tokens
from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.store import AsyncLanes
from laneway.presence import Presence
from laneway.storage.history_reader import HistoryReader
from laneway.storage.users import Users
from laneway.telemetry.job_events import JobEvent
from laneway.telemetry.job_log import JobLog


class JobLines:
    """The job log, written at most once a turn of the event loop: jobs that Redis answered for together are logged together."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._events: list[JobEvent] = []

    def add(self, event: JobEvent) -> None:
        if not self._events:
            asyncio.get_running_loop().call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._log.write(events)


@dataclass(slots=True)
class System:
    """`redis`: for all but the lanes; `mongo`: the database, to see whether it answers."""

    redis: redis.asyncio.Redis
    mongo: AsyncDatabase[dict[str, Any]]
    lanes: AsyncLanes
    limits: EnqueueLimits
    intake: Intake
    users: Users
    history: HistoryReader
    presence: Presence
    live: Live
    tokens: Tokens
    revocations: Revocations
    job_lines: JobLines
    sampler: LaneSampler
    draining: bool = field(default=False)
    """The process is about to end: not ready for anything new, though it still serves."""
