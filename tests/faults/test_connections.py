"""A connection to Redis that breaks while idle fails no request, and one that breaks in use raises StoreUnavailable.

Both hold in both event loops. The API runs on uvloop, whose transports raise RuntimeError for a lost connection (uvloop issue 506).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop

from chaos.system.proxy import Proxy
from laneway.cancellation import cancel
from laneway.lanes.commands import InspectLane
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    found = Proxy(urlsplit(redis_url).port or 6379)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def proxied_url(redis_url: str, proxy: Proxy) -> str:
    return redis_url.replace(f":{proxy.target_port}", f":{proxy.port}")


async def await_lost(lanes: AsyncLanes) -> None:
    """Wait until the event loop knows that the connections of the pool are closed."""
    connections: list[Any] = lanes.client.connection_pool._available_connections
    async with asyncio.timeout(5):
        while not all(c._writer.transport.is_closing() or c._reader.at_eof() for c in connections):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_idle_connection_that_was_lost_fails_no_request(
    proxy: Proxy,
    proxied_url: str,
    prefix: str,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    how: str,
) -> None:
    async def ask() -> None:
        client = connect_async(proxied_url)
        lanes = AsyncLanes(client, Keys(prefix))
        for _ in range(5):
            assert (await lanes.run(InspectLane("ann"))).queued == 0
            await asyncio.to_thread(proxy.reset if how == "reset" else proxy.close)
            await await_lost(lanes)
        await client.aclose()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_connection_that_is_lost_in_use_is_an_unavailable_store(
    proxy: Proxy, proxied_url: str, prefix: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    answers = {True: 0, False: 0}

    async def one(lanes: AsyncLanes) -> None:
        while True:
            try:
                await lanes.run(InspectLane("ann"))
                answers[True] += 1
            except StoreUnavailable:
                answers[False] += 1

    async def ask() -> None:
        client = connect_async(proxied_url)
        many = [asyncio.create_task(one(AsyncLanes(client, Keys(prefix)))) for _ in range(8)]
        async with asyncio.timeout(60):
            for _ in range(50):
                known = answers[True]
                while answers[True] < known + 20:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await asyncio.to_thread(proxy.reset)
        ended = [task for task in many if task.done()]
        assert not ended, ended[0].exception()
        assert answers[False] > 0
        await cancel(many)
        await client.aclose()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())
