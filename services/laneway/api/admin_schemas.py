"""The bodies of requests and answers of `/api/admin`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from laneway.api.schemas import Body, JobReply
from laneway.storage.users import Role


class NewLimit(Body):
    """A lane's slots."""

    slots: int | None = Field(
        ge=1,
        le=100,
        description="How many of the lane's jobs may be in flight at once; null for the default.",
        examples=[2],
    )


class NewInvitation(Body):
    """How long an invitation is valid."""

    seconds: int = Field(
        7 * 86_400, ge=1, le=90 * 86_400, description="A week, if it is left out.", examples=[86_400]
    )


class NewRole(Body):
    """A user's role."""

    role: Literal["user", "admin"] = Field(examples=["admin"])


class Invitation(BaseModel):
    """An invitation for one user."""

    invitation: str
    expires_in: int = Field(description="Seconds.")


class DeadLetterPage(BaseModel):
    """Failed jobs."""

    jobs: list[JobReply]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last page.")


class LaneReply(BaseModel):
    """A user's lane."""

    user: str
    jobs: int
    taken: int = Field(description="How many slots are taken.")
    slots: int = Field(description="0 while the lane is paused.")
    waits_since: datetime | None = Field(
        description="When the oldest job was accepted that waits for a slot; null if none waits."
    )
    failures: int | None = Field(
        description="Dead letters of the user; null unless the lanes are sorted by `failures`."
    )


class LanePage(BaseModel):
    """Lanes."""

    lanes: list[LaneReply]
    next: str | None
    truncated: bool = Field(
        description="There are 10,000 lanes or more, and only the first 10,000 were compared. Never for the order `user`."
    )


class Purged(BaseModel):
    """What the purge did."""

    message: str
    cancelled: int


class UserReply(BaseModel):
    """A user, without the password."""

    username: str
    role: Role
    created_at: datetime | None
    last_login_at: datetime | None = Field(
        description="When the password was last given; null if never. API keys have a time of their own."
    )
    jobs: int = Field(description="Jobs in the user's lane now.")


class UserPage(BaseModel):
    """Users."""

    users: list[UserReply]
    next: str | None


class AuditEntry(BaseModel):
    """What an administrator did."""

    at: datetime
    action: str = Field(examples=["lane_paused"])
    by: str = Field(description="The administrator.")
    key_id: str | None = Field(description="The API key with which it was done.")
    address: str = Field(
        description="Where it came from: an IPv4 address, or the /64 network of an IPv6 address."
    )
    user: str | None = Field(description="Whom it concerns.")
    details: dict[str, Any]


class AuditPage(BaseModel):
    """The audit log, newest first."""

    entries: list[AuditEntry]
    next: str | None = Field(description="Send it as `before` for the next page; null on the last page.")
