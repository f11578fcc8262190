"""Celery's part: a pool of processes, and turns that are spread over them. Run as `python -m laneway.worker.celery.app FOLDER`.

A turn message carries no job and no state: losing, repeating or delaying one is harmless. This module alone knows what one
looks like; Redis has its bytes, and the scripts push them when the ring has more to do than processes at work.
"""

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
from kombu import Connection, Exchange
from kombu.utils.json import dumps

from laneway.handlers.registry import Registry
from laneway.lanes.commands import Limit, Turns
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.keys import TURN_PLACEHOLDER, Keys
from laneway.lanes.store import Lanes, connect
from laneway.parent import end_with_parent
from laneway.settings import Settings, load
from laneway.telemetry import log as logs
from laneway.worker.celery.replace import Replace
from laneway.worker.pool.process import Process, ProcessConfig
from laneway.worker.setup import registry_of

QUEUE = "turns"
TASK = "turn"
log = structlog.get_logger()
_process: Process | None = None


def make_app(settings: Settings, keys: Keys) -> Celery:
    """The Celery app of this worker; its queue is the list that the scripts push to."""
    app = Celery("laneway", broker=settings.redis_url, set_as_current=True)
    app.conf.update(
        task_default_queue=QUEUE,
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
            "ack_emulation": False,  # it writes what a server without memory refuses; and a turn may be lost
        },
    )
    app.amqp.queues[QUEUE].exchange = Exchange("")  # the one of which no binding is written
    app.steps["worker"].add(Replace)
    return app


def turn_message(app: Celery) -> bytes:
    """A turn as Celery and kombu would push it, with a placeholder where each message has an id of its own."""
    queue = app.amqp.queues[QUEUE]
    with Connection("memory://") as connection:
        channel = connection.channel()
        app.amqp.send_task_message(
            app.amqp.Producer(channel),
            TASK,
            app.amqp.create_task_message(TURN_PLACEHOLDER, TASK, (), {}, ignore_result=True),
            queue=queue,
            declare=[queue],
            retry=False,
        )
        message = channel._get(QUEUE)  # noqa: SLF001 - kombu has no public way to see a message as it goes out
    message["properties"]["delivery_tag"] = TURN_PLACEHOLDER
    return str(dumps(message)).encode()


def prepare(lanes: Lanes, message: bytes, settings: Settings) -> None:
    """Tell Redis what it must know of workers; waits for a Redis that is not there yet."""
    while True:
        try:
            lanes.run(Limit("*", settings.lane_concurrency))
            lanes.run(Turns(message, settings.worker_processes))  # one for each of its processes
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            time.sleep(0.5)
        else:
            return


def main() -> None:
    settings = load()
    logs.configure("worker", settings.log_level)
    keys = Keys(settings.key_prefix)
    app = make_app(settings, keys)
    message = turn_message(app)
    registry = registry_of(settings)
    config = ProcessConfig(
        redis_url=settings.redis_url,
        key_prefix=settings.key_prefix,
        folder=Path(sys.argv[1]),
        log_level=settings.log_level,
        lease_seconds=settings.lease_seconds,
        turn_seconds=settings.turn_seconds,
        async_jobs=settings.async_jobs,
        result_max_bytes=settings.result_max_bytes,
    )
    _connect_signals(config, registry)

    @app.task(name=TASK, ignore_result=True)
    def turn() -> None:
        """Serve jobs; then see to it that another turn follows, so that an idle process stands by at all times."""
        if _process is None:
            raise RuntimeError("a turn outside of a pool process")
        if _process.serve_turn():
            with connect(settings.redis_url) as client, suppress(LaneError):
                Lanes(client, keys).run(Turns(b"", 1))

    prepare(Lanes(connect(settings.redis_url), keys), message, settings)
    with Path(os.devnull).open("w") as nowhere:
        vars(sys)["__stdout__"] = nowhere  # Celery (5.7) says there, past every log, that it shuts down
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
        """Celery leaves the logs alone as soon as somebody listens here."""

    @signals.worker_process_init.connect(weak=False)
    def build(**_: Any) -> None:
        global _process  # one object a process, built after the fork
        end_with_parent(signal.SIGKILL, parent)  # nobody would hand it turns any more
        _process = Process(config, registry)


if __name__ == "__main__":
    main()
