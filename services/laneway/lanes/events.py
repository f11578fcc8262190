"""Live job events. Each API process receives them on the channels of the users who have a live connection to it.

The newest of a user are kept in a backlog for clients that come back. An event's `entry` is its place there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from laneway.lanes.run_log import LogLine

LOG = "log"
NO_ENTRY = "0-0"
"""An entry before all others, which no backlog has."""
_ENTRY = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """A job's new state with its attempts so far; or, with state `progress`, its progress in percent with a note; or, with state
    `log`, lines that its present attempt has logged."""

    job_id: str
    state: str
    attempts: int = 0
    percent: float | None = None
    note: str = ""
    entry: str = ""
    lines: tuple[LogLine, ...] = ()


def parse(data: bytes) -> Event:
    """Return the event in a message that a script published on `Keys.events(user)`."""
    text = data.decode("utf-8", "replace")
    first, _, rest = text.partition(" ")
    entry, text = (first, rest) if is_entry(first) else ("", text)
    job_id, state, rest = text.split(" ", 2)
    if state == LOG:
        attempt, _, lines = rest.partition(" ")
        return Event(job_id, state, int(attempt), lines=tuple(LogLine(*line) for line in orjson.loads(lines)))
    if state != "progress":
        return Event(job_id, state, attempts=int(rest), entry=entry)
    percent, _, note = rest.partition(" ")
    return Event(job_id, state, percent=float(percent), note=note, entry=entry)


def is_entry(text: str) -> bool:
    """Return whether this can be the name of an entry."""
    return _ENTRY.fullmatch(text) is not None


def position(entry: str) -> tuple[int, int]:
    """Return what entries are ordered by."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
