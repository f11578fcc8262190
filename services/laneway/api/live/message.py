"""What is sent on live connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from laneway.api import views
from laneway.lanes.events import LOG, Event, position


@dataclass(frozen=True, slots=True)
class Message:
    """One message, the same for all connections of a user. `entry` is its place in the user's backlog, '' if it has none."""

    kind: str
    text: bytes
    entry: str = ""

    @property
    def position(self) -> tuple[int, int]:
        """What messages with an entry are ordered by."""
        return position(self.entry)


def message(kind: str, *, entry: str = "", **fields: Any) -> Message:
    """Return a message with these fields. Clients may send `id` back to receive what came after it."""
    place = {"id": entry} if entry else {}
    return Message(kind, orjson.dumps({"event": kind, **place, **fields}), entry)


def job_message(event: Event) -> Message:
    """Return the message about a job event."""
    if event.state == LOG:
        lines = views.log_lines(event.lines)
        return message("log", job_id=event.job_id, attempt=event.attempts, lines=lines)
    if event.percent is not None:
        fields: dict[str, Any] = {"percent": event.percent, "note": event.note}
        return message("progress", entry=event.entry, job_id=event.job_id, **fields)
    return message(
        "state", entry=event.entry, job_id=event.job_id, state=event.state, attempts=event.attempts
    )


MISSED = message("missed")
"""Reports that the client lost events and has to read the state of its jobs again."""
