"""Whether the operator is alive: each of its loops says when it goes round, and when it means to do so again.

A loop that goes round and fails, because Redis or the API server is away, is alive: a restart would mend nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Beat = Callable[[float], None]
"""What a loop calls when it has gone round, with the seconds after which it means to do so again."""
MARGIN_SECONDS = 90.0
"""How late a loop may be: longer than the limit of a pass, and several times that of any request."""


class Stale(Exception):
    """A loop has not gone round for too long. The message says which, and for how long."""


class Health:
    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, float]] = {}

    def beat(self, loop: str, next_seconds: float) -> None:
        """`loop` has gone round now and means to do so again in `next_seconds`."""
        now = time.monotonic()
        self._beats[loop] = (now, now + next_seconds + MARGIN_SECONDS)

    def forget(self, loop: str) -> None:
        """It has ended as it should."""
        self._beats.pop(loop, None)

    def ages(self) -> dict[str, float]:
        """Seconds since each loop went round. Raises Stale."""
        now = time.monotonic()
        if late := [f"{loop} ({now - at:.0f} s)" for loop, (at, due) in self._beats.items() if now > due]:
            raise Stale("has not gone round: " + ", ".join(late))
        return {loop: round(now - at, 1) for loop, (at, _) in self._beats.items()}
