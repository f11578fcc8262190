"""The job log: the lines about jobs, millions of them, at 1 to 2 us each."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import orjson

from laneway.telemetry import lines
from laneway.telemetry.job_events import JOB_EVENTS, JobEvent


class JobLog:
    """Writes job events as the same lines that a structlog logger writes, but faster.

    The lines of one call share one `ts`, the time of the call.
    """

    def __init__(self, service: str, level: str, *, worker: str | None = None, fd: int | None = None) -> None:
        """`worker` names the process that serves the jobs; without `fd`, lines go where the log goes."""
        threshold = logging.getLevelNamesMapping()[level]
        fields = {"service": service} | ({"worker": worker} if worker else {})
        self._starts = {
            event: b'","level":"%b",%b,'
            % (logging.getLevelName(number).lower().encode(), lines.encode(fields)[1:-2])
            for event, number in JOB_EVENTS.items()
            if number >= threshold
        }
        self._fd = fd

    def wants(self, event: str) -> bool:
        """Whether the level lets lines of this event through. Ask it to avoid making events in vain."""
        return event in self._starts

    def write(self, events: Iterable[JobEvent]) -> None:
        """Write a batch. Makes lines of `laneway.telemetry.job_events` only."""
        now = b'{"ts":"' + lines.timestamp().encode()
        starts, dumps, batch = self._starts, orjson.dumps, []
        for fields in events:
            start = starts.get(fields["event"])
            if start is None:
                continue
            try:
                line = b"%b%b%b\n" % (now, start, dumps(fields)[1:])
            except TypeError:
                line = b""
            if not line or len(line) > lines.LINE_BYTES:
                line = lines.encode(orjson.loads(now + start[:-1] + b"}") | fields)
            batch.append(line)
        lines.write(batch, self._fd)
