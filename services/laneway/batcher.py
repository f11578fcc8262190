"""Coalesces concurrent calls on an event loop: what is asked for while one call is under way travels in the next.

Guarantees:

- Calls are sent in the order in which they were made, at most `max_items` in one batch, one batch at a time.
- Every caller gets its own result or an error, whatever happens to the shared call. Nobody is left waiting.
- A batch that fails as a whole fails for those who wait for the next one, too: they would meet the same error later.
- A caller that gives up disturbs nobody. Its item is still sent.
- A batch runs in a context of its own: what it logs has no caller's request id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Sends batches with `send`, which returns one result for each item, in order.

    An exception among the results is raised to that item's caller alone. An exception that `send` raises is raised to all.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_items: int = 1000,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._flushing: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue an item. The future holds its result; a caller that does not need it may drop it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), context=Context())
        return future

    async def drain(self) -> None:
        """Wait until everything submitted so far has been sent. Raises none of its errors."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing})

    async def _flush(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._max_items, len(self._waiting)))]
                results = await self._send([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    _settle(future, result)
        except Exception as error:  # noqa: BLE001 - every caller must get it, whatever it is
            self._fail([*batch, *self._waiting], error)
        except BaseException:  # the loop is being closed
            for _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting.clear()
            raise

    def _fail(self, calls: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        self._waiting.clear()
        for _, future in calls:
            _settle(future, error)


def _settle(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():  # its caller has given up
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # marks it as retrieved: the caller may have dropped the future
    else:
        future.set_result(result)
