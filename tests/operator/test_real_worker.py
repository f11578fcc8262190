"""What the operator observes of a real worker: by polling it, and in Redis."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from laneway.api.workers import workers
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.operator.deletion_cost import deletion_costs, poll_in_flight
from laneway.operator.observe import LaneSurvey, SurveyLimit, survey_lanes
from laneway.operator.workload import Pod
from laneway.scaling import PoolSpec
from tests.worker.running import System, fresh, running, wait_for

HERE = Pod("pod", "1", socket.gethostname(), "127.0.0.1", ready=True, terminating=False, cost=0)


def survey(system: System) -> LaneSurvey:
    async def run() -> LaneSurvey:
        client = connect_async(system.redis_url)
        try:
            return await survey_lanes(
                AsyncLanes(client, system.keys), SurveyLimit(100, 100), horizon_seconds=30
            )
        finally:
            await client.aclose()

    return asyncio.run(run())


def workers_shown(system: System) -> dict[str, Any]:
    """What administrators see."""

    async def run() -> dict[str, Any]:
        async with connect_async(system.redis_url) as client:
            return await workers(AsyncLanes(client, system.keys))

    return asyncio.run(run())


def test_a_busy_worker_has_a_deletion_cost_and_an_idle_one_has_none(redis_url: str, tmp_path: Path) -> None:
    spec = PoolSpec(0, 3, 2)
    with fresh(redis_url, tmp_path) as system, running(system) as worker:
        assert asyncio.run(poll_in_flight([HERE], worker.port)) == {"pod": 0}
        user = system.user(slots=2)
        jobs = system.enqueue(user, "sleep", {"seconds": 4}, {"seconds": 4})
        wait_for(lambda: len(survey(system).jobs) == 2)
        found, counts = survey(system), asyncio.run(poll_in_flight([HERE], worker.port))
        assert counts == {"pod": 2}
        assert set(found.job_ages) == {HERE.host}
        assert all(0 <= age < 4 for age in found.job_ages[HERE.host])
        assert deletion_costs([HERE], counts, found.job_ages, spec, 0.1, 1000) == {"pod": 2}
        wait_for(lambda: not workers_shown(system)["jobs_without_worker"])
        (shown,) = workers_shown(system)["workers"]
        assert (shown["host"], shown["state"]) == (HERE.host, "ready")
        assert {job["job_id"] for job in shown["jobs"]} == set(jobs)
        assert found.load({HERE.host}, 30, None).leaving == 2
        system.ended(user, jobs)
        wait_for(lambda: asyncio.run(poll_in_flight([HERE], worker.port)) == {"pod": 0})
        assert survey(system).sizes.leases == 0
