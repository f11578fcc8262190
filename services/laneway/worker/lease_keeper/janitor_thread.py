"""The janitor of one worker or of one machine, in a thread of the lease keeper. In a cluster the operator runs it."""

from __future__ import annotations

import asyncio
import threading

from laneway.announcing import Announcer
from laneway.janitor import Janitor
from laneway.lanes.commands import EnqueueLimits, WorkerLossLimits
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.presence import PresenceSweeper
from laneway.scheduler import Scheduler
from laneway.settings import Settings
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.due_schedules import DueSchedules
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.storage.webhook_targets import WebhookTargets
from laneway.telemetry.janitor_metrics import JanitorCollector
from laneway.telemetry.job_log import JobLog

JANITOR_END_SECONDS = 3.0


class JanitorThread:
    """Runs the janitor in a daemon thread, which keeps no process alive: a lease keeper that has failed must end, to be started again."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        lanes = Lanes(connect(settings.redis_url), keys)
        database = connect_janitor(settings.mongo_url)[settings.mongo_database]
        job_log = JobLog("worker", settings.log_level, worker="janitor")
        janitor = Janitor(
            lanes,
            HistoryWriter(database, days=settings.history_days),
            ActivityWriter(database),
            PresenceSweeper(lanes),
            job_log,
            grace_seconds=settings.disconnect_grace_seconds,
            policy=settings.disconnect_policy,
            backlog=settings.history_backlog,
            losses=WorkerLossLimits(
                settings.max_worker_losses, settings.backoff_seconds, settings.backoff_max_seconds
            ),
            scheduler=Scheduler(lanes, DueSchedules(database), job_log, EnqueueLimits.of(settings)),
            announcer=Announcer(lanes, WebhookTargets(database), job_log),
        )
        self.collector = JanitorCollector(janitor.stats)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=janitor.run,
            args=(self._stop, settings.janitor_interval_seconds),
            name="janitor",
            daemon=True,
        )
        self._thread.start()

    async def end(self) -> None:
        """Return when the present pass has ended, or after JANITOR_END_SECONDS: it may wait for a server that is away. The next
        janitor does what it has not done."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, JANITOR_END_SECONDS)
