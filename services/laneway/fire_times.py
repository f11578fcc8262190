"""When a schedule fires: by a cron expression in a time zone, or at an interval. Pure: nothing here reads a clock.

Cron means Debian's cron, as `cronsim` implements it. It settles the nights when clocks change: a time that does not exist fires
at the first moment after the gap, and a time that exists twice fires the first time. An expression whose minute or hour begins
with `*` counts real time instead: it fires in both of the repeated hours, and not in the missing one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from laneway.choices import Missed

MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 10, 366 * 86_400
"""The shortest and the longest interval."""
MAX_CRON_CHARACTERS = 100
ON_TIME_SECONDS = 60
"""A fire time that is this late has been missed. Another janitor takes over within it when one dies."""
MAX_MISSED = 100
"""Missed fire times that `Missed.ALL` makes up for, the latest ones."""
_LOOK_BACK = timedelta(hours=2)


class InvalidTiming(ValueError):
    """A cron expression, a time zone or an interval that cannot be used. `field` says which."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of cron, in a time zone of the IANA database."""

    expression: str
    time_zone: str

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`, in UTC. Raises InvalidTiming, also if the expression never fires."""
        found = moment
        times = _cron(self.expression, moment.astimezone(_zone(self.time_zone)))
        while found <= moment:  # from within a repeated hour cronsim returns a time of the first one
            try:
                found = next(times).astimezone(UTC)
            except (StopIteration, OverflowError):
                raise InvalidTiming("cron", f"{self.expression!r} never fires") from None
        return found


@dataclass(frozen=True, slots=True)
class Every:
    """An interval of whole seconds, counted from `start`, which is no fire time itself."""

    seconds: int
    start: datetime

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`."""
        step = timedelta(seconds=self.seconds)
        return self.start + step * max(1, (moment - self.start) // step + 1)


Timing = Cron | Every


def fire_times(timing: Timing, after: datetime) -> Iterator[datetime]:
    """Yield the fire times after a moment. Raises InvalidTiming."""
    while True:
        after = timing.after(after)
        yield after


def due_times(timing: Timing, missed: Missed, first: datetime, now: datetime) -> list[datetime]:
    """Return the fire times for which a job is due, oldest first. `first`, not after `now`, is the earliest not fired yet.

    The latest one counts as on time for ON_TIME_SECONDS; all others have been missed. Raises InvalidTiming.
    """
    if missed is Missed.ALL:
        return _latest(timing, first, now, MAX_MISSED)
    (latest,) = _latest(timing, first, now, 1)
    if missed is Missed.SKIP and now - latest > timedelta(seconds=ON_TIME_SECONDS):
        return []
    return [latest]


def _latest(timing: Timing, first: datetime, now: datetime, limit: int) -> list[datetime]:
    """Return the last `limit` fire times from `first` to `now`. Looks back in growing steps: an outage may have been long."""
    span = _LOOK_BACK
    while True:
        start = max(first, now - span)
        found = list(takewhile(lambda time: time <= now, fire_times(timing, start)))
        if start == first:
            found.insert(0, first)
        if start == first or len(found) >= limit:
            return found[-limit:]
        span *= 8


def _cron(expression: str, moment: datetime) -> CronSim:
    if len(expression) > MAX_CRON_CHARACTERS or len(expression.split()) != 5:
        raise InvalidTiming(
            "cron", "give five fields, such as '0 9 * * 1-5': minute, hour, day, month, weekday"
        )
    try:
        return CronSim(expression, moment)
    except CronSimError as error:
        raise InvalidTiming("cron", f"{error} in {expression!r}") from None


def _zone(name: str) -> ZoneInfo:
    if name not in _zone_names():
        raise InvalidTiming("time_zone", f"{name!r} is no time zone; one is 'Europe/Berlin'")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    """Return the names in the package tzdata.

    A system's own database has more, such as `localtime` and `right/UTC`. Another pod reads them otherwise or not at all.
    """
    return frozenset((files("tzdata") / "zones").read_text().split())
