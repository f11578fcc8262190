"""Reads activity for the API: points of any whole number of minutes or hours, with zeros where nothing happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from laneway.lanes.model import EPOCH
from laneway.storage.activity import (
    ACTIVITY,
    COUNTERS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    RUN,
    WAIT,
    hour_key,
    minute_key,
    number_of,
)
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.histogram import quantiles
from laneway.storage.mongo import Document, primary, reported_as


@dataclass(slots=True)
class Activity:
    """The activity of a span of time: counters by name, and histograms that map buckets to counts."""

    counters: Counter[str] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Add a minute or an hour as MongoDB has it."""
        self.counters.update({name: document.get(name, 0) for name in COUNTERS})
        self.wait.update(_histogram(document.get(WAIT)))
        self.run.update(_histogram(document.get(RUN)))

    def merge(self, other: Activity) -> None:
        """Add the activity of another span."""
        self.counters.update(other.counters)
        self.wait.update(other.wait)
        self.run.update(other.run)

    @property
    def wait_seconds(self) -> dict[str, float] | None:
        """Quantiles of the time from acceptance to start. None if no job counts."""
        return quantiles(self.wait)

    @property
    def run_seconds(self) -> dict[str, float] | None:
        """Quantiles of the time from the last start to the end. None if no job counts."""
        return quantiles(self.run)


class ActivityReader:
    """The collection `activity`. Every method raises HistoryUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._activity = primary(database, ACTIVITY)

    async def points(self, start: datetime, end: datetime, step_seconds: int) -> dict[datetime, Activity]:
        """Return an Activity for each step from `start` on and before `end`.

        `start` is a multiple of the step since 2020. A step of whole hours is read from the hours, any other from the minutes.
        """
        seconds, key_of = (
            (HOUR_SECONDS, hour_key) if step_seconds % HOUR_SECONDS == 0 else (MINUTE_SECONDS, minute_key)
        )
        step = timedelta(seconds=step_seconds)
        points = [Activity() for _ in range(-((start - end) // step))]
        first = _number(start, seconds)
        query = {"_id": {"$gte": key_of(first), "$lt": key_of(first + len(points) * step_seconds // seconds)}}
        async with reported_as(HistoryUnavailable):
            async for document in self._activity.find(query):
                points[(number_of(document) - first) * seconds // step_seconds].add(document)
        return {start + i * step: point for i, point in enumerate(points)}


def _number(moment: datetime, seconds: int) -> int:
    return int((moment - EPOCH).total_seconds()) // seconds


def _histogram(counts: dict[str, Any] | None) -> dict[int, int]:
    return {int(bucket): count for bucket, count in (counts or {}).items()}
