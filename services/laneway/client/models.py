"""What the API answers, as typed values. Times are aware datetimes in UTC; integers of any size come out as they went in.

More than 250 lines, because it is one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

import msgspec

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""States that nothing changes any more."""


class Login(msgspec.Struct, frozen=True):
    """A token for the `Authorization: Bearer` header; valid for `expires_in` seconds."""

    token: str
    token_type: str
    expires_in: int


class Account(msgspec.Struct, frozen=True):
    """The caller. `scopes` is what its API key may do; None when it has logged in, and may do all that the user may."""

    username: str
    role: str
    created_at: datetime | None
    scopes: list[str] | None
    issuer: str | None = None
    """The OpenID Connect issuer that logs the caller in; None for a user with a password."""


class Issuer(msgspec.Struct, frozen=True):
    """An OpenID Connect issuer. `authorization_endpoint` is None while it is not available."""

    issuer: str
    client_id: str
    scope: str
    authorization_endpoint: str | None


class WaysToLogIn(msgspec.Struct, frozen=True):
    """Who may register (`open`, `closed`, `invitation`), the issuer at which users log in, if there is one, and whether this is
    `laneway dev`."""

    registration: str
    issuer: Issuer | None
    dev: bool


class KeyView(msgspec.Struct, frozen=True):
    """An API key without its secret. `expires_at` is None for one that never expires."""

    key_id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewKey(KeyView, frozen=True):
    """A new API key. `key` is its secret, which cannot be read again."""

    key: str


class Keys(msgspec.Struct, frozen=True):
    """A user's API keys, oldest first."""

    keys: list[KeyView]


class Request(NamedTuple):
    """A request for `enqueue_many`. A tuple of type and payload is one, too.

    Its job enters the lane `delay` seconds after its acceptance, or at `not_before` (an aware datetime). Give one of the two.
    While a job with the same `unique_key` has not ended, it makes no job.
    """

    type: str
    request: Any = None
    delay: float | None = None
    not_before: datetime | None = None
    unique_key: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """One accepted job. `position` is its place among the waiting jobs of the lane, from 1; 0 if it is delayed or has
    started.

    `duplicate`: no job was made, because this one has the same unique key and has not ended.
    """

    job_id: str
    position: int
    duplicate: bool = False


class AcceptedBatch(msgspec.Struct, frozen=True):
    """The accepted jobs of a batch, in order. `position` is that of the first.

    `duplicates`: which requests, from 0, made no job because another job has their unique key. `job_ids` has that job.
    """

    job_ids: list[str]
    position: int
    duplicates: list[int] = []


class JobView(msgspec.Struct, frozen=True):
    """A job as it was when the API looked. `error` is that of the last failed attempt; `progress` is in percent.

    `enqueued_at` is when it enters its lane. For a delayed job, `not_before` is the same until then, and None afterwards.
    """

    job_id: str
    user: str
    type: str
    request: Any
    state: str
    attempts: int
    max_attempts: int
    position: int | None
    progress: float | None
    note: str | None
    result: Any
    error: Any
    reason: str | None
    worker: str | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    not_before: datetime | None = None
    unique_key: str | None = None
    schedule: str | None = None
    """The name of the schedule that enqueued it."""

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.state in ENDED


class LogLine(msgspec.Struct, frozen=True):
    """A line that a handler has printed or logged. `number` counts the lines of a run from 1, also those that are not kept."""

    number: int
    at: datetime
    level: str
    text: str


class LoggedRun(msgspec.Struct, frozen=True):
    """The newest lines of one run. `state` is `running`, `ended`, or `lost`: then its last lines may be missing.

    `outcome` is `failed` or `interrupted` where the job went on after the run, and `error` says why. A run that ended the job has
    neither, nor `ended_at`: the job has them. `ended_at` of a lost run is when the loss was noticed.
    """

    attempt: int
    state: str
    started_at: datetime | None
    worker: str | None
    lines: list[LogLine]
    ended_at: datetime | None = None
    outcome: str | None = None
    error: dict[str, str] | None = None


class JobLog(msgspec.Struct, frozen=True):
    """What a job has logged, oldest run first. `dropped_runs`: how many older runs had no room."""

    job_id: str
    dropped_runs: int
    runs: list[LoggedRun]


