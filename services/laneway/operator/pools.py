"""Keeps one reconcile loop for each WorkerPool of the namespace.

The loops do not depend on watches, which are known to fall silent (kopf 787, 1276): every pass reads again what it needs,
and the list of pools is read every RESYNC_SECONDS. A watch event only makes a pass start sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from laneway.cancellation import cancel
from laneway.operator.errors import ClusterError, Conflict, NotFound, Refused
from laneway.operator.heartbeats import Beat, Heartbeats
from laneway.operator.reconcile import Dependencies, PoolDeleted, Reconciler
from laneway.operator.replicas import NotLeading

RESYNC_SECONDS = 30.0
RETRY_SECONDS = 2.0
CONFLICT_SECONDS = 1.0
REFUSED_SECONDS = 10.0
ERROR_SECONDS = 1.0
STOP_SECONDS = 5.0
STANDBY_SECONDS = 1.0
"""How often a loop checks whether this operator leads by now."""
PASS_SECONDS = 60.0
"""Limit for one pass. Everything within it has limits of its own, so this one is met only by a bug."""
MAX_BACKOFF_SECONDS = 60.0
_MAX_DOUBLINGS = 10  # without a limit the power overflows after 1,024 failures
PAUSE_SECONDS = 0.1
"""Least time between two passes, so that no loop spins."""
log = structlog.get_logger()


@dataclass(slots=True)
class _Loop:
    """A pool's reconcile loop. `wake` starts the next pass at once."""

    reconciler: Reconciler
    generation: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Pools:
    """The reconcile loops of all pools."""

    def __init__(
        self, dependencies: Dependencies, heartbeats: Heartbeats, leading: Callable[[], bool]
    ) -> None:
        self._use, self._heartbeats, self._leading = dependencies, heartbeats, leading
        self._loops: dict[str, _Loop] = {}
        self.problem = "WorkerPools have not been listed yet"
        """Why the list of pools could not be read; empty if the last attempt succeeded."""

    def update(self, name: str, generation: int) -> None:
        """Start a loop for a pool that is new; start its next pass at once if its spec has changed."""
        loop = self._loops.get(name)
        if loop is None or loop.task is None or loop.task.done():
            loop = self._loops[name] = _Loop(Reconciler(name, self._use), generation)
            loop.task = asyncio.create_task(self._reconcile_until_deleted(name, loop), name=f"pool {name}")
        elif generation != loop.generation:
            loop.generation = generation
            loop.wake.set()

    def remove(self, name: str) -> None:
        """End the loop of a pool that has been deleted."""
        loop = self._loops.pop(name, None)
        if loop is None:
            return
        if loop.task is not None and loop.task is not asyncio.current_task():
            loop.task.cancel()
        self._heartbeats.forget(f"pool {name}")
        self._use.janitor.remove_pool(name)
        self._use.events.remove_pool(name)
        self._use.metrics.remove_pool(name)

    async def run(self, beat: Beat) -> None:
        """List the pools again and again, whatever the watch reports. Runs until cancelled, then ends all loops."""
        try:
            while True:
                seconds = await self._resync()
                beat(seconds)
                await asyncio.sleep(seconds)
        finally:
            tasks = [loop.task for loop in self._loops.values() if loop.task is not None]
            await cancel(tasks, STOP_SECONDS)

    async def _resync(self) -> float:
        """The seconds until the next resync."""
        try:
            found = await self._use.cluster.pools()
        except ClusterError as error:
            self.problem = str(error)
            log.warning("pool_list_failed", error=self.problem)
            return RETRY_SECONDS
        self.problem = ""
        for name in self._loops.keys() - found.keys():
            self.remove(name)
        for name, generation in found.items():
            self.update(name, generation)
        return RESYNC_SECONDS

    async def _reconcile_until_deleted(self, name: str, loop: _Loop) -> None:
        metrics, failures = self._use.metrics, 0
        while self._loops.get(name) is loop:  # a cancellation may get lost, see tasks.py
            if not self._leading():
                loop.reconciler.forget()
                metrics.remove_pool(name)
                self._heartbeats.beat(f"pool {name}", STANDBY_SECONDS)
                await asyncio.sleep(STANDBY_SECONDS)
                continue
            metrics.reconcile_ages.expect(name)
            loop.wake.clear()
            began = time.monotonic()
            outcome, seconds = await self._reconcile(loop.reconciler)
            if self._loops.get(name) is not loop:
                return
            if outcome == "deleted":
                self.remove(name)
                return
            metrics.reconciles.labels(name, outcome).inc()
            metrics.reconcile_seconds.observe(time.monotonic() - began)
            if outcome == "success":
                metrics.reconcile_ages.succeed(name)
            failures = failures + 1 if outcome == "error" else 0
            if failures:
                seconds = min(MAX_BACKOFF_SECONDS, seconds * 2.0 ** min(failures, _MAX_DOUBLINGS))
            self._heartbeats.beat(f"pool {name}", seconds)
            await _wait(loop.wake, began + seconds - time.monotonic())

    async def _reconcile(self, reconciler: Reconciler) -> tuple[str, float]:
        """Make one pass: its outcome, and the seconds until the next one. Never raises an Exception."""
        try:
            async with asyncio.timeout(PASS_SECONDS):
                return await reconciler.run()
        except PoolDeleted:
            return "deleted", 0.0
        except NotLeading:
            return "not_leading", STANDBY_SECONDS
        except (Conflict, NotFound) as error:
            log.info("reconcile_conflicted", pool=reconciler.name, error=str(error))
            return "conflict", CONFLICT_SECONDS
        except Refused:
            log.exception("request_refused", pool=reconciler.name)
            return "refused", REFUSED_SECONDS
        except ClusterError as error:
            log.warning("request_failed", pool=reconciler.name, error=str(error))
            return "unreachable", RETRY_SECONDS
        except Exception:
            log.exception("reconcile_failed", pool=reconciler.name)
            return "error", ERROR_SECONDS


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most `seconds`, and at least PAUSE_SECONDS."""
    await asyncio.sleep(PAUSE_SECONDS)
    try:
        await asyncio.wait_for(wake.wait(), max(0.0, seconds - PAUSE_SECONDS))
    except TimeoutError:
        return
