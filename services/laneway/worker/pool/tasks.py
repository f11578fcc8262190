"""Runs async handlers as tasks of the event loop, many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from laneway.handlers import SoftTimeLimit
from laneway.lanes.model import Lease, Outcome
from laneway.worker import outcomes
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.jobs import ChosenJob, Clock, EndedRun
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.temporary_files import TemporaryFiles

CANCELS = 3
"""How often a task is cancelled before only its hard time limit ends it."""
CANCEL_PAUSE_SECONDS = 15.0
"""The pause between two cancellations: a task may take this long to tidy up."""
log = structlog.get_logger()


class TimeLimit(Exception):
    """The hard time limit has run out. Handlers that ignore it are killed by the lease keeper, under the same error name."""


class TaskRunner:
    """Attempts are known by their leases: one whose lease was lost may still run when the same job comes again.

    `on_end` is called after each end.
    """

    def __init__(
        self,
        clock: Clock,
        guard: ForkGuard,
        files: TemporaryFiles,
        logs: RunLogs,
        on_end: Callable[[], None],
        *,
        max_result_bytes: int,
    ) -> None:
        self._clock, self._guard, self._files, self._logs, self._on_end = clock, guard, files, logs, on_end
        self._max_result_bytes = max_result_bytes
        self._running: dict[str, tuple[ChosenJob, asyncio.Task[None]]] = {}
        self._cancelled_at: dict[str, list[float]] = {}
        """For each lease whose task was asked to stop: the times at which it was cancelled."""
        self._interrupting = False
        self._ended: list[EndedRun] = []

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, handle: str) -> bool:
        return handle in self._running

    @property
    def uncollected(self) -> int:
        """How many runs have ended and were not taken."""
        return len(self._ended)

    def take_ended(self) -> list[EndedRun]:
        """Take the runs that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    async def start(self, jobs: list[ChosenJob]) -> list[Lease]:
        """Start all, let each run to its first wait, and return those that have not ended by then."""
        for job in jobs:
            self._running[job.lease.handle] = (job, asyncio.create_task(self._run(job)))
        await asyncio.sleep(0)
        return [job.lease for job in jobs if job.lease.handle in self._running]

    def stop(self, handle: str) -> bool:
        """Cancel the task with this lease. False if it does not run here.

        Call it repeatedly until the task has ended: a handler may swallow the cancellation, which is then repeated.
        """
        if handle not in self._running:
            return False
        job, task = self._running[handle]
        cancelled_at = self._cancelled_at.setdefault(handle, [])
        if not cancelled_at and job.context is not None:
            job.context.stop()
        if not cancelled_at or time.monotonic() - cancelled_at[-1] >= CANCEL_PAUSE_SECONDS:
            self._cancel_or_warn(job, task, cancelled_at)
        return True

    def _cancel_or_warn(self, job: ChosenJob, task: asyncio.Task[None], cancelled_at: list[float]) -> None:
        if len(cancelled_at) < CANCELS:
            task.cancel()
        elif len(cancelled_at) == CANCELS:
            log.warning(
                "cancel_ignored",
                job_id=job.lease.job_id,
                user=job.lease.user,
                type=job.lease.type,
                reason="the handler swallows CancelledError; only its time limit ends it",
                limit_seconds=job.spec.hard_seconds,
            )
        else:
            return
        cancelled_at.append(time.monotonic())

    def interrupt(self) -> None:
        """Cancel all because the worker has no more time; their jobs run again elsewhere."""
        self._interrupting = True
        for _, task in self._running.values():
            task.cancel()

    async def _run(self, job: ChosenJob) -> None:
        self._files.begin(job.lease)
        started = time.monotonic()
        started_us = self._clock(started)
        try:
            outcome = await self._attempt(job, started_us)
        except BaseException as error:  # noqa: BLE001 - a GeneratorExit passes by every `except` below
            outcome = outcomes.raised(job.lease, job.spec, started_us, error)
        self._guard.end_copy()
        self._ended.append(EndedRun(self._logs.attach_to(outcome), time.monotonic() - started))
        del self._running[job.lease.handle]
        self._cancelled_at.pop(job.lease.handle, None)
        self._on_end()
        if self._files.has_folder(job.lease):
            await asyncio.to_thread(self._files.end, job.lease)

    async def _attempt(self, job: ChosenJob, started_us: int) -> Outcome:
        spec, lease = job.spec, job.lease
        try:
            payload = spec.payload(lease.request)
            async with (
                _Limit(spec.hard_seconds, TimeLimit),
                _Limit(spec.soft_seconds, SoftTimeLimit, "soft "),
            ):
                value = await (
                    spec.function(payload, job.context) if spec.wants_context else spec.function(payload)
                )
                value = spec.result(value)
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the handler's, not ours
            asked_to_stop = lease.handle in self._cancelled_at
            if isinstance(error, asyncio.CancelledError) and self._interrupting and not asked_to_stop:
                return outcomes.cut_short(lease, started_us, outcomes.WORKER_STOPPED)
            if not asked_to_stop:
                self._logs.add_traceback(lease, error)
            return outcomes.raised(lease, spec, started_us, error, asked_to_stop=asked_to_stop)
        return outcomes.returned(lease, started_us, value, self._max_result_bytes)


class _Limit:
    """Cancels its block after some seconds and raises `error` instead of TimeoutError. None: no limit."""

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
