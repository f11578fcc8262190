"""Liveness: each loop of the operator reports its rounds, and when the next one is due.

A loop whose round failed, because Redis or the API server is away, is alive: a restart would mend nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Beat = Callable[[float], None]
"""Called by a loop after each round, with the seconds until the next one."""
MARGIN_SECONDS = 90.0
"""How late a loop may be: longer than the limit of a reconcile pass, and several times that of any request."""


class LoopStalled(Exception):
    """A loop is too late. The message names it and its age."""


class Heartbeats:
    """The last heartbeat of each loop."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, float]] = {}

    def beat(self, loop: str, next_seconds: float) -> None:
        """Record a round of `loop`; the next one is due in `next_seconds`."""
        now = time.monotonic()
        self._beats[loop] = (now, now + next_seconds + MARGIN_SECONDS)

    def forget(self, loop: str) -> None:
        """Stop expecting a loop that has ended as it should."""
        self._beats.pop(loop, None)

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last heartbeat. Raises LoopStalled."""
        now = time.monotonic()
        if late := [f"{loop} ({now - at:.0f} s)" for loop, (at, due) in self._beats.items() if now > due]:
            raise LoopStalled("stalled: " + ", ".join(late))
        return {loop: round(now - at, 1) for loop, (at, _) in self._beats.items()}
