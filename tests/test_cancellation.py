"""Tasks end although a cancellation gets lost, as it does in `asyncio.wait_for` before Python 3.12."""

from __future__ import annotations

import asyncio

from laneway.cancellation import cancel


def test_a_cancellation_that_gets_lost_is_repeated() -> None:
    async def run() -> None:
        lost = 0

        async def deaf() -> None:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    lost += 1
                    if lost == 2:
                        raise

        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await cancel([task], 5)
        assert task.cancelled()

    asyncio.run(run())


def test_a_task_that_never_ends_is_left_after_the_limit() -> None:
    async def run() -> None:
        stop = False

        async def deaf() -> None:
            while not stop:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue

        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(cancel([task], 0.1), 2)
        assert not task.done()
        stop = True
        await task

    asyncio.run(run())


def test_no_tasks_are_no_work() -> None:
    asyncio.run(cancel([], 1))
