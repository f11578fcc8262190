"""What the scaling rule reads and writes, frozen. All durations and times are seconds; times are Unix times.

Everything is checked when it is built, so that the rule itself has no bad input to think about: `InvalidPool` is for
the person who wrote the WorkerPool, `InvalidObservation` means that a measurement is not to be trusted (the operator
then decides without a load, which keeps the replicas as they are).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class InvalidPool(ValueError):
    """The pool's settings contradict each other. The message names every fault, in the words of the resource."""


class InvalidObservation(ValueError):
    """A measurement that cannot be: negative, not a number, or a part larger than its whole."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What the owner of a pool wants."""

    min_replicas: int
    """0 allows scaling to zero."""
    max_replicas: int
    slots_per_replica: int
    """Jobs that one replica runs at once: its processes, times the async jobs of each where handlers are async."""
    drain_target_seconds: float = 30.0
    """How long the queue may take to drain: the wait that is accepted in exchange for fewer replicas."""
    stabilisation_window_seconds: float = 120.0
    """How long the need must have been lower before replicas go. 0: they go at once."""
    paused: bool = False
    """The owner scales by hand: the rule keeps what is there."""

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
            yield f"stabilisationWindowSeconds must not be negative, it is {self.stabilisation_window_seconds}"

    def within(self, replicas: int) -> int:
        """The nearest number of replicas that the pool allows."""
        return min(max(replicas, self.min_replicas), self.max_replicas)


@dataclass(frozen=True, slots=True)
class Load:
    """What the lanes hold, read from Redis."""

    usable: int
    """Sum over all lanes of min(jobs, slots): how many jobs could be in flight now. A paused lane counts 0."""
    queued: int
    """Jobs that wait, for a retry too. Not those of paused lanes: nothing can be done for them."""
    running: int
    """Jobs in flight, on whatever pod."""
    leaving: int = 0
    """Of `running`, those on Terminating pods: they have all the capacity that they will ever use."""
    held: int = 0
    """Of `running`, those that have run for longer than the drain target: their slots will not drain anything."""
    service_seconds: float | None = None
    """Mean run time of the jobs that ended recently; None where none has."""
    oldest_wait_seconds: float = 0.0
    """How long the lane at the ring's head has waited for its turn: for a replica, not for its own slots."""

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
    """What is there. `load` None: it could not be read (Redis is away)."""

    current_replicas: int
    """What the Deployment asks for (`spec.replicas`)."""
    ready_replicas: int
    """Pods that are ready and not Terminating: a Terminating pod is no capacity."""
    load: Load | None
    pinned_replicas: int = 0
    """Replicas that hold a job which would not end within the shutdown grace (`laneway.scaling.pins`)."""

    def __post_init__(self) -> None:
        if min(self.current_replicas, self.ready_replicas, self.pinned_replicas) < 0:
            raise InvalidObservation(f"negative number of replicas in {self}")


@dataclass(frozen=True, slots=True)
class Step:
    """The recommendation was `replicas` from `since` on, until the next step."""

    since: float
    replicas: int


@dataclass(frozen=True, slots=True)
class Inflow:
    """The work that arrives, as the slots that it keeps busy: a moving average, and what the next step of it needs."""

    at: float
    jobs: int
    """Queued and running at that time."""
    running: int
    slots: float


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What the rule remembers between calls; small, and written to the resource's status, so a restart loses nothing.

    `steps` is the stabilisation window as a staircase that only falls (an earlier, lower recommendation can never be
    the window's highest again), the first step being the one in force at the window's start.
    """

    steps: tuple[Step, ...] = ()
    service_seconds: float | None = None
    """The last run time that was measured: it bridges the times in which no job ends."""
    inflow: Inflow | None = None

    def to_status(self) -> dict[str, object]:
        """As JSON can hold it."""
        steps = [asdict(step) for step in self.steps]
        inflow = asdict(self.inflow) if self.inflow else None
        return {"steps": steps, "serviceSeconds": self.service_seconds, "inflow": inflow}

    @classmethod
    def from_status(cls, status: object) -> ScalingState:
        """Read `to_status` back. Anything that is not understood counts as no memory: the window starts anew."""
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
    """Why the decision is what it is, as a word for a condition's `reason` and a metric's label."""

    PAUSED = "Paused"
    LOAD_UNKNOWN = "LoadUnknown"
    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    STABILISING = "Stabilising"
    """Fewer would do, but not yet for the whole window."""
    PINNED = "Pinned"
    """Fewer would do, but they hold jobs that would be interrupted."""
    STEADY = "Steady"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do. `needed`: what the load alone asks for now, before the window and the pool's limits."""

    replicas: int
    needed: int
    cause: Cause
    reason: str
    """One sentence for a person."""
    state: ScalingState
