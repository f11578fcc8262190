"""What `/api/admin` answers about the deployment as a whole: overview, workers, pools and failures."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Ended(BaseModel):
    """Jobs that ended, by their last state."""

    succeeded: int
    failed: int
    cancelled: int


class Quantiles(BaseModel):
    """Quantiles in seconds, each within 6.25 % of the true one."""

    p50: float
    p95: float
    p99: float


class Counts(BaseModel):
    """What happened in a span of time. The counts are some seconds late."""

    accepted: int = Field(
        description="Jobs accepted over HTTP or enqueued by schedules, also those that have not ended yet."
    )
    started: int = Field(
        description="Jobs by the time of their last start. A job counts once it has ended; `now.in_flight` has the others."
    )
    ended: Ended
    wait_seconds: Quantiles | None = Field(
        description="From acceptance to start, of jobs that needed one attempt, by the time of the start. Null if there is none."
    )
    run_seconds: Quantiles | None = Field(
        description="From the last start to the end, by the time of the end. Null if there is none."
    )


class Point(Counts):
    """What happened from `at` on, for one step."""

    at: datetime


class Now(BaseModel):
    """What Redis holds, at most some seconds ago."""

    lanes: int = Field(description="Lanes that hold a job.")
    jobs: int = Field(description="Jobs in lanes. Extrapolated beyond 10,000 lanes.")
    in_flight: int = Field(description="Jobs that workers hold.")
    retrying: int = Field(description="Jobs in lanes that wait for their next attempt.")
    delayed: int = Field(
        description="Delayed jobs that have not entered their lanes. They are not among `jobs`."
    )
    unarchived: int = Field(description="Ended jobs that MongoDB does not have yet.")


class Overview(BaseModel):
    """What the deployment did and holds."""

    from_: datetime = Field(alias="from", description="Where the first point begins.")
    to: datetime
    step_seconds: int
    points: list[Point] = Field(description="One for each step, oldest first; zeros where nothing happened.")
    total: Counts = Field(description="All points together.")
    now: Now | None = Field(description="Null while Redis does not answer.")


class RingLane(BaseModel):
    """A lane in the ring: it has a job that may start, and a free slot for it."""

    user: str
    jobs: int
    taken: int = Field(description="How many slots are taken.")
    slots: int
    since: datetime = Field(
        description="Since when it is in the ring, which it leaves with each turn. A lane whose turn was given back is in front "
        "again, and counts from just before the lane behind it."
    )


class ServedLane(BaseModel):
    """A lane with jobs that workers hold."""

    user: str
    in_flight: int = Field(description="Jobs that workers hold: those that run and those that start next.")
    last_start_at: datetime | None = Field(
        description="When the latest of these jobs started. Null while none is known to run, as with jobs of some milliseconds."
    )


class Ring(BaseModel):
    """The lanes as they take turns."""

    at: datetime = Field(description="When it was read, by the clock of `since` and `last_start_at`.")
    length: int = Field(description="Lanes in the ring.")
    lanes: list[RingLane] = Field(description="The first of them. The turn of the first one is next.")
    served: list[ServedLane] = Field(description="The lane that started a job last comes first.")
    truncated: bool = Field(
        description="More than 200 jobs are in flight: lanes and jobs are missing in `served`."
    )


class RunningJob(BaseModel):
    """A job that runs now."""

    job_id: str
    user: str
    type: str
    attempt: int = Field(description="From 1.")
    started_at: datetime


class StrayJob(RunningJob):
    """A job that runs, as far as Redis knows, in a process of no worker that is alive."""

    worker: str = Field(description="Host name and process id.")


class WorkerReply(BaseModel):
    """A worker: a pool of processes with their lease keeper. On Kubernetes it is a pod."""

    name: str = Field(description="Host name and process id of its lease keeper.")
    host: str = Field(description="On Kubernetes the pod's name.")
    started_at: datetime
    state: Literal["ready", "not_ready", "stopping"]
    problems: dict[str, str] = Field(description="Why it serves no jobs: sentences by reason.")
    processes: int = Field(description="Processes of its pool.")
    in_flight: int = Field(description="Jobs that it holds: those that run and those that start next.")
    jobs: list[RunningJob] = Field(description="What runs in it now.")


class Workers(BaseModel):
    """The workers that have reported within the last seconds."""

    workers: list[WorkerReply] = Field(description="In the order of their names.")
    jobs_without_worker: list[StrayJob] = Field(
        description="Their worker has just died, or is cut off from Redis. They run again when their lease expires."
    )
    truncated: bool = Field(description="More jobs are in flight than were read: some are missing here.")


class Replicas(BaseModel):
    """Replicas of a pool's Deployment."""

    wanted: int = Field(description="What the scaling rule decided.")
    needed: int = Field(description="What the load alone asks for, before the pool's limits and the window.")
    current: int = Field(description="What the Deployment asked for before the decision.")
    ready: int = Field(description="Pods that are ready and not Terminating.")
    pinned: int = Field(description="Pods with a job that a stop would interrupt.")


class RuleLoad(BaseModel):
    """The load of the lanes when the rule decided."""

    usable: int = Field(description="Jobs that could be in flight at once.")
    queued: int
    running: int
    leaving: int = Field(description="Running jobs on pods that are Terminating.")
    held: int = Field(description="Running jobs that have run for longer than the drain target.")
    service_seconds: float | None = Field(description="Mean run time; null until a job has ended.")
    oldest_wait_seconds: float = Field(
        description="How long the first lane of the ring has waited for a worker."
    )


class RuleInputs(BaseModel):
    """What the scaling rule decided from."""

    min_replicas: int
    max_replicas: int
    slots_per_replica: int
    drain_target_seconds: float
    stabilisation_window_seconds: float
    paused: bool
    inflow_slots: float | None = Field(description="Slots that arriving work keeps busy, averaged.")
    load: RuleLoad | None = Field(description="Null if the lanes could not be read.")


class PoolChange(BaseModel):
    """When the decision about a pool changed."""

    at: datetime
    wanted: int | None = Field(description="Replicas from then on; null while the pool could not be scaled.")
    cause: str
    reason: str


class PoolReply(BaseModel):
    """The operator's last decision about a WorkerPool."""

    name: str
    target: str = Field(description="The Deployment.")
    reported_at: datetime
    replicas: Replicas | None = Field(description="Null while the pool cannot be scaled: `reason` says why.")
    rule: RuleInputs | None
    cause: str = Field(description="Why, in one word.", examples=["ScaledUp"])
    reason: str = Field(description="Why, in a sentence.", examples=["3 replicas: usable parallelism is 12"])
    changes: list[PoolChange] = Field(
        description="When replicas or cause changed, the newest 30, oldest first. Empty when an operator of an older release reports."
    )


class Pools(BaseModel):
    """The pools that an operator scales."""

    pools: list[PoolReply] = Field(description="In the order of their names.")
    note: str | None = Field(description="Why there are none.")


class JobReference(BaseModel):
    """Which job it is."""

    user: str
    job_id: str


class FailureGroup(BaseModel):
    """Dead letters of one type that failed alike."""

    type: str
    failure: str = Field(
        description="The error's type and the first line of its message, without numbers and ids. The dead letters take it as "
        "a filter.",
        examples=["TimeoutError: no answer within <n> s"],
    )
    count: int
    first_at: datetime = Field(description="When the first of them failed.")
    last_at: datetime
    example: JobReference = Field(description="The last one that failed.")


class Failures(BaseModel):
    """Failures that nobody has retried or dropped."""

    groups: list[FailureGroup] = Field(description="The largest first.")
    truncated: bool = Field(description="There are more groups.")
