"""A worker's janitor fires schedules: the job runs, and its outcome is stored."""

from __future__ import annotations

from typing import Any

import pymongo

from tests.schedules import insert_due_schedule
from tests.worker.running import System, running, wait_for


def test_a_worker_fires_schedules(janitor_system: System) -> None:
    system = janitor_system
    assert system.mongo
    url, name = system.mongo
    with (
        pymongo.MongoClient[dict[str, Any]](url) as client,
        running(system, handlers="laneway.handlers.demo") as worker,
    ):
        insert_due_schedule(client[name], "ann")
        wait_for(lambda: client[name].history.find_one({"user": "ann", "state": "succeeded", "type": "echo"}))
        assert worker.metric("laneway_schedules_fired_total") == 1
