"""Jobs that end every process they run in, among a hundred jobs of others: they fail, and nobody else pays for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from chaos import collection
from chaos.clients.single import SingleRequests
from chaos.event_times import handler_starts
from chaos.faults import jobs
from chaos.faults.fault import Fault, Scene
from chaos.records import read_history
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("tools")]
POISONS = [fault for fault in jobs.FAULTS if fault.name.startswith("poisonous")]
KILLS, JOBS = 3, 8


@pytest.fixture(scope="module")
def scene(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        system = stack.enter_context(System(tmp_path_factory.mktemp("poison"), apis=1, workers=1).running())
        requests, bystanders = SingleRequests(system), SingleRequests(system, "bystander", users=20)
        stack.callback(requests.close)
        stack.callback(bystanders.close)
        yield Scene(system, Random(1), requests, bystanders)


@pytest.mark.parametrize("poison", POISONS, ids=[fault.name for fault in POISONS])
def test_only_the_poisonous_jobs_fail(scene: Scene, poison: Fault) -> None:
    poison.run(scene)  # raises unless the poison has failed and everybody else has succeeded
    users = [*scene.requests.users, *scene.bystanders.users]
    collection.await_quiet(scene.system, users)
    assert collection.leftover_keys(scene.system) == []


def test_no_promise_was_broken_for_anybody(scene: Scene) -> None:
    users = [*scene.requests.users, *scene.bystanders.users]
    collection.record_endings(scene.system, users)
    verdict = collection.judge_users(scene.system, users)
    assert verdict.clean, verdict.violations[:5]
    assert sum(verdict.checked.values()) > 0


def test_a_worker_that_is_killed_three_times_fails_no_job_and_charges_no_attempt(tmp_path: Path) -> None:
    with System(tmp_path, apis=1, workers=1).running() as system:
        from_ns = time.monotonic_ns()
        requests = SingleRequests(system, "patient", users=JOBS)
        sent = [requests.send("wait", {"ms": 3000}) for _ in range(JOBS)]
        (worker,), started = system.workers, handler_starts(system.records)
        for _ in range(KILLS):
            wait_for(lambda from_ns=from_ns: len(started.after(from_ns)) >= 2, 60, "jobs run")  # type: ignore[misc]
            worker.kill()
            from_ns = time.monotonic_ns()
            system.await_ready()
        states = {requests.await_end(*job) for job in sent}
        attempts = {attempt.attempt for attempt in read_history(system.records, system.limits).attempts}
        requests.close()
    assert states == {"succeeded"}
    assert attempts == {1}
