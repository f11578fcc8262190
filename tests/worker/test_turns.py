"""Turn messages may be lost at any time: whoever is janitor sees a ring that nobody serves, and calls for workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from laneway.dev import embedded
from laneway.lanes.commands import Expire
from laneway.lanes.model import JobState
from tests.worker.running import System, fresh, running, wait_for

REPAIR_SECONDS = 2


def lose_turns(system: System) -> None:
    """Take away every turn message and every wake-up."""
    system.lanes.client.delete(system.keys.turns, system.keys.wakeups)


def test_a_ring_that_nobody_serves_is_repaired_within_two_seconds(janitor_system: System) -> None:
    """Each process ends its turn at once when there is nothing to do; before it has another, its message is lost."""
    system = janitor_system
    with running(system, turn_seconds=0.2, worker_processes=2):
        warm = system.user()
        system.ended(warm, system.enqueue(warm, "work", *[{}] * 10))
        for _ in range(5):
            message = system.lanes.client.getdel(system.keys.turn)  # from now on no turn message is made
            assert isinstance(message, bytes)
            user = system.user()
            ids = system.enqueue(user, "work", {})
            lose_turns(system)
            system.lanes.client.set(system.keys.turn, message)
            lost = time.monotonic()
            assert system.ended(user, ids, 10)[0].state == JobState.SUCCEEDED
            assert time.monotonic() - lost < REPAIR_SECONDS + 1


def test_without_a_janitor_nobody_would(system: System) -> None:
    """So that the test above shows what it says: a lost turn is lost until somebody looks."""
    user = system.user()
    system.lanes.client.set(system.keys.turn, b"a turn")
    system.enqueue(user, "work", {})
    lose_turns(system)
    assert system.lanes.client.llen(system.keys.turns) == 0
    system.lanes.run(Expire())
    assert system.lanes.client.llen(system.keys.turns) == 1
    assert system.lanes.client.llen(system.keys.wakeups) == 1


def test_turns_follow_each_other_as_long_as_nothing_is_lost(system: System) -> None:
    """A process that has ended its turn stands by in a new one; the messages do not pile up."""
    with running(system, turn_seconds=0.2, worker_processes=2) as worker:
        for _ in range(10):
            user = system.user()
            (job,) = system.ended(user, system.enqueue(user, "work", {}), 5)
            assert job.started_us is not None
            wait_for(lambda: worker.metric("laneway_worker_jobs_in_flight") == 0)
        wait_for(lambda: system.lanes.client.llen(system.keys.turns) <= worker.processes, 10)


def test_a_turn_that_a_long_job_makes_longer_does_not_ask_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server, fresh(server.url, tmp_path) as system:
        client: Any = system.lanes.client

        def scripts() -> int:  # claims, and a few of the lease keeper
            return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

        def deadline_ms() -> float:
            ((_, score),) = client.zrange(system.keys.leases, 0, -1, withscores=True)
            return float(score)

        with running(system, turn_seconds=0.2, worker_processes=1):
            user = system.user()
            ids = system.enqueue(user, "queuer", {"gate": "long"})
            began = wait_for(lambda: system.view(user).running and deadline_ms())
            wait_for(lambda: deadline_ms() > began + 1000)
            before, since = scripts(), deadline_ms()
            wait_for(lambda: deadline_ms() > since + 2000)
            assert scripts() - before < 30
            system.notes.open("long")
            assert system.ended(user, ids)[0].state is JobState.SUCCEEDED
