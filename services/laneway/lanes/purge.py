"""Purging a lane: `Purge` and `PurgeDelayed` cancel a piece, so that Redis serves others in between; this repeats them until
nothing is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

from laneway.lanes.commands import Command, Purge, PurgeDelayed
from laneway.lanes.store import AsyncLanes, Lanes


def purge(lanes: Lanes, user: str, until_us: int, reason: str) -> Iterator[list[str]]:
    """Cancel the user's jobs that do not run and were accepted up to `until_us`. Yield their ids, a piece at a time.

    A delayed job that entered its lane after `until_us` and before this call stays. Raises StoreUnavailable. What was yielded is
    cancelled whatever happens later, and repeating it does no harm.
    """
    steps = _steps(user, until_us, reason)
    command = next(steps)
    while command is not None:
        job_ids, more = lanes.run(command)
        yield job_ids
        command = steps.send(more)


async def purge_async(lanes: AsyncLanes, user: str, until_us: int, reason: str) -> AsyncIterator[list[str]]:
    """Do as `purge`, for an event loop."""
    steps = _steps(user, until_us, reason)
    command = next(steps)
    while command is not None:
        job_ids, more = await lanes.run(command)
        yield job_ids
        command = steps.send(more)


def _steps(user: str, until_us: int, reason: str) -> Generator[Command[Any] | None, int, None]:
    """Yield the commands, and None at the end. The caller sends back whether more is left."""
    after = 0
    while after := (yield PurgeDelayed(user, until_us, reason, after=after)):
        pass
    while (yield Purge(user, until_us, reason)):
        pass
    yield None