class TakenSlot(msgspec.Struct, frozen=True):
    """A job that has one of the lane's slots. `state` is `claimed`, `running`, `retrying` or `returned`."""

    job_id: str
    state: str
    starts_after: datetime | None


class TypeLimitFacts(msgspec.Struct, frozen=True):
    """The limits of a type over all users. Of the `waiting` jobs, this one has the place `place`. Limits that are None do not exist."""

    type: str
    running: int
    max_running: int | None
    max_starts: int | None
    period_seconds: float | None
    waiting: int
    place: int


class WaitFacts(msgspec.Struct, frozen=True):
    """What a job that has not ended waits for. `type_limit`: None unless it waits because of a limit of its type.

    `ring_place` is the place of the lane among the `ring_lanes` that take turns, None if no job of it may start now.
    """

    in_front: int
    slots: int
    paused: bool
    taken: list[TakenSlot]
    starts_after: datetime | None
    ring_place: int | None
    ring_lanes: int
    ring_wait_seconds: float
    in_flight: int
    type_known: bool
    type_limit: TypeLimitFacts | None = None
    pools_at_maximum: dict[str, int] = {}


class Why(msgspec.Struct, frozen=True):
    """Why a job has not started: `sentence` for people, `reason` and `facts` for programs."""

    job_id: str
    state: str
    reason: str
    sentence: str
    facts: WaitFacts | None


class JobFilters(TypedDict, total=False):
    """Which jobs a list has: `state` one or several, `type`, `schedule`, `id` (how it begins), `job_id` (one, or up to 100), `error` (a text
    in it, in any case).

    `since` and `until` (aware datetimes) limit the time of acceptance. The newest come first, unless `oldest_first`.
    """

    state: str | Sequence[str] | None
    type: str
    schedule: str
    id: str
    job_id: str | Sequence[str]
    error: str
    since: datetime
    until: datetime
    oldest_first: bool


class JobPage(msgspec.Struct, frozen=True):
    """A page of jobs. `next` is the `cursor` of the page after it; None at the end."""

    jobs: list[JobView]
    next: str | None


class Cancellation(msgspec.Struct, frozen=True):
    """`state` is `cancelled`, or `running` when the job was asked to stop."""

    job_id: str
    state: str


class TypeView(msgspec.Struct, frozen=True):
    """A type. `request` and `result` are JSON Schemas, empty where any JSON will do. Limits that are None do not exist."""

    name: str
    description: str
    request: dict[str, Any]
    result: dict[str, Any]
    max_attempts: int
    soft_time_limit_seconds: float | None
    time_limit_seconds: float | None
    request_max_bytes: int
    result_max_bytes: int
    max_running: int | None = None
    rate: str | None = None


class TypeList(msgspec.Struct, frozen=True):
    """All types, in the order of their names."""

    types: list[TypeView]


class QueueView(msgspec.Struct, frozen=True):
    """The caller's lane. `oldest_seconds` is the age of the oldest job that has not ended; None if there is none.

    `delayed` jobs have not entered the lane; they are not among the `queued`.
    """

    queued: int
    running: int
    slots: int
    connected: bool
    paused: bool
    oldest_seconds: float | None
    delayed: int = 0


class ScheduleView(msgspec.Struct, frozen=True):
    """A schedule. It has either `cron` and its `time_zone`, or `every_seconds`.

    `next_at` is the earliest fire time that has not been fired yet, `last_fired_at` the latest one whose job (`last_job_id`) was
    enqueued. `last_error` says why the one after that was refused; it is tried again.
    """

    name: str
    type: str
    request: Any
    cron: str | None
    time_zone: str | None
    every_seconds: int | None
    missed: str
    paused: bool
    next_at: datetime
    last_fired_at: datetime | None
    last_job_id: str | None
    last_error: str | None
    created_at: datetime
    unique_key: str | None = None


class ScheduleList(msgspec.Struct, frozen=True):
    """A user's schedules, in the order of their names."""

    schedules: list[ScheduleView]


class FireTimes(msgspec.Struct, frozen=True):
    """When a schedule fires next."""

    times: list[datetime]


class LastDelivery(msgspec.Struct, frozen=True):
    """The delivery of a webhook that ended last. `detail` says what the receiver answered, or why nothing was delivered."""

    at: datetime
    message_id: str
    delivered: bool
    attempts: int
    detail: str


