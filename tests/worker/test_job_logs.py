"""What handlers print and log is kept with their job: while it runs, after its end, and across attempts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from laneway.lanes import events
from laneway.lanes.commands import InspectLog, Watch
from laneway.lanes.events import Event
from laneway.lanes.model import Job, JobState
from laneway.lanes.run_log import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    MAX_RUN_BYTES,
    JobLines,
    LoggedRun,
    RunState,
    decode,
)
from tests.lanes.driver import Driver
from tests.worker.running import System, Worker, fresh, running, wait_for


def new_mark() -> str:
    return "mark" + secrets.token_hex(6)


def ended(worker: Worker, type_: str, payload: dict[str, Any], seconds: float = 30) -> tuple[Job, JobLines]:
    """Run one job and return it with its log."""
    user = worker.system.user()
    (job_id,) = worker.system.enqueue(user, type_, payload)
    (job,) = worker.system.ended(user, [job_id], seconds)
    return job, decode(job.log)


def log_of(system: System, user: str, job_id: str) -> JobLines:
    found = system.lanes.run(InspectLog(user, job_id))
    assert found is not None
    return found


def texts(run: LoggedRun) -> list[str]:
    return [line.text for line in run.lines]


@pytest.fixture
def watched(shared: Worker) -> Iterator[Callable[[str], list[Event]]]:
    """Watch users. Returns what lists the log events of one so far."""
    lanes = shared.system.lanes
    received: list[Event] = []
    with lanes.client.pubsub() as channel:

        def of(user: str) -> list[Event]:
            if lanes.keys.events(user).encode() not in channel.channels:
                lanes.run(Watch([user], 60))
                channel.subscribe(lanes.keys.events(user))
                assert channel.get_message(timeout=5)["type"] == "subscribe"
            while (message := channel.get_message(timeout=0.01)) is not None:
                received.append(events.parse(message["data"]))
            return [event for event in received if event.state == events.LOG]

        yield of


def test_every_way_to_print_and_log_reaches_the_job(shared: Worker) -> None:
    job, log = ended(shared, "logs", {"how": "every way"})
    (run,) = log.runs
    assert [(line.level, line.text) for line in run.lines] == [
        ("info", "printed in pieces"),
        ("warning", "to stderr"),
        ("warning", "logged 1"),
        ("error", "event_happened size=3"),
        ("info", "said width=100"),
        ("info", "no line feed"),
    ]
    assert [line.number for line in run.lines] == [1, 2, 3, 4, 5, 6]
    assert (run.attempt, run.state, run.started_us, run.worker) == (
        1,
        RunState.ENDED,
        job.started_us,
        job.worker,
    )
    assert job.started_us is not None
    assert job.finished_us is not None
    assert all(job.started_us <= line.at_us <= job.finished_us for line in run.lines)


def test_it_reaches_the_log_of_the_worker_as_before(shared: Worker) -> None:
    mark = new_mark()
    ended(shared, "logs", {"how": "fails once", "mark": mark})
    wait_for(lambda: [line for line in shared.lines() if line.get("text") == f"{mark}, attempt 2"])
    assert not shared.strays()


def test_odd_text_is_kept_as_far_as_it_can_be(shared: Worker) -> None:
    job, log = ended(shared, "logs", {"how": "odd", "mark": "the reason"})
    assert job.state is JobState.SUCCEEDED
    found = texts(log.runs[0])
    assert found[0] == "surrogate \\udce9, escape \x1b[2J, tab \t."
    assert found[1] == "x" * (MAX_LINE_CHARACTERS - 1) + "…"
    assert found[2:4] == ["it failed", "Traceback (most recent call last):"]
    assert "ValueError: the reason" in found
    assert found[-1] == "y" * (MAX_LINE_CHARACTERS - 1) + "…"


def test_a_thread_belongs_to_a_job_only_by_its_context(shared: Worker) -> None:
    mark = new_mark()
    _, log = ended(shared, "logs", {"how": "threads", "mark": mark})
    assert texts(log.runs[0]) == ["said in a thread", "in a copy of the context"]
    wait_for(lambda: [line for line in shared.lines() if line.get("text") == f"from a thread of {mark}"])


def test_overlapping_jobs_have_their_own_lines_and_none_of_ours(shared: Worker) -> None:
    system = shared.system
    marks = [new_mark() for _ in range(10)]
    jobs = [(user := system.user(), *system.enqueue(user, "overlaps", {"mark": mark})) for mark in marks]
    for mark, (user, job_id) in zip(marks, jobs, strict=True):
        (job,) = system.ended(user, [job_id])
        (run,) = decode(job.log).runs
        numbered = [text for number in range(10) for text in (f"{mark} {number}", f"{mark} in a thread")]
        assert texts(run) == [*numbered, mark, mark, mark]
    # Another thread may print between a text and its line feed, so two may share a line of the worker's log.
    wait_for(lambda: sum(str(line.get("text", "")).count(" late") for line in shared.lines()) >= 10)


def test_a_job_that_logs_nothing_has_no_log(shared: Worker) -> None:
    job, log = ended(shared, "noop", 1)  # type: ignore[arg-type]
    assert job.log is None
    assert log == JobLines(0, [])
    system = shared.system
    text: Any = system.lanes.client.get(f"{system.keys.prefix}ended:{job.job_id}")
    assert text.split(b"\n")[9] == job.user.encode()


@pytest.mark.thorough  # the next test leaves what fits
def test_100_000_lines_leave_the_last_200(shared: Worker) -> None:
    _, log = ended(shared, "logs", {"how": "many"}, 120)
    (run,) = log.runs
    assert texts(run) == [f"line {number}" for number in range(100_001 - MAX_LINES, 100_001)]
    assert run.lines[-1].number == 100_000


def test_large_lines_leave_as_many_as_fit(shared: Worker) -> None:
    job, log = ended(shared, "logs", {"how": "big"})
    assert job.log is not None
    assert MAX_RUN_BYTES - 2000 < len(job.log) <= MAX_RUN_BYTES
    assert log.runs[0].lines[-1].number == 1000


def test_a_retry_keeps_the_lines_of_both_attempts(shared: Worker) -> None:
    job, log = ended(shared, "logs", {"how": "fails once", "mark": "mine"})
    assert job.state is JobState.SUCCEEDED
    first, second = log.runs
    assert (first.attempt, texts(first)[0]) == (1, "mine, attempt 1")
    assert (second.attempt, texts(second)) == (2, ["mine, attempt 2"])
    traceback = texts(first)[1:]
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "RuntimeError"
    assert {line.level for line in first.lines[1:]} == {"error"}
    files = [line for line in traceback if line.startswith("  File")]
    assert files
    assert all("tests/worker/handlers.py" in line for line in files), "none of our own frames"


def test_async_jobs_that_fail_beside_each_other_have_their_own_tracebacks(shared: Worker) -> None:
    system = shared.system
    marks = [new_mark() for _ in range(10)]
    jobs = [
        (user := system.user(), *system.enqueue(user, "raises", {"mark": mark}, attempts=1)) for mark in marks
    ]
    for mark, (user, job_id) in zip(marks, jobs, strict=True):
        (job,) = system.ended(user, [job_id])
        (run,) = decode(job.log).runs
        assert {line.level for line in run.lines} == {"error"}
        found = texts(run)
        assert found[0] == "Traceback (most recent call last):"
        assert found[-1] == f"ValueError: {mark}"
        assert f"KeyError: '{mark}'" in found
        files = [line for line in found if line.startswith("  File")]
        assert all("tests/worker/handlers.py" in line for line in files), (
            "none of our own frames, nor asyncio's"
        )
        assert [line.rsplit(maxsplit=1)[1] for line in files] == ["_fail", "raises", "_fail"]


def test_a_line_is_readable_and_published_before_the_job_has_ended(
    shared: Worker, watched: Callable[[str], list[Event]]
) -> None:
    system, user, mark = shared.system, shared.system.user(), new_mark()
    watched(user)
    (job_id,) = system.enqueue(user, "logs", {"how": "gated", "mark": mark, "gate": mark})
    (event,) = wait_for(lambda: watched(user))
    assert (event.job_id, event.attempts) == (job_id, 1)
    assert [(line.number, line.text) for line in event.lines] == [(1, f"before {mark}")]
    (run,) = log_of(system, user, job_id).runs
    assert (run.state, run.attempt, texts(run)) == (RunState.RUNNING, 1, [f"before {mark}"])
    assert not system.job(user, job_id).state.ended
    (system.folder / f"{mark}.gate").touch()
    system.ended(user, [job_id])
    (run,) = log_of(system, user, job_id).runs
    assert (run.state, texts(run)) == (RunState.ENDED, [f"before {mark}", f"after {mark}"])
    assert not system.lanes.client.exists(f"{system.keys.prefix}lines:{job_id}")


def test_a_handler_that_prints_in_a_loop_floods_nobody(
    shared: Worker, watched: Callable[[str], list[Event]]
) -> None:
    system, user = shared.system, shared.system.user()
    watched(user)
    (job_id,) = system.enqueue(user, "logs", {"how": "many"})
    (job,) = system.ended(user, [job_id], 120)
    assert job.started_us is not None
    assert job.finished_us is not None
    seconds = (job.finished_us - job.started_us) / 1e6
    found = watched(user)
    assert len(found) <= seconds / 0.2 + 1
    numbers = [line.number for event in found for line in event.lines]
    assert numbers == sorted(set(numbers))


@pytest.fixture(scope="module")
def single(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with one process, which the jobs of the next tests end."""
    with (
        fresh(redis_url, tmp_path_factory.mktemp("single")) as system,
        running(system, worker_processes=1) as worker,
    ):
        yield worker


