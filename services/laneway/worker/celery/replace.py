"""Replaces dead pool processes soon.

Celery 5.7 hears of the end of a pool process when the write end of a pipe closes that the process holds; but processes forked
after it hold a copy of that end, so for the first ones of a pool nothing is heard, and only a look every 5 s finds them.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

LOOK_SECONDS = 0.25


class Replace(bootsteps.StartStopStep):
    """A step of Celery's worker that looks more often. Registered anew with each connection to the broker, as the event loop is."""

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        hub.call_repeatedly(LOOK_SECONDS, worker.pool.maintain_pool)
