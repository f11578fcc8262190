"""Makes Celery wait while Redis refuses writes.

A Redis that has too few replicas, has become a replica, or cannot write to its disk still accepts connections, but refuses `BRPOP`.
Without this step Celery would reconnect several times a second and log four lines each time.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import bootsteps

from laneway.compat.celery import stop_if_asked
from laneway.lanes.commands import Turns
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.store import Lanes

RETRY_SECONDS = 0.5
log = structlog.get_logger()


class RedisWait(bootsteps.StartStopStep):
    """A boot step of Celery's consumer. It runs after each connect to the broker, before the first `BRPOP`."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Block until Redis accepts writes. Raises Celery's WorkerShutdown or WorkerTerminate on SIGTERM."""
        wait_until_writable(consumer.app.lanes)


def wait_until_writable(lanes: Lanes) -> None:
    """Block until Redis accepts the script that pushes turn messages. Logs the first refusal only."""
    is_logged = False
    while True:
        stop_if_asked()
        try:
            lanes.run(Turns(b"", 0))
        except StoreUnavailable as error:
            if not is_logged:
                log.warning("redis_unavailable", error=str(error))
            is_logged = True
            time.sleep(RETRY_SECONDS)
        else:
            return
