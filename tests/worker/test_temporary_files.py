"""Temporary files go with their job, whatever ends it; the working folder is the same for every job."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from laneway.lanes.model import JobState
from laneway.worker import private_folder
from tests.worker.running import System, Worker, running, wait_for


def litter(worker: Worker, type_: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """What the jobs say, once all have ended."""
    system = worker.system
    user = system.user()
    jobs = system.ended(
        user, system.enqueue(user, type_, *[{"user": user, **request} for request in requests])
    )
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}, [job.error for job in jobs]
    return [orjson.loads(job.result or b"") for job in jobs]


@pytest.mark.parametrize("type_", ["litter", "litterasync"])
def test_each_job_has_a_temporary_folder_that_goes_with_it(shared: Worker, type_: str) -> None:
    found = litter(shared, type_, *[{}] * 4)
    assert len({one["folder"] for one in found}) == 4
    for one in found:
        assert Path(one["file"]).parent == Path(one["folder"])
        assert one.get("in a thread", one["folder"]) == one["folder"]
        assert one.get("is still there", True), "another job's end must not remove it"
        wait_for(lambda one=one: not Path(one["folder"]).exists())  # type: ignore[misc]
        wait_for(lambda one=one: not Path(one["by subprocess"]).exists())  # type: ignore[misc]


@pytest.mark.parametrize("end", ["overrun", "kill"])
def test_the_files_of_a_killed_process_go(shared: Worker, end: str) -> None:
    system = shared.system
    user = system.user()
    (job_id,) = system.enqueue(user, "litter", {"user": user, "how": "overrun"}, attempts=1)
    wait_for(lambda: system.notes.count("littered", user))
    (found,) = list(system.notes.lines(user))
    if end == "kill":
        os.kill(found["pid"], signal.SIGKILL)
        shared.await_ready()
    else:
        assert system.ended(user, [job_id])[0].state is JobState.FAILED
    wait_for(lambda: not Path(found["folder"]).parent.exists())
    assert not Path(found["by subprocess"]).exists()
    system.ended(user, [job_id])
    shared.await_ready()


def test_a_job_that_leaves_the_working_folder_disturbs_nobody(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=1)
    jobs = system.ended(user, system.enqueue(user, "wander", *[None] * 10))
    assert [orjson.loads(job.result or b"") for job in jobs] == [
        [str(system.folder), os.umask(os.umask(0o022))]
    ] * 10


@pytest.mark.thorough  # it starts three workers
def test_a_worker_removes_what_killed_workers_left(system: System) -> None:
    """And nothing that somebody uses."""
    left = tempfile.mkdtemp(prefix=private_folder.PREFIX, dir=system.folder)
    Path(left, "files").mkdir()
    Path(left, "files", "large").write_bytes(b"x" * 100_000)
    with running(system) as killed:
        assert not Path(left).exists()
        (used,) = system.folder.glob(f"{private_folder.PREFIX}*")
        with running(system) as second:
            assert used.exists()
            second.terminate()
            assert second.exit_code() == 0
        assert list(system.folder.glob(f"{private_folder.PREFIX}*")) == [used]
        killed.end()
    assert used.exists()
    with running(system):
        assert not used.exists()
