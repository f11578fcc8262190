"""Accepting jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, ClassVar, Protocol, Self

from laneway.lanes import errors
from laneway.lanes.codec import MAX_HEAD_BYTES, encode_spec
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import Accepted, NewJob

_NONCE = re.compile(r"[0-9a-f]{12}")
_unique_key = attrgetter("unique_key")


class LimitSettings(Protocol):
    """The settings that limits depend on; `laneway.settings.Settings` has them."""

    @property
    def lane_length(self) -> int:
        """As in `EnqueueLimits`."""

    @property
    def history_backlog(self) -> int:
        """As `backlog` in `EnqueueLimits`."""

    @property
    def lane_bytes(self) -> int:
        """As in `EnqueueLimits`."""

    @property
    def request_max_bytes(self) -> int:
        """As in `EnqueueLimits`."""

    @property
    def rate_per_second(self) -> float:
        """As in `EnqueueLimits`."""

    @property
    def idempotency_seconds(self) -> float:
        """As in `EnqueueLimits`."""


@dataclass(frozen=True, slots=True)
class EnqueueLimits:
    """How much a lane may hold and how fast it may grow."""

    lane_length: int = 100_000
    backlog: int = 200_000
    """Ended jobs that may wait for MongoDB before nothing more is accepted."""
    lane_bytes: int = 0
    """Bytes of requests that a lane may hold, estimated by a sample of them. 0: no limit."""
    request_max_bytes: int = 262_144
    """The largest request: lanes that hold few are not measured."""
    rate_per_second: float = 0
    """Jobs a second for each user, with a burst of one second. 0: no limit."""
    idempotency_seconds: float = 86_400
    """How long an idempotency key is remembered."""

    @classmethod
    def of(cls, settings: LimitSettings) -> Self:
        """Return the limits that the settings say."""
        return cls(
            lane_length=settings.lane_length,
            backlog=settings.history_backlog,
            lane_bytes=settings.lane_bytes,
            request_max_bytes=settings.request_max_bytes,
            rate_per_second=settings.rate_per_second,
            idempotency_seconds=settings.idempotency_seconds,
        )


@dataclass(frozen=True, slots=True)
class Enqueue(Command[Accepted]):
    """Accept one user's jobs, all or none, in order. Of those whose unique key is taken, return the job that holds it instead.

    Raises a `Refused` if they are not accepted, and ValueError for names or nonces that the layout has no room for.
    """

    script: ClassVar[str] = "enqueue"
    user: str
    jobs: Sequence[NewJob]
    limits: EnqueueLimits = field(default_factory=EnqueueLimits)
    idempotency_key: str = ""
    fingerprint: str = ""
    """A digest of the request, without blanks. The same key with another fingerprint is refused."""
    token_id: str = ""
    """Id of the caller's token or API key. The jobs are refused if it has been revoked."""
    logged_in_ms: int = 0
    """When the token was issued, in Unix milliseconds. The jobs are refused if earlier log-ins were revoked. 0: an API key."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `enqueue.lua`."""
        limits, unique_keys = self.limits, list(map(_unique_key, self.jobs))
        args: list[Arg] = [
            self.user,
            self.idempotency_key,
            self.fingerprint,
            int(limits.idempotency_seconds * 1000),
            limits.lane_length,
            limits.backlog,
            limits.rate_per_second,
            self.token_id,
            limits.lane_bytes,
            limits.lane_bytes // (limits.request_max_bytes + MAX_HEAD_BYTES),
            self.logged_in_ms,
            "\n".join(unique_keys) if any(unique_keys) else b"",
        ]
        for job in self.jobs:
            if not _NONCE.fullmatch(job.nonce):
                raise ValueError(f"a nonce has 12 lower-case hex digits, this one is {job.nonce!r}")
            args += (job.nonce, _delay(job), encode_spec(self.user, job))
        return args

    def parse(self, reply: Any) -> Accepted:
        """Read the reply of `enqueue.lua`."""
        status = reply[0].decode()
        match status:
            case "accepted" | "repeated":
                return _accepted(reply, repeated=status == "repeated")
            case "full":
                raise errors.LaneFull(reply[1] / 1000)
            case "heavy":
                raise errors.LaneFull(
                    reply[1] / 1000, f"a lane may hold {self.limits.lane_bytes:,} bytes of requests"
                )
            case "fast":
                raise errors.TooFast(reply[1] / 1000)
            case "backlog":
                raise errors.HistoryBacklogFull(reply[1] / 1000)
            case "mismatch":
                raise errors.IdempotencyMismatch("the idempotency key was used for another request")
            case "revoked":
                raise errors.TokenRevoked("the token or API key has been revoked")
        raise errors.LaneError(f"enqueue answered with the unknown status {status!r}")


def _accepted(reply: Sequence[Any], *, repeated: bool) -> Accepted:
    texts = [i.decode() for i in reply[2:]]
    duplicates = tuple(i for i, text in enumerate(texts) if text[0] == "=")
    for i in duplicates:
        texts[i] = texts[i][1:]
    return Accepted(tuple(texts), reply[1], repeated, duplicates)


def _delay(job: NewJob) -> Arg:
    """When the job enters its lane, as `enqueue.lua` reads it."""
    if job.delay_seconds and job.not_before_us:
        raise ValueError("a job has a delay or a moment, not both")
    if job.delay_seconds:
        return f"+{round(job.delay_seconds * 1_000_000)}"
    return job.not_before_us or b""
