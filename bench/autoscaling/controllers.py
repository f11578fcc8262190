"""The compared autoscalers: ours, and its rivals as published, with their defaults.

Ours            `laneway.scaling.decide`, the function that the operator calls: poll every 5 s, drain target 30 s,
                window 120 s, min 0. It scales 0.2 s after it observed, with deletion costs from the observation.
KEDA            The Redis list scaler on the number of waiting jobs (running ones have left the list), `listLength` 5,
                min 0. KEDA itself switches between 0 and 1: it polls every 30 s (`pollingInterval`) and goes to zero
                once the list has been empty for 300 s (`cooldownPeriod`). An HPA scales from 1 to max, see below.
HPA on CPU      Target 80 % of the request, min 1 (an HPA cannot scale to zero). CPU model: a pod requests what its 4
                slots use at full speed; a running job uses a constant share of its slot: 95 % if jobs compute, 20 %
                if they wait for other services (a model, an API, a database). The bench shows both.
The HPA         autoscaling/v2 with its default behaviour: sync every 15 s, tolerance 10 %, up by the greater of 100 %
                and 4 pods per 15 s, down to the highest recommendation of 300 s. The external metric is read at each
                sync (keda.sh/docs, "Scaling Deployments"; kubernetes.io/docs, "Horizontal Pod Autoscaling").
Long grace      KEDA with a terminationGracePeriodSeconds of an hour: its documentation ("Long-running executions") advises
                to delay the end of a pod until its work is done. It interrupts no job, but Terminating pods cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.autoscaling.simulator import GRACE_SECONDS, SLOTS_PER_POD, Cluster, Controller, Pod
from laneway.scaling import Load, Observation, PoolSpec, ScalingState, decide, deletion_cost, pins

MAX_REPLICAS = 50
WORKER_GRACE_SECONDS = 25.0
"""Our worker's part of the pod's 30 s (`LANEWAY_SHUTDOWN_GRACE_SECONDS`)."""


@dataclass(slots=True)
class Ours:
    """The operator around the rule: observe, decide, apply."""

    spec: PoolSpec = field(default_factory=lambda: PoolSpec(0, MAX_REPLICAS, SLOTS_PER_POD))
    name: str = "ours"
    period_seconds: float = 5.0
    grace_seconds: float = GRACE_SECONDS
    first_replicas: int = 0
    act_seconds: float = 0.2
    state: ScalingState = field(default_factory=ScalingState)

    def tick(self, cluster: Cluster) -> None:
        """Make one pass, like the operator."""
        ages = {pod: [cluster.now - job.started for job in pod.running] for pod in cluster.pods}
        live, service = cluster.live, cluster.service_seconds
        all_ages = [age for pod_ages in ages.values() for age in pod_ages]
        load = Load(
            usable=cluster.usable,
            queued=cluster.queued,
            running=len(all_ages),
            leaving=len(all_ages) - sum(len(ages[pod]) for pod in live),
            held=sum(age > self.spec.drain_target_seconds for age in all_ages),
            service_seconds=service,
            oldest_wait_seconds=cluster.oldest_wait_seconds,
        )
        observation = Observation(
            current_replicas=cluster.replicas,
            ready_replicas=sum(pod.ready <= cluster.now for pod in live),
            load=load,
            pinned_replicas=sum(
                any(pins(age, service, WORKER_GRACE_SECONDS) for age in ages[pod]) for pod in live
            ),
        )
        decision = decide(self.spec, observation, self.state, cluster.now)
        self.state = decision.state
        if decision.replicas != cluster.replicas:
            costs = {pod: deletion_cost(ages[pod], service, WORKER_GRACE_SECONDS) for pod in live}
            cluster.after(self.act_seconds, lambda: cluster.scale(decision.replicas, costs))


@dataclass(slots=True)
class HorizontalPodAutoscaler:
    """autoscaling/v2 with its default behaviour, which both rivals use."""

    sync_seconds: float = 15.0
    tolerance: float = 0.1
    window_seconds: float = 300.0
    recommendations: list[tuple[float, int]] = field(default_factory=list)

    def apply(self, cluster: Cluster, recommended: int) -> None:
        """Scale to a recommendation: within limits, stabilised on the way down, at most doubled or plus 4 on the way up."""
        now, current = cluster.now, cluster.replicas
        recommended = min(max(recommended, 1), MAX_REPLICAS)
        self.recommendations = [
            (at, value) for at, value in self.recommendations if at > now - self.window_seconds
        ]
        self.recommendations.append((now, recommended))
        highest = max(value for _, value in self.recommendations)
        wanted = min(max(current, recommended), highest)
        wanted = min(wanted, max(2 * current, current + 4))
        if wanted != current:
            cluster.scale(wanted)


@dataclass(slots=True)
class Keda:
    """KEDA and its HPA. It ticks every 15 s like the HPA; every second tick is KEDA's own poll."""

    name: str = "KEDA"
    grace_seconds: float = GRACE_SECONDS
    list_length: int = 5
    poll_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    period_seconds: float = 15.0
    first_replicas: int = 0
    last_active: float = 0.0
    last_poll: float = 0.0
    hpa: HorizontalPodAutoscaler = field(default_factory=HorizontalPodAutoscaler)

    def tick(self, cluster: Cluster) -> None:
        """Poll if the poll is due, then let the HPA sync."""
        if cluster.now >= self.last_poll + self.poll_seconds:
            self.last_poll = cluster.now
            self._poll(cluster)
        if cluster.replicas > 0:  # an HPA leaves a Deployment of 0 replicas alone
            self._sync(cluster)

    def _poll(self, cluster: Cluster) -> None:
        if cluster.queued > 0:
            self.last_active = cluster.now
            if cluster.replicas == 0:
                cluster.scale(1)
        elif cluster.replicas > 0 and self.last_active + self.cooldown_seconds < cluster.now:
            cluster.scale(0)

    def _sync(self, cluster: Cluster) -> None:
        """The HPA on the AverageValue of an external metric (GetExternalPerPodMetricReplicas)."""
        replicas = len(cluster.live)
        ratio = cluster.queued / (self.list_length * replicas)
        within = abs(1.0 - ratio) <= self.hpa.tolerance
        recommended = replicas if within else math.ceil(cluster.queued / self.list_length)
        self.hpa.apply(cluster, recommended)


