"""Runs async handlers as tasks of the event loop: they overlap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import orjson

from laneway.handlers import SoftTimeLimit
from laneway.lanes.model import Lease, Outcome
from laneway.worker import attempt
from laneway.worker.pool.choose import ChosenJob
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.plain import Clock, Ran


class TimeLimit(Exception):
    """The hard time limit has run out; named as the lease keeper names it, who ends those that do not heed it."""


class TaskRunner:
    """`ran` collects what has ended; `on_end` is called after each. Attempts go by their leases: one whose lease was lost may
    still run when the same job comes again."""

    def __init__(
        self, clock: Clock, most_result_bytes: int, guard: ForkGuard, on_end: Callable[[], None]
    ) -> None:
        self._clock, self._most_result_bytes, self._on_end = clock, most_result_bytes, on_end
        self._guard = guard
        self._running: dict[str, tuple[ChosenJob, asyncio.Task[None]]] = {}
        self._stopped: set[str] = set()
        self._interrupting = False
        self.ran: list[Ran] = []

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, handle: str) -> bool:
        return handle in self._running

    async def start(self, jobs: list[ChosenJob]) -> list[Lease]:
        """Start them all; those that have started and not ended yet when each has come to its first wait."""
        for job in jobs:
            self._running[job.lease.handle] = (job, asyncio.create_task(self._run(job)))
        await asyncio.sleep(0)
        return [job.lease for job in jobs if job.lease.handle in self._running]

    def stop(self, handle: str) -> bool:
        """Cancel the task with this lease because its job was asked to stop, once: it may take its time to tidy up. False if it
        does not run here."""
        if handle not in self._running:
            return False
        job, task = self._running[handle]
        if handle not in self._stopped:
            self._stopped.add(handle)
            if job.context is not None:
                job.context.stop()
            task.cancel()
        return True

    def interrupt(self) -> None:
        """The worker has no more time: cancel all; their jobs run again elsewhere."""
        self._interrupting = True
        for _, task in self._running.values():
            task.cancel()

    async def _run(self, job: ChosenJob) -> None:
        started = time.monotonic()
        started_us = self._clock(started)
        try:
            outcome = await self._attempt(job, started_us)
        except BaseException as error:  # noqa: BLE001 - a GeneratorExit passes by every `except` below
            outcome = attempt.raised(job.lease, job.spec, started_us, error)
        self._guard.end_copy()
        self.ran.append(Ran(outcome, time.monotonic() - started))
        del self._running[job.lease.handle]
        self._stopped.discard(job.lease.handle)
        self._on_end()

    async def _attempt(self, job: ChosenJob, started_us: int) -> Outcome:
        spec, lease, context = job.spec, job.lease, job.context
        try:
            payload = orjson.loads(lease.request)
            async with (
                _Limit(spec.hard_seconds, TimeLimit),
                _Limit(spec.soft_seconds, SoftTimeLimit, "soft "),
            ):
                value = await (
                    spec.function(payload, context) if spec.wants_context else spec.function(payload)
                )
        except asyncio.CancelledError as error:
            asked_to_stop = lease.handle in self._stopped
            if self._interrupting and not asked_to_stop:
                return attempt.interrupted(lease, started_us)
            return attempt.raised(lease, spec, started_us, error, asked_to_stop=asked_to_stop)
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the handler's, not ours
            return attempt.raised(lease, spec, started_us, error, asked_to_stop=lease.handle in self._stopped)
        return attempt.returned(lease, started_us, value, self._most_result_bytes)


class _Limit:
    """Cancels what is inside after some seconds and raises `error` instead of TimeoutError. None: no limit."""

    def __init__(self, seconds: float | None, error: type[Exception], kind: str = "") -> None:
        self._timeout = asyncio.timeout(seconds)
        self._seconds, self._error, self._kind = seconds, error, kind

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._timeout.__aexit__(*exc)  # type: ignore[arg-type]
        except TimeoutError as error:
            raise self._error(f"the {self._kind}time limit of {self._seconds} s has run out") from error
