"""The bodies of requests and answers about schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from laneway.api.schemas import UNIQUE_KEY, Body
from laneway.api.unique_keys import PATTERN
from laneway.choices import Missed
from laneway.fire_times import (
    MAX_CRON_CHARACTERS,
    MAX_INTERVAL_SECONDS,
    MAX_MISSED,
    MIN_INTERVAL_SECONDS,
    ON_TIME_SECONDS,
)


class NewSchedule(Body):
    """What a schedule enqueues, and when: `cron` or `every_seconds`, not both."""

    request: Any = Field(description="The payload: any JSON.", examples=[{"text": "hello"}])
    type: str = Field("echo", description="The handler that processes it.")
    unique_key: str | None = Field(
        None,
        pattern=PATTERN,
        description=UNIQUE_KEY
        + " With one, a fire time is skipped while the job of an earlier one has not ended.",
        examples=["nightly-report"],
    )
    cron: str | None = Field(
        None,
        max_length=MAX_CRON_CHARACTERS,
        description="Minute, hour, day of the month, month and weekday, as Debian's cron reads them.",
        examples=["0 9 * * 1-5"],
    )
    time_zone: str = Field(
        "UTC", max_length=64, description="Whose clock `cron` follows.", examples=["Europe/Berlin"]
    )
    every_seconds: int | None = Field(
        None,
        ge=MIN_INTERVAL_SECONDS,
        le=MAX_INTERVAL_SECONDS,
        description="An interval, counted from now on.",
    )
    missed: Missed = Field(
        Missed.ONCE,
        strict=False,
        description=f"What to do about fire times that are missed by more than {ON_TIME_SECONDS} s in an outage or a pause. `skip`: "
        f"nothing. `once`: enqueue one job for all of them. `all`: enqueue a job for each, the latest {MAX_MISSED} at most.",
    )

    @model_validator(mode="after")
    def _one_timing(self) -> Self:
        if (self.cron is None) == (self.every_seconds is None):
            raise ValueError("give either cron or every_seconds")
        return self


class ScheduleReply(BaseModel):
    """A schedule."""

    name: str
    type: str
    request: Any
    unique_key: str | None
    cron: str | None
    time_zone: str | None
    every_seconds: int | None
    missed: Missed
    paused: bool
    next_at: datetime = Field(description="The earliest fire time that has not been fired yet.")
    last_fired_at: datetime | None = Field(description="The latest fire time whose job was enqueued.")
    last_job_id: str | None = Field(description="Its job.")
    last_error: str | None = Field(
        description="Why the fire time after that one was refused. It is tried again every few seconds."
    )
    created_at: datetime


class ScheduleList(BaseModel):
    """The schedules of a user, in the order of their names."""

    schedules: list[ScheduleReply]


class FireTimes(BaseModel):
    """When a schedule fires next, unless it is paused."""

    times: list[datetime]
