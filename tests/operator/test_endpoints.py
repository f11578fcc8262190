"""The operator's ports: liveness, readiness with its problems, metrics; on IPv4 and IPv6."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import redis
from prometheus_client import CollectorRegistry
from structlog.typing import EventDict

from laneway.dev import embedded
from laneway.dev.embedded import free_port
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.operator import readiness as readiness_module
from laneway.operator.endpoints import Endpoints
from laneway.operator.heartbeats import Heartbeats, LoopStalled
from laneway.operator.readiness import Readiness, redis_problem
from laneway.telemetry.redis_warnings import RedisWarnings

READY = {"status": "ready", "warnings": {}}


class Parts:
    """What the endpoints report about."""

    def __init__(self) -> None:
        self.heartbeats, self.lease, self.redis = Heartbeats(), "", ""
        self.stalled = False
        self.redis_warnings = RedisWarnings()
        self.readiness = Readiness({"lease": self._lease, "redis": self._redis})

    async def _lease(self) -> str:
        return self.lease

    async def _redis(self) -> str:
        return self.redis

    def liveness(self) -> dict[str, object]:
        if self.stalled:
            raise LoopStalled("stalled: pools (100 s)")
        return {"leading": True}


@asynccontextmanager
async def served(parts: Parts) -> AsyncIterator[tuple[httpx2.AsyncClient, int, int]]:
    registry = CollectorRegistry()
    registry.register(parts.readiness)
    health, metrics = free_port(), free_port()
    registry.register(parts.redis_warnings)
    endpoints = Endpoints(
        parts.liveness,
        parts.readiness.problems,
        lambda: parts.redis_warnings.texts,
        registry,
        health,
        metrics,
    )
    await endpoints.start()
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            yield client, health, metrics
    finally:
        await endpoints.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_each_port_listens_on_ipv4_and_ipv6(host: str) -> None:
    async def run() -> None:
        async with served(Parts()) as (client, health, metrics):
            assert (await client.get(f"http://{host}:{health}/healthz")).json() == {"leading": True}
            assert (await client.get(f"http://{host}:{health}/readyz")).json() == READY
            assert "laneway_operator_check_ok" in (await client.get(f"http://{host}:{metrics}/metrics")).text

    asyncio.run(run())


def test_liveness_fails_for_a_stalled_loop_alone() -> None:
    async def run() -> None:
        parts = Parts()
        parts.lease = parts.redis = "away"
        async with served(parts) as (client, health, _metrics):
            assert (await client.get(f"http://127.0.0.1:{health}/healthz")).status_code == 200
            parts.stalled = True
            answer = await client.get(f"http://127.0.0.1:{health}/healthz")
            assert (answer.status_code, answer.json()) == (
                500,
                {"error": "stalled: pools (100 s)"},
            )

    asyncio.run(run())


def test_readiness_names_what_is_missing_in_answer_log_and_metrics(logged: list[EventDict]) -> None:
    async def run() -> None:
        parts = Parts()
        parts.lease = "read Lease laneway-operator: not found"
        async with served(parts) as (client, health, metrics):
            for _ in range(2):
                answer = await client.get(f"http://127.0.0.1:{health}/readyz")
                assert answer.status_code == 503
                assert answer.json() == {"status": "not ready", "problems": {"lease": parts.lease}}
            page = (await client.get(f"http://127.0.0.1:{metrics}/metrics")).text
            assert 'laneway_operator_check_ok{check="lease"} 0.0' in page
            assert 'laneway_operator_check_ok{check="redis"} 1.0' in page
            parts.lease = ""
            assert (await client.get(f"http://127.0.0.1:{health}/readyz")).status_code == 200

    asyncio.run(run())
    assert [event["event"] for event in logged] == ["readiness_changed"] * 2
    assert [event["ready"] for event in logged] == [False, True]
    assert logged[0]["lease"] == "read Lease laneway-operator: not found"


def test_a_check_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS", 0.05)

    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    problems = asyncio.run(asyncio.wait_for(Readiness({"redis": hang}).problems(), 10))
    assert problems == {"redis": "no answer within 0.05 s"}


def test_redis_is_asked_for_what_a_survey_needs(redis_url: str, prefix: str) -> None:
    async def problem(url: str) -> str:
        client = connect_async(url)
        try:
            return await redis_problem(AsyncLanes(client, Keys(prefix)), RedisWarnings())
        finally:
            await client.aclose()

    async def with_rights(rights: str) -> str:
        admin = connect_async(redis_url)
        user = f"reader-{prefix}"
        await admin.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", *rights.split())
        try:
            return await problem(
                f"redis://{user}:secret@{redis_url.rpartition('@')[2].removeprefix('redis://')}"
            )
        finally:
            await admin.execute_command("ACL", "DELUSER", user)
            await admin.aclose()

    assert asyncio.run(problem(redis_url)) == ""
    assert asyncio.run(with_rights("+@all")) == ""
    assert asyncio.run(with_rights("+@all -evalsha")).startswith("Redis could not be read: ")
    assert asyncio.run(problem("redis://127.0.0.1:1/0")).startswith("Redis could not be read: ")


def test_redis_that_may_lose_jobs_is_named_in_answer_log_and_metrics_until_it_is_safe(
    tmp_path: Path, logged: list[EventDict]
) -> None:
    parts = Parts()

    async def run(url: str) -> None:
        client = connect_async(url)
        lanes = AsyncLanes(client, Keys("own"))
        async with served(parts) as (http, health, metrics):
            with redis.Redis.from_url(url) as admin:
                for policy, named in (("allkeys-lru", True), ("allkeys-lru", True), ("noeviction", False)):
                    admin.config_set("maxmemory-policy", policy)
                    assert await redis_problem(lanes, parts.redis_warnings) == ""
                    answer = (await http.get(f"http://127.0.0.1:{health}/readyz")).json()
                    assert answer["status"] == "ready"
                    assert ("noeviction" in answer["warnings"].get("eviction", "")) == named
                    page = (await http.get(f"http://127.0.0.1:{metrics}/metrics")).text
                    assert ('laneway_redis_warning{reason="eviction"} 1.0' in page) == named
        await client.aclose()

    with embedded.valkey(tmp_path / "valkey", appendfsync="no") as server:
        asyncio.run(run(server.url))
    assert [event["reason"] for event in logged if event["event"] == "redis_unsafe"] == ["eviction"]
