"""The activity of a deployment: how many jobs were accepted, started and ended, how long they waited and ran, by minute and by
hour.

A document of `activity` is one minute or one hour, with a counter for each kind of event and a histogram (see `histogram`) of
waits and of run times. Writers only add to counters, so any number of them may write at once. The API counts what it accepts;
the archiver counts starts and ends when it stores a job for the first time, so a batch that is archived again after a crash
counts once. Counts are kept in memory for FLUSH_SECONDS: a process that is killed loses that much. Counts whose write MongoDB
did not confirm are written again, and may count twice.

Minutes are kept for MINUTES_KEPT_HOURS and hours for HOURS_KEPT_DAYS. Old documents are deleted by their `_id`, because not every
server with MongoDB's protocol has TTL indexes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from laneway.lanes.model import Job, JobState
from laneway.storage.histogram import BUCKETS, bucket_of
from laneway.storage.mongo import Document

ACTIVITY = "activity"
"""The collection."""
FLUSH_SECONDS = 5.0
"""Longest time between an event and its count in MongoDB, while MongoDB answers."""
MINUTES_KEPT_HOURS, HOURS_KEPT_DAYS = 72, 90
"""How long minutes are kept, in hours, and hours, in days."""
MINUTE_SECONDS, HOUR_SECONDS = 60, 3600
MINUTE_US = MINUTE_SECONDS * 1_000_000
WAIT, RUN = "wait", "run"
"""The histograms of a document."""
COUNTERS = ("accepted", "started", "succeeded", "failed", "cancelled")
_ACCEPTED, _STARTED = 0, 1
_ENDED = {state: COUNTERS.index(state.value) for state in JobState if state.ended}
_WAIT, _RUN = len(COUNTERS), len(COUNTERS) + BUCKETS
_SHIFT = 10
"""An event is one integer, because that is cheap to count: its minute, and in the low bits its field."""


class ActivityCounts:
    """Events that MongoDB does not have yet, by minute. Not safe for several threads."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._unwritten: list[Document] = []

    def accepted(self, at_us: int, jobs: int) -> None:
        """Count jobs that were accepted at this time."""
        self._counts[at_us // MINUTE_US << _SHIFT | _ACCEPTED] += jobs

    def ended(self, jobs: Iterable[Job]) -> None:
        """Count the last start and the end of each job. The wait counts if the first attempt was the only one."""
        events: list[int] = []
        for job in jobs:
            finished_us = job.finished_us or job.enqueued_us
            minute = finished_us // MINUTE_US << _SHIFT
            events.append(minute | _ENDED[job.state])
            if (started_us := job.started_us) is not None:
                events.append(minute | _RUN + bucket_of(finished_us - started_us))
                minute = started_us // MINUTE_US << _SHIFT
                events.append(minute | _STARTED)
                if job.attempts == 1:
                    events.append(minute | _WAIT + bucket_of(started_us - job.enqueued_us))
        self._counts.update(events)

    def command(self) -> Document | None:
        """Return the command that adds the counts to MongoDB, None if there are none. Give its reply to `forget_written`.

        The bare command, because `bulk_write` cannot read FerretDB's reply to two upserts of one document.
        """
        if not self._unwritten:
            documents: dict[str, Counter[str]] = {}
            for event, count in self._counts.items():
                minute, field = event >> _SHIFT, _field(event & (1 << _SHIFT) - 1)
                for key in (minute_key(minute), hour_key(minute // 60)):
                    documents.setdefault(key, Counter())[field] += count
            self._unwritten = [
                {"q": {"_id": key}, "u": {"$inc": dict(fields)}, "upsert": True}
                for key, fields in documents.items()
            ]
            self._counts.clear()
        if not self._unwritten:
            return None
        # Counts need no majority of servers: losing a few seconds of them harms nobody.
        concern = {"w": 1}
        return {"update": ACTIVITY, "updates": self._unwritten, "ordered": True, "writeConcern": concern}

    def forget_written(self, reply: Document) -> None:
        """Forget the updates that were carried out: those before the first that was refused.

        One may be refused because another process made the same document at this moment. The next command repeats it.
        """
        errors = reply.get("writeErrors")
        self._unwritten = self._unwritten[errors[0]["index"] :] if errors else []


def minute_key(minute: int) -> str:
    """Return the `_id` of a minute, counted from 2020."""
    return f"m/{minute:09d}"


def hour_key(hour: int) -> str:
    """Return the `_id` of an hour, counted from 2020."""
    return f"h/{hour:09d}"


def number_of(document: Document) -> int:
    """Return the number of the document's minute or hour."""
    return int(document["_id"][2:])


def outdated(now_us: int) -> Sequence[Document]:
    """Return queries that match the documents to delete: those that have been kept long enough."""
    minute = now_us // MINUTE_US
    first_minute, first_hour = minute - 60 * MINUTES_KEPT_HOURS, minute // 60 - 24 * HOURS_KEPT_DAYS
    return [
        {"_id": {"$gte": "m/", "$lt": minute_key(first_minute)}},
        {"_id": {"$gte": "h/", "$lt": hour_key(first_hour)}},
    ]


def _field(code: int) -> str:
    if code < _WAIT:
        return COUNTERS[code]
    return f"{WAIT}.{code - _WAIT}" if code < _RUN else f"{RUN}.{code - _RUN}"
