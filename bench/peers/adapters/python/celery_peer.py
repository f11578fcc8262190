"""Celery with late acknowledgement and no results. `BENCH_QUEUES`: `one` for all users, or one a `user`."""

from __future__ import annotations

import asyncio
import os

import producing
import records
from celery import Celery
from kombu import Exchange, Queue

PER_USER = os.environ.get("BENCH_QUEUES") == "user"
app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True)
if PER_USER:
    names = [f"u{user}" for user in range(int(os.environ["BENCH_USERS"]))]
    app.conf.task_queues = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in names]


@app.task(name="noop", ignore_result=True)
def noop(job: str) -> None:
    records.append(job)


async def send(user: int, data: dict[str, str]) -> None:
    noop.apply_async(kwargs=data, **({"queue": f"u{user}"} if PER_USER else {}))


if __name__ == "__main__":
    asyncio.run(producing.produce(send, lambda batch: producing.each(send, batch)))
