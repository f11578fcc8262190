"""The lease keeper's process: `python -m laneway.worker.lease_keeper FOLDER`. Also home of the worker's metrics, and of the janitor
where it is not the operator's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from laneway.janitor import Janitor
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, Lanes, connect, connect_async
from laneway.presence import PresenceSweeper
from laneway.settings import Settings, load
from laneway.storage.history_writer import HistoryWriter
from laneway.telemetry import log as logs
from laneway.telemetry.job_log import JobLog
from laneway.worker.lease_keeper import pool_watch
from laneway.worker.lease_keeper.lease_keeper import LeaseKeeper
from laneway.worker.lease_keeper.monitor import serve
from laneway.worker.setup import registry_of
from laneway.worker.stats import Stats, StatsCollector

log = structlog.get_logger()


def start_janitor(settings: Settings, keys: Keys, stop: threading.Event) -> tuple[Janitor, threading.Thread]:
    lanes = Lanes(connect(settings.redis_url), keys)
    janitor = Janitor(
        lanes,
        HistoryWriter.connect(settings.mongo_url, settings.mongo_database, days=settings.history_days),
        PresenceSweeper(lanes),
        JobLog("worker", settings.log_level, worker="janitor"),
        grace_seconds=settings.disconnect_grace_seconds,
        policy=settings.disconnect_policy,
        backlog=settings.history_backlog,
    )
    thread = threading.Thread(  # a daemon: whatever ends the lease keeper must end the process, or nobody starts it anew
        target=janitor.run, args=(stop, settings.janitor_interval_seconds), name="janitor", daemon=True
    )
    thread.start()
    return janitor, thread


async def run(settings: Settings, folder: Path) -> int:
    """The exit code: not 0 if the worker must be started anew."""
    keys = Keys(settings.key_prefix)
    stats = Stats()
    lanes = AsyncLanes(connect_async(settings.redis_url), keys)
    name = f"{socket.gethostname()}:{os.getpid()}"
    lease_keeper = LeaseKeeper(
        folder,
        lanes,
        registry_of(settings),
        stats,
        JobLog("worker", settings.log_level, worker=name),
        worker=name,
        lease_seconds=settings.lease_seconds,
    )
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    stop_janitor = threading.Event()
    janitor = start_janitor(settings, keys, stop_janitor) if settings.janitor else None
    registry = CollectorRegistry()
    registry.register(StatsCollector(stats))
    if settings.worker_metrics_port:
        address = (settings.worker_metrics_host, settings.worker_metrics_port)
        serve(address, registry, lease_keeper, janitor[0] if janitor else None)
    running = asyncio.create_task(lease_keeper.run())
    broken = asyncio.create_task(pool_watch.broken(lease_keeper, lanes, settings.worker_processes))
    asked = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, broken, asked}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    if not (whole := broken.cancel()):
        log.error("pool_broken", reason=broken.result())
    await lease_keeper.shut_down(settings.shutdown_grace_seconds)
    while lease_keeper.burying or (lease_keeper.processes and whole):  # noqa: ASYNC110 - a shutdown may look
        await asyncio.sleep(0.05)
    running.cancel()
    if janitor:
        stop_janitor.set()
        await asyncio.to_thread(janitor[1].join)
    return 0 if whole else 1


def main() -> None:
    settings = load()
    logs.configure("worker", settings.log_level)
    sys.exit(asyncio.run(run(settings, Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
