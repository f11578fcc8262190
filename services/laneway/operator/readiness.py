"""Readiness: whether the operator can do its work, and if not, what is missing.

Readiness, unlike liveness, depends on others: the API server, its Lease, the WorkerPools' CRD, the rights, Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.lanes.commands import InspectLanes
from laneway.lanes.errors import LaneError
from laneway.lanes.health import store_health
from laneway.lanes.store import AsyncLanes
from laneway.telemetry.redis_warnings import RedisWarnings

CHECK_SECONDS = 3.0
log = structlog.get_logger()

Check = Callable[[], Awaitable[str]]
"""Returns the problem as a sentence, or an empty text."""


class Readiness(Collector):
    """The problems that the checks find, as a document, in the log and as metrics under the same names."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._problems = dict.fromkeys(checks, "not checked yet")

    async def problems(self) -> dict[str, str]:
        """Run all checks; the problems by check, none if the operator is ready."""
        found = dict(zip(self._checks, await asyncio.gather(*map(_run, self._checks.values())), strict=True))
        problems = {name: problem for name, problem in found.items() if problem}
        before = {name for name, problem in self._problems.items() if problem}
        if problems.keys() != before:
            (log.warning if problems else log.info)("readiness_changed", ready=not problems, **problems)
        self._problems = found
        return problems

    def collect(self) -> Iterator[Metric]:
        """One gauge for each check, as the last probe found it."""
        family = GaugeMetricFamily(
            "laneway_operator_check_ok",
            "Whether the readiness check found no problem: lease, workerpools, redis.",
            labels=["check"],
        )
        for name, problem in self._problems.items():
            family.add_metric([name], float(not problem))
        yield family


async def redis_problem(lanes: AsyncLanes, warnings: RedisWarnings) -> str:
    """Why the lanes cannot be read. It runs a script, so it also notices missing rights and an old server.

    If they can be read, it also looks for what could lose jobs, and replaces the warnings. If Redis stops answering meanwhile, the last
    ones stay.
    """
    try:
        await lanes.run(InspectLanes("", 1))
    except LaneError as error:
        return f"Redis could not be read: {error}"
    health = await store_health(lanes)
    if health.ready or health.warnings:
        warnings.set(health.warnings)
    return ""


async def _run(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
