"""The janitor's host: the same code as the worker's, in a thread, while this operator acts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from laneway.janitor import Janitor, JanitorStats, Policy
from laneway.operator.heartbeats import Beat

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
"""How long an operator that acts and knows of no pool waits for one before it goes by the settings: there may be none, or
the last one is being made anew."""
JOIN_SECONDS = 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """How disconnected users are dealt with."""

    grace_seconds: float
    policy: Policy


@dataclass(frozen=True, slots=True)
class _Running:
    rules: Rules
    stop: threading.Event
    thread: threading.Thread


class Housekeeping:
    """Runs the janitor while this operator acts, by the rules of the oldest pool, or by `fallback` where there is none.

    Pools of one operator share their users, so there can be but one rule. (The chart writes the same values to both.)
    """

    def __init__(
        self,
        make: Callable[[Rules], Janitor],
        fallback: Rules,
        interval_seconds: float,
        acting: Callable[[], bool],
    ) -> None:
        self._make, self._fallback = make, fallback
        self._interval_seconds, self._acting = interval_seconds, acting
        self._pools: dict[str, tuple[str, Rules]] = {}
        self._alone_since: float | None = None
        self._running: _Running | None = None
        self._stopping: list[threading.Thread] = []
        self.stats = JanitorStats()
        """Of all janitors that have run here."""

    @property
    def rules(self) -> Rules | None:
        """What the janitor goes by; None while it does not run."""
        return self._running.rules if self._running else None

    def pool_seen(self, name: str, created: str, rules: Rules) -> None:
        self._pools[name] = (created, rules)

    def pool_gone(self, name: str) -> None:
        self._pools.pop(name, None)

    async def run(self, beat: Beat) -> None:
        """Until cancelled."""
        try:
            while True:
                self._adjust(self._wanted())
                beat(LOOK_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._adjust(None)
            await asyncio.to_thread(self._join)

    def _wanted(self) -> Rules | None:
        if not self._acting():
            self._alone_since = None
            self._pools.clear()  # they may have changed before this operator acts again
            return None
        if self._pools:
            self._alone_since = None
            _, _, rules = min((created, name, rules) for name, (created, rules) in self._pools.items())
            return rules
        if self._alone_since is None:
            self._alone_since = time.monotonic()
        if time.monotonic() - self._alone_since < PATIENCE_SECONDS:
            return self.rules
        return self._fallback

    def _adjust(self, wanted: Rules | None) -> None:
        running = self._running
        if running is not None and not running.thread.is_alive():
            log.error("janitor_ended")
            running = self._running = None
        if wanted == self.rules:
            return
        if running is not None:
            running.stop.set()  # it ends after its present pass; until then two do no harm
            self._stopping = [*(thread for thread in self._stopping if thread.is_alive()), running.thread]
            self._running = None
            log.info("janitor_stopped", policy=running.rules.policy)
        if wanted is not None:
            self._running = self._started(wanted)
            log.info("janitor_started", policy=wanted.policy, grace_seconds=wanted.grace_seconds)

    def _started(self, rules: Rules) -> _Running:
        janitor, stop = self._make(rules), threading.Event()
        janitor.stats = self.stats
        thread = threading.Thread(
            target=janitor.run, args=(stop, self._interval_seconds), name="janitor", daemon=True
        )
        thread.start()
        return _Running(rules, stop, thread)

    def _join(self) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._stopping:
            thread.join(max(0.0, deadline - time.monotonic()))
