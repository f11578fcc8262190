from __future__ import annotations

import asyncio
import os

import producing
import records
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_REDIS_URL"])


@broker.task(task_name="noop")
async def noop(job: str) -> None:
    records.append(job)


async def main() -> None:
    await broker.startup()

    async def send(_user: int, data: dict[str, str]) -> None:
        await noop.kiq(data["job"])

    await producing.produce(send, lambda batch: producing.each(send, batch))


if __name__ == "__main__":
    asyncio.run(main())
