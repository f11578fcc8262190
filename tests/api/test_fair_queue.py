"""The queue before the password check: shares by address and name, in order, bounded, and without lost places."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

import pytest

from laneway.api.fair_queue import FairQueue


class Full(Exception):
    pass


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 10))


class Callers:
    """Tasks that take a place, note their name, and hold the place until they are told to go on."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.admitted: list[str] = []
        self.step = asyncio.Semaphore(0)

    async def call(self, name: str, *flows: Hashable) -> None:
        async with self.queue.place(*flows):
            self.admitted.append(name)
            await self.step.acquire()

    async def start(self, name: str, *flows: Hashable) -> asyncio.Task[None]:
        task = asyncio.create_task(self.call(name, *flows))
        await asyncio.sleep(0)
        return task

    async def finish(self, *tasks: asyncio.Task[None]) -> None:
        for _ in tasks:
            self.step.release()
        await asyncio.gather(*tasks)


def test_one_flow_is_served_in_order() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 10, Full))
        await callers.finish(*[await callers.start(str(n), "address") for n in range(5)])
        assert callers.admitted == ["0", "1", "2", "3", "4"]

    run(scene)


def test_a_newcomer_goes_before_those_who_have_asked_much() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 100, Full))
        guesses = [await callers.start(f"guess {n}", "evil", f"name {n}") for n in range(50)]
        ann = await callers.start("ann", "home", "ann")
        await callers.finish(*guesses, ann)
        assert callers.admitted.index("ann") <= 2

    run(scene)


def test_guesses_of_one_name_from_many_addresses_are_one_flow() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 100, Full))
        guesses = [await callers.start(f"guess {n}", f"address {n}", "ann") for n in range(50)]
        bob = await callers.start("bob", "home", "bob")
        await callers.finish(*guesses, bob)
        assert callers.admitted.index("bob") <= 2

    run(scene)


def test_a_full_queue_refuses_the_one_furthest_behind_its_share() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 3, Full))
        guesses = [await callers.start(f"guess {n}", "evil") for n in range(4)]
        with pytest.raises(Full):
            await (await callers.start("guess 4", "evil"))
        ann = await callers.start("ann", "home")
        with pytest.raises(Full):
            await guesses.pop()
        await callers.finish(*guesses, ann)
        assert sorted(callers.admitted) == ["ann", "guess 0", "guess 1", "guess 2"]

    run(scene)


def test_callers_who_give_up_cost_no_place() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(2, 10, Full))
        tasks = [await callers.start(str(n), n) for n in range(8)]
        for task in (tasks[0], tasks[3], tasks[7]):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        left = [task for task in tasks if not task.done()]
        await callers.finish(*left)
        again = [await callers.start(f"again {n}", n) for n in range(2)]
        assert callers.admitted[-2:] == ["again 0", "again 1"]
        await callers.finish(*again)

    run(scene)


def test_a_caller_who_is_cancelled_in_the_moment_of_admission_gives_the_place_on() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 10, Full))
        await callers.queue.place("first").__aenter__()
        second, third = [await callers.start(str(n), n) for n in (2, 3)]
        callers.queue._release()  # the second is admitted, and has not run yet
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        await callers.finish(third)
        assert callers.admitted == ["3"]

    run(scene)


def test_a_new_name_passes_those_who_guess_another_from_the_same_address() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 16, Full))
        guesses = [await callers.start(f"guess {n}", "office", "victim") for n in range(17)]
        ann = await callers.start("ann", "office", "ann")
        with pytest.raises(Full):
            await guesses.pop()
        await callers.finish(*guesses, ann)
        assert callers.admitted.index("ann") <= 5

    run(scene)


def test_nobody_is_overtaken_for_ever() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 100, Full))
        tasks = [await callers.start(f"guess {n}", "evil", "ann") for n in range(4)]
        for n in range(40):
            tasks.append(await callers.start(f"other {n}", n))
            callers.step.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert "guess 3" in callers.admitted
        callers.step.release()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(scene)


def test_nothing_is_remembered_of_callers_who_have_left() -> None:
    async def scene() -> None:
        callers = Callers(FairQueue(1, 1, Full))
        tasks = [await callers.start(str(n), n, "all") for n in range(3)]
        with pytest.raises(Full):
            await tasks.pop()
        tasks[0].cancel()
        callers.step.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not callers.queue._present

    run(scene)
