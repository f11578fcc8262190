"""`Batcher`: callers that share a call get their own results, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from laneway.batcher import Batcher

SECONDS = 5


class Service:
    """Doubles numbers. Records its batches; each one waits for `proceed` while that is not set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.failure: BaseException | None = None
        self.busy = asyncio.Event()

    async def send(self, items: list[int]) -> list[Any]:
        self.batches.append(items)
        self.busy.set()
        await self.proceed.wait()
        if self.failure:
            raise self.failure
        return [ValueError(item) if item < 0 else 2 * item for item in items]


def run(scenario: Callable[[Service], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario(Service())

    asyncio.run(bounded())


def test_concurrent_calls_share_one_batch_and_get_their_own_results() -> None:
    async def scenario(service: Service) -> None:
        batcher: Batcher[int, int] = Batcher(service.send)
        assert await asyncio.gather(*(batcher.submit(item) for item in range(5))) == [0, 2, 4, 6, 8]
        assert service.batches == [[0, 1, 2, 3, 4]]

    run(scenario)


def test_calls_made_while_a_batch_is_under_way_travel_in_the_next_one_in_order() -> None:
    async def scenario(service: Service) -> None:
        service.proceed.clear()
        batcher: Batcher[int, int] = Batcher(service.send, max_items=2)
        first = batcher.submit(1)
        await service.busy.wait()
        later = [batcher.submit(item) for item in (2, 3, 4)]
        service.proceed.set()
        assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
        assert service.batches == [[1], [2, 3], [4]]

    run(scenario)


def test_an_item_that_fails_alone_disturbs_nobody() -> None:
    async def scenario(service: Service) -> None:
        batcher: Batcher[int, int] = Batcher(service.send)
        good, bad, also_good = await asyncio.gather(
            *(batcher.submit(item) for item in (1, -1, 2)), return_exceptions=True
        )
        assert (good, also_good) == (2, 4)
        assert isinstance(bad, ValueError)

    run(scenario)


def test_a_batch_that_fails_fails_for_all_who_wait_and_the_next_call_is_sent() -> None:
    async def scenario(service: Service) -> None:
        service.proceed.clear()
        service.failure = RuntimeError("something nobody expected")
        batcher: Batcher[int, int] = Batcher(service.send, max_items=2)
        calls = [batcher.submit(item) for item in (1, 2)]
        await service.busy.wait()
        calls.append(batcher.submit(3))
        service.proceed.set()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert result is service.failure
        assert service.batches == [[1, 2]]
        service.failure = None
        assert await batcher.submit(4) == 8

    run(scenario)


def test_too_few_results_are_an_error_for_every_caller() -> None:
    async def scenario(_service: Service) -> None:
        async def send(items: list[int]) -> list[int]:
            return items[1:]

        batcher = Batcher(send)
        results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
        assert isinstance(results[1], ValueError)
        with pytest.raises(ValueError, match="shorter"):
            await batcher.submit(3)

    run(scenario)


def test_a_caller_that_is_cancelled_takes_nobodys_result() -> None:
    async def scenario(service: Service) -> None:
        service.proceed.clear()
        batcher: Batcher[int, int] = Batcher(service.send)

        async def call(item: int) -> int:
            return await batcher.submit(item)

        calls = [asyncio.create_task(call(item)) for item in (1, 2, 3)]
        await service.busy.wait()
        calls[1].cancel()
        late = asyncio.create_task(call(4))
        await asyncio.sleep(0)
        service.proceed.set()
        results = await asyncio.gather(*calls, late, return_exceptions=True)
        assert results[0::2] == [2, 6]
        assert results[3] == 8
        assert isinstance(results[1], asyncio.CancelledError)

    run(scenario)


def test_a_cancelled_batch_cancels_its_callers() -> None:
    async def scenario(service: Service) -> None:
        service.failure = asyncio.CancelledError()
        batcher: Batcher[int, int] = Batcher(service.send)
        results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        service.failure = None
        assert await batcher.submit(3) == 6

    run(scenario)


def test_drain_waits_for_what_was_submitted_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(service: Service) -> None:
        batcher: Batcher[int, int] = Batcher(service.send)
        await batcher.drain()
        service.failure = RuntimeError("dropped with its future")
        batcher.submit(1)
        await batcher.drain()
        assert service.batches == [[1]]

    run(scenario)
    assert "never retrieved" not in caplog.text
