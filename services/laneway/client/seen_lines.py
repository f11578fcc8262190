"""Which lines of a job's log are new to a reader who follows it, by its live events and by its log. No input or output happens here."""

from __future__ import annotations

from datetime import UTC, datetime

from laneway.client.models import JobLog, LogLine


class SeenLines:
    """The lines of one job that a reader has seen."""

    def __init__(self) -> None:
        self._runs = 0
        """How many runs the reader has seen to their end."""
        self._number = 0
        """The newest line that it has seen of the run after them."""
        self._until = datetime.min.replace(tzinfo=UTC)
        """The newest line of the former. Events about them may arrive after the log was read."""

    def in_log(self, log: JobLog) -> list[LogLine]:
        """Return the lines of the job's log that are new."""
        found: list[LogLine] = []
        for place, run in enumerate(log.runs, log.dropped_runs):
            if place < self._runs:
                continue
            if place > self._runs:
                self._runs, self._number = place, 0
            found += [line for line in run.lines if line.number > self._number]
            if run.state == "running":
                self._number = run.lines[-1].number
            else:
                self._runs, self._number = place + 1, 0
                self._until = max([self._until, *(line.at for line in run.lines)])
        return found

    def in_event(self, lines: list[LogLine]) -> list[LogLine] | None:
        """Return the lines of an event that are new. None if there are others between them: read the log."""
        new = [line for line in lines if line.number > self._number and line.at > self._until]
        if new and new[0].number > self._number + 1:
            return None
        if new:
            self._number = new[-1].number
        return new
