"""Puts a schedule into MongoDB that is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from laneway.choices import Missed
from laneway.fire_times import Cron, Every, Timing
from laneway.storage.mongo import now


def insert_schedule(
    database: Any, user: str, name: str, timing: Timing, first: datetime, missed: Missed = Missed.ONCE
) -> None:
    """Insert a schedule whose earliest fire time is `first`."""
    cron = timing if isinstance(timing, Cron) else None
    every = timing if isinstance(timing, Every) else None
    database.schedules.insert_one(
        {
            "_id": f"{user}/{name}",
            "type": "echo",
            "request": b'"scheduled"',
            "max_attempts": 3,
            "cron": cron and cron.expression,
            "time_zone": cron and cron.time_zone,
            "every_seconds": every and every.seconds,
            "start_at": every and every.start,
            "missed": missed.value,
            "paused": False,
            "created_at": first,
            "next_at": first,
            "due_at": first,
        }
    )


def insert_due_schedule(database: Any, user: str) -> None:
    """Insert a schedule of this user that is due now and then not again for an hour."""
    insert_schedule(database, user, "s", Every(3600, now() - timedelta(hours=1)), now())
