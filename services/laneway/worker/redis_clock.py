"""Redis's clock as a process of the worker knows it, so that times of jobs agree whatever the clocks of the pods say."""

from __future__ import annotations

import time

from laneway.lanes.model import us_of


class RedisClock:
    """Turns this process's monotonic times into Redis's. Before the first `set` it follows the pod's own clock."""

    def __init__(self) -> None:
        self.set_unix(*divmod(time.time_ns() // 1000, 1_000_000))

    def set(self, now_us: int, sent_at: float) -> None:
        """Take over Redis's time in a reply that has just come, in microseconds since 2020; `sent_at`: when the call was sent."""
        self._offset_us = now_us - int(time.monotonic() * 1_000_000)
        self._sent_offset_us = now_us - int(sent_at * 1_000_000)

    def set_unix(self, seconds: int, microseconds: int) -> None:
        """Take over the reply of Redis's TIME command."""
        self.set(us_of(seconds, microseconds), time.monotonic())

    def us(self, monotonic: float) -> int:
        """Convert a `time.monotonic()` of this process to microseconds since 2020."""
        return int(monotonic * 1_000_000) + self._offset_us

    def earliest(self, us: int) -> float:
        """Return the earliest `time.monotonic()` at which Redis's clock can have shown `us`; at most now.

        Redis read the time of the last `set` after that call was sent, so its clock cannot have been ahead of that.
        """
        return min(time.monotonic(), (us - self._sent_offset_us) / 1_000_000)
