"""One pool process: its main thread runs plain handlers, a second thread has the event loop that does all the rest."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import structlog

from laneway.handlers import Registry
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.telemetry.job_log import JobLog
from laneway.worker.clock import RedisClock
from laneway.worker.link import Link
from laneway.worker.pool.batch_sizer import DurationEstimates
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.plain import Batch, PlainRunner
from laneway.worker.pool.turn import TurnLoop, TurnOptions
from laneway.worker.record import Recorder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What a pool process is told; times in seconds. `folder`: where the lease keeper listens."""

    redis_url: str
    key_prefix: str
    folder: Path
    log_level: str
    lease_seconds: float
    turn_seconds: float
    async_jobs: int
    result_max_bytes: int


class Process:
    """Built after the fork, once. Serves one turn at a time."""

    def __init__(self, config: ProcessConfig, registry: Registry) -> None:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._link = Link(config.folder)
        durations, clock = DurationEstimates(), RedisClock()
        self._guard = ForkGuard(self._loop.stop)
        self._turns = TurnLoop(
            TurnOptions(
                worker, config.lease_seconds, config.turn_seconds, config.async_jobs, config.result_max_bytes
            ),
            AsyncLanes(connect_async(config.redis_url), Keys(config.key_prefix)),
            connect_async(config.redis_url, timeout_seconds=30),
            self._link,
            registry,
            Recorder(JobLog("worker", config.log_level, worker=worker), self._link, durations),
            durations,
            clock,
            self._guard,
            self._work.put,
        )
        self._runner = PlainRunner(
            self._link.start_tokens, clock.us, config.lease_seconds, config.result_max_bytes, self._guard
        )
        threading.Thread(target=self._run_loop, name="turn-loop", daemon=True).start()
        try:
            registry.run_start_hooks(lambda hook: asyncio.run_coroutine_threadsafe(hook, self._loop).result())
        except BaseException:  # whatever it is, this process must not serve jobs
            log.exception("start_hook_failed")
            os._exit(70)

    def serve_turn(self) -> bool:
        """Serve jobs until the turn is over; called by the Celery task, in the main thread. False: the worker shuts down."""
        turn = asyncio.run_coroutine_threadsafe(self._turns.serve(), self._loop)
        try:
            while (batch := self._work.get()) is not None:
                self._runner.run(batch)
                self._loop.call_soon_threadsafe(self._turns.wake)
        except BaseException:  # what a signal handler raised that some handler had set, say
            log.exception("main_thread_interrupted")
            os._exit(70)  # the turn goes on without it, and would run beside the next one
        turn.result()
        return not self._turns.stopping

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.add_reader(self._link.socket, self._listen)
        while True:  # a handler's SystemExit or KeyboardInterrupt in a task, or its loop.stop(), must not end the others
            try:
                self._loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - it is also the result of the task that raised it
                log.warning("event_loop_interrupted", error=type(error).__name__)
            self._guard.end_copy()

    def _listen(self) -> None:
        """Do what the lease keeper says. Without a lease keeper nobody renews our leases: end, and let others run what we hold."""
        messages = self._link.receive()
        if messages is None:
            os._exit(70)
        for message in messages:
            if "stop" in message:
                self._turns.shut_down()
            if "interrupt" in message:
                self._turns.interrupt()
            for handle in message.get("stop_jobs", ()):
                self._turns.stop_job(handle)