@dataclass(slots=True)
class HpaOnCpu:
    """An HPA on the utilisation of the CPU request, averaged over ready pods (GetResourceReplicas)."""

    name: str
    cpu_share: float
    grace_seconds: float = GRACE_SECONDS
    target: float = 0.8
    period_seconds: float = 15.0
    first_replicas: int = 1
    hpa: HorizontalPodAutoscaler = field(default_factory=HorizontalPodAutoscaler)
    busy_before: dict[Pod, float] = field(default_factory=dict)

    def tick(self, cluster: Cluster) -> None:
        """Measure the CPU usage of the ready pods and scale."""
        usage, before = {}, self.busy_before
        self.busy_before = {}
        for pod in cluster.live:
            pod.account(cluster.now)
            self.busy_before[pod] = pod.busy_seconds
            if (
                pod in before and pod.ready <= cluster.now - self.period_seconds
            ):  # a whole sample since readiness
                busy_slots = (pod.busy_seconds - before[pod]) / self.period_seconds
                usage[pod] = busy_slots * self.cpu_share / SLOTS_PER_POD
        if usage:
            self.hpa.apply(cluster, self._recommend(cluster, list(usage.values())))

    def _recommend(self, cluster: Cluster, usage: list[float]) -> int:
        current, ignored = cluster.replicas, len(cluster.live) - len(usage)
        ratio = sum(usage) / len(usage) / self.target
        if ignored == 0 or ratio <= 1:
            return current if abs(1 - ratio) <= self.hpa.tolerance else math.ceil(ratio * len(usage) - 1e-9)
        # On the way up, pods that have just started count with a usage of 0.
        counted = len(usage) + ignored
        rebalanced = sum(usage) / counted / self.target
        recommended = math.ceil(rebalanced * counted - 1e-9)
        if abs(1 - rebalanced) <= self.hpa.tolerance or rebalanced < 1 or recommended < current:
            return current
        return recommended


def controllers() -> list[Controller]:
    """New instances of all autoscalers, ours first."""
    return [
        Ours(),
        Keda(),
        Keda(name="KEDA, long grace", grace_seconds=3600.0),
        HpaOnCpu("HPA, jobs compute", cpu_share=0.95),
        HpaOnCpu("HPA, jobs wait", cpu_share=0.2),
    ]
