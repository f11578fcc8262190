"""Handlers that record when they start and end, each process in a file of its own in the folder `BENCH_RECORDS`."""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from pathlib import Path

from laneway.handlers import Context, handler

RECORDS_VARIABLE = "BENCH_RECORDS"


@cache
def _file(pid: int) -> int:
    path = Path(os.environ[RECORDS_VARIABLE]) / f"{pid}.records"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _record(event: str, context: Context) -> None:
    line = f"{event} {context.user} {context.job_id} {context.attempt} {time.monotonic_ns()}\n"
    os.write(_file(os.getpid()), line.encode())


@handler("wait")
async def wait(seconds: float, context: Context) -> None:
    """Wait, as for an answer from a server."""
    _record("start", context)
    await asyncio.sleep(seconds)
    _record("end", context)


@handler("work")
def work(seconds: float, context: Context) -> None:
    """Occupy the main thread."""
    _record("start", context)
    time.sleep(seconds)
    _record("end", context)
