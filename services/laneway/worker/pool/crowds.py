"""Decides when jobs that found no room in this process come back: as fast as room appears, and no faster.

A type may have a limit on how many of its jobs one process runs at once, as deliveries of webhooks have. Its other jobs return to their
lanes and hold them up, so they should come back soon; but each return costs Redis two scripts, whatever the number of lanes that wait.
"""

from __future__ import annotations

import time

from laneway.handlers import Room
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import LATER_SECONDS

MIN_SECONDS = 0.1
UNKNOWN_SECONDS = 0.2
"""Taken for the duration of an attempt as long as none has ended here."""


class Crowds:
    """One per process."""

    def __init__(self, durations: DurationEstimates) -> None:
        self._durations = durations
        self._served_at: dict[str, float] = {}
        """By type: the monotonic time by which every job that has found no room so far can have started here."""

    def return_seconds(self, type_: str, room: Room, jobs: int) -> float:
        """Return how long so many jobs of a type for which there is no room wait in their lanes: at most LATER_SECONDS.

        They come after those that found no room before them.
        """
        now, seconds = time.monotonic(), self._durations.of(type_)
        if seconds == float("inf"):
            seconds = UNKNOWN_SECONDS
        share = max(seconds, MIN_SECONDS) / room.at_once * jobs
        served_at = max(now, self._served_at.get(type_, now)) + share
        self._served_at[type_] = min(served_at, now + LATER_SECONDS)
        return min(max(served_at - now, MIN_SECONDS), LATER_SECONDS)
