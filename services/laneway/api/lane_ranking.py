"""Lists lanes by backlog, wait or failures.

Redis keeps lanes in the order of their users' names alone: another order would cost every job a write. So all lanes are read,
in pieces between which Redis serves others, at most once in FRESH_SECONDS for all callers together. A cursor is the value and
the user of the last lane, so a lane whose value changes may be on two pages or on none, and all others are on one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from laneway.api.problem import bad_request
from laneway.choices import LaneOrder
from laneway.lanes.commands import InspectLane, InspectLanes
from laneway.lanes.model import LaneLine
from laneway.lanes.store import AsyncLanes
from laneway.lanes.survey import MAX_LANES, PAGE_LANES, pages
from laneway.storage.dead_letters import DeadLetters

FRESH_SECONDS = 2.0
MAX_LANES_LISTED = 500
"""Lanes on one page."""
_NEVER_US = 2**51


class RankedLanes(NamedTuple):
    """A page of lanes. `failures`: dead letters by user, None if they were not counted. `next`: cursor of the next page."""

    lines: list[LaneLine]
    failures: Mapping[str, int] | None
    next: str | None
    truncated: bool


class LaneRanking:
    """Lanes in any order. Raises StoreUnavailable, and HistoryUnavailable if they are sorted by failures."""

    def __init__(self, lanes: AsyncLanes, dead_letters: DeadLetters) -> None:
        self._lanes, self._dead_letters = lanes, dead_letters
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._lines: dict[str, LaneLine] = {}

    async def page(self, order: LaneOrder, after: str, limit: int, prefix: str = "") -> RankedLanes:
        """Return lanes behind the cursor `after`; '' starts with the first. With a `prefix` only those of users whose names begin
        with it. Raises Problem.
        """
        if order is LaneOrder.USER:
            lines = await self._by_name(after, limit, prefix)
            return RankedLanes(lines, None, lines[-1].user if len(lines) == limit else None, False)
        lines_by_user = await self._all_lines()
        truncated = len(lines_by_user) >= MAX_LANES
        failures = None
        if order is LaneOrder.FAILURES:
            failures = await self._dead_letters.count_by_user(MAX_LANES)
            ranks = sorted((-count, user) for user, count in failures.items())
        else:
            value = _VALUES[order]
            ranks = sorted((value(line), line.user) for line in lines_by_user.values())
        ranks = [rank for rank in ranks if rank[1].startswith(prefix)]
        if after:
            last = _parse(after)
            ranks = [rank for rank in ranks if rank > last]
        users = [user for _, user in ranks[:limit]]
        next_ = "{}:{}".format(*ranks[limit - 1]) if len(ranks) > limit else None
        return RankedLanes(await self._lines_of(users, lines_by_user), failures, next_, truncated)

    async def _by_name(self, after: str, limit: int, prefix: str) -> list[LaneLine]:
        lines: list[LaneLine] = []
        while len(lines) < limit:
            wanted = min(PAGE_LANES, limit - len(lines))
            piece = await self._lanes.run(InspectLanes(after, wanted, with_oldest=True, prefix=prefix))
            lines += piece
            if len(piece) < wanted:
                break
            after = piece[-1].user
        return lines

    async def _all_lines(self) -> Mapping[str, LaneLine]:
        async with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                lines = {
                    line.user: line async for page in pages(self._lanes, with_oldest=True) for line in page
                }
                self._lines, self._read_at = lines, time.monotonic()
            return self._lines

    async def _lines_of(self, users: list[str], known: Mapping[str, LaneLine]) -> list[LaneLine]:
        """Return the lanes of these users, empty ones among them."""
        empty = [user for user in users if user not in known]
        views = await asyncio.gather(*(self._lanes.run(InspectLane(user)) for user in empty))
        made = {
            user: LaneLine(user, 0, 0, 0 if view.paused else view.slots)
            for user, view in zip(empty, views, strict=True)
        }
        return [known.get(user) or made[user] for user in users]


_VALUES: Mapping[LaneOrder, Callable[[LaneLine], int]] = {
    LaneOrder.BACKLOG: lambda line: line.taken - line.jobs,
    LaneOrder.WAIT: lambda line: _NEVER_US if line.oldest_us is None else line.oldest_us,
}
"""Lanes with the lowest value come first."""


def _parse(cursor: str) -> tuple[int, str]:
    value, _, user = cursor.partition(":")
    try:
        return int(value), user
    except ValueError:
        raise bad_request("`after` is not the `next` of a page in this order", "#/query/after") from None
