"""What runs log: kept in Redis while they run, for readers and in case their process dies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from laneway.lanes.codec import decode_ended_job
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import JobState, Lease
from laneway.lanes.run_log import JobLines, LoggedRun, RunState, decode, decode_lines


class NewLines(NamedTuple):
    """Lines that a running job has logged, as JSON. `kept`: how many of its newest lines to keep, these included."""

    lease: Lease
    lines: Sequence[bytes]
    kept: int


@dataclass(frozen=True, slots=True)
class Log(Command[list[bool]]):
    """Keep new lines of running jobs and publish them to live connections. Reply for each: False if the lease is another's."""

    script: ClassVar[str] = "log"
    jobs: Sequence[NewLines]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `log.lua`."""
        for lease, lines, kept in self.jobs:
            yield lease.handle
            yield lease.user
            yield lease.attempt
            yield kept
            yield b"\n".join(lines)

    def parse(self, reply: Any) -> list[bool]:
        """Read the reply of `log.lua`."""
        return [kept == 1 for kept in reply]


@dataclass(frozen=True, slots=True)
class InspectLog(Command[JobLines | None]):
    """Read what one of the user's jobs has logged. None if Redis does not have it or it is another user's."""

    script: ClassVar[str] = "inspect_log"
    user: str
    job_id: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_log.lua`."""
        return self.user, self.job_id

    def parse(self, reply: Any) -> JobLines | None:
        """Read the reply of `inspect_log.lua`."""
        if not reply:
            return None
        ended, fields, lines = reply
        if ended:
            return decode(decode_ended_job(self.job_id, None, ended).log)
        log, state, attempts, started_us, worker = fields or [None] * 5
        found = decode(log)
        if lines:
            is_started = state == JobState.RUNNING.encode()
            run = LoggedRun(
                int(attempts or 0) + (not is_started),
                int(started_us) if is_started and started_us else None,
                worker.decode("utf-8", "replace") if is_started and worker else None,
                RunState.RUNNING,
                decode_lines(lines),
            )
            found.runs.append(run)
        return found
