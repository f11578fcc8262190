"""The bodies of requests and answers about operations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, model_validator

from laneway.api.listing import no_number
from laneway.api.schemas import Body
from laneway.lanes.model import JobState
from laneway.storage.operations import MAX_EXAMPLES, Action, OperationState

_Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(no_number)]


class NewOperation(Body):
    """What to do, and to which of the caller's jobs."""

    action: Literal["cancel", "retry", "drop"] = Field(
        description="`cancel` what has not ended, or `retry` or `drop` dead letters: failed jobs that nobody has retried or "
        "dropped. A retry enqueues the requests again, each user's in the order of acceptance. A job that has just failed "
        "is a dead letter once it is in the history: within a second as a rule, later while MongoDB is away.",
        examples=["retry"],
    )
    type: str | None = Field(None, max_length=512, description="Only jobs of this type.")
    state: list[Literal["queued", "running", "retrying"]] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="For `cancel`: only jobs in these states; running ones are asked to stop.",
    )
    since: _Moment | None = Field(None, description="For `cancel`: only jobs accepted at this time or later.")
    until: _Moment | None = Field(None, description="For `cancel`: only jobs accepted before this time.")
    failure: str | None = Field(
        None, max_length=512, description="For `retry` and `drop`: only those with this kind of failure."
    )
    as_of: _Moment | None = Field(
        None,
        description="`as_of` of a dry run: jobs that were accepted later, or failed later, are left alone. By default now.",
    )
    dry_run: bool = Field(False, description="Count the jobs, and change nothing.", examples=[True])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.action == "cancel" and self.failure is not None:
            raise ValueError("`failure` is for `retry` and `drop`")
        if self.action != "cancel" and (self.state or self.since or self.until):
            raise ValueError("`state`, `since` and `until` are for `cancel`")
        return self


class NewOperationOfAdmin(NewOperation):
    """What to do, and to which jobs of which user."""

    user: str | None = Field(None, max_length=512, description="Only jobs of this user; null for all users.")


class ReasonCount(BaseModel):
    """Why nothing was done to some jobs, and to how many."""

    reason: str
    count: int


class NotDoneReply(BaseModel):
    """A job to which nothing was done."""

    user: str
    job_id: str
    reason: str


class OperationReply(BaseModel):
    """An operation, kept for 30 days after its end."""

    operation_id: str
    action: Action
    by: str = Field(description="Who started it.")
    user: str | None = Field(description="Whose jobs; null for those of all users.")
    type: str | None
    failure: str | None
    states: list[JobState] | None = Field(description="For `cancel`.")
    state: OperationState
    total: int = Field(description="How many jobs matched when it was started.")
    at_least: bool = Field(description="`total` is a lower bound: there were too many to count.")
    done: int
    not_done: int = Field(description="Jobs that matched, and to which nothing was done.")
    reasons: list[ReasonCount] = Field(description="Why, the most frequent first.")
    examples: list[NotDoneReply] = Field(description=f"The first {MAX_EXAMPLES} of these jobs.")
    waits_for: str | None = Field(description="Why it does not go on at the moment, for example a full lane.")
    created_at: datetime
    finished_at: datetime | None


class StartedOperation(BaseModel):
    """A new operation, or what a dry run has counted."""

    dry_run: bool
    count: int = Field(description="How many jobs match.")
    at_least: bool = Field(description="There may be more: there were too many to count.")
    as_of: datetime = Field(description="Only jobs that were accepted, or had failed, by then.")
    operation: OperationReply | None = Field(description="null in a dry run.")


class OperationPage(BaseModel):
    """Operations, newest first."""

    operations: list[OperationReply]
    next: str | None = Field(description="Send it as `before` for the next page; null on the last page.")
