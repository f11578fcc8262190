"""The times of one kind of event, read from the records while they grow."""

from __future__ import annotations

from bisect import bisect_right, insort
from pathlib import Path

import orjson


class EventTimes:
    """The times of one kind of line, in the files that match a pattern."""

    def __init__(self, records: Path, pattern: str, kind: str, field: str) -> None:
        self._records, self._pattern, self._field = records, pattern, field
        self._marker = f'"kind":"{kind}"'.encode()
        self._read_bytes: dict[Path, int] = {}
        self.times_ns: list[int] = []
        """Sorted, as of the last update."""

    def update(self) -> None:
        """Read the lines that were written since the last call."""
        for path in self._records.glob(self._pattern):
            known = self._read_bytes.get(path, 0)
            with path.open("rb") as file:
                file.seek(known)
                content = file.read()
            finished = content[: content.rfind(b"\n") + 1]
            self._read_bytes[path] = known + len(finished)
            for line in finished.splitlines():
                if self._marker in line:
                    insort(self.times_ns, orjson.loads(line)[self._field])

    def after(self, time_ns: int) -> list[int]:
        """Update, and return the times after a moment."""
        self.update()
        return self.times_ns[bisect_right(self.times_ns, time_ns) :]


def handler_starts(records: Path) -> EventTimes:
    """Return the times at which handlers were called."""
    return EventTimes(records, "handler-*.jsonl", "start", "at_ns")


def handler_ends(records: Path) -> EventTimes:
    """Return the times at which handlers returned or raised."""
    return EventTimes(records, "handler-*.jsonl", "end", "at_ns")


def acceptances(records: Path) -> EventTimes:
    """Return the times at which clients were told that a job is accepted."""
    return EventTimes(records, "client-*.jsonl", "Accepted", "answered_ns")
