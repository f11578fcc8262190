"""Keeps Celery from connecting again and again while Redis refuses to hand out messages.

A Redis that has lost its replicas, has become a replica or cannot write to its disk accepts connections and refuses `BRPOP`. Celery
would then connect several times a second, and write four lines to the log each time.
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
    """A step of Celery's consumer. It starts with each connection to the broker, before the first message is asked for."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Return when Redis accepts writes. Raises what ends Celery if it is asked to stop meanwhile."""
        wait_until_writable(consumer.app.lanes)


def wait_until_writable(lanes: Lanes) -> None:
    """Return when Redis accepts the commands that a turn needs. The log says once what it waits for."""
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
