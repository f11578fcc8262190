"""Hosts the janitor while this operator leads: the same code that the worker runs elsewhere, in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from laneway.janitor import Janitor, Policy
from laneway.operator.heartbeats import Beat
from laneway.telemetry.janitor_metrics import JanitorStats

CHECK_SECONDS = 1.0
NO_POOL_SECONDS = 10.0
"""How long a leader that knows no pool waits before it uses the fallback rules: the first pool may not have been read yet,
or the only one is being replaced, and its rules may be milder than the fallback."""
JOIN_SECONDS = 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DisconnectRules:
    """What happens to a user's jobs after a disconnect: when (`grace_seconds`), and what (`policy`)."""

    grace_seconds: float
    policy: Policy


@dataclass(frozen=True, slots=True)
class _Running:
    rules: DisconnectRules
    stop: threading.Event
    thread: threading.Thread


class JanitorHost:
    """Runs the janitor by the rules of the oldest pool, or by `fallback` where there is no pool.

    Pools of one operator share their users, so there can be only one rule. The chart writes the same values to both.
    """

    def __init__(
        self,
        make_janitor: Callable[[DisconnectRules], Janitor],
        fallback: DisconnectRules,
        interval_seconds: float,
        leading: Callable[[], bool],
    ) -> None:
        self._make_janitor, self._fallback = make_janitor, fallback
        self._interval_seconds, self._leading = interval_seconds, leading
        self._pools: dict[str, tuple[str, DisconnectRules]] = {}
        self._no_pool_since: float | None = None
        self._running: _Running | None = None
        self._stopping: list[threading.Thread] = []
        self.stats = JanitorStats()
        """Totals of all janitors that have run in this process."""

    @property
    def rules(self) -> DisconnectRules | None:
        """The rules of the running janitor; None while none runs."""
        return self._running.rules if self._running else None

    def set_pool(self, name: str, created: str, rules: DisconnectRules) -> None:
        """Remember a pool's rules. `created`: its creation time as Kubernetes writes it."""
        self._pools[name] = (created, rules)

    def remove_pool(self, name: str) -> None:
        """Forget a pool that has been deleted."""
        self._pools.pop(name, None)

    async def run(self, beat: Beat) -> None:
        """Start, replace and stop the janitor as leadership and pools demand. Runs until cancelled."""
        try:
            while True:
                self._switch_to(self._wanted_rules())
                beat(CHECK_SECONDS)
                await asyncio.sleep(CHECK_SECONDS)
        finally:
            self._switch_to(None)
            await asyncio.to_thread(self._join)

    def _wanted_rules(self) -> DisconnectRules | None:
        if not self._leading():
            self._no_pool_since = None
            self._pools.clear()  # they may change before this operator leads again
            return None
        if self._pools:
            self._no_pool_since = None
            _, _, rules = min((created, name, rules) for name, (created, rules) in self._pools.items())
            return rules
        if self._no_pool_since is None:
            self._no_pool_since = time.monotonic()
        if time.monotonic() - self._no_pool_since < NO_POOL_SECONDS:
            return self.rules
        return self._fallback

    def _switch_to(self, wanted: DisconnectRules | None) -> None:
        running = self._running
        if running is not None and not running.thread.is_alive():
            log.error("janitor_died")
            running = self._running = None
        if wanted == self.rules:
            return
        if running is not None:
            running.stop.set()  # it ends after its present pass; two janitors at once do no harm
            self._stopping = [*(thread for thread in self._stopping if thread.is_alive()), running.thread]
            self._running = None
            log.info("janitor_stopped", policy=running.rules.policy)
        if wanted is not None:
            self._running = self._start(wanted)
            log.info("janitor_started", policy=wanted.policy, grace_seconds=wanted.grace_seconds)

    def _start(self, rules: DisconnectRules) -> _Running:
        janitor, stop = self._make_janitor(rules), threading.Event()
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