class WebhookView(msgspec.Struct, frozen=True):
    """A webhook. It gets no deliveries while it has a `disabled_reason`. `disabled_by`: "user", "administrator" or "laneway".

    `waiting` counts the deliveries that have not ended. `last_error` is what the latest attempt of the oldest of them met.
    """

    webhook_id: str
    url: str
    states: list[str]
    types: list[str]
    created_at: datetime
    rotated_at: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    disabled_by: str | None
    waiting: int
    last_error: str | None
    last: LastDelivery | None


class NewWebhook(WebhookView, frozen=True, kw_only=True):
    """A webhook with its secret, which cannot be read again."""

    secret: str


class WebhookList(msgspec.Struct, frozen=True):
    """A user's webhooks, oldest first."""

    webhooks: list[WebhookView]


class TestDelivery(msgspec.Struct, frozen=True):
    """A test delivery. Its header `webhook-id` will be `message_id`."""

    message_id: str


class Event(msgspec.Struct, frozen=True):
    """Something that happened to one of the caller's jobs.

    `event` is `state` (then `state` and `attempts` are set), `progress` (then `percent` and `note` are), `log` (then `attempt` and
    `lines` are; not every line of a job is sent), `connected` (the first one of a connection; for presence with `on_disconnect`),
    or `missed` (some events could not be delivered: ask for the jobs you wait for).
    """

    event: str
    job_id: str | None = None
    state: str | None = None
    attempts: int | None = None
    percent: float | None = None
    note: str | None = None
    attempt: int | None = None
    lines: list[LogLine] | None = None
    on_disconnect: OnDisconnect | None = None


class OnDisconnect(msgspec.Struct, frozen=True):
    """What happens to the lane when no connection has been open for `grace_seconds`.

    `policy` is `purge`: what has not started is cancelled; or `drain`: everything is processed.
    """

    policy: str
    grace_seconds: float


class OperationFilters(TypedDict, total=False):
    """Which jobs an operation is about. `state`, `since` and `until` are for cancelling, `failure` is for dead letters."""

    type: str | None
    state: Sequence[str] | None
    since: datetime | None
    until: datetime | None
    failure: str | None
    as_of: datetime | None
    """`as_of` of a `Count`: jobs that were accepted, or failed, later are left alone."""


class AdminOperationFilters(OperationFilters, total=False):
    """As `OperationFilters`; without a `user` the jobs of all users."""

    user: str | None


class ReasonCount(msgspec.Struct, frozen=True):
    """Why nothing was done to some jobs, and to how many."""

    reason: str
    count: int


class NotDone(msgspec.Struct, frozen=True):
    """A job to which nothing was done, and why."""

    user: str
    job_id: str
    reason: str


class OperationView(msgspec.Struct, frozen=True):
    """An operation: `action` on all jobs that match, `running`, `finished` or `cancelled`.

    `total` jobs matched at its start (or more, if `at_least`). `done` and `not_done` count what has been dealt with; `reasons` and
    `examples` say what nothing was done to, and why. `waits_for`: why it does not go on at the moment.
    """

    operation_id: str
    action: str
    by: str
    user: str | None
    type: str | None
    failure: str | None
    states: list[str] | None
    state: str
    total: int
    at_least: bool
    done: int
    not_done: int
    reasons: list[ReasonCount]
    examples: list[NotDone]
    waits_for: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether it does nothing more."""
        return self.state != "running"


class StartedOperation(msgspec.Struct, frozen=True):
    """A new operation, or what a dry run has counted."""

    count: int
    at_least: bool
    as_of: datetime
    operation: OperationView | None

    @property
    def operation_id(self) -> str:
        """The id of the new operation. Raises ValueError if the API has only counted."""
        if self.operation is None:
            raise ValueError(
                "the API has only counted, and started no operation: to count, use `count_matching`"
            )
        return self.operation.operation_id


class Count(msgspec.Struct, frozen=True):
    """How many jobs match (or more, if `at_least`), of those that were accepted, or had failed, by `as_of`."""

    count: int
    at_least: bool
    as_of: datetime


class OperationPage(msgspec.Struct, frozen=True):
    """A page of operations, newest first. `next` goes into `before` for the page after it."""

    operations: list[OperationView]
    next: str | None
