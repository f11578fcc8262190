"""The pools of the namespace, each with a loop of its own that looks at it every poll interval.

Looks do not depend on watches, which are known to fall silent (kopf 787, 1276): each reads anew what it needs, and the
list of pools is read every RESYNC_SECONDS. What kopf hears only makes a look come sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from laneway.operator.cluster import ClusterError, Conflict, NotFound, Refused
from laneway.operator.heartbeats import Beat, Health
from laneway.operator.reconcile import Dependencies, PoolGone, Reconciler
from laneway.operator.replicas import NotActing

RESYNC_SECONDS = 30.0
RETRY_SECONDS = 2.0
STANDBY_SECONDS = 1.0
"""How often an operator that stands by looks whether it acts now."""
PASS_SECONDS = 60.0
"""Limit for one look: all that it does has limits of its own, so that this one is never met unless something is wrong."""
MAX_BACKOFF_SECONDS = 60.0
log = structlog.get_logger()


@dataclass(slots=True)
class _Entry:
    reconciler: Reconciler
    generation: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Pools:
    def __init__(self, means: Dependencies, health: Health, acting: Callable[[], bool]) -> None:
        self._means, self._health, self._acting = means, health, acting
        self._entries: dict[str, _Entry] = {}

    def notice(self, name: str, generation: int) -> None:
        """There is such a pool; look at it now if it is new or its spec has changed."""
        entry = self._entries.get(name)
        if entry is None or entry.task is None or entry.task.done():
            entry = self._entries[name] = _Entry(Reconciler(name, self._means), generation)
            entry.task = asyncio.create_task(self._look_for_ever(name, entry), name=f"pool {name}")
        elif generation != entry.generation:
            entry.generation = generation
            entry.wake.set()

    def gone(self, name: str) -> None:
        """There is no such pool any more."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        if entry.task is not None and entry.task is not asyncio.current_task():
            entry.task.cancel()
        self._health.forget(f"pool {name}")
        self._means.housekeeping.pool_gone(name)
        self._means.exposition.forget(name)

    async def run(self, beat: Beat) -> None:
        """Until cancelled: keep the list of pools right, whatever kopf hears."""
        try:
            while True:
                seconds = RESYNC_SECONDS
                try:
                    found = await self._means.cluster.pools()
                    for name in self._entries.keys() - found.keys():
                        self.gone(name)
                    for name, generation in found.items():
                        self.notice(name, generation)
                except ClusterError as error:
                    log.warning("pools_not_listed", error=str(error))
                    seconds = RETRY_SECONDS
                beat(seconds)
                await asyncio.sleep(seconds)
        finally:
            await _cancelled(entry.task for entry in self._entries.values() if entry.task is not None)

    async def _look_for_ever(self, name: str, entry: _Entry) -> None:
        told, failures = self._means.exposition, 0
        while True:
            if not self._acting():
                entry.reconciler.forget()
                told.forget(name)
                self._health.beat(f"pool {name}", STANDBY_SECONDS)
                await asyncio.sleep(STANDBY_SECONDS)
                continue
            told.ages.begin(name)
            entry.wake.clear()
            began = time.monotonic()
            outcome, seconds = await self._look(entry.reconciler)
            if outcome == "gone":
                self.gone(name)
                return
            told.passes.labels(name, outcome).inc()
            told.pass_seconds.observe(time.monotonic() - began)
            if outcome == "good":
                told.ages.good(name)
            failures = failures + 1 if outcome == "error" else 0
            if failures:
                seconds = min(MAX_BACKOFF_SECONDS, seconds * 2.0**failures)
            self._health.beat(f"pool {name}", seconds)
            await _either(entry.wake, began + seconds - time.monotonic())

    async def _look(self, reconciler: Reconciler) -> tuple[str, float]:
        """The outcome as a word, and the seconds to the next look. What is unexpected is logged, and the loop goes on."""
        try:
            async with asyncio.timeout(PASS_SECONDS):
                return await reconciler.run()
        except PoolGone:
            return "gone", 0.0
        except NotActing:
            return "not_acting", STANDBY_SECONDS
        except (Conflict, NotFound) as error:
            log.info("changed_meanwhile", pool=reconciler.name, error=str(error))
            return "conflict", 1.0
        except Refused:
            log.exception("cluster_refused", pool=reconciler.name)
            return "refused", 10.0
        except ClusterError as error:
            log.warning("cluster_unreachable", pool=reconciler.name, error=str(error))
            return "unreachable", RETRY_SECONDS
        except Exception:
            log.exception("pass_failed", pool=reconciler.name)
            return "error", 1.0


async def _either(wake: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but no longer than that; always a moment, so that no loop spins."""
    await asyncio.sleep(0.1)
    try:
        await asyncio.wait_for(wake.wait(), max(0.0, seconds - 0.1))
    except TimeoutError:
        return


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
