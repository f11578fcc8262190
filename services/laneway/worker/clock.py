"""Redis's clock, as a pool process knows it: so that times of jobs agree whatever the clocks of the pods say."""

from __future__ import annotations

import time

from laneway.lanes.model import EPOCH


class RedisClock:
    def __init__(self) -> None:
        self.set_unix(
            *divmod(time.time_ns() // 1000, 1_000_000)
        )  # the pod's clock, until Redis has said something

    def set(self, now_us: int) -> None:
        """Redis has just said that it is `now_us`, microseconds since 2020."""
        self._offset_us = now_us - int(time.monotonic() * 1_000_000)

    def set_unix(self, seconds: int, microseconds: int) -> None:
        """As `set`, with the answer of Redis's TIME."""
        self.set((seconds - int(EPOCH.timestamp())) * 1_000_000 + microseconds)

    def us(self, monotonic: float) -> int:
        """A `time.monotonic()` of this process in microseconds since 2020."""
        return int(monotonic * 1_000_000) + self._offset_us
