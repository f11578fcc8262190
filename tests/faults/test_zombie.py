"""An attempt whose lease was lost and the next attempt of the same job run in the same process, and stay separate.

Stopping the first must not cancel the second, and its end must not end the lease of the second.
"""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path
from typing import Any

import orjson
import pymongo
import pytest

from chaos.records import read_history
from chaos.system.programs import wait_for
from chaos.system.system import System
from laneway.lanes.commands import Enqueue, Expire, InspectJob
from laneway.lanes.keys import Keys
from laneway.lanes.model import Job, JobState, NewJob
from laneway.lanes.store import Lanes, connect

pytestmark = pytest.mark.usefixtures("tools")
LEASE_SECONDS = 2.0
RUN_MS = 6000
"""Longer than two lease times, so that the lease of the second attempt must be renewed."""


def test_a_lost_attempt_does_not_disturb_the_next_one_in_its_process(tmp_path: Path) -> None:
    settings = {"lease_seconds": LEASE_SECONDS}
    one = System(tmp_path, apis=0, workers=1, processes=1, proxied=False, settings=settings)
    with one.running() as system, connect(system.redis.url) as client:
        lanes, (worker,) = Lanes(client, Keys("laneway")), system.workers
        request = orjson.dumps({"tag": "t", "ms": RUN_MS})
        (job_id,) = lanes.run(Enqueue("ann", [NewJob(secrets.token_hex(6), "wait", request, 3)])).job_ids

        def starts() -> int:
            return len(read_history(system.records, system.limits).attempts)

        def job() -> Job | None:
            return lanes.run(InspectJob("ann", job_id))

        wait_for(lambda: starts() == 1, 20, "the first attempt starts")
        wait_for(lambda: (found := job()) and found.state is JobState.RUNNING, 20, "Redis knows that it runs")
        lease_keeper = worker.lease_keeper
        assert lease_keeper is not None
        os.kill(lease_keeper, signal.SIGSTOP)
        try:
            wait_for(lambda: lanes.run(Expire()), 20, "the lease expires")
            wait_for(lambda: starts() == 2, 20, "the second attempt starts")
        finally:
            os.kill(lease_keeper, signal.SIGCONT)
        wait_for(lambda: job() is None, 60, "the job has ended and is in the history")
        first, second = sorted(
            read_history(system.records, system.limits).attempts, key=lambda one: one.start_ns
        )
        with pymongo.MongoClient[dict[str, Any]](system.mongo.url) as mongo:
            archived = mongo["laneway"]["history"].find_one({"_id": f"ann/{job_id}"})
    assert archived is not None
    assert (archived["state"], archived["attempts"]) == ("succeeded", 1)
    assert first.process == second.process
    assert (first.attempt, second.attempt, second.outcome) == (1, 1, "succeeded")  # a lost run is not charged
