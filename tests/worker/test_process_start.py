"""What handlers set up for themselves in each process, after the fork."""

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
FAILING = (
    MODULE
    + """
@on_process_start
def licence():
    raise RuntimeError("no licence")
"""
)


def test_each_process_makes_its_own_things_before_its_first_job(system: System) -> None:
    (system.folder / "mine.py").write_text(MODULE)
    user = system.user()
    ids = [*system.enqueue(user, "plain", *[0] * 20), *system.enqueue(user, "overlapping", *[0] * 20)]
    (forgotten,) = system.enqueue(user, "forgets_to_await", 0, attempts=1)
    with running(system, handlers="mine"):
        jobs = system.ended(user, ids)
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert [orjson.loads(job.result or b"") for job in jobs] == [[True, True]] * 20 + [True] * 20
        (job,) = system.ended(user, [forgotten])
        assert job.state is JobState.FAILED
        assert "functools.wraps" in orjson.loads(job.error or b"")["message"]


def test_a_process_whose_start_fails_serves_no_job(system: System) -> None:
    (system.folder / "mine.py").write_text(FAILING)
    user = system.user()
    (job_id,) = system.enqueue(user, "plain", 0)
    with running(system, wait=False, handlers="mine") as worker:
        wait_for(lambda: any(line["event"] == "start_hook_failed" for line in worker.lines()), 30)
        assert system.job(user, job_id).state is JobState.QUEUED
