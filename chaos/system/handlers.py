"""Handlers that record each start and end, and handlers that misbehave. The system runs them through LANEWAY_HANDLERS.

Each process writes to a file of its own in the folder `CHAOS_RECORDS`. No two attempts return the same result, so the checker can
tell whose result the history holds.
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

from chaos.records import append_line
from chaos.system.procfs import process_name
from laneway import Context, Permanent, handler

RECORDS_VARIABLE = "CHAOS_RECORDS"
LEAK_BYTES = 400_000_000
"""At this size the handler that leaks memory is killed, as the kernel does it when a pod reaches its memory limit."""

DEADLY_TYPES = frozenset(
    {"die", "leak", "hang", "close", "poison", "poison-async", "poison-hang", "poison-hang-async"}
)
"""Types whose handlers end their process."""

_run_numbers = itertools.count()


@dataclass(slots=True)
class Run:
    """One call of a handler, which must return `result`."""

    result: dict[str, Any]


@contextmanager
def recorded(payload: Any, context: Context) -> Iterator[Run]:
    """Record the start of a call, and its end with the outcome."""
    folder, process = Path(os.environ[RECORDS_VARIABLE]), process_name(os.getpid())
    name = f"{process}-{next(_run_numbers)}"
    run = Run({"tag": payload.get("tag"), "attempt": context.attempt, "run": name})
    file = f"handler-{process}"
    start: dict[str, object] = {"kind": "start", "run": name, "job_id": context.job_id, "user": context.user}
    start |= {"attempt": context.attempt, "process": process, "at_ns": time.monotonic_ns()}
    append_line(folder, file, start)
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
        append_line(folder, file, {**end, "result": run.result if outcome == "succeeded" else None})


@handler("work")
def work(payload: Any, context: Context) -> dict[str, Any]:
    """Occupy the process for `ms`."""
    with recorded(payload, context) as run:
        time.sleep(payload.get("ms", 0) / 1000)
    return run.result


@handler("wait")
async def wait(payload: Any, context: Context) -> dict[str, Any]:
    """Wait for `ms` while other jobs of the process go on."""
    with recorded(payload, context) as run:
        await asyncio.sleep(payload.get("ms", 0) / 1000)
    return run.result


@handler("fail")
def fail(payload: Any, context: Context) -> dict[str, Any]:
    """Raise in the first `times` attempts."""
    with recorded(payload, context) as run:
        if context.attempt <= payload.get("times", 1):
            raise RuntimeError("the request asked for it")
    return run.result


@handler("refuse")
async def refuse(payload: Any, context: Context) -> None:
    """Fail for good."""
    with recorded(payload, context):
        raise Permanent("the request asked for it")


def is_among_first(payload: Any) -> bool:
    """Count this run of a job, and tell whether it is one of the first `times`. A run that kills its process is no attempt, so
    the attempt's number does not count runs."""
    folder = Path(os.environ[RECORDS_VARIABLE])
    with (folder / f"{payload.get('tag')}.runs").open("ab") as file:
        file.write(b".")
        return file.tell() <= int(payload.get("times", 1))


@handler("die")
def die(payload: Any, context: Context) -> dict[str, Any]:
    """Kill the process in the first `times` runs."""
    with recorded(payload, context) as run:
        if is_among_first(payload):
            os.kill(os.getpid(), signal.SIGKILL)
    return run.result


@handler("leak")
def leak(payload: Any, context: Context) -> dict[str, Any]:
    """Allocate memory until the process is killed, in the first `times` runs."""
    with recorded(payload, context) as run:
        if is_among_first(payload):
            _end_process("memory")
    return run.result


@handler("hang", attempts=2, time_limit=2)
def hang(payload: Any, context: Context) -> dict[str, Any]:
    """Never return in the first `times` attempts, until the time limit ends the process."""
    with recorded(payload, context) as run:
        while context.attempt <= payload.get("times", 1):
            time.sleep(3600)
    return run.result


@handler("fork")
def fork(payload: Any, context: Context) -> dict[str, Any]:
    """Leave a child behind that holds every open connection of the process for `ms`."""
    with recorded(payload, context) as run:
        if os.fork() == 0:
            time.sleep(payload.get("ms", 500) / 1000)
            os._exit(0)
    return run.result


@handler("close")
def close(payload: Any, context: Context) -> dict[str, Any]:
    """Close every file descriptor of the process in the first `times` runs."""
    with recorded(payload, context) as run:
        if is_among_first(payload):
            os.closerange(3, 65536)
    return run.result


@handler("poison")
def poison(payload: Any, context: Context) -> None:
    """End the process in every run, in the way that `by` names."""
    with recorded(payload, context):
        _end_process(payload["by"])


@handler("poison-async")
async def poison_async(payload: Any, context: Context) -> None:
    """End the process in every run, beside the other async jobs that run in it."""
    with recorded(payload, context):
        await asyncio.sleep(0.05)
        _end_process(payload["by"])


@handler("poison-hang", attempts=2, time_limit=1)
def poison_hang(payload: Any, context: Context) -> None:
    """Never return, so that the time limit ends the process in every attempt."""
    with recorded(payload, context):
        time.sleep(3600)


@handler("poison-hang-async", attempts=2, time_limit=1)
async def poison_hang_async(payload: Any, context: Context) -> None:
    """Block the event loop of the process forever, so that the time limit ends the process in every attempt."""
    with recorded(payload, context):
        time.sleep(3600)  # noqa: ASYNC251 - the fault


def _end_process(by: str) -> None:
    """End this process: by an exit, a signal of a crash, or SIGKILL at the memory limit of a pod."""
    if by == "exit":
        os._exit(1)
    if by == "memory":
        allocated = [bytearray(10_000_000) for _ in range(LEAK_BYTES // 10_000_000)]
        os.kill(os.getpid(), signal.SIGKILL)
        del allocated
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)  # a signal that dumps core may reach another thread first, a moment later
