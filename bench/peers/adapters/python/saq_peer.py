from __future__ import annotations

import asyncio
import os

import producing
import records
from saq import Queue

queue = Queue.from_url(os.environ["BENCH_REDIS_URL"])


async def noop(_context: object, *, job: str) -> None:
    records.append(job)


settings = {"queue": queue, "functions": [noop], "concurrency": 50}


async def main() -> None:
    await queue.connect()

    async def send(_user: int, data: dict[str, str]) -> None:
        await queue.enqueue("noop", job=data["job"], ttl=-1)  # -1 deletes the job when it has ended

    await producing.produce(send, lambda batch: producing.each(send, batch))


if __name__ == "__main__":
    asyncio.run(main())
