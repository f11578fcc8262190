"""Cancels asyncio tasks until they have ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Any

REPEAT_SECONDS = 0.5


async def cancel(tasks: Iterable[asyncio.Task[Any]], timeout_seconds: float = math.inf) -> None:
    """Cancel the tasks until they have ended, at most `timeout_seconds`. Raises none of their errors.

    One cancellation is not enough: before Python 3.12 `asyncio.wait_for`, through which redis-py sends every command, drops a
    cancellation that arrives in the same round of the event loop as the result.
    """
    loop = asyncio.get_running_loop()
    deadline, pending = loop.time() + timeout_seconds, set(tasks)
    while pending and loop.time() < deadline:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=min(REPEAT_SECONDS, timeout_seconds))
