"""The errors of this package. `LaneError` is the base of all."""

from __future__ import annotations


class LaneError(Exception):
    """Base of all errors of the lanes."""


class StoreUnavailable(LaneError):
    """Redis is away, refuses commands or answers too late.

    It is unknown whether a change was made. Raised from the client's own error. `reason` says why in one short sentence.
    """

    def __init__(self, text: str, reason: str = "Redis does not answer") -> None:
        super().__init__(text)
        self.reason = reason


class ScriptFailed(LaneError):
    """Redis ran a script and it failed: the script has a fault, or a key of ours holds a value of another kind.

    Sent again, it would fail again. Raised from the client's own error.
    """


class Refused(LaneError):
    """Base of the reasons why jobs are not accepted."""

    retry_after_seconds: float = 0
    """When it is worth trying again; 0 if that would change nothing."""


class LaneFull(Refused):
    """The lane holds as many jobs, or bytes, as it may; the text says which."""

    def __init__(self, retry_after_seconds: float, text: str = "the lane is full") -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class TooFast(Refused):
    """The user enqueues faster than the allowed rate."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("requests come too fast")
        self.retry_after_seconds = retry_after_seconds


class HistoryBacklogFull(Refused):
    """Too many ended jobs wait for MongoDB. Nothing more is accepted until it has stored some."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("the history is not being stored")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyMismatch(Refused):
    """The idempotency key was used before, for another request."""


class TokenRevoked(Refused):
    """The caller's token has been revoked."""
