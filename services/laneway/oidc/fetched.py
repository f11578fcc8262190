"""A value that another server has, such as its keys, kept for a bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
RETRY_SECONDS = 2.0
"""Seconds after a failure during which nobody asks again. Whoever needs the value meanwhile gets the same error."""
AGAIN_SECONDS = 5.0
"""Least age of a value that `newer` fetches again. It bounds what strangers can make us ask."""


class IssuerUnavailable(Exception):
    """The issuer does not answer, or answers with something else than OpenID Connect. Raised from the client's error."""


class Fetched(Generic[T]):
    """Fetches a value when it is first needed. Callers at the same time share one fetch.

    A value older than `fresh_seconds` is fetched again in the background. It is used for `usable_seconds`, whatever fails.
    All methods raise IssuerUnavailable.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], *, fresh_seconds: float, usable_seconds: float
    ) -> None:
        self._fetch = fetch
        self._fresh_seconds, self._usable_seconds = fresh_seconds, usable_seconds
        self._value: tuple[T, float] | None = None
        self._failure: tuple[str, float] | None = None
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the value."""
        if self._value is not None:
            value, fetched_at = self._value
            age = time.monotonic() - fetched_at
            if age <= self._fresh_seconds:
                return value
            if age <= self._usable_seconds:
                if not self._has_just_failed():
                    self._start()
                return value
        return await self._now()

    async def newer(self) -> T:
        """Return a value fetched a few seconds ago at most."""
        if self._value is not None and time.monotonic() - self._value[1] <= AGAIN_SECONDS:
            return self._value[0]
        return await self._now()

    async def _now(self) -> T:
        if self._failure is not None and self._has_just_failed():
            raise IssuerUnavailable(self._failure[0])
        return await asyncio.shield(self._start())

    def _has_just_failed(self) -> bool:
        return self._failure is not None and time.monotonic() - self._failure[1] < RETRY_SECONDS

    def _start(self) -> asyncio.Task[T]:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._end)
        return self._task

    async def _run(self) -> T:
        try:
            value = await self._fetch()
        except IssuerUnavailable as error:
            self._failure = (str(error), time.monotonic())
            raise
        self._value, self._failure = (value, time.monotonic()), None
        return value

    def _end(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it
