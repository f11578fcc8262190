"""What one API process works with: opened by the app's lifespan, and reached by endpoints through `deps`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from pymongo.asynchronous.database import AsyncDatabase

from laneway.api.callers import Callers
from laneway.api.fair_queue import FairQueue
from laneway.api.intake import Intake
from laneway.api.lane_ranking import LaneRanking
from laneway.api.live.hub import Hub
from laneway.api.metrics import LaneSampler
from laneway.api.oidc.log_ins import IssuerLogIns
from laneway.api.registration import Registration
from laneway.api.revocations import Revocations
from laneway.api.schemas import TypeList
from laneway.api.tokens import Tokens
from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.store import AsyncLanes
from laneway.presence import Presence
from laneway.storage.activity_reader import ActivityReader
from laneway.storage.activity_writer import AcceptanceCounter
from laneway.storage.api_keys import ApiKeys
from laneway.storage.audit import Audit
from laneway.storage.dead_letters import DeadLetters
from laneway.storage.history_reader import HistoryReader
from laneway.storage.operations import Operations
from laneway.storage.schedules import Schedules
from laneway.storage.users import Users
from laneway.storage.webhooks import Webhooks
from laneway.telemetry import request_id
from laneway.telemetry.job_events import JobEvent
from laneway.telemetry.job_log import JobLog
from laneway.telemetry.redis_warnings import RedisWarnings
from laneway.webhooks.addresses import Destinations


class JobLines:
    """Writes the job log at most once per round of the event loop, so that jobs accepted together share a write."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._events: list[JobEvent] = []

    def add(self, event: JobEvent) -> None:
        """Write this event soon, with the id of the request."""
        event.update(request_id.fields())
        if not self._events:
            asyncio.get_running_loop().call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._log.write(events)


@dataclass(slots=True)
class Lifecycle:
    """How far a process is on its way to its end."""

    draining: bool = False
    """Everything is still served, but nothing new should be sent here."""
    close_live: Callable[[], None] = lambda: None
    """Closes all live connections."""


@dataclass(slots=True)
class System:
    """The parts of one process. `redis` serves everything but the lanes, `mongo` is the database itself. Without a `webhooks_key`
    there are no webhooks.

    `limits` follow Redis's memory: see `lane_share`.
    """

    redis: redis.asyncio.Redis
    mongo: AsyncDatabase[dict[str, Any]]
    lanes: AsyncLanes
    limits: EnqueueLimits
    intake: Intake
    types: TypeList
    users: Users
    history: HistoryReader
    dead_letters: DeadLetters
    lane_ranking: LaneRanking
    activity: ActivityReader
    acceptances: AcceptanceCounter
    presence: Presence
    hub: Hub
    tokens: Tokens
    api_keys: ApiKeys
    schedules: Schedules
    operations: Operations
    webhooks: Webhooks
    webhooks_key: str | None
    destinations: Destinations
    audit: Audit
    issuer: IssuerLogIns | None
    callers: Callers
    revocations: Revocations
    password_queue: FairQueue
    registration: Registration
    job_lines: JobLines
    sampler: LaneSampler
    redis_warnings: RedisWarnings
    lifecycle: Lifecycle
    is_dev: bool
    """Whether this is `laneway dev`."""
    wake_operations: Callable[[], None] = lambda: None
    """Begins with a new operation at once."""
