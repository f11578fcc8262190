"""The ring, and the lanes whose jobs workers hold: the answer of `GET /api/admin/ring`."""

from __future__ import annotations

import asyncio
from typing import Any

from laneway.api import views
from laneway.lanes.commands import InspectLeases, InspectRing
from laneway.lanes.model import HeldJob
from laneway.lanes.store import AsyncLanes

MAX_HELD = 200
"""Jobs in flight that are read. One script call reads them, in well under a millisecond."""


async def ring(lanes: AsyncLanes, limit: int) -> dict[str, Any]:
    """Return the answer, with at most `limit` lanes of the ring. Raises StoreUnavailable."""
    found, held = await asyncio.gather(lanes.run(InspectRing(limit)), lanes.run(InspectLeases(0, MAX_HELD)))
    return {
        "at": views.time(found.now_us),
        "length": found.length,
        "lanes": [
            {
                "user": lane.user,
                "jobs": lane.jobs,
                "taken": lane.taken,
                "slots": lane.slots,
                "since": views.time(lane.since_us),
            }
            for lane in found.lanes
        ],
        "served": _served(held),
        "truncated": len(held) >= MAX_HELD,
    }


def _served(held: list[HeldJob]) -> list[dict[str, Any]]:
    """Return the lanes of these jobs, the one that started a job last first."""
    by_user: dict[str, list[int]] = {}
    for job in held:
        by_user.setdefault(job.user, []).append(job.started_us or 0)
    latest_first = sorted(by_user.items(), key=lambda lane: (-max(lane[1]), lane[0]))
    return [
        {"user": user, "in_flight": len(starts), "last_start_at": views.time(max(starts) or None)}
        for user, starts in latest_first
        if user  # '' stands for jobs whose spec is lost
    ]
