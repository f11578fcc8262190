"""One pool process: its main thread runs plain handlers, and a second thread has the event loop that does everything else."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from laneway.compat.random import SeedWatch
from laneway.handlers import Registry
from laneway.handlers.registry import run_hook
from laneway.lanes.keys import Keys
from laneway.lanes.model import Lease
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.telemetry.job_log import JobLog
from laneway.worker import private_folder, protocol
from laneway.worker.pool import job_output
from laneway.worker.pool.batch_sizer import BatchSizer
from laneway.worker.pool.batch_watch import BatchWatch
from laneway.worker.pool.choose import Chooser
from laneway.worker.pool.condition import Condition
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.finish import Finisher
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.isolation import SuspectIsolation
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.lease_keeper_link import EXIT_CODE, LeaseKeeperLink
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.permits import Permits
from laneway.worker.pool.plain import PlainRunner
from laneway.worker.pool.progress import ProgressReports
from laneway.worker.pool.randomness import reseed
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.retirement import Retirement, RetirementLimits
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.standing_claim import StandingClaim
from laneway.worker.pool.start import Starter
from laneway.worker.pool.start_notices import StartNotices
from laneway.worker.pool.tasks import TaskRunner
from laneway.worker.pool.temporary_files import TemporaryFiles
from laneway.worker.pool.turn import Stages, TurnLimits, TurnLoop
from laneway.worker.pool.upkeep import Upkeep
from laneway.worker.protocol import FromLeaseKeeper
from laneway.worker.redis_clock import RedisClock
from laneway.worker.start_tokens import MAX_TOKENS

WAITING_SECONDS = 10
"""Timeout of the connection on which the standing claim waits: its longest wait (5 s) and the 5 s that any reply may take."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What a pool process is built from. `folder`: where the lease keeper listens."""

    redis_url: str
    key_prefix: str
    folder: Path
    log_level: str
    lease_seconds: float
    turn_seconds: float
    async_jobs: int
    max_result_bytes: int
    log_tracebacks: bool
    retirement: RetirementLimits


