"""The inputs and outputs of the scaling rule, frozen. All durations and times are seconds; times are Unix times.

Every value is validated when it is built, so the rule never meets a bad one. `InvalidPool` is for the person who wrote the
WorkerPool. `InvalidObservation` means that a measurement cannot be trusted: the operator then decides without a load, which
keeps the replicas as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class InvalidPool(ValueError):
    """The pool's settings contradict each other. The message names every fault, with the resource's field names."""


class InvalidObservation(ValueError):
    """An impossible measurement: negative, not a number, or a part larger than its whole."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What the owner of a pool asks for. Raises InvalidPool."""

    min_replicas: int
    """0 allows scaling to zero."""
    max_replicas: int
    slots_per_replica: int
    """Jobs that one replica runs at once: its processes, times the async jobs of each where handlers are async."""
    drain_target_seconds: float = 30.0
    """How long the queue may take to drain. A longer wait needs fewer replicas."""
    stabilisation_window_seconds: float = 120.0
    """How far back the rule looks before it scales down: it goes no lower than the highest recommendation of this window.
    With 0 it scales down at once."""
    paused: bool = False
    """The owner scales by hand, and the rule keeps the replicas as they are."""

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise InvalidPool("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        if self.min_replicas < 0:
            yield f"minReplicas must not be negative, it is {self.min_replicas}"
        if self.max_replicas < 1:
            yield f"maxReplicas must be at least 1, it is {self.max_replicas} (pause the pool to stop it)"
        if self.min_replicas > self.max_replicas:
            yield f"minReplicas ({self.min_replicas}) must not be above maxReplicas ({self.max_replicas})"
        if self.slots_per_replica < 1:
            yield f"slotsPerReplica must be at least 1, it is {self.slots_per_replica}"
        if not (math.isfinite(self.drain_target_seconds) and self.drain_target_seconds > 0):
            yield f"drainTargetSeconds must be above 0, it is {self.drain_target_seconds}"
        if not (math.isfinite(self.stabilisation_window_seconds) and self.stabilisation_window_seconds >= 0):
            yield f"stabilizationWindowSeconds must not be negative, it is {self.stabilisation_window_seconds}"

    def within(self, replicas: int) -> int:
        """Clamp a number of replicas to the pool's limits."""
        return min(max(replicas, self.min_replicas), self.max_replicas)


@dataclass(frozen=True, slots=True)
class Load:
    """What the lanes hold, as read from Redis. Raises InvalidObservation."""

    usable: int
    """Jobs that could be in flight now: the sum over all lanes of min(jobs, slots). A paused lane counts 0."""
    queued: int
    """Jobs that wait, also for a retry. Jobs of paused lanes do not count, since no replica can serve them."""
    running: int
    """Jobs in flight, on any pod."""
    leaving: int = 0
    """Running jobs on Terminating pods: they already have all the capacity that they will use."""
    held: int = 0
    """Running jobs that have run for longer than the drain target: their slots drain nothing."""
    service_seconds: float | None = None
    """Mean run time of the jobs that ended recently; None if none has."""
    oldest_wait_seconds: float = 0.0
    """How long the lane at the ring's head has waited for a replica. Waiting for its own slots does not count."""

    def __post_init__(self) -> None:
        counts = (self.usable, self.queued, self.running, self.leaving, self.held)
        if min(counts) < 0:
            raise InvalidObservation(f"negative number of jobs in {self}")
        if self.leaving > self.running or self.held > self.running:
            raise InvalidObservation(f"more jobs leaving or held than running in {self}")
        seconds = (self.oldest_wait_seconds, self.service_seconds or 0.0)
        if not all(math.isfinite(value) and value >= 0 for value in seconds):
            raise InvalidObservation(f"not a duration in {self}")


@dataclass(frozen=True, slots=True)
class Observation:
    """What the operator observed. `load` is None if Redis could not be read. Raises InvalidObservation."""

    current_replicas: int
    """The Deployment's `spec.replicas`."""
    ready_replicas: int
    """Pods that are ready and not Terminating. A Terminating pod is no capacity."""
    load: Load | None
    pinned_replicas: int = 0
    """Replicas with a job that would outlast the shutdown grace (`laneway.scaling.pins`)."""

    def __post_init__(self) -> None:
        if min(self.current_replicas, self.ready_replicas, self.pinned_replicas) < 0:
            raise InvalidObservation(f"negative number of replicas in {self}")


@dataclass(frozen=True, slots=True)
class Step:
    """The rule recommended `replicas` from `since` until the next step."""

    since: float
    replicas: int


@dataclass(frozen=True, slots=True)
class Inflow:
    """Arriving work, as the number of slots that it keeps busy: a moving average, with the jobs that were there at its last
    update."""

    at: float
    jobs: int
    """Queued and running jobs at that time."""
    running: int
    slots: float


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What the rule remembers between calls. It is small and kept in the resource's status, so a restart loses nothing.

    `steps` holds the recommendations of the stabilisation window that may still be its highest, so it only falls: a lower
    recommendation can never be the highest once a higher one has followed. The first step is the one that was in force
    when the window began.
    """

    steps: tuple[Step, ...] = ()
    service_seconds: float | None = None
    """The last mean run time that was measured, for times in which no job ends."""
    inflow: Inflow | None = None

    def to_status(self) -> dict[str, object]:
        """The state as JSON values, for the status."""
        steps = [asdict(step) for step in self.steps]
        inflow = asdict(self.inflow) if self.inflow else None
        return {"steps": steps, "serviceSeconds": self.service_seconds, "inflow": inflow}

    @classmethod
    def from_status(cls, status: object) -> ScalingState:
        """Read what `to_status` wrote. Anything else counts as an empty state, and the window starts again."""
        try:
            return cls._parse(status) if isinstance(status, Mapping) else cls()
        except (TypeError, ValueError, KeyError):
            return cls()

    @classmethod
    def _parse(cls, status: Mapping[str, Any]) -> ScalingState:
        steps = (Step(_number(step["since"]), _count(step["replicas"])) for step in status.get("steps") or ())
        service, inflow = status.get("serviceSeconds"), status.get("inflow")
        return cls(
            tuple(steps),
            None if service is None else _number(service),
            inflow
            and Inflow(
                _number(inflow["at"]),
                _count(inflow["jobs"]),
                _count(inflow["running"]),
                _number(inflow["slots"]),
            ),
        )


def _number(value: object) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"not a number: {value!r}")
    return number


def _count(value: object) -> int:
    return int(_number(value))


class Cause(StrEnum):
    """Why the rule decided as it did: one word, for a condition's `reason`."""

    PAUSED = "Paused"
    LOAD_UNKNOWN = "LoadUnknown"
    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    STABILISING = "Stabilising"
    """Fewer replicas would do now, but the window still holds a higher recommendation."""
    PINNED = "Pinned"
    """Fewer replicas would do, but stopping any would interrupt a job."""
    STEADY = "Steady"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the operator should do. `needed`: what the load alone asks for, before the window and the pool's limits."""

    replicas: int
    needed: int
    cause: Cause
    reason: str
    """One sentence for people."""
    state: ScalingState
