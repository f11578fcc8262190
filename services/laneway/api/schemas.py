"""The bodies of requests and answers, for the validation of small bodies and for the documentation.

More than 250 lines, because it is one list. Those of accounts, schedules and administrators have modules of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from laneway.api.delays import MAX_DELAY_DAYS, MAX_DELAY_SECONDS
from laneway.api.unique_keys import PATTERN
from laneway.lanes.model import JobState
from laneway.lanes.run_log import RunOutcome, RunState
from laneway.storage.passwords import LENGTHS

UNIQUE_KEY = "While a job of the user with this key has not ended, no second one is made, whatever its type."


class Body(BaseModel):
    """Base of the bodies that clients send. Unknown fields are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Credentials(Body):
    """A name and a password."""

    username: str = Field(examples=["ann"])
    password: str = Field(examples=["correct horse battery"])


class IssuerCode(Body):
    """What an OpenID Connect issuer sent a browser back with, and what the browser kept for it."""

    code: str = Field(min_length=1, max_length=4096, examples=["SplxlOBeZQQYbYS6WxSbIA"])
    code_verifier: str = Field(
        min_length=43,
        max_length=128,
        pattern=r"^[A-Za-z0-9._~-]+$",
        description="For PKCE, with S256.",
        examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"],
    )
    nonce: str = Field(
        min_length=16,
        max_length=128,
        description="The one that was sent to the issuer; the ID token must have it.",
        examples=["n-0S6_WzA2MjSbIAdBjft"],
    )
    redirect_uri: str = Field(
        max_length=2048,
        pattern=r"^https?://[^?#\s]+/ui/login$",
        description="The one that was sent to the issuer: `/ui/login` below the address of the dashboard.",
        examples=["https://laneway.example.com/ui/login"],
    )


class NewUser(Credentials):
    """A name and a password for a new user."""

    username: str = Field(
        examples=["ann"],
        description="Letters, digits, dots, underscores and hyphens. Upper and lower case are the same name.",
        json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{2,63}$"},
    )
    password: str = Field(
        examples=["correct horse battery"],
        description="Any characters. It must not be the username or easy to guess.",
        json_schema_extra={"minLength": LENGTHS[0], "maxLength": LENGTHS[-1]},
    )
    invitation: str | None = Field(
        None, max_length=4096, description="From an administrator, where registration needs one."
    )


class NewRequest(Body):
    """One request."""

    request: Any = Field(description="The payload: any JSON.", examples=[{"text": "hello"}])
    type: str = Field("echo", description="The handler that processes it.", examples=["wordcount"])
    delay: float = Field(
        0,
        ge=0,
        le=MAX_DELAY_SECONDS,
        description="Seconds from now at which the job enters the lane. The lane is first in, first out by that moment.",
    )
    not_before: datetime = Field(
        default_factory=lambda: datetime.now(UTC),
        description="The moment at which the job enters the lane, instead of `delay`: RFC 3339 with a time zone, at most "
        f"{MAX_DELAY_DAYS} days ahead. A moment in the past delays nothing.",
        examples=["2026-12-24T18:00:00Z"],
    )
    unique_key: str = Field(
        default_factory=str,
        description=UNIQUE_KEY,
        json_schema_extra={"pattern": PATTERN},
        examples=["report-2026-11"],
    )


class NewRequests(Body):
    """Several requests, accepted in this order."""

    requests: list[dict[str, Any]] = Field(
        description='Requests, each `{"request": any JSON, "type": the handler}`; `type` is optional, and so are `delay`, '
        "`not_before` and `unique_key`, as for one request.",
        min_length=1,
        examples=[[{"request": 1}, {"request": {"text": "hello"}, "type": "wordcount", "delay": 60}]],
    )


class Message(BaseModel):
    """What has been done."""

    message: str


class Login(BaseModel):
    """A token."""

    token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds.")


class Issuer(BaseModel):
    """An OpenID Connect issuer that logs users in, by an authorization code with PKCE (S256)."""

    issuer: str
    client_id: str
    scope: str
    authorization_endpoint: str | None = Field(description="null while the issuer is not available.")