class PoolProcess:
    """Built once, after the fork. Serves one turn at a time."""

    def __init__(self, config: ProcessConfig, registry: Registry, seeds: SeedWatch) -> None:
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        """Batches for the main thread; None ends the turn."""
        self.is_retired = False
        """The process serves no turn any more, and must end."""
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._link = LeaseKeeperLink(config.folder)
        self._guard = ForkGuard(self._loop.stop)
        self._files = TemporaryFiles(private_folder.temporary_files(config.folder, os.getpid()))
        self._condition = Condition(seeds)
        self._retirement = Retirement(self._condition, config.retirement)
        clock = RedisClock()
        lanes = AsyncLanes(connect_async(config.redis_url), Keys(config.key_prefix))
        self._stages = self._build_stages(config, registry, lanes, clock)
        self._runner = PlainRunner(
            self._link.start_tokens,
            self._link.running_mark,
            clock.us,
            self._guard,
            self._files,
            self._condition,
            self._stages.logs,
            lease_seconds=config.lease_seconds,
            max_result_bytes=config.max_result_bytes,
        )
        limits = TurnLimits(config.lease_seconds, config.turn_seconds, config.async_jobs)
        waiting_client = connect_async(config.redis_url, timeout_seconds=WAITING_SECONDS)
        standing = StandingClaim(lanes, AsyncLanes(waiting_client, lanes.keys), clock, self._wake)
        self._turns = TurnLoop(limits, self._stages, BatchSizer(MAX_TOKENS), clock, standing, self._wake)
        job_output.capture_for(self._stages.logs)
        threading.Thread(target=self._run_loop, name="turn-loop", daemon=True).start()
        reseed(registry)
        self._registry = registry
        self._run_start_hooks()

    def _build_stages(
        self, config: ProcessConfig, registry: Registry, lanes: AsyncLanes, clock: RedisClock
    ) -> Stages:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        link, durations, isolation = self._link, DurationEstimates(), SuspectIsolation()
        reports = Reports(JobLog("worker", config.log_level, worker=worker), link, durations)
        messenger = Messenger(worker, lanes, reports)
        logs = RunLogs(worker, messenger, clock.us, self._loop, self._runs, tracebacks=config.log_tracebacks)
        tasks = TaskRunner(
            clock.us,
            self._guard,
            self._files,
            logs,
            self._wake.set,
            max_result_bytes=config.max_result_bytes,
        )
        running = RunningJobs(tasks)
        notices = StartNotices(worker, messenger, reports, running, clock.us)
        batches = BatchWatch(running, notices, messenger, reports, link, self._work.put, self._wake.set)
        return Stages(
            Chooser(
                registry,
                durations,
                isolation,
                ProgressReports(messenger, logs).context,
                async_jobs=config.async_jobs,
            ),
            Starter(tasks, batches, notices, messenger, link, reports, durations),
            Finisher(running, messenger, link, reports),
            Permits(registry, messenger, reports),
            batches,
            running,
            isolation,
            messenger,
            reports,
            Upkeep(self._condition, self._files, self._retirement),
            logs,
        )

    def _runs(self, lease: Lease) -> bool:
        return self._stages.running.runs(lease)

    def _run_start_hooks(self) -> None:
        try:
            for hook in self._registry.start_hooks:
                run_hook(hook, self._run_in_loop)
        except BaseException:  # whatever it is, this process must not serve jobs
            log.exception("start_hook_failed")
            os._exit(EXIT_CODE)

    def _run_in_loop(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def run_stop_hooks(self) -> None:
        """Let the handlers close what they have made. Called in the main thread after the last turn."""
        for hook in reversed(self._registry.stop_hooks):
            try:
                run_hook(hook, self._run_in_loop)
            except BaseException:  # whatever it is, the other hooks run
                log.exception("stop_hook_failed")

    def serve_turn(self) -> bool:
        """Serve jobs until the turn is over; called in the main thread by the Celery task. False: the worker shuts down."""
        turn = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        try:
            while (batch := self._work.get()) is not None:
                self._runner.run(batch)
                self._loop.call_soon_threadsafe(self._wake.set)
        except BaseException:  # for example what a signal handler raised that some job's handler had set
            log.exception("main_thread_interrupted")
            os._exit(EXIT_CODE)  # the turn would go on without its main thread, beside the next turn
        turn.result()
        if self._retirement.reason is not None:
            self._retire(self._retirement.reason)
        return not self._turns.stopping

    def _retire(self, reason: str) -> None:
        self.is_retired = True
        log.warning("process_recycled", pid=os.getpid(), reason=reason, jobs=self._retirement.jobs)
        self._stages.reports.count("process_recycled", 1)
        self._stages.reports.send_counts(at_once=True)

    async def _serve(self) -> None:
        self._link.send(protocol.TurnBegan())
        try:
            await self._turns.serve()
        finally:
            self._link.send(protocol.TurnEnded())
            self._work.put(None)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.add_reader(self._link, self._link.receive, self._obey)
        while (
            True
        ):  # SystemExit or KeyboardInterrupt in a task, or a handler's loop.stop(), must not end the others
            try:
                self._loop.run_forever()
            except OSError:  # the loop's own descriptors: a handler has closed them
                log.exception("descriptors_closed")
                os._exit(EXIT_CODE)
            except BaseException as error:  # noqa: BLE001 - it is also the result of the task that raised it
                log.warning("event_loop_interrupted", error=type(error).__name__)
            self._guard.end_copy()

    def _obey(self, message: FromLeaseKeeper) -> None:
        match message:
            case protocol.ShutDown():
                self._turns.shut_down()
            case protocol.Interrupt():
                self._stages.running.tasks.interrupt()
            case protocol.StopJobs(handles):
                for handle in handles:
                    self._stages.running.stop(handle)
