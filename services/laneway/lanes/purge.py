"""Purging a lane: `Purge` cancels a piece, so that Redis serves others in between; this repeats it until nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from laneway.lanes.commands import Purge
from laneway.lanes.store import AsyncLanes, Lanes


def purge(lanes: Lanes, user: str, until_us: int, reason: str) -> Iterator[list[str]]:
    """Cancel the user's jobs that do not run and were accepted up to `until_us`. Yield their ids, a piece at a time.

    Raises StoreUnavailable. What was yielded is cancelled whatever happens later, and repeating it does no harm.
    """
    more = True
    while more:
        job_ids, more = lanes.run(Purge(user, until_us, reason))
        yield job_ids


async def purge_async(lanes: AsyncLanes, user: str, until_us: int, reason: str) -> AsyncIterator[list[str]]:
    """Do as `purge`, for an event loop."""
    more = True
    while more:
        job_ids, more = await lanes.run(Purge(user, until_us, reason))
        yield job_ids
