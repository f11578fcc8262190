"""Choices that both the API and the command line offer, each written once."""

from __future__ import annotations

from enum import StrEnum


class EndState(StrEnum):
    """How a job ends."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LaneOrder(StrEnum):
    """What lanes are sorted by."""

    USER = "user"
    BACKLOG = "backlog"
    WAIT = "wait"
    FAILURES = "failures"


class Missed(StrEnum):
    """What to do about fire times at which nobody could fire, because of an outage or a pause."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class DisabledBy(StrEnum):
    """Who has disabled a webhook. Only an administrator can enable what an administrator has disabled."""

    USER = "user"
    ADMINISTRATOR = "administrator"
    LANEWAY = "laneway"
