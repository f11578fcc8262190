"""What the API answers administrators, as typed values. Times are aware datetimes in UTC.

More than 250 lines, because it is one list.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Ended(msgspec.Struct, frozen=True):
    """Jobs that ended, by their last state."""

    succeeded: int
    failed: int
    cancelled: int


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles in seconds, each within 6.25 % of the true one."""

    p50: float
    p95: float
    p99: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a span of time. `wait_seconds` and `run_seconds` are None when no job counts."""

    accepted: int
    started: int
    ended: Ended
    wait_seconds: Quantiles | None
    run_seconds: Quantiles | None


class Point(Counts, frozen=True, kw_only=True):
    """What happened from `at` on, for one step."""

    at: datetime


class Now(msgspec.Struct, frozen=True):
    """What Redis holds: lanes, jobs in them, jobs that workers hold, jobs that wait for their next attempt, delayed jobs (not among
    the `jobs`), and ended jobs that MongoDB does not have yet."""

    lanes: int
    jobs: int
    in_flight: int
    retrying: int
    delayed: int
    unarchived: int


class Overview(msgspec.Struct, frozen=True):
    """What the deployment did, one point for each step, oldest first, and what it holds now. `now` is None without Redis."""

    since: datetime = msgspec.field(name="from")
    until: datetime = msgspec.field(name="to")
    step_seconds: int
    points: list[Point]
    total: Counts
    now: Now | None


class RingLane(msgspec.Struct, frozen=True):
    """A lane in the ring. `taken` of its slots are in use. It waits for its turn since `since`."""

    user: str
    jobs: int
    taken: int
    slots: int
    since: datetime


class ServedLane(msgspec.Struct, frozen=True):
    """A lane with jobs that workers hold. `last_start_at` is None while none of them is known to run."""

    user: str
    in_flight: int
    last_start_at: datetime | None


class Ring(msgspec.Struct, frozen=True):
    """The first `lanes` of the `length` in the ring, in the order in which they take turns, as it was `at` a moment.

    `served` are the lanes with jobs in flight, the one that started a job last first; `truncated`: some of these are missing.
    """

    at: datetime
    length: int
    lanes: list[RingLane]
    served: list[ServedLane]
    truncated: bool


class RunningJob(msgspec.Struct, frozen=True):
    """A job that runs now. `worker` (host name and process id) is set where it runs in no worker that is alive."""

    job_id: str
    user: str
    type: str
    attempt: int
    started_at: datetime
    worker: str | None = None


class WorkerView(msgspec.Struct, frozen=True):
    """A worker that is alive. `state` is `ready`, `not_ready` (then `problems` says why) or `stopping`."""

    name: str
    host: str
    started_at: datetime
    state: str
    problems: dict[str, str]
    processes: int
    in_flight: int
    jobs: list[RunningJob]


class Workers(msgspec.Struct, frozen=True):
    """The workers, and jobs whose worker has not reported. `truncated`: more jobs are in flight than were read."""

    workers: list[WorkerView]
    jobs_without_worker: list[RunningJob]
    truncated: bool


class Replicas(msgspec.Struct, frozen=True):
    """Replicas of a pool: as the rule wants them, as the load alone needs them, and as they are."""

    wanted: int
    needed: int
    current: int
    ready: int
    pinned: int


class RuleLoad(msgspec.Struct, frozen=True):
    """The load of the lanes when the scaling rule decided."""

    usable: int
    queued: int
    running: int
    leaving: int
    held: int
    service_seconds: float | None
    oldest_wait_seconds: float


class RuleInputs(msgspec.Struct, frozen=True):
    """What the scaling rule decided from. `load` is None if the lanes could not be read."""

    min_replicas: int
    max_replicas: int
    slots_per_replica: int
    drain_target_seconds: float
    stabilisation_window_seconds: float
    paused: bool
    inflow_slots: float | None
    load: RuleLoad | None


class PoolChange(msgspec.Struct, frozen=True):
    """When the decision about a pool changed. `wanted` is None while it could not be scaled."""

    at: datetime
    wanted: int | None
    cause: str
    reason: str


class PoolView(msgspec.Struct, frozen=True):
    """The operator's last decision about a pool. `reason` is a sentence. `replicas` is None while it cannot be scaled.

    `changes`: when replicas or cause changed, the newest 30, oldest first.
    """

    name: str
    target: str
    reported_at: datetime
    replicas: Replicas | None
    rule: RuleInputs | None
    cause: str
    reason: str
    changes: list[PoolChange] = []


class Pools(msgspec.Struct, frozen=True):
    """The pools that an operator scales. `note` says why there are none."""

    pools: list[PoolView]
    note: str | None


class JobReference(msgspec.Struct, frozen=True):
    """Which job it is."""

    user: str
    job_id: str


class FailureGroup(msgspec.Struct, frozen=True):
    """Dead letters of one type that failed alike. `failure` selects them where dead letters are listed, retried or dropped."""

    type: str
    failure: str
    count: int
    first_at: datetime
    last_at: datetime
    example: JobReference


class Failures(msgspec.Struct, frozen=True):
    """Groups of failures, the largest first. `truncated`: there are more."""

    groups: list[FailureGroup]
    truncated: bool


class LaneView(msgspec.Struct, frozen=True):
    """One lane, as an administrator sees it. `slots` is 0 while the lane is paused; `taken` of them are in use.

    `waits_since` is None if no job waits for a slot. `failures` (dead letters) is None unless the lanes are sorted by it.
    """

    user: str
    jobs: int
    taken: int
    slots: int
    waits_since: datetime | None
    failures: int | None


class LanePage(msgspec.Struct, frozen=True):
    """A page of lanes. `next` goes into `after` for the page after it."""

    lanes: list[LaneView]
    next: str | None


class Purged(msgspec.Struct, frozen=True):
    """How many jobs a purge has cancelled."""

    cancelled: int


class UserView(msgspec.Struct, frozen=True):
    """A registered user. `role` is `user` or `admin`, `jobs` how many the lane has now.

    `last_login_at`: when the password was last given.
    """

    username: str
    role: str
    created_at: datetime | None
    last_login_at: datetime | None
    jobs: int


class Invitation(msgspec.Struct, frozen=True):
    """An invitation: it lets one user register, and is valid for `expires_in` seconds."""

    invitation: str
    expires_in: int


class AuditEntry(msgspec.Struct, frozen=True):
    """What an administrator did (`action`), to whom (`user`), from which address, and with which API key if with one."""

    at: datetime
    action: str
    by: str
    key_id: str | None
    address: str
    user: str | None
    details: dict[str, Any]


class AuditPage(msgspec.Struct, frozen=True):
    """A page of the audit log, newest first. `next` goes into `before` for the page after it."""

    entries: list[AuditEntry]
    next: str | None


class UserPage(msgspec.Struct, frozen=True):
    """A page of users, in order of their names. `next` goes into `after` for the page after it."""

    users: list[UserView]
    next: str | None
