"""What happens to a user's jobs, live: each API process hears it on the channels of the users that are connected to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A job's new state and its attempts so far, or (state `progress`) how far it is, in percent, with a note."""

    job_id: str
    state: str
    attempts: int = 0
    percent: float | None = None
    note: str = ""


def parse(data: bytes) -> Event:
    """The event in a message that a script published on `Keys.events(user)`."""
    job_id, state, rest = data.decode("utf-8", "replace").split(" ", 2)
    if state != "progress":
        return Event(job_id, state, attempts=int(rest))
    percent, _, note = rest.partition(" ")
    return Event(job_id, state, percent=float(percent), note=note)
