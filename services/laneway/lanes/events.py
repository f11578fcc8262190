"""Live job events. Each API process receives them on the channels of the users who are connected to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A job's new state with its attempts so far; or, with state `progress`, its progress in percent with a note."""

    job_id: str
    state: str
    attempts: int = 0
    percent: float | None = None
    note: str = ""


def parse(data: bytes) -> Event:
    """Return the event in a message that a script published on `Keys.events(user)`."""
    job_id, state, rest = data.decode("utf-8", "replace").split(" ", 2)
    if state != "progress":
        return Event(job_id, state, attempts=int(rest))
    percent, _, note = rest.partition(" ")
    return Event(job_id, state, percent=float(percent), note=note)
