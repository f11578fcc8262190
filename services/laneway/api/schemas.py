"""What goes over the wire, for validation of small bodies and for the documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from laneway.lanes.model import JobState
from laneway.storage.users import Role


class Body(BaseModel):
    """A body that is sent: no field is taken that is not known, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Credentials(Body):
    username: str = Field(examples=["ann"])
    password: str = Field(examples=["correct horse battery"])


class NewRequest(Body):
    request: Any = Field(description="The payload: any JSON.", examples=[{"text": "hello"}])
    type: str = Field("echo", description="The handler that does the work.")


class NewRequests(Body):
    requests: list[dict[str, Any]] = Field(
        description='Requests, each `{"request": any JSON, "type": the handler}`; `type` may be left out.',
        min_length=1,
        examples=[[{"request": 1}, {"request": {"text": "hello"}, "type": "wordcount"}]],
    )


class NewLimit(Body):
    slots: int | None = Field(
        ge=1, le=100, description="Jobs of the lane in flight at once; null for the default."
    )


class NewRole(Body):
    role: Literal["user", "admin"]


class Message(BaseModel):
    message: str


class Login(BaseModel):
    token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds.")


class Enqueued(BaseModel):
    message: str
    job_id: str
    position: int = Field(description="Among the lane's jobs that wait, from 1; 0 if it has started.")


class EnqueuedBatch(BaseModel):
    message: str
    job_ids: list[str]
    position: int = Field(description="Of the first one.")


class JobReply(BaseModel):
    job_id: str
    user: str
    type: str
    request: Any
    state: JobState
    attempts: int
    max_attempts: int
    position: int | None = Field(description="Among the lane's jobs that wait, from 1.")
    progress: float | None = Field(description="Percent.")
    note: str | None = Field(description="Of the handler, on its progress.")
    result: Any
    error: Any = Field(description="Of the last attempt that failed.")
    reason: str | None = Field(description="Why it was cancelled.")
    worker: str | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(BaseModel):
    jobs: list[JobReply]
    next: str | None = Field(description="For the next page, as `before`; null at the end.")


class DeadLetterPage(BaseModel):
    jobs: list[JobReply]
    next: str | None = Field(description="For the next page, as `after`; null at the end.")


class Cancelled(BaseModel):
    message: str
    job_id: str
    state: JobState = Field(description="`cancelled`, or `running` when it was asked to stop.")


class QueueReply(BaseModel):
    queued: int
    running: int
    slots: int
    connected: bool
    paused: bool
    oldest_seconds: float | None = Field(
        description="Since the acceptance of the oldest job that has not ended."
    )


class LaneReply(BaseModel):
    user: str
    jobs: int
    taken: int = Field(description="Slots taken.")
    slots: int = Field(description="0 while the lane is paused.")


class LanePage(BaseModel):
    lanes: list[LaneReply]
    next: str | None


class Purged(BaseModel):
    message: str
    cancelled: int


class UserReply(BaseModel):
    username: str
    role: Role
    created_at: datetime | None


class UserPage(BaseModel):
    users: list[UserReply]
    next: str | None


class Health(BaseModel):
    status: str


class Ready(BaseModel):
    status: Literal["ready", "degraded"]
    redis: str
    mongodb: str


class ProblemError(BaseModel):
    pointer: str
    detail: str


class ProblemReply(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(title="Problem")
    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = Field(default_factory=list, description="Where in the request it is.")
