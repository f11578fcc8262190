"""Redis loses what it held while a worker runs: the worker serves new jobs within seconds, and the damage is logged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from laneway.dev import embedded
from laneway.lanes.commands import InspectLane
from laneway.lanes.model import JobState
from tests.worker.running import System, Worker, database, fresh, running, wait_for

RESUME_SECONDS = 20


def events(worker: Worker) -> set[str]:
    return {line["event"] for line in worker.lines()}


def serves(system: System) -> None:
    """New jobs of several users run."""
    for user in (system.user(), system.user()):
        (job_id,) = system.enqueue(user, "work", {"ms": 1})
        (job,) = system.ended(user, [job_id], RESUME_SECONDS)
        assert job.state == JobState.SUCCEEDED


def flush(server: embedded.Embedded) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def restart_without_data(server: embedded.Embedded) -> None:
    """Without its scripts and its clients, too."""
    server.kill()
    for file in server.folder.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    server.start()


@pytest.mark.parametrize("empty", [flush, pytest.param(restart_without_data, marks=pytest.mark.thorough)])
def test_redis_comes_back_empty(
    tmp_path: Path, mongo_url: str, empty: Callable[[embedded.Embedded], None]
) -> None:
    (tmp_path / "valkey").mkdir()
    with (
        embedded.valkey(tmp_path / "valkey") as server,
        database(mongo_url) as mongo,
        fresh(server.url, tmp_path, mongo) as system,
        running(system, lane_concurrency=1, turn_seconds=1) as worker,
    ):
        serves(system)
        empty(server)
        wait_for(lambda: "worker_keys_restored" in events(worker), RESUME_SECONDS, what=worker.tail)
        serves(system)
        assert system.lanes.run(InspectLane("new")).slots == 1


@pytest.mark.thorough  # test_turns has a ring that nobody serves
def test_the_ring_is_lost(tmp_path: Path, mongo_url: str) -> None:
    (tmp_path / "valkey").mkdir()
    with (
        embedded.valkey(tmp_path / "valkey") as server,
        database(mongo_url) as mongo,
        fresh(server.url, tmp_path, mongo) as system,
        redis.Redis.from_url(server.url) as client,
    ):
        users = [system.user() for _ in range(3)]
        ids = {user: system.enqueue(user, "work", {"ms": 1}) for user in users}
        client.delete(system.keys.ring)
        with running(system) as worker:
            for user in users:
                assert [job.state for job in system.ended(user, ids[user], RESUME_SECONDS)] == [
                    JobState.SUCCEEDED
                ]
            wait_for(lambda: "damage_mended" in events(worker), RESUME_SECONDS, what=worker.tail)
