"""A process that handlers have worn out is replaced between jobs. Nobody is charged, nothing is lost, and the log says why."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from laneway.dev import embedded
from laneway.lanes.model import JobState
from tests.worker.running import Worker, fresh, running, wait_for

MEMORY_BYTES = 400_000_000
COUNTED = 'laneway_worker_events_total{event="process_recycled"}'


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One process, so that whoever comes next would meet the worn one; and a server whose connections a test may cut."""
    with (
        embedded.valkey(tmp_path_factory.mktemp("valkey"), appendfsync="no") as server,
        fresh(server.url, tmp_path_factory.mktemp("recycling")) as system,
        running(system, worker_processes=1, process_max_memory_bytes=MEMORY_BYTES) as worker,
    ):
        yield worker


def recycled(worker: Worker) -> list[dict[str, Any]]:
    return [line for line in worker.lines() if line["event"] == "process_recycled"]


@pytest.mark.parametrize(
    "request_",
    [{"what": "descriptors"}, {"what": "memory", "bytes": MEMORY_BYTES}],
    ids=["descriptors", "memory"],
)
def test_a_worn_process_is_replaced_before_the_next_job_suffers(
    worker: Worker, request_: dict[str, Any]
) -> None:
    system = worker.system
    before, counted = len(recycled(worker)), worker.metric(COUNTED)
    user, beside = system.user(slots=1), system.user()
    (overlapping,) = system.enqueue(beside, "wait", {"ms": 300}, attempts=1)
    system.await_starts(1, beside)
    ids = system.enqueue(user, "leak", request_, attempts=1) + system.enqueue(
        user, "work", *[{}] * 20, attempts=1
    )
    first, *others = system.ended(user, ids)
    assert {(job.state, job.attempts) for job in [first, *others]} == {(JobState.SUCCEEDED, 1)}
    worn = int(first.result or b"")
    assert [(job.state, job.attempts) for job in system.ended(beside, [overlapping])] == [
        (JobState.SUCCEEDED, 1)
    ]
    if request_["what"] == "descriptors":
        assert worn not in {run.pid for run in system.notes.runs(user)}
    wait_for(lambda: worn not in worker.pool)
    worker.await_ready()
    (line,) = recycled(worker)[before:]
    assert (line["reason"], line["pid"]) == (request_["what"], worn)
    wait_for(lambda: worker.metric(COUNTED) == counted + 1)
    assert not [line for line in worker.lines() if line["level"] in {"error", "critical"}]


def test_a_process_without_descriptors_still_records_what_has_ended(worker: Worker) -> None:
    """Even if it has to connect to Redis again."""
    system = worker.system
    before = len(recycled(worker))
    user = system.user()
    (job_id,) = system.enqueue(user, "leak", {"what": "descriptors", "gate": "starved"}, attempts=1)
    wait_for(lambda: system.job(user, job_id).state is JobState.RUNNING)
    system.lanes.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    system.notes.open("starved")
    (job,) = system.ended(user, [job_id])
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    wait_for(lambda: len(recycled(worker)) > before)
    worker.await_ready()


def test_everything_that_a_process_needs_is_loaded_before_it_is_forked(worker: Worker) -> None:
    system = worker.system
    user = system.user(slots=1)
    ids = []
    for type_, request in [
        ("work", {"fails": 1}),
        ("wait", {"fails": 1}),
        ("soft", {}),
        ("softasync", {}),
        ("permanent", {}),
        ("odd", {"raise": "surrogates"}),
        ("odd", {"return": "object"}),
        ("oddasync", {"raise": "exit"}),
        ("hardasync", {}),
    ]:
        ids += system.enqueue(user, type_, request, attempts=2)
    ids += system.enqueue(user, "imported", None)
    *_, last = system.ended(user, ids, 60)
    assert orjson.loads(last.result or b"") == []


def ends(pid: int) -> dict[str, tuple[str, int]]:
    """What its descriptors are open on, by number: `pipe:[inode]` and the like, and for which access, which tells a pipe's ends apart."""
    return {
        path.name: (
            str(path.readlink()),
            int(_field(Path(f"/proc/{pid}/fdinfo/{path.name}").read_text(), "flags")[0], 8) & os.O_ACCMODE,
        )
        for path in Path(f"/proc/{pid}/fd").iterdir()
    }


def watched(pid: int) -> set[tuple[str, int]]:
    """What its epoll instances watch."""
    found = ends(pid)
    loops = [number for number, (file, _) in found.items() if "eventpoll" in file]
    texts = [Path(f"/proc/{pid}/fdinfo/{number}").read_text() for number in loops]
    return {found[number] for text in texts for number in _field(text, "tfd")}


def _field(text: str, name: str) -> list[str]:
    return re.findall(rf"{name}:\s+(\d+)", text)


def test_a_replaced_process_keeps_nothing_open_that_celery_watches(worker: Worker) -> None:
    """Else Celery's loop spins once it closes such a thing: epoll goes on to report it."""
    (before,) = worker.pool
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: worker.pool not in ([], [before]) and worker.ready())
    (pid,) = worker.pool
    of_celery = watched(worker.celery)
    assert any(file.startswith("socket:") for file, _ in of_celery)  # its connection to Redis
    assert any(file.startswith("pipe:") for file, _ in of_celery)
    assert not of_celery & set(ends(pid).values())


def test_a_process_is_replaced_after_so_many_jobs_if_that_is_set(worker: Worker) -> None:
    with running(worker.system, worker_processes=1, process_max_jobs=50) as limited:
        worker.terminate()
        assert worker.exit_code() == 0
        system = limited.system
        user = system.user()
        jobs = system.ended(user, system.enqueue(user, "work", *[{}] * 150, attempts=1))
        assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert len({run.pid for run in system.notes.runs(user)}) >= 2
        assert {line["reason"] for line in recycled(limited)} == {"jobs"}
