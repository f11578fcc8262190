from __future__ import annotations

import asyncio
import os

import producing
import records
from arq import create_pool
from arq.connections import RedisSettings


async def noop(_context: object, job: str) -> None:
    records.append(job)


class WorkerSettings:
    functions = [noop]  # noqa: RUF012 - as arq wants it
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"])
    max_jobs = 50
    keep_result = 0


async def main() -> None:
    pool = await create_pool(WorkerSettings.redis_settings)

    async def send(_user: int, data: dict[str, str]) -> None:
        await pool.enqueue_job("noop", data["job"])

    await producing.produce(send, lambda batch: producing.each(send, batch))


if __name__ == "__main__":
    asyncio.run(main())
