"""The peer: plain Celery with Redis, set up as its documentation says."""

from __future__ import annotations

import os

from celery import Celery

from bench.stamps import append_stamp

app = Celery("bench.plain_celery", broker=os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator]
def noop(payload: object) -> object:
    """Return the payload."""
    return payload


@app.task  # type: ignore[untyped-decorator]
def stamp(path: str, key: str) -> None:
    """Record when the task starts."""
    append_stamp(path, key)
