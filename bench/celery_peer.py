"""The peer: plain Celery with Redis, set up as its documentation does it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("bench.celery_peer", broker=os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator]
def noop(payload: object) -> object:
    return payload


@app.task  # type: ignore[untyped-decorator]
def stamp(path: str, key: str) -> None:
    """Append when it started: `key` and the monotonic clock."""
    with Path(path).open("a") as file:
        file.write(f"{key} {time.monotonic_ns()}\n")
