"""What the deployment has done by minute or by hour, and what it holds now: the answer of `GET /api/admin/overview`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Query
from pydantic import AwareDatetime

from laneway.api.problem import bad_request
from laneway.api.system import System
from laneway.lanes.model import EPOCH
from laneway.storage.activity import HOUR_SECONDS, HOURS_KEPT_DAYS, MINUTE_SECONDS, MINUTES_KEPT_HOURS
from laneway.storage.activity_reader import Activity

MAX_POINTS = 5000
"""Points of one answer: the minutes that are kept, and some more."""
DEFAULT_POINTS = 60
_EARLIEST = EPOCH + timedelta(days=1)


class Span(NamedTuple):
    """From `start` on and before `end`, in steps."""

    start: datetime
    end: datetime
    step_seconds: int


async def _span(
    start: Annotated[
        AwareDatetime | None,
        Query(
            alias="from",
            description=f"Begin with the point that contains this time; by default {DEFAULT_POINTS} steps before `to`.",
        ),
    ] = None,
    end: Annotated[
        AwareDatetime | None,
        Query(
            alias="to",
            description="End before the first point that begins at this time or later; by default now.",
        ),
    ] = None,
    step: Annotated[
        int,
        Query(
            ge=MINUTE_SECONDS,
            le=86_400,
            multiple_of=MINUTE_SECONDS,
            description="Seconds of one point, a multiple of 60. Whole hours are kept for "
            f"{HOURS_KEPT_DAYS} days, everything else for {MINUTES_KEPT_HOURS} hours.",
        ),
    ] = MINUTE_SECONDS,
) -> Span:
    return _span_of(start, end, step)


AskedSpan = Annotated[Span, Depends(_span)]
"""The span of time that the caller asks for."""


def _span_of(start: datetime | None, end: datetime | None, step: int) -> Span:
    """Return whole steps, with the defaults filled in. Raises Problem if they were not kept or are too many."""
    now = datetime.now(UTC)
    end = min(max(end or now, _EARLIEST), now + timedelta(days=1))
    start = max(start or end - timedelta(seconds=(DEFAULT_POINTS - 1) * step), _EARLIEST)
    if start >= end:
        raise bad_request("`from` must be before `to`", "#/query/from")
    start = EPOCH + (start - EPOCH) // timedelta(seconds=step) * timedelta(seconds=step)
    kept = (
        timedelta(days=HOURS_KEPT_DAYS) if step % HOUR_SECONDS == 0 else timedelta(hours=MINUTES_KEPT_HOURS)
    )
    if start < now - kept - timedelta(seconds=step):
        raise bad_request(_too_early(step), "#/query/from")
    if (end - start) / timedelta(seconds=step) > MAX_POINTS:
        raise bad_request(f"that is more than {MAX_POINTS} points: ask for a longer step", "#/query/step")
    return Span(start, end, step)


async def overview(system: System, span: Span) -> dict[str, Any]:
    """Return the answer. Raises HistoryUnavailable."""
    points = await system.activity.points(*span)
    total = Activity()
    for point in points.values():
        total.merge(point)
    return {
        "from": span.start,
        "to": span.end,
        "step_seconds": span.step_seconds,
        "points": [{"at": at} | _shown(point) for at, point in points.items()],
        "total": _shown(total),
        "now": await _now(system),
    }


async def _now(system: System) -> dict[str, int] | None:
    sizes = await system.sampler.sizes()
    if sizes is None:
        return None
    return {
        "lanes": sizes.lanes,
        "jobs": sizes.jobs,
        "in_flight": sizes.leases,
        "retrying": sizes.retries,
        "delayed": sizes.delayed,
        "unarchived": sizes.outbox,
    }


def _shown(activity: Activity) -> dict[str, Any]:
    counters = activity.counters
    return {
        "accepted": counters["accepted"],
        "started": counters["started"],
        "ended": {state: counters[state] for state in ("succeeded", "failed", "cancelled")},
        "wait_seconds": activity.wait_seconds,
        "run_seconds": activity.run_seconds,
    }


def _too_early(step: int) -> str:
    if step % HOUR_SECONDS == 0:
        return f"hours are kept for {HOURS_KEPT_DAYS} days: let `from` be later"
    return f"minutes are kept for {MINUTES_KEPT_HOURS} hours: let `from` be later, or ask for a step of whole hours (3600)"
