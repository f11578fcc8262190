"""How busy each pod is, and what it therefore costs to lose it.

Redis knows which jobs have started, where and for how long; a worker itself knows what else its processes hold. Asking
is quick and never in the way: all pods at once, ASK_SECONDS in all. A pod that does not answer is not taken for idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import httpx2

from laneway.operator.cluster import Pod
from laneway.scaling import PoolSpec, deletion_cost

ASK_SECONDS = 2.0
AT_ONCE = 50
"""Connections at the same time."""


async def ask(pods: Iterable[Pod], port: int) -> dict[str, int | None]:
    """For each pod by name, the jobs that its processes hold; None where that could not be found out."""
    room = asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:

        async def one(pod: Pod) -> tuple[str, int | None]:
            async with room:
                return pod.name, await _ask(client, pod, port)

        tasks = {pod.name: asyncio.create_task(one(pod)) for pod in pods}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=ASK_SECONDS)
        for task in tasks.values():
            task.cancel()
        return {name: task.result()[1] if _answered(task) else None for name, task in tasks.items()}


async def _ask(client: httpx2.AsyncClient, pod: Pod, port: int) -> int | None:
    if not (port and pod.ip):
        return None
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    try:
        answer = await client.get(f"http://{host}:{port}/in-flight")
        count = answer.json()["in_flight"] if answer.status_code == 200 else None
    except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) and count >= 0 else None


def _answered(task: asyncio.Task[tuple[str, int | None]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def costs(
    pods: Iterable[Pod],
    counts: Mapping[str, int | None],
    ages: Mapping[str, Sequence[float]],
    spec: PoolSpec,
    service_seconds: float | None,
    grace_seconds: float,
) -> dict[str, int]:
    """The deletion cost of each pod by name: 0 when it is idle, its jobs otherwise, far more when one of them would be
    interrupted. A pod that did not answer is taken to hold a full load beside what Redis knows of."""
    found = {}
    for pod in pods:
        running = ages.get(pod.host, ())
        count = counts.get(pod.name)
        beside = spec.slots_per_replica if count is None else max(0, count - len(running))
        found[pod.name] = deletion_cost(running, service_seconds, grace_seconds) + beside
    return found
