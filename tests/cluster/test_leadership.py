"""Several candidates for one lease, behind failing networks: never do two lead, and soon one leads again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from lightkube import AsyncClient, KubeConfig

from chaos.system.proxy import Proxy
from laneway.cancellation import cancel
from laneway.operator.leadership import Leadership, LeaseTimes
from tests.cluster.control_plane import ControlPlane
from tests.cluster.program import Program

QUICK = LeaseTimes(duration_seconds=2, renew_within_seconds=1.2, retry_seconds=0.2, request_seconds=0.5)
PATIENT = LeaseTimes(duration_seconds=60, renew_within_seconds=40, retry_seconds=0.2, request_seconds=10)
LEASE = "laneway-operator"


@pytest.fixture
def namespace(namespace: str, kubectl: Program) -> str:
    """A namespace with the empty Lease, as the chart creates it."""
    lease = f"{{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {{name: {LEASE}}}}}"
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=lease)
    return namespace


@pytest.fixture
def proxies(cluster: ControlPlane) -> Iterator[list[Proxy]]:
    """A proxy for each of four candidates."""
    made = [Proxy(int(cluster.url.rpartition(":")[2])) for _ in range(4)]
    for proxy in made:
        proxy.start()
    yield made
    for proxy in made:
        proxy.stop()


def client(kubeconfig: Path, cluster: ControlPlane, port: int, namespace: str) -> AsyncClient:
    config = KubeConfig.from_file(kubeconfig)
    for found in config.clusters.values():
        found.server = cluster.url.rpartition(":")[0] + f":{port}"
    return AsyncClient(config, namespace=namespace, trust_env=False)


class Candidates:
    """Operators that want to lead. Fails when two of them lead at the same time."""

    def __init__(self, clients: list[AsyncClient], namespace: str, times: LeaseTimes = QUICK) -> None:
        self.all = [
            Leadership(client, namespace, LEASE, f"candidate-{number}", times)
            for number, client in enumerate(clients)
        ]
        self.tasks = [asyncio.create_task(one.run(lambda _seconds: None)) for one in self.all]

    def leading(self) -> list[int]:
        found = [number for number, one in enumerate(self.all) if one.leading]
        assert len(found) < 2, f"{found} lead at the same time"
        return found

    async def leader(self, seconds: float = 15) -> int:
        """Wait until one leads; returns its number."""
        deadline = time.monotonic() + seconds
        while not (found := self.leading()):
            assert time.monotonic() < deadline, "nobody leads"
            await asyncio.sleep(0.005)
        return found[0]

    async def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.leading()
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        await cancel(self.tasks)


def test_never_two_lead_whatever_the_networks_do(
    admin: Path, cluster: ControlPlane, namespace: str, proxies: list[Proxy], kubectl: Program
) -> None:
    async def run() -> None:
        random = Random(1)
        clients = [client(admin, cluster, proxy.port, namespace) for proxy in proxies]
        candidates = Candidates(clients, namespace)
        led = set()
        for _ in range(10):
            leader = await candidates.leader()
            led.add(leader)
            match random.randrange(3):
                case 0:
                    await asyncio.to_thread(proxies[leader].stall)
                case 1:
                    await asyncio.to_thread(proxies[leader].refuse)
                    await asyncio.to_thread(proxies[leader].reset)
                case _:
                    await asyncio.to_thread(proxies[leader].delay, 0.2, 0.4)
            await candidates.watch(random.uniform(0.5, 3))
            await asyncio.to_thread(proxies[leader].heal)
        assert len(led) > 1, "the lease has changed hands"
        await candidates.leader()
        await candidates.end()
        for one in clients:
            await one.close()

    asyncio.run(run())
    spec = kubectl.json("get", "lease", LEASE, f"--namespace={namespace}")["spec"]
    assert spec["leaseTransitions"] >= 1
    assert spec["leaseDurationSeconds"] == QUICK.duration_seconds


def test_after_a_release_another_leads_at_once(
    admin: Path, cluster: ControlPlane, namespace: str, proxies: list[Proxy]
) -> None:
    async def run() -> None:
        clients = [client(admin, cluster, proxy.port, namespace) for proxy in proxies[:2]]
        candidates = Candidates(clients, namespace, PATIENT)
        leader = await candidates.leader()
        await cancel([candidates.tasks[leader]])
        await candidates.all[leader].release()
        long_before_expiry = PATIENT.renew_within_seconds / 2
        other = await candidates.leader(long_before_expiry)
        assert other != leader
        await candidates.end()
        for one in clients:
            await one.close()

    asyncio.run(run())


def test_a_dead_holders_lease_lasts_as_long_as_it_says(
    admin: Path, cluster: ControlPlane, namespace: str, kubectl: Program
) -> None:
    """Clocks are not compared: a holder whose clock is wrong by years has the same time as any other."""
    lease = f"""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {LEASE}}}
spec: {{holderIdentity: gone, leaseDurationSeconds: 4, renewTime: "2001-01-01T00:00:00.000001Z"}}
"""
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=lease)

    async def run() -> None:
        began = time.monotonic()
        only = client(admin, cluster, int(cluster.url.rpartition(":")[2]), namespace)
        candidates = Candidates([only], namespace)
        await candidates.leader()
        assert time.monotonic() - began > 4
        assert candidates.all[0].holder == "candidate-0"
        await candidates.end()
        await only.close()

    asyncio.run(run())
