"""When things happened, read from the records while they grow."""

from __future__ import annotations

from bisect import bisect_right, insort
from pathlib import Path

import orjson


class Times:
    """The times of one kind of line in files of one name."""

    def __init__(self, records: Path, files: str, kind: str, field: str) -> None:
        self._records, self._files, self._field = records, files, field
        self._mark = f'"kind":"{kind}"'.encode()
        self._read: dict[Path, int] = {}
        self.times_ns: list[int] = []
        """In order, as of the last update."""

    def update(self) -> None:
        """Read what is new."""
        for path in self._records.glob(self._files):
            known = self._read.get(path, 0)
            with path.open("rb") as file:
                file.seek(known)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._read[path] = known + len(whole)
            for line in whole.splitlines():
                if self._mark in line:
                    insort(self.times_ns, orjson.loads(line)[self._field])

    def after(self, at_ns: int) -> list[int]:
        """Those after a moment, up to now."""
        self.update()
        return self.times_ns[bisect_right(self.times_ns, at_ns) :]


def starts(records: Path) -> Times:
    """When handlers were called."""
    return Times(records, "handler-*.jsonl", "start", "at_ns")


def ends(records: Path) -> Times:
    """When handlers returned or raised."""
    return Times(records, "handler-*.jsonl", "end", "at_ns")


def acceptances(records: Path) -> Times:
    """When clients were told that a job is accepted."""
    return Times(records, "client-*.jsonl", "accepted", "answered_ns")
