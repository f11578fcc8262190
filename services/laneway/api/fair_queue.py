"""A queue for an expensive step that shares it fairly among the addresses and names that ask for it.

Each caller belongs to some flows, for example its address and the name that it logs in as. A caller whose flows have much in
the queue already is placed further back, so guessers who fill the queue delay themselves. When the queue is full, the caller
furthest back is refused. A caller is overtaken only by a bounded number of others: places count from the last one admitted.
"""

from __future__ import annotations

import asyncio
import bisect
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class _Waiting:
    position: int
    number: int
    admitted: asyncio.Future[None] = field(compare=False)


class FairQueue:
    """Admits `parallel` callers at once and lets `max_waiting` more wait. `refusal` makes the error for all others."""

    def __init__(self, parallel: int, max_waiting: int, refusal: Callable[[], Exception]) -> None:
        self._free = parallel
        self._max_waiting = max_waiting
        self._refusal = refusal
        self._waiting: list[_Waiting] = []
        """In the order in which they are admitted."""
        self._present: Counter[Hashable] = Counter()
        """By flow: callers that wait or hold a place."""
        self._last_position = self._number = 0

    @asynccontextmanager
    async def place(self, *flows: Hashable) -> AsyncIterator[None]:
        """Wait for a place, and hold it for the body of the `async with`. Raises the refusal."""
        # The product lets a new name pass those who guess another from its address, and a new address those who guess names.
        distance = math.prod(self._present[flow] + 1 for flow in flows)
        self._present.update(flows)
        try:
            await self._enter(distance)
            try:
                yield
            finally:
                self._release()
        finally:
            self._present -= Counter(flows)

    async def _enter(self, distance: int) -> None:
        if self._free:
            self._free -= 1
            return
        self._number += 1
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = _Waiting(self._last_position + distance, self._number, admitted)
        bisect.insort(self._waiting, mine)
        if len(self._waiting) > self._max_waiting:
            self._waiting.pop().admitted.set_exception(self._refusal())
        try:
            await admitted
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif not admitted.cancelled() and not admitted.exception():  # it was admitted in the same moment
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            first = self._waiting.pop(0)
            if not first.admitted.done():
                self._last_position = first.position
                first.admitted.set_result(None)
                return
        self._free += 1
