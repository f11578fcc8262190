"""What can go wrong with a lane."""

from __future__ import annotations


class LaneError(Exception):
    """Base of all errors of this package."""


class StoreUnavailable(LaneError):
    """Redis is away, refuses writes or answers too late; raised from the client's own error. Whether a change was made is unknown."""


class ScriptFailed(LaneError):
    """Redis carried out a script, and it failed: it has a fault, or a key of ours holds what others put there. Sent again, it
    would fail again. Raised from the client's own error."""


class Refused(LaneError):
    """Base of the reasons for which jobs are not accepted."""

    retry_after_seconds: float = 0


class LaneFull(Refused):
    """The lane holds as many jobs as it may."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("the lane is full")
        self.retry_after_seconds = retry_after_seconds


class TooFast(Refused):
    """The user enqueues faster than the rate that is allowed."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("requests come too fast")
        self.retry_after_seconds = retry_after_seconds


class HistoryBacklogFull(Refused):
    """Too many ended jobs wait for MongoDB: nothing more is accepted until it takes some."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("the history is not being stored")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyMismatch(Refused):
    """The idempotency key was used before, for another request."""


class TokenRevoked(Refused):
    """The caller's token has been revoked."""
