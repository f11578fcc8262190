"""The fake API server passes the checks that the real one passes (`tests/cluster/test_fake_cluster.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from lightkube import ApiError, AsyncClient
from lightkube.resources.apps_v1 import Deployment

from tests.operator.conformance import CHECKS, deployment
from tests.operator.fake_cluster import COST, HANG, FakeCluster


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_fake_conforms(check: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        client = FakeCluster().client()
        await check(client)
        await client.close()

    asyncio.run(run())


def test_its_deployments_make_pods_and_delete_the_cheapest() -> None:
    cluster = FakeCluster()
    cluster.add("deployments", deployment("worker", 3).to_dict())
    first, second, third = (pod["metadata"]["name"] for pod in cluster.all("pods"))
    for name, cost in ((first, "2"), (third, "1")):
        cluster.patch("pods", name, {"metadata": {"annotations": {COST: cost}}})
    cluster.patch("deployments", "worker", {"spec": {"replicas": 2}}, "scale")
    assert [pod["metadata"]["name"] for pod in cluster.all("pods")] == [first, third]
    cluster.terminate(first)
    assert len(cluster.all("pods")) == 3, "a Terminating pod is replaced"
    assert second not in {pod["metadata"]["name"] for pod in cluster.all("pods")}


def test_requests_can_fail_hang_and_be_overtaken() -> None:
    async def run() -> None:
        cluster = FakeCluster()
        client = cluster.client()
        cluster.add("deployments", deployment("worker").to_dict())
        cluster.on("get", "deployments", 500)
        with pytest.raises(ApiError, match="injected"):
            await client.get(Deployment, "worker")
        cluster.on("*", "*", httpx2.ConnectError)
        with pytest.raises(httpx2.ConnectError):
            await client.get(Deployment, "worker")
        cluster.on("get", "*", HANG)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get(Deployment, "worker")
        cluster.on("get", "deployments", lambda: cluster.remove("deployments", "worker"))
        with pytest.raises(ApiError, match="not found"):
            await client.get(Deployment, "worker")
        assert cluster.verbs("deployments") == ["get"] * 4
        await client.close()

    asyncio.run(run())
