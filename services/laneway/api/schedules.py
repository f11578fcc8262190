"""What users and administrators do with schedules alike: show them, find them, pause them and delete them."""

from __future__ import annotations

from typing import Any

import orjson

from laneway.api.problem import Problem
from laneway.api.schedule_schemas import NewSchedule
from laneway.api.system import System
from laneway.fire_times import Cron, Every, Timing
from laneway.storage.mongo import now
from laneway.storage.schedules import Schedule


def timing_of(new: NewSchedule) -> Timing:
    """Return when a new schedule fires; an interval is counted from now on."""
    if new.every_seconds is not None:
        return Every(new.every_seconds, now())
    return Cron(new.cron or "", new.time_zone)


async def find(system: System, user: str, name: str) -> Schedule:
    """Return one of the user's schedules. Raises Problem, SchedulesUnavailable."""
    return _existing(await system.schedules.find(user, name))


async def pause(system: System, user: str, name: str, *, paused: bool) -> Schedule:
    """Pause or resume one of the user's schedules, and return it. Raises Problem, SchedulesUnavailable."""
    return _existing(await system.schedules.pause(user, name, paused=paused))


async def delete(system: System, user: str, name: str) -> None:
    """Delete one of the user's schedules. Raises Problem, SchedulesUnavailable."""
    if not await system.schedules.delete(user, name):
        raise _unknown()


def shown(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule for `views.answer`."""
    timing = schedule.plan.timing
    cron = timing if isinstance(timing, Cron) else None
    return {
        "name": schedule.name,
        "type": schedule.plan.type,
        "request": orjson.Fragment(schedule.plan.request),
        "unique_key": schedule.plan.unique_key or None,
        "cron": cron and cron.expression,
        "time_zone": cron and cron.time_zone,
        "every_seconds": timing.seconds if isinstance(timing, Every) else None,
        "missed": schedule.plan.missed,
        "paused": schedule.paused,
        "next_at": schedule.next_at,
        "last_fired_at": schedule.last_fired_at,
        "last_job_id": schedule.last_job_id,
        "last_error": schedule.last_error,
        "created_at": schedule.created_at,
    }


def _existing(schedule: Schedule | None) -> Schedule:
    if schedule is None:
        raise _unknown()
    return schedule


def _unknown() -> Problem:
    return Problem(404, "unknown-schedule", "the user has no schedule of this name")
