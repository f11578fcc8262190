"""Handlers that note when they start and end, each process in a file of its own under $BENCH_NOTES."""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from pathlib import Path

from laneway import Context, handler


@cache
def _file(pid: int) -> int:
    return os.open(
        Path(os.environ["BENCH_NOTES"]) / f"{pid}.notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )


def _note(what: str, context: Context) -> None:
    line = f"{what} {context.user} {context.job_id} {context.attempt} {time.monotonic_ns()}\n"
    os.write(_file(os.getpid()), line.encode())


@handler("wait")
async def wait(seconds: float, context: Context) -> None:
    """Wait as one waits for a server."""
    _note("start", context)
    await asyncio.sleep(seconds)
    _note("end", context)


@handler("work")
def work(seconds: float, context: Context) -> None:
    """Keep the main thread for a while."""
    _note("start", context)
    time.sleep(seconds)
    _note("end", context)
