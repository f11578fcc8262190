"""A rollout in which the API is newer than the workers: jobs of a new type wait, uncharged and in their place, for a newer worker."""

from __future__ import annotations

import pytest

from laneway.lanes.model import JobState
from tests.api.running import in_thread, settings_of
from tests.worker.running import System, running, wait_for

OLD = "tests.worker.handlers,laneway.handlers.demo"
NEWER = """
from laneway import Context, handler
from tests.worker.handlers import noted

@handler("brand_new")
def brand_new(payload, context: Context):
    with noted(payload, context):
        return payload
"""


@pytest.mark.thorough  # test_misbehaviour shows that such a job waits uncharged
def test_a_newer_worker_takes_what_an_older_one_did_not_know(
    system: System, mongo_url: str, mongo_database: str
) -> None:
    (system.folder / "newer.py").write_text(NEWER)
    user, other = system.user(slots=1), system.user()
    ids = system.enqueue(user, "brand_new", 1, attempts=1) + system.enqueue(user, "work", {}, attempts=1)
    with running(system, handlers=OLD) as older:
        wait_for(lambda: any(line["event"] == "type_unknown" for line in older.lines()), what=older.tail)
        jobs = system.ended(other, system.enqueue(other, "work", *[{}] * 10))
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}, "others go on"
        waiting = system.jobs(user, ids)
        assert [(job.state, job.attempts) for job in waiting] == [(JobState.QUEUED, 0)] * 2
        with in_thread(settings_of(system.redis_url, mongo_url, system.prefix, mongo_database)) as api:

            def why_returned() -> str:
                answer = api.http.get(f"/api/jobs/{ids[0]}/why", headers=api.auth(user)).json()
                return str(answer["sentence"]) if answer["reason"] == "returned" else ""

            said = "neither the worker nor the API has a handler for the type 'brand_new'"
            assert said in wait_for(why_returned)
        with running(system, handlers=f"{OLD},newer"):
            older.terminate()
            assert older.exit_code() == 0
            jobs = system.ended(user, ids, 60)
    assert [(job.state, job.attempts) for job in jobs] == [(JobState.SUCCEEDED, 1)] * 2
    first, second = system.notes.runs(user)
    assert [first.job_id, second.job_id] == ids
    assert (first.end_ns or 0) < second.start_ns
