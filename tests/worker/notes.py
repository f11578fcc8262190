"""What handlers saw: JSON lines in a folder, one file a process, written in one call each, so that a kill tears none."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FOLDER = "WORKER_TEST_NOTES"
"""Environment variable with the folder."""


def note(kind: str, *, at_ns: int | None = None, **fields: Any) -> None:
    """Write a line, of now or of `at_ns`. Opened for each line: a handler that closes all files or forks must not send the next line elsewhere."""
    line = {"kind": kind, "pid": os.getpid(), "at_ns": at_ns or time.monotonic_ns(), **fields}
    path = Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, orjson.dumps(line) + b"\n")
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Run:
    """One call of a handler. No end: it still runs, or its process died."""

    job_id: str
    user: str
    attempt: int
    number: int
    """Of the job's runs, from 1: runs that were lost are no attempts."""
    pid: int
    tag: Any
    start_ns: int
    end_ns: int | None = None
    outcome: str | None = None


class Notes:
    """The notes of one test's users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, gate: str) -> None:
        """Let the handlers go on that wait for this gate."""
        (self.folder / f"{gate}.gate").touch()

    def lines(self, *users: str) -> Iterator[dict[str, Any]]:
        for path in self.folder.glob("*.jsonl"):
            content = path.read_bytes()
            for line in content[: content.rfind(b"\n") + 1].splitlines():
                fields = orjson.loads(line)
                if not users or fields["user"] in users:
                    yield fields

    def runs(self, *users: str) -> list[Run]:
        """In order of their starts."""
        runs: dict[tuple[str, int, int], list[Run]] = defaultdict(list)
        for line in self.lines(*users):  # a process writes its lines in order
            key = (line["job_id"], line.get("number", 0), line["pid"])
            if line["kind"] == "start":
                run = Run(
                    line["job_id"],
                    line["user"],
                    line["attempt"],
                    line["number"],
                    line["pid"],
                    line.get("tag"),
                    line["at_ns"],
                )
                runs[key].append(run)
            elif line["kind"] == "end" and runs[key]:
                runs[key][-1].end_ns, runs[key][-1].outcome = line["at_ns"], line["outcome"]
        return sorted((run for some in runs.values() for run in some), key=lambda run: run.start_ns)

    def count(self, kind: str, *users: str) -> int:
        return sum(line["kind"] == kind for line in self.lines(*users))


def most_at_once(runs: list[Run]) -> int:
    """The largest number of runs in flight at any time; each must have an end."""
    changes = sorted([(r.start_ns, 1) for r in runs] + [(r.end_ns or 0, -1) for r in runs])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
