"""How busy each pod is, and the deletion cost that follows from it.

Redis knows which jobs have started, where and for how long. A worker knows which further jobs its processes hold. All
workers are asked at once, POLL_SECONDS in all. A pod that does not answer does not count as idle.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence

import httpx2

from laneway.operator.workload import Pod
from laneway.scaling import PoolSpec, deletion_cost

POLL_SECONDS = 2.0
MAX_CONNECTIONS = 50
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Pods are asked over plain HTTP. Without this, each poll would load certificates, which takes 25 ms of the event loop."""


async def poll_in_flight(pods: Iterable[Pod], port: int) -> dict[str, int | None]:
    """Ask each worker how many jobs its processes hold: by pod name; None where there was no valid answer.

    `port`: of the workers' `/in-flight`; with 0 nobody is asked.
    """
    connections = asyncio.Semaphore(MAX_CONNECTIONS)
    async with httpx2.AsyncClient(verify=_NO_TLS, timeout=POLL_SECONDS, trust_env=False) as client:

        async def poll(pod: Pod) -> int | None:
            async with connections:
                return await _poll(client, pod, port)

        tasks = {pod.name: asyncio.create_task(poll(pod)) for pod in pods}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=POLL_SECONDS)
        for task in tasks.values():
            task.cancel()
        return {name: task.result() if _has_result(task) else None for name, task in tasks.items()}


async def _poll(client: httpx2.AsyncClient, pod: Pod, port: int) -> int | None:
    if not (port and pod.ip):
        return None
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    try:
        answer = await client.get(f"http://{host}:{port}/in-flight")
        count = answer.json()["in_flight"] if answer.status_code == 200 else None
    except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) and count >= 0 else None


def _has_result(task: asyncio.Task[int | None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def deletion_costs(
    pods: Iterable[Pod],
    in_flight: Mapping[str, int | None],
    job_ages: Mapping[str, Sequence[float]],
    spec: PoolSpec,
    service_seconds: float | None,
    grace_seconds: float,
) -> dict[str, int]:
    """The deletion cost of each pod by name: 0 for an idle one, else its jobs, and far more if a stop would interrupt one.

    `in_flight`: what the workers answered, by pod name. `job_ages`: what Redis knows, by host. A pod that did not answer
    counts as full, on top of what Redis knows of it.
    """
    costs = {}
    for pod in pods:
        ages = job_ages.get(pod.host, ())
        count = in_flight.get(pod.name)
        not_in_redis = spec.slots_per_replica if count is None else max(0, count - len(ages))
        costs[pod.name] = deletion_cost(ages, service_seconds, grace_seconds) + not_in_redis
    return costs
