"""Which of a user's jobs are asked for, and in which order: the same question to Redis and to MongoDB.

Ids sort by acceptance, so time, id prefix and cursor are one range of ids, which an index answers. State, type, schedule and error
text select within it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from laneway.lanes.model import SEQ_DIGITS, Job, JobState, seq_of

NEVER_US = 2**51 - 1
"""Behind every acceptance (W in the scripts)."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """The default is all jobs, newest first."""

    states: frozenset[JobState] = frozenset()
    """Empty: all."""
    type: str = ""
    schedule: str = ""
    ids: frozenset[str] = frozenset()
    """Empty: all. The caller looks these up by themselves, and searches for nothing."""
    id_prefix: str = ""
    error: str = ""
    """Text within the error, in any case."""
    since_us: int = 0
    """Accepted at this time or later."""
    until_us: int = NEVER_US
    """Accepted before this time."""
    oldest_first: bool = False
    cursor: str = ""
    """Id of the last job on the previous page; '' for the first page."""

    @property
    def bounds(self) -> tuple[str, str]:
        """The range of ids: from the first one on, before the second one."""
        low = max(self.id_prefix, f"{self.since_us:0{SEQ_DIGITS}x}")
        high = min(self.id_prefix + "~", f"{self.until_us:0{SEQ_DIGITS}x}")
        if not self.cursor:
            return low, high
        return (max(low, self.cursor + "0"), high) if self.oldest_first else (low, min(high, self.cursor))

    @property
    def start_us(self) -> int:
        """The acceptance behind which (oldest first) or before which (newest first) the range begins."""
        digits = self.id_prefix[:SEQ_DIGITS]
        cursor = [seq_of(self.cursor)] if self.cursor else []
        if self.oldest_first:
            return max(self.since_us - 1, int(digits.ljust(SEQ_DIGITS, "0"), 16) - 1, *cursor)
        return min(self.until_us, int(digits.ljust(SEQ_DIGITS, "f"), 16) + 1, *cursor)

    @property
    def selects(self) -> bool:
        """Whether jobs within the range may not be asked for."""
        return bool(self.states or self.type or self.schedule or self.error)

    @property
    def ended_states(self) -> list[str]:
        """The states in which MongoDB can have jobs that are asked for."""
        return sorted(state.value for state in self.states or JobState if state.ended)

    def is_past(self, job_id: str) -> bool:
        """Return whether this id, and all that follow it, are behind the range."""
        low, high = self.bounds
        return job_id >= high if self.oldest_first else job_id < low

    def has_in_range(self, job_id: str) -> bool:
        """Return whether this id is in the range."""
        low, high = self.bounds
        return low <= job_id < high

    def matches(self, job: Job) -> bool:
        """Return whether the job is asked for."""
        return (
            self.has_in_range(job.job_id)
            and (not self.ids or job.job_id in self.ids)
            and (not self.states or job.state in self.states)
            and self.type in ("", job.type)
            and self.schedule in ("", job.schedule)
            and self.has_error(job.error)
        )

    def has_error(self, error: bytes | None) -> bool:
        """Return whether the error, JSON text, has the text that is asked for in it."""
        if not self.error:
            return True
        text = json.dumps(self.error, ensure_ascii=False)[1:-1]
        return text.casefold() in (error or b"").decode("utf-8", "replace").casefold()
