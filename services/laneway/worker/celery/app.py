"""Celery's part of a worker: `python -m laneway.worker.celery.app FOLDER`. It keeps a pool of processes and spreads turns over them."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from celery import signals
from celery.exceptions import SecurityWarning

from laneway.compat.billiard import restore_multiprocessing
from laneway.compat.celery import end_process_when, silence_shutdown_messages
from laneway.compat.random import SeedWatch
from laneway.handlers import Registry
from laneway.handlers.loader import load_configured
from laneway.lanes import scripts
from laneway.lanes.commands import Limit, Turns
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.parent import adopt_orphans, end_with_parent
from laneway.settings import Settings, load
from laneway.telemetry import log as logs
from laneway.webhooks.sending import with_deliveries
from laneway.worker import captured_output, orphans, private_folder
from laneway.worker.celery import inherited
from laneway.worker.celery.turn_message import TASK, leave, turn_message
from laneway.worker.celery.turns_app import TurnsApp
from laneway.worker.pool import job_output
from laneway.worker.pool.pool_process import PoolProcess, ProcessConfig
from laneway.worker.pool.retirement import RetirementLimits

REDIS_RETRY_SECONDS = 0.5
log = structlog.get_logger()
_process: PoolProcess | None = None
"""The one object of a pool process, built after the fork."""


def announce(lanes: Lanes, message: bytes, settings: Settings) -> None:
    """Give Redis the default number of slots and the turn message, and have one turn wait for each process.

    Waits for Redis, with a line in the log for each try.
    """
    while True:
        try:
            lanes.run(Limit("*", settings.lane_concurrency))
            lanes.run(Turns(message, settings.worker_processes))
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            time.sleep(REDIS_RETRY_SECONDS)
        else:
            return


def main() -> None:
    """Run Celery until SIGTERM."""
    settings = load()
    logs.configure("worker", settings.log_level)
    folder = Path(sys.argv[1])
    captured_output.capture(folder)
    job_output.replace_streams()
    private_folder.hold(folder)
    keys = Keys(settings.key_prefix)
    scripts.preload()
    app = TurnsApp(settings, keys)
    message = turn_message(app)
    config = ProcessConfig(
        redis_url=settings.redis_url,
        key_prefix=settings.key_prefix,
        folder=folder,
        log_level=settings.log_level,
        lease_seconds=settings.lease_seconds,
        turn_seconds=settings.turn_seconds,
        async_jobs=settings.async_jobs,
        max_result_bytes=settings.result_max_bytes,
        log_tracebacks=settings.log_tracebacks,
        retirement=RetirementLimits(settings.process_max_jobs, settings.process_max_memory_bytes),
    )
    seeds = SeedWatch()
    registry = with_deliveries(_load_handlers(settings), settings.webhooks_secret, settings.webhook_networks)
    _connect_signals(config, registry, seeds)

    @app.task(name=TASK, ignore_result=True)
    def turn() -> None:
        """Serve a turn; then ask for the next one, so that an idle process always stands by."""
        if _process is None:
            raise RuntimeError("a turn outside of a pool process")
        if _process.serve_turn():
            with connect(settings.redis_url) as client, suppress(LaneError):
                Lanes(client, keys).run(Turns(b"", 1))

    announce(app.lanes, message, settings)
    leave(message, folder)
    inherited.release_in_forks()
    gc.collect()
    gc.freeze()  # modules and handlers: the pool's processes share their memory as long as no collector visits them
    # Celery warns root of messages that hold code. Ours hold JSON, and who tries Laneway out in a container is often root.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    with silence_shutdown_messages():
        code = app.serve()
    sys.exit(code)


def _load_handlers(settings: Settings) -> Registry:
    """Load the handlers before the fork, and report threads that their modules start: no pool process will have them."""
    before = set(threading.enumerate())
    registry = load_configured(settings)
    if started := [thread.name for thread in threading.enumerate() if thread not in before]:
        remedy = (
            "the processes of the pool will not have them: start them in a function with @on_process_start"
        )
        log.warning("threads_started_at_import", threads=started, remedy=remedy)
    return registry


def _connect_signals(config: ProcessConfig, registry: Registry, seeds: SeedWatch) -> None:
    parent = os.getpid()

    @signals.setup_logging.connect(weak=False)
    def keep_logging(**_: Any) -> None:
        """Celery leaves the loggers alone as soon as this signal has a receiver."""

    @signals.worker_process_init.connect(weak=False)
    def build(**_: Any) -> None:
        global _process
        end_with_parent(signal.SIGKILL, parent)  # without Celery nobody hands this process turns any more
        adopt_orphans()
        captured_output.capture(config.folder)
        restore_multiprocessing(private_folder.multiprocessing_files(config.folder, os.getpid()))
        process = _process = PoolProcess(config, registry, seeds)
        end_process_when(lambda: process.is_retired)

    @signals.worker_process_shutdown.connect(weak=False)
    def close(**_: Any) -> None:
        if _process is not None:
            _process.run_stop_hooks()
        orphans.kill_all()  # the supervisor, which does so too, may have been killed


if __name__ == "__main__":
    main()