def test_the_lines_of_a_killed_process_are_kept_as_far_as_they_were_sent(single: Worker) -> None:
    system, mark = single.system, new_mark()
    user = system.user()
    (job_id,) = system.enqueue(user, "logs", {"how": "dies", "mark": mark, "gate": mark})
    wait_for(lambda: log_of(system, user, job_id).runs)
    (system.folder / f"{mark}.gate").touch()
    (job,) = system.ended(user, [job_id])
    assert job.state is JobState.SUCCEEDED
    first, *others = decode(job.log).runs
    assert (first.attempt, first.state, texts(first)) == (1, RunState.LOST, [f"last words of {mark}"])
    assert first.started_us is not None
    assert first.worker is not None
    assert not others


def test_what_a_job_has_logged_before_its_time_limit_is_kept(single: Worker) -> None:
    mark = new_mark()
    job, log = ended(single, "stuck", {"mark": mark})
    assert job.state is JobState.FAILED
    assert [run.attempt for run in log.runs] == [1, 2, 3]
    assert all((run.state, texts(run)) == (RunState.LOST, [f"stuck in {mark}"]) for run in log.runs)


@pytest.mark.thorough  # a process is killed in an earlier test
def test_a_lost_worker_leaves_what_was_sent(system: System) -> None:
    user, mark = system.user(), new_mark()
    with running(system, worker_processes=1) as worker:
        (job_id,) = system.enqueue(user, "logs", {"how": "gated", "mark": mark, "gate": mark})
        wait_for(lambda: log_of(system, user, job_id).runs)
        wait_for(lambda: system.job(user, job_id).state is JobState.RUNNING)
        worker.end()
    driver = Driver(system.redis_url, system.prefix)
    (lease,) = system.held_leases(user, "logs")
    driver.lose(lease)
    driver.close()
    (run,) = log_of(system, user, job_id).runs
    assert (run.attempt, run.state, texts(run)) == (1, RunState.LOST, [f"before {mark}"])
