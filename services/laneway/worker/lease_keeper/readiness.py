"""Whether a worker can serve jobs, and if not, what is missing: for `/readyz`, the log and the metrics, in the same words.

Readiness depends on others: Redis, what it allows, the pool. Liveness does not, because a restart mends nobody else: a worker is
alive while the event loop of its lease keeper runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.lanes.health import Finding, StoreHealth, store_health
from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.pool import Pool

INTERVAL_SECONDS, RETRY_SECONDS = 5.0, 1.0
"""Between two looks at Redis, and between two while something is wrong with it."""
CHECK_SECONDS = 3.0
"""How long Redis may take to answer."""
BETWEEN_TURNS_SECONDS = 2.0
"""How long a pool may be without any turn: from the end of one until Celery brings the next."""
STALL_SECONDS = 60.0
"""The event loop stands still when it has not come round for this long."""
_IMPORTING = Finding("handlers", "the modules of LANEWAY_HANDLERS are being imported")
_UNKNOWN = StoreHealth(problems=(Finding("no_answer", "Redis has not answered yet"),))
log = structlog.get_logger()


class Readiness(Collector):
    """What a worker lacks. `watch_forever` looks at Redis from the event loop; any thread may read the rest at any time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._store = _UNKNOWN
        self._looped_at: float | None = None
        """None: the handlers are being imported, so the event loop does not run yet."""
        self._served_at = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the lease keeper's event loop runs."""
        return self._looped_at is not None and time.monotonic() - self._looped_at < STALL_SECONDS

    @property
    def is_store_ready(self) -> bool:
        """Whether Redis did what serving needs when it was last asked."""
        return self._store.ready

    def problems(self) -> Mapping[str, str]:
        """Return why this worker serves no jobs: texts by reason. Empty if it is ready."""
        if self._looped_at is None:
            return {_IMPORTING.kind: _IMPORTING.text}
        return dict([*self._own_problems(), *self._store.problems])

    def warnings(self) -> Mapping[str, str]:
        """Return what can cost jobs though they are served: texts by reason."""
        return dict(self._store.warnings)

    async def watch_forever(self, lanes: AsyncLanes) -> None:
        """Look at Redis again and again, and log what is missing when it changes.

        A pool that is still starting is not logged. Later a pool without processes is a warning: Celery replaces processes, and
        the worker ends if it does not (`pool_broken`).
        """
        logged = None
        while not self._pool.is_stopping:
            self._looped_at = time.monotonic()
            self._store = await _store_health(lanes)
            problems, warnings = self.problems(), self.warnings()
            found = (problems.keys(), warnings.keys())
            waits_for_pool = problems.keys() == {"pool"}
            if found != logged and not (waits_for_pool and logged is None):
                logged = found
                is_error, is_warning = problems and not waits_for_pool, problems or warnings
                write = log.error if is_error else log.warning if is_warning else log.info
                write("readiness_changed", ready=not problems, problems=problems, warnings=warnings)
            await asyncio.sleep(RETRY_SECONDS if problems else INTERVAL_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """Yield whether the worker is ready, and a series for each reason that holds now."""
        problems = self.problems()
        yield GaugeMetricFamily(
            "laneway_worker_ready", "Whether this worker can serve jobs.", value=float(not problems)
        )
        yield _family("laneway_worker_problem", "1 for each reason why this worker serves no jobs.", problems)
        yield _family("laneway_worker_warning", "1 for each reason why jobs could be lost.", self.warnings())

    def _own_problems(self) -> Iterator[Finding]:
        now = time.monotonic()
        if not self.is_alive:
            yield Finding("stalled", f"the lease keeper's event loop has not run for {STALL_SECONDS:g} s")
        if self._pool.is_stopping:
            yield Finding("stopping", "the worker shuts down")
        elif self._pool.in_turn:
            self._served_at = now
        elif now - self._served_at > BETWEEN_TURNS_SECONDS:
            yield Finding("pool", f"none of the {self._pool.size} processes of the pool serves a turn")


async def _store_health(lanes: AsyncLanes) -> StoreHealth:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await store_health(lanes)
    except TimeoutError:
        text = f"Redis does not answer within {CHECK_SECONDS:g} s"
        return StoreHealth(problems=(Finding("no_answer", text),))


def _family(name: str, text: str, reasons: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["reason"])
    for reason in reasons:
        family.add_metric([reason], 1)
    return family