class LinkCode(Body):
    """The code of a log-in link."""

    code: str = Field(min_length=16, max_length=64)


class WaysToLogIn(BaseModel):
    """How users log in and who may register."""

    registration: Literal["open", "closed", "invitation"]
    issuer: Issuer | None = Field(description="null if only passwords log in.")
    dev: bool = Field(description="Whether this is `laneway dev`, on the machine of a developer.")


class Enqueued(BaseModel):
    """An accepted request."""

    message: str
    job_id: str
    position: int = Field(
        description="Its place among the lane's waiting jobs, from 1; 0 if it is delayed or has started."
    )
    duplicate: bool = Field(
        description="Whether no job was made, because this one has the same unique key and has not ended."
    )


class EnqueuedBatch(BaseModel):
    """An accepted batch."""

    message: str
    job_ids: list[str]
    position: int = Field(
        description="The place of the first job among the lane's waiting jobs, from 1; 0 if it is delayed or has started."
    )
    duplicates: list[int] = Field(
        description="Which requests, from 0, made no job because another job has their unique key. `job_ids` has that job."
    )


class JobReply(BaseModel):
    """A job. Times are null where they have not been reached."""

    job_id: str
    user: str
    type: str
    request: Any
    state: JobState
    attempts: int
    max_attempts: int
    position: int | None = Field(
        description="Its place among the lane's waiting jobs, from 1; null while it is delayed and once it has started."
    )
    progress: float | None = Field(description="Percent.")
    note: str | None = Field(description="The handler's remark on its progress.")
    result: Any
    error: Any = Field(description="What the last failed attempt reported.")
    reason: str | None = Field(description="Why it was cancelled.")
    unique_key: str | None
    schedule: str | None = Field(
        description="The caller's schedule that enqueued it, at a fire time or by `run`."
    )
    worker: str | None
    not_before: datetime | None = Field(
        description="When a delayed job enters the lane; null once it has. Until then its state is `queued`."
    )
    enqueued_at: datetime = Field(
        description="When it enters the lane: when it was accepted, unless it is delayed."
    )
    started_at: datetime | None
    finished_at: datetime | None


class LogLine(BaseModel):
    """A line that a handler has printed or logged."""

    number: int = Field(description="Counts the lines of a run from 1. Only the newest lines are kept.")
    at: datetime
    level: str = Field(
        description="`info` for what was printed to standard output, `warning` to standard error; else as it was logged.",
        examples=["info"],
    )
    text: str


class RunError(BaseModel):
    """The error of a run that failed or was interrupted while its job went on. The message has at most 1,000 characters."""

    type: str
    message: str


class LoggedRun(BaseModel):
    """One run of the handler, and what it has logged."""

    attempt: int
    state: RunState = Field(
        description="`lost`: its process or worker died, or it was killed at its time limit. Its last lines may be missing."
    )
    started_at: datetime | None
    worker: str | None
    ended_at: datetime | None = Field(
        description="Of a lost run: when the loss was noticed. null while it runs, and for the run that ended the job: the job has it."
    )
    outcome: RunOutcome | None = Field(
        description="How it ended if the job went on: its attempt failed, or it was interrupted and is not charged."
    )
    error: RunError | None = Field(description="Why it ended, if the job went on.")
    lines: list[LogLine]


class JobLog(BaseModel):
    """What a job has logged, oldest run first, and how each run ended after which the job went on.

    The run that ended the job is left out if it has logged nothing: the job says when it started and ended.
    """

    job_id: str
    dropped_runs: int = Field(description="How many older runs had no room.")
    runs: list[LoggedRun]


class TakenSlot(BaseModel):
    """A job that has one of the lane's slots."""

    job_id: str
    state: Literal["claimed", "running", "retrying", "returned"] = Field(
        description="`claimed`: a worker is about to start it. `returned`: a worker gave it back before its first start."
    )
    starts_after: datetime | None = Field(description="For `retrying` and `returned`.")


