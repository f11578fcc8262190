"""Replaces dead pool processes soon: left to itself, Celery may take 5 s."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from laneway.compat.celery import replace_dead_processes

CHECK_SECONDS = 0.25


class PoolMaintenance(bootsteps.StartStopStep):
    """A step of Celery's worker. Celery registers it again with each connection to the broker, like its event loop."""

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Check the pool every CHECK_SECONDS from now on."""
        hub.call_repeatedly(CHECK_SECONDS, replace_dead_processes, worker)
