"""Redis is killed and started again under load: workers go on by themselves, and nothing is lost or out of order.

Celery's known weakness (celery issues 8091 and 9054: a worker that connects again and takes no more messages).
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from chaos.system.proxy import Proxy
from laneway.dev import embedded
from laneway.lanes.model import JobState
from tests.worker.notes import most_at_once
from tests.worker.running import System, database, fresh, running, wait_for

RESUME_SECONDS = 5


def any_since(system: System, began_ns: int) -> bool:
    return any(run.start_ns > began_ns for run in system.notes.runs())


@pytest.mark.thorough  # three outages
def test_a_worker_goes_on_after_redis_was_killed_under_load(tmp_path: Path, mongo_url: str) -> None:
    """What was claimed when Redis died, and whose answer never came, runs when its lease has run out."""
    (tmp_path / "valkey").mkdir()
    with (
        embedded.valkey(tmp_path / "valkey") as server,
        database(mongo_url) as mongo,
        fresh(server.url, tmp_path, mongo) as system,
        running(system, lease_seconds=5) as worker,
    ):
        before = set(worker.pool)
        users = [system.user(slots=1 + n % 3) for n in range(20)]
        ids: dict[str, list[str]] = {user: [] for user in users}
        long = system.user()
        long_ids = system.enqueue(long, "queuer", *[{"gate": "restarts"}] * 3)
        system.await_starts(3, long)
        for _ in range(3):
            for user in users:
                ids[user] += system.enqueue(user, "work", *[{"ms": 5}] * 10)
                ids[user] += system.enqueue(user, "wait", *[{"ms": 20}] * 10)
            system.await_starts(system.notes.count("start", *users) + 50, *users)
            server.kill()
            server.start()
            began = time.monotonic_ns()
            wait_for(partial(any_since, system, began), RESUME_SECONDS)
        for user in users:
            jobs = system.ended(user, ids[user], 60)
            assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        system.notes.open("restarts")
        assert {(job.state, job.attempts) for job in system.ended(long, long_ids)} == {
            (JobState.SUCCEEDED, 1)
        }
        for user in users:
            runs = system.notes.runs(user)
            firsts = list(dict.fromkeys(run.job_id for run in runs))
            assert firsts == ids[user]
        assert set(worker.pool) == before
        user = system.user()
        system.ended(user, system.enqueue(user, "work", *[{}] * 50), RESUME_SECONDS)


def test_an_outage_longer_than_the_leases_costs_nobody_an_attempt(tmp_path: Path, mongo_url: str) -> None:
    """Nobody could renew meanwhile. Jobs go on, and those that end before Redis is back have ended."""
    (tmp_path / "valkey").mkdir()
    with (
        embedded.valkey(tmp_path / "valkey") as server,
        database(mongo_url) as mongo,
        fresh(server.url, tmp_path, mongo) as system,
        running(system, lease_seconds=4) as worker,
    ):
        ends, stays = system.user(), system.user()
        ids: dict[str, list[str]] = {ends: [], stays: []}
        for user in ids:
            for type_ in ("queuer", "gated"):
                ids[user] += system.enqueue(user, type_, {"gate": user})
        system.await_starts(4, ends, stays)
        server.kill()
        killed = time.monotonic()
        system.notes.open(ends)
        wait_for(lambda: system.notes.count("end", ends) == 2)
        wait_for(lambda: time.monotonic() > killed + 6)  # all leases have run out
        server.start()
        for user in (ends, stays):
            system.notes.open(user)
            jobs = system.ended(user, ids[user], 30)
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}, worker.tail()


@pytest.mark.thorough  # one more outage
def test_a_lane_goes_on_though_the_start_of_its_first_job_was_lost(tmp_path: Path) -> None:
    """The connection breaks when the start has been sent and has not arrived: the job runs, and Redis does not know."""
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server, fresh(server.url, tmp_path) as system:
        proxy = Proxy(int(server.url.rpartition(":")[2].partition("/")[0]))
        proxy.start()
        with running(system, redis_url=server.url.replace(f":{proxy.target_port}/", f":{proxy.port}/")):
            warm = system.user()
            system.ended(warm, system.enqueue(warm, "wait", *[{}] * 5))
            for type_ in ("queuer", "gated"):
                proxy.delay(0.5)
                user = system.user(slots=2)
                ids = system.enqueue(
                    user, type_, {"gate": f"lost {type_}"}, *[{"gate": type_, "times": 0}] * 5
                )
                system.await_starts(1, user)
                proxy.close()
                proxy.heal()
                try:
                    system.ended(user, ids[1:], 10)
                    assert system.job(user, ids[0]).state == JobState.RUNNING
                finally:
                    system.notes.open(f"lost {type_}")
                assert {job.attempts for job in system.ended(user, ids)} == {1}
                assert most_at_once(system.notes.runs(user)) == 2
        proxy.stop()
