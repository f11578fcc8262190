"""The lease keeper's process: `python -m laneway.worker.lease_keeper FOLDER`. It also serves the worker's metrics, and runs the
janitor where the operator does not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from laneway.handlers.loader import load_configured
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.settings import Settings, load
from laneway.telemetry import log as logs
from laneway.telemetry.job_log import JobLog
from laneway.webhooks.sending import with_deliveries
from laneway.worker import captured_output, private_folder
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper import monitor
from laneway.worker.lease_keeper.exposition import CountsCollector
from laneway.worker.lease_keeper.lease_keeper import LeaseKeeper
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.pool_health import wait_until_broken
from laneway.worker.lease_keeper.readiness import Readiness
from laneway.worker.lease_keeper.reassertion import reassert_forever
from laneway.worker.lease_keeper.self_report import report_forever

if TYPE_CHECKING:
    from laneway.worker.lease_keeper.janitor_thread import JanitorThread

log = structlog.get_logger()


async def run(settings: Settings, folder: Path) -> int:
    """Return the exit code: not 0 if the worker must be started again."""
    keys, counts, pool = Keys(settings.key_prefix), Counts(), Pool()
    readiness = Readiness(pool)
    registry = CollectorRegistry()
    registry.register(CountsCollector(counts))
    janitor = _start_janitor(settings, keys, registry) if settings.janitor else None
    if settings.worker_metrics_port:
        address = (settings.worker_metrics_host, settings.worker_metrics_port)
        monitor.serve(address, registry, pool, readiness)
    lanes = AsyncLanes(connect_async(settings.redis_url), keys)
    name = f"{socket.gethostname()}:{os.getpid()}"
    types = with_deliveries(load_configured(settings), settings.webhooks_secret, settings.webhook_networks)
    lease_keeper = LeaseKeeper(
        pool,
        folder,
        lanes,
        types,
        counts,
        JobLog("worker", settings.log_level, worker=name),
        worker=name,
        lease_seconds=settings.lease_seconds,
        max_losses=settings.max_losses,
    )
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    reasserting = asyncio.create_task(
        reassert_forever(
            lanes, folder, pool, types, slots=settings.lane_concurrency, processes=settings.worker_processes
        )
    )
    watching = asyncio.create_task(readiness.watch_forever(lanes))
    reporting = asyncio.create_task(report_forever(lanes, name, pool, readiness))
    is_whole = await _run_until_stopped(lease_keeper, readiness, lanes, settings, asked_to_stop)
    reasserting.cancel()
    watching.cancel()
    reporting.cancel()
    if janitor:
        await janitor.end()
    return 0 if is_whole else 1


def _start_janitor(settings: Settings, keys: Keys, registry: CollectorRegistry) -> JanitorThread:
    """Imported only where it runs: MongoDB's driver and the rest take 6 MB."""
    from laneway.worker.lease_keeper.janitor_thread import JanitorThread  # noqa: PLC0415

    janitor = JanitorThread(settings, keys)
    registry.register(janitor.collector)
    return janitor


async def _run_until_stopped(
    lease_keeper: LeaseKeeper,
    readiness: Readiness,
    lanes: AsyncLanes,
    settings: Settings,
    asked_to_stop: asyncio.Event,
) -> bool:
    """Return False if the pool was broken, True after an orderly shutdown; raise what ended the lease keeper."""
    running = asyncio.create_task(lease_keeper.run())
    broken = asyncio.create_task(
        wait_until_broken(
            lease_keeper.pool,
            lanes,
            settings.worker_processes,
            settings.worker_start_seconds,
            lambda: readiness.is_store_ready,
        )
    )
    asked = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({running, broken, asked}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    if not (is_whole := broken.cancel()):
        log.error("pool_broken", reason=broken.result())
    await lease_keeper.shut_down(settings.shutdown_grace_seconds)
    pool = lease_keeper.pool
    while pool.has_deaths or (pool.size and is_whole):  # noqa: ASYNC110 - a shutdown may poll
        await asyncio.sleep(0.05)
    await lease_keeper.end_delivery()
    running.cancel()
    return is_whole


def main() -> None:
    """Run the lease keeper until SIGTERM or until the pool is broken."""
    settings = load()
    logs.configure("worker", settings.log_level)
    folder = Path(sys.argv[1])
    captured_output.capture(folder)
    private_folder.hold(folder)
    code = asyncio.run(run(settings, folder))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # else Python would wait for the janitor's threads, which may wait for MongoDB


if __name__ == "__main__":
    main()
