"""Duration estimates: how long an attempt of each type takes, from the attempts of this process."""

from __future__ import annotations

_WEIGHT = 0.2
"""Share of the newest attempt in the moving average."""


class DurationEstimates:
    """An exponential moving average of seconds for each type."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, type_: str) -> float:
        """Return the estimate in seconds; infinite for a type that this process has not run yet."""
        return self._seconds.get(type_, float("inf"))

    def learn(self, type_: str, seconds: float) -> None:
        """Take in the duration of an attempt."""
        known = self._seconds.get(type_)
        self._seconds[type_] = seconds if known is None else known + _WEIGHT * (seconds - known)
