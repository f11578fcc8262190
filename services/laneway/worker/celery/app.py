"""Celery's part of a worker: `python -m laneway.worker.celery.app FOLDER`. It keeps a pool of processes and spreads turns over them."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from celery import Celery, signals
from kombu import Queue

from laneway.compat.celery import silence_shutdown_messages
from laneway.handlers import Registry
from laneway.handlers.loader import load_configured
from laneway.lanes.commands import Limit, Turns
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.parent import end_with_parent
from laneway.settings import Settings, load
from laneway.telemetry import log as logs
from laneway.worker.celery.pool_maintenance import PoolMaintenance
from laneway.worker.celery.turn_message import QUEUE, TASK, turn_message
from laneway.worker.pool.pool_process import PoolProcess, ProcessConfig

REDIS_RETRY_SECONDS = 0.5
log = structlog.get_logger()
_process: PoolProcess | None = None
"""The one object of a pool process, built after the fork."""


def make_app(settings: Settings, keys: Keys) -> Celery:
    """Configure Celery. Its queue is the list that the scripts push turn messages to."""
    app = Celery("laneway", broker=settings.redis_url, set_as_current=True)
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE, no_declare=True)],  # a declaration would write a key that nobody reads
        task_ignore_result=True,
        worker_concurrency=settings.worker_processes,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=60,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": keys.prefix,
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            "health_check_interval": 10,
            "ack_emulation": False,  # it writes what a server without memory refuses, and a turn may be lost
        },
    )
    app.steps["worker"].add(PoolMaintenance)
    return app


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
    keys = Keys(settings.key_prefix)
    app = make_app(settings, keys)
    message = turn_message(app)
    config = ProcessConfig(
        redis_url=settings.redis_url,
        key_prefix=settings.key_prefix,
        folder=Path(sys.argv[1]),
        log_level=settings.log_level,
        lease_seconds=settings.lease_seconds,
        turn_seconds=settings.turn_seconds,
        async_jobs=settings.async_jobs,
        max_result_bytes=settings.result_max_bytes,
    )
    _connect_signals(config, load_configured(settings))

    @app.task(name=TASK, ignore_result=True)
    def turn() -> None:
        """Serve a turn; then ask for the next one, so that an idle process always stands by."""
        if _process is None:
            raise RuntimeError("a turn outside of a pool process")
        if _process.serve_turn():
            with connect(settings.redis_url) as client, suppress(LaneError):
                Lanes(client, keys).run(Turns(b"", 1))

    announce(Lanes(connect(settings.redis_url), keys), message, settings)
    with silence_shutdown_messages():
        _serve(app)


def _serve(app: Celery) -> None:
    app.worker_main(
        [
            "--quiet",  # no banner among the lines of the log
            "worker",
            "--pool=prefork",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


def _connect_signals(config: ProcessConfig, registry: Registry) -> None:
    parent = os.getpid()

    @signals.setup_logging.connect(weak=False)
    def keep_logging(**_: Any) -> None:
        """Celery leaves the loggers alone as soon as this signal has a receiver."""

    @signals.worker_process_init.connect(weak=False)
    def build(**_: Any) -> None:
        global _process
        end_with_parent(signal.SIGKILL, parent)  # without Celery nobody hands this process turns any more
        _process = PoolProcess(config, registry)


if __name__ == "__main__":
    main()
