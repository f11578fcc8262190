"""Handlers that return or raise odd things, or harm their process: a clear error each, and nobody else is disturbed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from laneway.lanes.commands import Cancel
from laneway.lanes.model import Job, JobState
from laneway.worker.pool.unknown_types import UNKNOWN_TYPE_SECONDS
from tests.worker.running import System, Worker, database, fresh, running, wait_for

LEASE_SECONDS = 2
"""Claims that were under way when their process died wait for as long."""
QUICK = {("harm", "kill"), ("harmasync", "exit")}
OTHERS = [("fork", "harm"), ("fork", "harmasync"), ("fork and raise", "harmasync"), ("alarm", "harm")]
"""What `make test` leaves out: each case costs a process or more."""


@pytest.fixture(scope="module")
def worker(redis_url: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with (
        database(mongo_url) as mongo,
        fresh(redis_url, tmp_path_factory.mktemp("misbehaviour"), mongo) as system,
        running(system, demo_faults=True, lease_seconds=LEASE_SECONDS) as worker,
    ):
        yield worker


@pytest.fixture(autouse=True)
def _neighbours(worker: Worker) -> Iterator[None]:
    """Another user's jobs that run meanwhile all succeed, and all processes serve jobs afterwards."""
    system = worker.system
    worker.await_ready()
    user = system.user()
    ids = system.enqueue(user, "work", *[{"ms": 5}] * 40)
    yield
    assert {job.state for job in system.ended(user, ids)} == {JobState.SUCCEEDED}
    worker.await_ready()
    all_serve(worker)


def all_serve(worker: Worker) -> None:
    """One job in each process at the same time, and after them async ones."""
    system = worker.system
    users = [system.user() for _ in worker.pool]
    gate = users[0]
    ids = {user: system.enqueue(user, "gated", {"gate": gate}) for user in users}
    try:
        system.await_starts(len(users), *users)
    finally:
        system.notes.open(gate)
    for user in users:
        assert {job.state for job in system.ended(user, ids[user])} == {JobState.SUCCEEDED}
    assert {run.pid for run in system.notes.runs(*users)} == set(worker.pool)
    user = system.user()
    assert {job.state for job in system.ended(user, system.enqueue(user, "wait", *[{"ms": 1}] * 10))} == {
        JobState.SUCCEEDED
    }


def one(system: System, type_: str, request: Any, attempts: int = 1) -> Job:
    user = system.user()
    return system.ended(user, system.enqueue(user, type_, request, attempts=attempts))[0]


def error(job: Job) -> tuple[str, str]:
    assert job.error is not None
    fields = orjson.loads(job.error)
    return fields["type"], fields["message"]


@pytest.mark.parametrize("type_", ["odd", "oddasync", pytest.param("oddchild", marks=pytest.mark.thorough)])
def test_whatever_a_handler_raises_is_a_failure_with_a_clear_error(worker: Worker, type_: str) -> None:
    expected = {
        "exit": ("SystemExit", "3"),
        "interrupt": ("KeyboardInterrupt", ""),
        "generator": ("GeneratorExit", ""),
        "cancelled": ("CancelledError", ""),
        "no text": ("_NoTextError", "(its text cannot be read: ValueError)"),
        "exit in text": ("_ExitTextError", "(its text cannot be read: SystemExit)"),
        "surrogates": ("ValueError", "half a pair: \\udcff"),
        "bytes": ("ValueError", "b'\\xff\\xfe'"),
        "long": ("ValueError", "x" * 4000),
    }
    user = worker.system.user()
    ids = worker.system.enqueue(user, type_, *[{"raise": kind} for kind in expected], attempts=1)
    for job, want in zip(worker.system.ended(user, ids), expected.values(), strict=True):
        assert (job.state, job.attempts) == (JobState.FAILED, 1)
        assert error(job) == want


@pytest.mark.parametrize("type_", ["odd", "oddasync"])
def test_a_result_that_is_not_json_or_too_large_fails_for_good(worker: Worker, type_: str) -> None:
    kinds = ["set", "object", "surrogates", "deep", "keys", "huge int", "large"]
    user = worker.system.user()
    ids = worker.system.enqueue(user, type_, *[{"return": kind} for kind in kinds])
    for kind, job in zip(kinds, worker.system.ended(user, ids), strict=True):
        assert (job.state, job.attempts) == (JobState.FAILED, 1), kind
        name, message = error(job)
        if kind == "large":
            assert (name, message) == ("ResultTooLarge", "the result has 2000002 bytes, 1048576 are allowed")
        else:
            assert name == "ResultNotJSON"
            assert message.startswith("the handler's result is not JSON: ")


def test_no_result_is_null_and_no_number_fails_for_good(worker: Worker) -> None:
    user = worker.system.user()
    nothing, nan = worker.system.ended(
        user, worker.system.enqueue(user, "odd", {"return": "nothing"}, {"return": "nan"})
    )
    assert (nothing.state, nothing.result) == (JobState.SUCCEEDED, b"null")
    assert (nan.state, nan.attempts) == (JobState.FAILED, 1)
    name, message = error(nan)
    assert name == "ResultNotJSON"
    assert "JSON has no NaN" in message


