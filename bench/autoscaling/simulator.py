"""The discrete-event simulation of lanes, jobs and pods. The package's docstring describes the model."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

LANE_CONCURRENCY = 5
SLOTS_PER_POD = 4
START_UP_SECONDS = 8.0
GRACE_SECONDS = 30.0
EXIT_SECONDS = 1.0
MEASURED_SECONDS = 300.0
"""A controller sees the mean run time of the jobs that ended within this time."""


@dataclass(slots=True, eq=False)
class Job:
    """A job; times are -1 until they are known."""

    seq: int
    user: int
    arrives: float
    seconds: float
    first_started: float = -1.0
    started: float = -1.0
    ended: float = -1.0
    interrupted: int = 0


@dataclass(slots=True, eq=False)
class Lane:
    """A user's jobs."""

    waiting: deque[Job] = field(default_factory=deque)
    running: int = 0
    ready_since: float = -1.0
    """When the lane joined the ring; -1 while it is not in the ring."""

    @property
    def usable(self) -> int:
        """Jobs that could be in flight now."""
        return min(len(self.waiting) + self.running, LANE_CONCURRENCY)


@dataclass(slots=True, eq=False)
class Pod:
    """A pod; times are infinite until they are known."""

    created: float
    uid: float
    ready: float = math.inf
    terminating: float = math.inf
    removed: float = math.inf
    running: set[Job] = field(default_factory=set)
    busy_seconds: float = 0.0
    busy_until: float = 0.0

    def account(self, now: float) -> None:
        """Add the slot-seconds used until now, for the HPA's CPU model."""
        self.busy_seconds += len(self.running) * (now - self.busy_until)
        self.busy_until = now


