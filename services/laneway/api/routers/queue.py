"""A user's own lane."""

from __future__ import annotations

from fastapi import APIRouter, Response

from laneway.api import schemas, views
from laneway.api.deps import Caller, Sys, problems
from laneway.lanes.commands import InspectLane

router = APIRouter(prefix="/api", tags=["queue"])


@router.get("/queue", response_model=schemas.QueueReply, responses=problems(401, 403, 503))
async def get_queue(system: Sys, caller: Caller) -> Response:
    """Count the jobs in the caller's lane, and say whether the caller is connected."""
    presence = await system.presence.inspect(caller.user)
    lane = await system.lanes.run(InspectLane(caller.user))
    oldest_seconds = None if lane.oldest_us is None else max(0, presence.now_us - lane.oldest_us) / 1_000_000
    return views.answer(
        {
            "queued": lane.queued,
            "running": lane.running,
            "delayed": lane.delayed,
            "slots": lane.slots,
            "connected": presence.connected,
            "paused": lane.paused,
            "oldest_seconds": oldest_seconds,
        }
    )
