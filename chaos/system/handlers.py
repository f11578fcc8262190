"""Handlers that note what they start and end, and handlers that misbehave. Named in LANEWAY_HANDLERS by the fault tests.

The notes go to the folder FAULTS_RECORDS, one file a process. Each result is different from that of any other attempt,
so that the checker can tell whose result the history shows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.records import append, process_name
from laneway.handlers import Context, Permanent, handler

LEAK_BYTES = 400_000_000
"""Where the handler that leaks is killed, as the kernel does when a pod's memory is used up."""

_numbers = itertools.count()


@dataclass(slots=True)
class Run:
    """One call of a handler. What it returns must be `result`."""

    result: dict[str, Any]


@contextmanager
def noted(payload: Any, context: Context) -> Iterator[Run]:
    """Note the start, and the end by its outcome."""
    folder, process = Path(os.environ["FAULTS_RECORDS"]), process_name(os.getpid())
    name = f"{process}-{next(_numbers)}"
    run = Run({"tag": payload.get("tag"), "attempt": context.attempt, "run": name})
    file = f"handler-{process}"
    start: dict[str, object] = {"kind": "start", "run": name, "job_id": context.job_id, "user": context.user}
    start |= {"attempt": context.attempt, "process": process, "at_ns": time.monotonic_ns()}
    append(folder, file, start)
    outcome = "raised"
    try:
        yield run
        outcome = "succeeded"
    except Permanent:
        outcome = "permanent"
        raise
    except asyncio.CancelledError:
        outcome = "interrupted"
        raise
    finally:
        end = {"kind": "end", "run": name, "outcome": outcome, "at_ns": time.monotonic_ns()}
        append(folder, file, {**end, "result": run.result if outcome == "succeeded" else None})


@handler("work")
def work(payload: Any, context: Context) -> dict[str, Any]:
    """Keep the process for `ms`."""
    with noted(payload, context) as run:
        time.sleep(payload.get("ms", 0) / 1000)
    return run.result


@handler("wait")
async def wait(payload: Any, context: Context) -> dict[str, Any]:
    """Wait for `ms` beside others."""
    with noted(payload, context) as run:
        await asyncio.sleep(payload.get("ms", 0) / 1000)
    return run.result


@handler("fail")
def fail(payload: Any, context: Context) -> dict[str, Any]:
    """Fail the first `times` attempts."""
    with noted(payload, context) as run:
        if context.attempt <= payload.get("times", 1):
            raise RuntimeError("as it was asked to")
    return run.result


@handler("refuse")
async def refuse(payload: Any, context: Context) -> None:
    """Fail for good."""
    with noted(payload, context):
        raise Permanent("as it was asked to")


@handler("die")
def die(payload: Any, context: Context) -> dict[str, Any]:
    """Kill the process in the first `times` attempts."""
    with noted(payload, context) as run:
        if context.attempt <= payload.get("times", 1):
            os.kill(os.getpid(), signal.SIGKILL)
    return run.result


@handler("leak")
def leak(payload: Any, context: Context) -> dict[str, Any]:
    """Take memory until the process is killed for it, in the first `times` attempts."""
    with noted(payload, context) as run:
        if context.attempt <= payload.get("times", 1):
            taken = [bytearray(10_000_000) for _ in range(LEAK_BYTES // 10_000_000)]
            os.kill(os.getpid(), signal.SIGKILL)
            del taken
    return run.result


@handler("hang", attempts=2, time_limit=2)
def hang(payload: Any, context: Context) -> dict[str, Any]:
    """Never return in the first `times` attempts; the time limit ends the process."""
    with noted(payload, context) as run:
        while context.attempt <= payload.get("times", 1):
            time.sleep(3600)
    return run.result


@handler("fork")
def fork(payload: Any, context: Context) -> dict[str, Any]:
    """Leave a child behind that holds every open connection of the process for a while."""
    with noted(payload, context) as run:
        if os.fork() == 0:
            time.sleep(payload.get("ms", 500) / 1000)
            os._exit(0)
    return run.result


@handler("close")
def close(payload: Any, context: Context) -> dict[str, Any]:
    """Close every file descriptor of the process, in the first `times` attempts."""
    with noted(payload, context) as run:
        if context.attempt <= payload.get("times", 1):
            os.closerange(3, 65536)
    return run.result
