"""What the handlers of a pool process log, by job: kept until the run ends, and sent to Redis while it goes on.

A job that logs nothing costs nothing here: its log is made at its first line. Nothing is locked, because handlers may fork and
signals may interrupt them: `deque.append` and `next` are atomic.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from itertools import count

from msgspec.structs import replace

from laneway.delivery_lanes import RESERVED
from laneway.lanes import run_log
from laneway.lanes.commands import Log, NewLines
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.lanes.run_log import MAX_LINE_CHARACTERS, MAX_LINES, LogLine, RunEnd, RunOutcome
from laneway.worker.pool.jobs import Clock
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.tracebacks import traceback_text

SEND_SECONDS = 0.2
"""Wait between two sendings of new lines. A run that ends sooner sends its log with its end alone."""
SEND_BYTES, SEND_BYTES_OF_ONE = 64_000, 16_000
"""Most that is sent at once, of all jobs and of one. Of what does not fit, the oldest lines are left out of the live log."""
_SUCCEEDED = JobState.SUCCEEDED


class RunLog:
    """The newest lines of one run. It keeps its lease, so that no other lease has the same identity meanwhile."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self.sent = 0
        """Number of the newest line that was sent."""
        self._numbers = count(1)
        self._unfinished: dict[str, str] = {}
        """By level: the beginning of a line that has not ended."""

    def add(self, at_us: int, level: str, text: str) -> None:
        """Add whole lines."""
        for line in text.split("\n"):
            self._add(at_us, level, line)

    def write(self, at_us: int, level: str, text: str) -> None:
        """Add what was written to a stream, in whatever pieces."""
        *ended, rest = (self._unfinished.get(level, "") + text).split("\n")
        for line in ended:
            self._add(at_us, level, line)
        if len(rest) > MAX_LINE_CHARACTERS:  # it is cut anyway, and must not take memory without end
            rest = _shown(rest)[: MAX_LINE_CHARACTERS + 1]
        self._unfinished[level] = rest

    def finish_lines(self, at_us: int) -> None:
        """Add the lines that have not ended."""
        for level, rest in self._unfinished.items():
            if rest:
                self._add(at_us, level, rest)

    def _add(self, at_us: int, level: str, text: str) -> None:
        self.lines.append(run_log.line(next(self._numbers), at_us, level, _shown(text)))


class RunLogs:
    """One per process. `worker`: its name. `runs`: whether a lease's handler runs now. `tracebacks`: whether to keep them."""

    def __init__(
        self,
        worker: str,
        messenger: Messenger,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        runs: Callable[[Lease], bool],
        *,
        tracebacks: bool = True,
    ) -> None:
        self._worker, self._messenger, self._clock, self._loop, self._runs = (
            worker,
            messenger,
            clock,
            loop,
            runs,
        )
        self._tracebacks = tracebacks
        self._open: dict[int, RunLog] = {}
        """By the identity of the lease."""
        self._is_due = False
        self._sending: asyncio.Task[None] | None = None

    def add(self, lease: Lease, level: str, text: str) -> None:
        """Add whole lines to the log of a run. May be called in any thread; nothing is added once the run has ended."""
        if (log := self._of(lease)) is not None:
            log.add(self._now_us(), level, text)
            self._send_soon()

    def write(self, lease: Lease, level: str, text: str) -> None:
        """Do the same with what was written to a stream, in whatever pieces."""
        if (log := self._of(lease)) is not None:
            log.write(self._now_us(), level, text)
            self._send_soon()

    def add_traceback(self, lease: Lease, error: BaseException) -> None:
        """Add the traceback of what the handler raised, if it says more than the error itself.

        Not of our own types: nobody reads the log of a delivery, which may fail hundreds of times while Redis keeps it.
        """
        if not self._tracebacks or lease.type.startswith(RESERVED):
            return
        with suppress(Exception):  # an exception of a handler may fail in any of its methods
            if text := traceback_text(error):
                self.add(lease, "error", text)

    def attach_to(self, outcome: Outcome) -> Outcome:
        """Give the outcome of a run what the run has logged, and how it ended if the job goes on after it.

        Call it while the lease still counts as running.
        """
        log = self._open.pop(id(outcome.lease), None) if self._open else None
        if log is None and outcome.state is _SUCCEEDED:  # most runs
            return outcome
        now_us = self._now_us()
        end = _end(outcome, now_us)
        if log is None and end is None:
            return outcome
        lines: list[LogLine] = []
        if log is not None:
            log.finish_lines(now_us)
            lines = list(log.lines)
        attempt, started_us = outcome.lease.attempt, outcome.started_us
        return replace(outcome, log=run_log.encode_run(attempt, started_us, self._worker, lines, end))

    def _of(self, lease: Lease) -> RunLog | None:
        log = self._open.get(id(lease))
        if log is None and self._runs(lease):
            log = self._open.setdefault(id(lease), RunLog(lease))
        return log

    def _now_us(self) -> int:
        return self._clock(time.monotonic())

    def _send_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            # In a context of its own: what we log ourselves belongs to no job.
            self._loop.call_soon_threadsafe(self._schedule, context=Context())

    def _schedule(self) -> None:
        self._loop.call_later(SEND_SECONDS, self._send)

    def _send(self) -> None:
        if self._sending is not None and not self._sending.done():
            self._schedule()
            return
        self._is_due = False
        if new := self._new_lines():
            self._sending = self._loop.create_task(self._deliver(new))

    async def _deliver(self, new: list[NewLines]) -> None:
        await self._messenger.send([Log(new)])

    def _new_lines(self) -> list[NewLines]:
        logs = list(self._open.values())
        found = []
        for log in logs:
            if not self._runs(log.lease):  # a thread that outlives its run has logged just when that ended
                self._open.pop(id(log.lease), None)
                continue
            lines = list(log.lines)
            new = [line for line in lines if line.number > log.sent]
            if new:
                log.sent = new[-1].number
                encoded = _last(run_log.newest(new), min(SEND_BYTES_OF_ONE, SEND_BYTES // len(logs)))
                found.append(NewLines(log.lease, encoded, len(run_log.newest(lines))))
        return found


def _end(outcome: Outcome, at_us: int) -> RunEnd | None:
    """Return how the run ended if its job goes on, else None. Deliveries get no record: nobody reads their log."""
    if outcome.lease.type.startswith(RESERVED):
        return None
    if outcome.state is JobState.RETRYING:
        return RunEnd(at_us, RunOutcome.FAILED, outcome.body)
    if outcome.state is JobState.QUEUED:
        return RunEnd(at_us, RunOutcome.INTERRUPTED, outcome.body)
    return None


def _last(lines: list[bytes], max_bytes: int) -> list[bytes]:
    """Return as many of the last lines as fit, but at least one."""
    size = 0
    for i in range(len(lines) - 1, -1, -1):
        size += len(lines[i])
        if size > max_bytes:
            return lines[min(i + 1, len(lines) - 1) :]
    return lines


def _shown(line: str) -> str:
    """Return what a terminal would show of a line: a progress bar returns to its beginning again and again."""
    return line.rstrip("\r").rpartition("\r")[2]