class Controller(Protocol):
    """An autoscaler. Its `tick` is called every `period_seconds`."""

    name: str
    period_seconds: float
    grace_seconds: float
    first_replicas: int

    def tick(self, cluster: Cluster) -> None:
        """Observe the cluster and scale it if needed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A load: which jobs arrive, and for how long the simulation runs."""

    name: str
    jobs: tuple[tuple[float, int, float], ...]
    """(arrives, user, seconds), in order of arrival."""
    horizon_seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A point of the plot. `pods` includes Terminating ones."""

    at: float
    pods: int
    queued: int


class Cluster:
    """The simulated system under one controller, which reads its fields and calls `scale`."""

    def __init__(self, trace: Trace, controller: Controller, seed: int) -> None:
        self.now = 0.0
        self.replicas = 0
        self.queued = 0
        self.usable = 0
        self.pods: list[Pod] = []
        """All pods, Terminating ones included."""
        self.jobs = [
            Job(seq, user, arrives, seconds) for seq, (arrives, user, seconds) in enumerate(trace.jobs)
        ]
        self.pod_seconds = 0.0
        self.scalings = 0
        self.samples: list[Sample] = []
        self._controller, self._horizon = controller, trace.horizon_seconds
        self._random = random.Random(seed)
        self._lanes: dict[int, Lane] = {}
        self._ring: deque[Lane] = deque()
        self._free: list[Pod] = []
        self._ended: deque[tuple[float, float]] = deque()
        self._ended_seconds = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    # -- for controllers -------------------------------------------------------------------------------------

    @property
    def live(self) -> list[Pod]:
        """Pods that are not Terminating."""
        return [pod for pod in self.pods if pod.terminating > self.now]

    @property
    def service_seconds(self) -> float | None:
        """Mean run time of the jobs that ended within MEASURED_SECONDS; None if none has."""
        while self._ended and self._ended[0][0] < self.now - MEASURED_SECONDS:
            self._ended_seconds -= self._ended.popleft()[1]
        return max(self._ended_seconds, 0.0) / len(self._ended) if self._ended else None

    @property
    def oldest_wait_seconds(self) -> float:
        """How long the lane at the ring's head has waited."""
        return self.now - self._ring[0].ready_since if self._ring else 0.0

    def scale(self, replicas: int, costs: Mapping[Pod, int] | None = None) -> None:
        """Set the Deployment's replicas. Its ReplicaSet creates pods, or deletes the cheapest ones, at once."""
        self.scalings += replicas != self.replicas
        self.replicas = replicas
        live = self.live
        for _ in range(replicas - len(live)):
            pod = Pod(self.now, self._random.random(), busy_until=self.now)
            self.pods.append(pod)
            self.after(START_UP_SECONDS, lambda pod=pod: self._pod_ready(pod))  # type: ignore[misc]
        live.sort(key=lambda pod: self._rank(pod, costs or {}))
        for pod in live[: max(0, len(live) - replicas)]:
            self._stop(pod)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, action))

    # -- the run --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Simulate until the trace's horizon."""
        for job in self.jobs:
            self._count += 1
            self._events.append((job.arrives, self._count, lambda job=job: self._arrive(job)))  # type: ignore[misc]
        heapq.heapify(self._events)
        self.scale(self._controller.first_replicas)
        self.after(self._controller.period_seconds, self._tick)
        while self._events and self._events[0][0] <= self._horizon:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = self._horizon
        for pod in self.pods:
            self.pod_seconds += self.now - pod.created

    def _tick(self) -> None:
        self._controller.tick(self)
        self.samples.append(Sample(self.now, len(self.pods), self.queued))
        self.after(self._controller.period_seconds, self._tick)

    def _arrive(self, job: Job) -> None:
        lane = self._lanes.setdefault(job.user, Lane())
        before = lane.usable
        lane.waiting.append(job)
        self.queued += 1
        self._update_ring(lane, before)
        self._dispatch()

    def _update_ring(self, lane: Lane, usable_before: int) -> None:
        self.usable += lane.usable - usable_before
        if lane.ready_since < 0 and lane.waiting and lane.running < LANE_CONCURRENCY:
            lane.ready_since = self.now
            self._ring.append(lane)

    def _dispatch(self) -> None:
        while self._ring:
            pod = self._free_slot()
            if pod is None:
                return
            lane = self._ring.popleft()
            lane.ready_since = -1.0
            before = lane.usable
            job = lane.waiting.popleft()
            lane.running += 1
            self.queued -= 1
            self._update_ring(lane, before)
            pod.account(self.now)
            pod.running.add(job)
            job.started = self.now
            if job.first_started < 0:
                job.first_started = self.now
            self.after(job.seconds, lambda job=job, pod=pod, at=self.now: self._end(job, pod, at))  # type: ignore[misc]

    def _free_slot(self) -> Pod | None:
        free = self._free
        while free:
            chosen = self._random.randrange(len(free))
            free[chosen], free[-1] = free[-1], free[chosen]
            pod = free.pop()
            if pod.terminating > self.now:
                return pod
        return None

    def _end(self, job: Job, pod: Pod, started: float) -> None:
        if job.started != started or job not in pod.running:
            return  # the job was interrupted
        job.ended = self.now
        self._ended.append((self.now, job.seconds))
        self._ended_seconds += job.seconds
        self._leave(job, pod)
        if pod.terminating > self.now:
            self._free.append(pod)
        elif not pod.running:
            self.after(EXIT_SECONDS, lambda: self._remove(pod))
        self._dispatch()

    def _leave(self, job: Job, pod: Pod, *, again: bool = False) -> None:
        """Free the job's slot. With `again` the job returns to the head of its lane."""
        pod.account(self.now)
        pod.running.discard(job)
        lane = self._lanes[job.user]
        before = lane.usable
        lane.running -= 1
        if again:
            lane.waiting.appendleft(job)
            self.queued += 1
        self._update_ring(lane, before)

    # -- pods -----------------------------------------------------------------------------------------------------

    def _pod_ready(self, pod: Pod) -> None:
        if pod.terminating <= self.now:
            return
        pod.ready = self.now
        self._free.extend([pod] * SLOTS_PER_POD)
        self._dispatch()

    def _rank(self, pod: Pod, costs: Mapping[Pod, int]) -> tuple[bool, int, int, float]:
        is_ready = pod.ready <= self.now
        age = int(self.now - pod.ready) if is_ready else 0
        return is_ready, costs.get(pod, 0), age.bit_length(), pod.uid

    def _stop(self, pod: Pod) -> None:
        pod.terminating = self.now
        if pod.running:
            self.after(self._controller.grace_seconds, lambda: self._kill(pod))
        else:
            self.after(EXIT_SECONDS, lambda: self._remove(pod))

    def _kill(self, pod: Pod) -> None:
        for job in sorted(pod.running, key=lambda job: job.seq, reverse=True):
            job.interrupted += 1
            self._leave(job, pod, again=True)
        self._remove(pod)
        self._dispatch()

    def _remove(self, pod: Pod) -> None:
        if pod.removed < math.inf:
            return
        pod.removed = self.now
        self.pod_seconds += self.now - pod.created
        self.pods.remove(pod)
