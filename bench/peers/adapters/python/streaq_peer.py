from __future__ import annotations

import asyncio
import os

import producing
import records
from streaq import Worker

worker = Worker(redis_url=os.environ["BENCH_REDIS_URL"], concurrency=50)


@worker.task(ttl=0)
async def noop(job: str) -> None:
    records.append(job)


async def main() -> None:
    async with worker:

        async def send(_user: int, data: dict[str, str]) -> None:
            await noop.enqueue(data["job"])

        async def send_all(batch: list[producing.Job]) -> None:
            await worker.enqueue_many([noop.enqueue(data["job"]) for _user, data in batch])

        await producing.produce(send, send_all)


if __name__ == "__main__":
    asyncio.run(main())