def test_a_type_without_handler_waits_uncharged_for_a_worker_that_knows_it(worker: Worker) -> None:
    """The others go on meanwhile. It is logged and counted, and nobody asks all the time."""
    system = worker.system
    user, other = system.user(), system.user()
    (job_id,) = system.enqueue(user, "unheard-of", {}, attempts=1)
    wait_for(lambda: any(line["event"] == "type_unknown" for line in worker.lines()))
    (line,) = [line for line in worker.lines() if line["event"] == "type_unknown"]
    assert (line["type"], line["jobs"]) == ("unheard-of", 1)
    began = time.monotonic()
    jobs = system.ended(other, system.enqueue(other, "work", *[{"ms": 1}] * 50))
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    job = system.job(user, job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    counted = 'laneway_worker_events_total{event="type_unknown"}'
    wait_for(lambda: worker.metric(counted) >= 1)
    assert worker.metric(counted) <= 2 + (time.monotonic() - began) / UNKNOWN_TYPE_SECONDS
    assert system.lanes.run(Cancel(user, job_id)) == "cancelled"


def test_permanent_fails_without_a_retry(worker: Worker) -> None:
    job = one(worker.system, "permanent", {}, attempts=3)
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert error(job) == ("Permanent", "no use \\ud800 in trying")


@pytest.mark.parametrize(
    ("type_", "how"),
    [
        pytest.param(type_, how, marks=() if (type_, how) in QUICK else pytest.mark.thorough)
        for type_ in ("harm", "harmasync")
        for how in ("exit", "kill", "close")
    ],
)
def test_a_job_that_ends_its_process_runs_again_until_it_has_done_so_three_times(
    worker: Worker, type_: str, how: str
) -> None:
    survivor = one(worker.system, type_, {"how": how, "times": 2}, attempts=1)
    assert (survivor.state, survivor.attempts, survivor.result) == (JobState.SUCCEEDED, 1, b'"unharmed"')
    poison = one(worker.system, type_, {"how": how}, attempts=1)
    assert (poison.state, poison.attempts) == (JobState.FAILED, 0)
    assert error(poison) == ("WorkerLost", "the job ran alone in 3 processes in a row that died")


@pytest.mark.parametrize(
    ("how", "type_"),
    [
        ("fork and raise", "harm"),
        ("alarm", "harmasync"),
        *(pytest.param(how, type_, marks=pytest.mark.thorough) for how, type_ in OTHERS),
        ("signals", "harm"),  # Python sets signal handlers in the main thread only
    ],
)
def test_what_a_handler_does_to_its_process_does_not_last(worker: Worker, type_: str, how: str) -> None:
    """A copy that comes back from the handler is no second worker; signal handlers and alarms are set again."""
    system = worker.system
    before = set(worker.everything())
    user = system.user(slots=1)
    ids = system.enqueue(user, type_, *[{"how": how}] * 4, attempts=1)
    jobs = system.ended(user, ids)
    assert {(job.state, job.attempts, job.result) for job in jobs} == {(JobState.SUCCEEDED, 1, b'"unharmed"')}
    wait_for(lambda: set(worker.everything()) == before)
    limited = [
        (user, system.enqueue(user, "soft", {}, attempts=1)) for user in (system.user() for _ in range(4))
    ]
    for user, ids in limited:
        assert error(system.ended(user, ids)[0])[0] == "SoftTimeLimit"


def test_an_event_loop_that_a_handler_stops_goes_on(worker: Worker) -> None:
    job = one(worker.system, "loopstop", {}, attempts=1)
    assert (job.state, job.result) == (JobState.SUCCEEDED, b'"went on"')


def test_the_neighbours_of_a_poison_job_all_succeed(worker: Worker) -> None:
    system = worker.system
    poison, same = system.user(), system.user()
    (crash,) = system.enqueue(poison, "crash", None, attempts=1)
    users = [system.user() for _ in range(20)]
    ids = {
        user: [system.enqueue(user, type_, {"ms": 3})[0] for type_ in ("work", "wait", "light") * 5]
        for user in users
    }
    mixed = [system.enqueue(same, type_, {"ms": 3})[0] for type_ in ("work", "wait")]
    mixed += system.enqueue(same, "crash", None, attempts=2)
    mixed += [system.enqueue(same, type_, {"ms": 3})[0] for type_ in ("work", "wait")]
    assert system.ended(poison, [crash], 60)[0].state == JobState.FAILED
    for user in users:
        assert {job.state for job in system.ended(user, ids[user], 60)} == {JobState.SUCCEEDED}
    states = [job.state for job in system.ended(same, mixed, 60)]
    assert states == [*[JobState.SUCCEEDED] * 2, JobState.FAILED, *[JobState.SUCCEEDED] * 2]
    assert [job.attempts for job in system.jobs(poison, [crash])] == [0]
