"""A script that fails is no outage: what it was to record is given up and told. A server that refuses writes for a time is one; one
without memory takes nothing new, and what makes room again goes on."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from laneway.dev import embedded
from laneway.lanes.commands import Pause, Resume
from laneway.lanes.connection import connect
from laneway.lanes.model import JobState, Outcome
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.worker.pool.jobs import EndedRun
from laneway.worker.pool.messenger import Messenger
from tests.lanes.driver import Driver
from tests.worker.running import Worker, fresh, running, wait_for


def test_an_end_that_cannot_be_recorded_holds_up_no_other(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script fails for all, so each is sent alone."""
    lanes = Driver(redis_url, f"refused-{secrets.token_hex(4)}")
    users = ["ann", "bob", "eve"]
    leases = [lease for user in users for lease in lanes.started(user)]
    unlucky = replace(leases[1], attempt="not a number")
    outcomes = [
        Outcome(leases[0], JobState.SUCCEEDED, 1, b"1"),
        Outcome(unlucky, JobState.QUEUED, 1, b""),
        Outcome(leases[2], JobState.SUCCEEDED, 1, b"1"),
    ]

    async def run() -> list[bool]:
        async with connect_async(redis_url, timeout_seconds=5) as client:
            messenger = Messenger("w1", AsyncLanes(client, lanes.keys), Mock())
            recorded, _ = await messenger.exchange([EndedRun(outcome, 0.1) for outcome in outcomes], None)
            return recorded

    assert asyncio.run(run()) == [True, False, True]
    assert lanes.done() == [leases[0].job_id, leases[2].job_id]
    (refused,) = [line for line in capsys.readouterr().out.splitlines() if "outcome_refused" in line]
    assert unlucky.job_id in refused
    assert lanes.lane("ann") == lanes.lane("eve") == []
    lanes.close()


@pytest.mark.thorough  # the next test refuses writes too
def test_a_process_dies_while_redis_refuses_writes(tmp_path: Path) -> None:
    """What became of its jobs is sent until Redis takes it: they run again long before their leases run out."""
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server, fresh(server.url, tmp_path) as system:
        redis = system.lanes.client
        with running(system, lease_seconds=60) as worker:
            user = system.user()
            ids = system.enqueue(user, "queuer", *[{"gate": "never", "times": 1}] * 3)
            system.await_starts(3, user)  # a claimed job counts as running before its process notes the run
            redis.config_set("min-replicas-to-write", 1)
            for pid in {run.pid for run in system.notes.runs(user)}:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: any("lose: NOREPLICAS" in line.get("error", "") for line in worker.lines()))
            redis.config_set("min-replicas-to-write", 0)
            assert {(job.state, job.attempts) for job in system.ended(user, ids)} == {(JobState.SUCCEEDED, 1)}


REFUSALS = (
    ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
)
"""Commands that make Redis refuse writes, and those that end it."""


def test_celery_outlives_a_redis_that_refuses_to_hand_out_turns(tmp_path: Path) -> None:
    """It replaces processes that die, reconnects once for each refusal, and logs no failure of a script."""
    (tmp_path / "valkey").mkdir()
    with (
        embedded.valkey(tmp_path / "valkey") as server,
        fresh(server.url, tmp_path) as system,
        running(system, worker_processes=1, lease_seconds=60) as worker,
        connect(server.url) as admin,
    ):
        celery = worker.celery
        for number, (refuse, allow) in enumerate(REFUSALS, 1):
            # Celery and the pool process, which stands by, wait for messages.
            wait_for(lambda: admin.info("clients")["blocked_clients"] == 2)
            admin.execute_command(*refuse.split())
            wait_for(lambda number=number: _refused_turns(worker) == number, what=worker.tail)  # type: ignore[misc]
            (pid,) = worker.pool
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not admin.info("clients")["blocked_clients"])  # its claim has gone with it
            admin.execute_command(*allow.split())
            user = system.user()
            (job,) = system.ended(user, system.enqueue(user, "work", {}))
            assert job.state is JobState.SUCCEEDED
            assert worker.celery == celery
            worker.await_ready()
        assert _broken_off(worker) == len(REFUSALS)
        assert not [line for line in worker.lines() if line["event"] == "script_failed"]


def _broken_off(worker: Worker) -> int:
    """How often Celery's connection has broken off."""
    return sum("Connection to broker lost" in line["event"] for line in worker.lines())


def _refused_turns(worker: Worker) -> int:
    """How often Celery has begun to wait until Redis accepts writes."""
    return sum("(turns: " in line.get("error", "") for line in worker.lines())


def test_a_worker_that_starts_while_redis_has_no_memory_makes_room(tmp_path: Path) -> None:
    """Turn after turn: Celery may neither need to write for one, nor end because it cannot."""
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server, fresh(server.url, tmp_path) as system:
        redis, user, later = system.lanes.client, system.user(), system.user()
        ids = {one: system.enqueue(one, "work", *[{"ms": 10}] * 20) for one in (user, later)}
        system.lanes.run(Pause(later))
        redis.config_set("maxmemory", 1)
        with running(system, turn_seconds=0.2) as worker:
            system.ended(user, ids[user])
            turns = set(redis.lrange(system.keys.turns, 0, -1))
            wait_for(lambda: turns.isdisjoint(redis.lrange(system.keys.turns, 0, -1)))
            system.lanes.run(Resume(later))
            assert {job.state for job in system.ended(later, ids[later])} == {JobState.SUCCEEDED}
            worker.terminate()
            assert worker.exit_code() == 0
