"""What handlers set up for themselves in each process after the fork, and close at its end."""

from __future__ import annotations

import orjson

from laneway.lanes.model import JobState
from tests.worker.running import System, running, wait_for

MODULE = """
import asyncio, os, threading
from laneway import handler, on_process_start

made = {}

@on_process_start
def connect():
    made["pid"] = os.getpid()
    made["main thread"] = threading.current_thread() is threading.main_thread()

@on_process_start
async def open_session():
    made["loop"] = asyncio.get_running_loop()

@handler
def plain(payload):
    return [made["pid"] == os.getpid(), made["main thread"]]

@handler
async def overlapping(payload):
    return made["loop"] is asyncio.get_running_loop()

async def work():
    return 1

@handler
def forgets_to_await(payload):
    return work()
"""
STOPPING = (
    MODULE
    + """
from pathlib import Path
from laneway import on_process_stop

def write(text):
    with Path(f"stopped-{made['pid']}").open("a") as file:
        file.write(text)

@on_process_stop
def disconnect():
    write("disconnect")

@on_process_stop
def fails():
    raise SystemExit("no matter")

@on_process_stop
async def close_session():
    await asyncio.sleep(0)
    write("session " if made["loop"] is asyncio.get_running_loop() else "another loop")
"""
)
FAILING = (
    MODULE
    + """
@on_process_start
def licence():
    raise RuntimeError("no licence")
"""
)
AT_IMPORT = """
threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
"""


def test_each_process_makes_its_own_things_before_its_first_job_and_closes_them_after_its_last(
    system: System,
) -> None:
    """In reverse order."""
    (system.folder / "mine.py").write_text(STOPPING)
    user = system.user()
    ids = [*system.enqueue(user, "plain", *[0] * 20), *system.enqueue(user, "overlapping", *[0] * 20)]
    (forgotten,) = system.enqueue(user, "forgets_to_await", 0, attempts=1)
    with running(system, handlers="mine", worker_processes=2) as worker:
        jobs = system.ended(user, ids)
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert [orjson.loads(job.result or b"") for job in jobs] == [[True, True]] * 20 + [True] * 20
        (job,) = system.ended(user, [forgotten])
        assert job.state is JobState.FAILED
        assert "functools.wraps" in orjson.loads(job.error or b"")["message"]

        pool = worker.pool
        assert not list(system.folder.glob("stopped-*"))
        worker.process.terminate()
        assert worker.process.wait(30) == 0
        lines = [line for line in worker.lines() if line["event"] == "stop_hook_failed"]
    assert {path.name: path.read_text() for path in system.folder.glob("stopped-*")} == {
        f"stopped-{pid}": "session disconnect" for pid in pool
    }
    assert len(lines) == len(pool)
    assert "no matter" in str(lines[0])


def test_a_process_whose_start_fails_serves_no_job(system: System) -> None:
    (system.folder / "mine.py").write_text(FAILING)
    user = system.user()
    (job_id,) = system.enqueue(user, "plain", 0)
    with running(system, wait=False, handlers="mine") as worker:
        wait_for(lambda: any(line["event"] == "start_hook_failed" for line in worker.lines()), 30)
        assert system.job(user, job_id).state is JobState.QUEUED


def test_threads_that_a_module_starts_at_import_are_reported(system: System) -> None:
    (system.folder / "mine.py").write_text(MODULE + AT_IMPORT)
    with running(system, handlers="mine") as worker:
        (line,) = [line for line in worker.lines() if line["event"] == "threads_started_at_import"]
    assert line["threads"] == ["poller"]
    assert "on_process_start" in line["remedy"]