class TypeLimitFacts(BaseModel):
    """The limits of a type over all users, and how much of them is used."""

    type: str
    running: int = Field(description="Jobs of the type that run, if `max_running` limits them; else 0.")
    max_running: int | None
    max_starts: int | None = Field(description="In any period of `period_seconds`.")
    period_seconds: float | None
    waiting: int = Field(description="Jobs that wait for the type, over all lanes.")
    place: int = Field(description="The job's place among them, from 1.")


class WaitFacts(BaseModel):
    """What a job that has not ended waits for."""

    in_front: int = Field(description="Jobs of the lane that start before it.")
    slots: int
    paused: bool
    taken: list[TakenSlot] = Field(description="The jobs that have the slots.")
    starts_after: datetime | None = Field(
        description="When its next attempt may start, if it has to wait for it."
    )
    ring_place: int | None = Field(
        description="Place of the lane among those that take turns, from 1; null if no job of it may start now."
    )
    ring_lanes: int = Field(description="Lanes that take turns.")
    ring_wait_seconds: float = Field(description="How long the first of them has waited for a worker.")
    in_flight: int = Field(description="Jobs that workers hold, over all lanes.")
    type_known: bool = Field(description="Whether this process knows the type.")
    type_limit: TypeLimitFacts | None = Field(
        description="null unless it waits because of a limit of its type."
    )
    pools_at_maximum: dict[str, int] = Field(
        description="Pools at their maximum, each with its number of pods. Empty where more workers would not help."
    )


class Why(BaseModel):
    """Why a job has not started."""

    job_id: str
    state: JobState
    reason: Literal[
        "ended",
        "running",
        "store-read-only",
        "delayed",
        "paused",
        "retry-later",
        "returned",
        "type-limit",
        "claimed",
        "slots-taken",
        "no-worker",
        "behind",
        "next",
    ]
    sentence: str = Field(examples=["All 5 slots of the lane are taken, and 2 jobs start before it."])
    facts: WaitFacts | None = Field(description="null while it is delayed, and once it has ended.")


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobReply]
    next: str | None = Field(description="Send it as `before` for the next page; null on the last page.")


class Cancelled(BaseModel):
    """What the cancellation did."""

    message: str
    job_id: str
    state: JobState = Field(description="`cancelled`, or `running` if it was asked to stop.")


class TypeReply(BaseModel):
    """A type: what its handler takes and gives, and its limits."""

    name: str
    description: str = Field(description="What the handler's author says about it; may be empty.")
    request: dict[str, Any] = Field(description="JSON Schema of the payload; `{}` where any JSON will do.")
    result: dict[str, Any] = Field(description="JSON Schema of the result; `{}` where it may be any JSON.")
    max_attempts: int
    soft_time_limit_seconds: float | None = Field(
        description="When an attempt is asked to end; null for never."
    )
    time_limit_seconds: float | None = Field(description="When an attempt is ended by force; null for never.")
    max_running: int | None = Field(
        description="How many jobs of the type may run at once, over all users; null for any number."
    )
    rate: str | None = Field(
        description="How many jobs of the type may start in any second (s), minute (m) or hour (h), over all users; null for any number.",
        examples=["10/s"],
    )
    request_max_bytes: int
    result_max_bytes: int


class TypeList(BaseModel):
    """All types, in the order of their names."""

    types: list[TypeReply]


class QueueReply(BaseModel):
    """The caller's lane."""

    queued: int
    running: int
    delayed: int = Field(
        description="Delayed jobs that have not entered the lane. They are not among the queued."
    )
    slots: int
    connected: bool
    paused: bool
    oldest_seconds: float | None = Field(description="Age of the oldest job that has not ended.")


class Health(BaseModel):
    """The process answers."""

    status: str


class Ready(BaseModel):
    """Whether requests should be sent here."""

    status: Literal["ready", "degraded"]
    redis: str
    mongodb: str
    warnings: dict[str, str]


class ProblemError(BaseModel):
    """One mistake in the request."""

    pointer: str
    detail: str


class ProblemReply(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(title="Problem")
    type: str
    title: str
    status: int
    detail: str
    request_id: str = Field(
        "", description="The id of the request, as in the header X-Request-ID and the log."
    )
    errors: list[ProblemError] = Field(
        default_factory=list, description="Where in the request the mistakes are."
    )
