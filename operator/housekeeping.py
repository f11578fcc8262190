"""The janitor's host: the same code as the worker's, in a thread, while this operator acts.

It also knows how long jobs take: every ended job passes through the janitor on its way to MongoDB, with the times of its
start and its end, so a mean over the last minute costs nothing and asks nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from services.history import HistoryWriter
from services.janitor import Janitor, JanitorStats, Policy
from services.lanes.keys import Keys
from services.lanes.model import Job
from services.lanes.store import Lanes, connect
from services.log import JobLog
from services.presence import PresenceSweeper
from services.settings import Settings

WINDOW_SECONDS = 60
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
"""How long an operator that acts waits for the first pool before it cleans by the settings: there may be none."""
log = structlog.get_logger()


class ServiceTimes:
    """Mean run time of the jobs that ended within the last WINDOW_SECONDS. For several threads."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, float]] = deque(maxlen=WINDOW_SECONDS)
        """For each second with ends: when, how many, what they took in all."""
        self._lock = threading.Lock()

    def add(self, jobs: Sequence[Job]) -> None:
        taken = [
            (job.finished_us - job.started_us) / 1_000_000
            for job in jobs
            if job.started_us is not None and job.finished_us is not None
        ]
        if not taken:
            return
        now = int(time.monotonic())
        with self._lock:
            count, total = len(taken), max(0.0, sum(taken))
            if self._seconds and self._seconds[-1][0] == now:
                _, before, total_before = self._seconds.pop()
                count, total = count + before, total + total_before
            self._seconds.append((now, count, total))

    @property
    def mean_seconds(self) -> float | None:
        """None where no job has ended."""
        since = time.monotonic() - WINDOW_SECONDS
        with self._lock:
            recent = [(count, total) for second, count, total in self._seconds if second >= since]
        ended = sum(count for count, _ in recent)
        return sum(total for _, total in recent) / ended if ended else None


class MeasuredHistory(HistoryWriter):
    """Has jobs stored, and measures them."""

    def __init__(self, history: HistoryWriter, times: ServiceTimes) -> None:
        self._history, self._times = history, times

    def store(self, jobs: Sequence[Job]) -> None:
        self._history.store(jobs)
        self._times.add(jobs)


@dataclass(frozen=True, slots=True)
class Rules:
    """How disconnected users are dealt with."""

    grace_seconds: float
    policy: Policy


class Housekeeping:
    """Runs the janitor while it should run, by the rules of the oldest pool, or by the settings where there is none.

    (Pools of one operator share their users, so there can be but one rule. The chart writes the same values to both.)
    """

    def __init__(self, settings: Settings, keys: Keys, acting: Callable[[], bool]) -> None:
        self._settings, self._keys, self._acting = settings, keys, acting
        self._pools: dict[str, tuple[str, Rules]] = {}
        self._acting_since: float | None = None
        self._running: tuple[Rules, threading.Event, threading.Thread] | None = None
        self._stopped: list[threading.Thread] = []
        self.stats = JanitorStats()
        self._times = ServiceTimes()
        history = HistoryWriter.connect(
            settings.mongo_url, settings.mongo_database, days=settings.history_days
        )
        self._history = MeasuredHistory(history, self._times)

    @property
    def mean_seconds(self) -> float | None:
        """Mean run time of the jobs that ended recently; None where none has."""
        return self._times.mean_seconds

    @property
    def rules(self) -> Rules | None:
        """What the janitor goes by; None while it does not run."""
        return self._running[0] if self._running else None

    def pool_seen(self, name: str, created: str, rules: Rules) -> None:
        self._pools[name] = (created, rules)

    def pool_gone(self, name: str) -> None:
        self._pools.pop(name, None)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._adjust(self._wanted())
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._adjust(None)
            await asyncio.to_thread(self._join)

    def _wanted(self) -> Rules | None:
        if not self._acting():
            self._acting_since = None
            return None
        if self._acting_since is None:
            self._acting_since = time.monotonic()
        if self._pools:
            return min((created, name, rules) for name, (created, rules) in self._pools.items())[2]
        if time.monotonic() - self._acting_since < PATIENCE_SECONDS:
            return None
        return Rules(self._settings.disconnect_grace_seconds, self._settings.disconnect_policy)

    def _adjust(self, wanted: Rules | None) -> None:
        if self._running is not None and not self._running[2].is_alive():
            log.error("janitor_ended")
            self._running = None
        if wanted == self.rules:
            return
        if self._running is not None:
            rules, stop, thread = self._running
            stop.set()  # it ends after its present pass; until then two do no harm
            self._stopped = [*(t for t in self._stopped if t.is_alive()), thread]
            self._running = None
            log.info("janitor_stopped", policy=rules.policy)
        if wanted is not None:
            self._running = (wanted, *self._start(wanted))
            log.info("janitor_started", policy=wanted.policy, grace_seconds=wanted.grace_seconds)

    def _start(self, rules: Rules) -> tuple[threading.Event, threading.Thread]:
        settings = self._settings
        janitor = Janitor(
            Lanes(connect(settings.redis_url), self._keys),
            self._history,
            PresenceSweeper(connect(settings.redis_url), self._keys),
            JobLog("operator", settings.log_level, worker="janitor"),
            grace_seconds=rules.grace_seconds,
            policy=rules.policy,
            backlog=settings.history_backlog,
        )
        janitor.stats = self.stats
        stop = threading.Event()
        thread = threading.Thread(
            target=janitor.run, args=(stop, settings.janitor_interval_seconds), name="janitor", daemon=True
        )
        thread.start()
        return stop, thread

    def _join(self) -> None:
        for thread in self._stopped:
            thread.join(timeout=5)
