"""Limits of a type over all workers and users: how many of its jobs may run at once, and how many may start in a period."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from laneway.handlers.errors import HandlerError

MAX_RUNNING = 1000
"""Each permit is looked at when a job asks for one, so there must not be too many."""
MAX_STARTS = 10_000
"""The time of each start is kept for the period."""
_RATE = re.compile(r"([1-9]\d{0,6})/([smh])")
_PERIODS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class TypeLimits:
    """None: no such limit."""

    max_running: int | None = None
    rate: str | None = None
    """As the handler declares it: `10/s`, `100/m` or `1000/h`."""

    @property
    def max_starts(self) -> int | None:
        """How many jobs may start in any period of `period_seconds`."""
        return int(self.rate.partition("/")[0]) if self.rate else None

    @property
    def period_seconds(self) -> int:
        """The period of the rate; 0 without one."""
        return _PERIODS[self.rate.partition("/")[2]] if self.rate else 0


def limits_of(max_running: Any, rate: Any, what: str) -> TypeLimits | None:
    """Check the options `max_running` and `rate` of a handler; `what` names it. Raises HandlerError."""
    if max_running is not None and not _is_whole(max_running, MAX_RUNNING):
        raise HandlerError(
            f"{what}: max_running={max_running!r}; give a whole number from 1 to {MAX_RUNNING}"
        )
    if rate is not None:
        found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        if found is None or not _is_whole(int(found[1]), MAX_STARTS):
            raise HandlerError(
                f"{what}: rate={rate!r}; give a number of starts from 1 to {MAX_STARTS} in a second, minute or hour, "
                "as in '10/s', '100/m' or '1000/h'"
            )
    return TypeLimits(max_running, rate) if max_running or rate else None


def _is_whole(value: Any, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= maximum
