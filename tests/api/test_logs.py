"""What a job has logged: `/api/jobs/{job_id}/logs`, the event `log`, and who may read it."""

from __future__ import annotations

from typing import Any

import pytest

from laneway.lanes.commands import Finish, Log, NewLines
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.lanes.run_log import LogLine, RunEnd, RunOutcome, encode_run, line, newest
from tests.api.running import Api, problem, receive

AT_US = 200_000_000_000_000
LINES = [line(1, AT_US, "info", "<img src=x onerror=alert(1)>"), line(2, AT_US + 1, "warning", "two")]
JSON = [
    {
        "number": 1,
        "at": "2026-05-03T19:33:20.000000Z",
        "level": "info",
        "text": "<img src=x onerror=alert(1)>",
    },
    {"number": 2, "at": "2026-05-03T19:33:20.000001Z", "level": "warning", "text": "two"},
]


def log(api: Api, lease: Lease, lines: list[LogLine]) -> None:
    assert api.lanes.run(Log([NewLines(lease, newest(lines), 200)])) == [True]


def finish(api: Api, lease: Lease, lines: list[LogLine], state: JobState = JobState.SUCCEEDED) -> None:
    text = encode_run(lease.attempt, AT_US, "w1", lines)
    assert api.lanes.run(Finish("w1", [Outcome(lease, state, AT_US, b"1", 0, text)])) == [True]


def logs(api: Api, user: str, job_id: str) -> dict[str, Any]:
    reply = api.http.get(f"/api/jobs/{job_id}/logs", headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def started(api: Api) -> tuple[str, str, Lease]:
    user = api.user()
    job_id = api.enqueue(user)
    (lease,) = api.start(user)
    return user, job_id, lease


def test_a_log_from_its_first_line_to_the_history(api: Api) -> None:
    user, job_id, lease = started(api)
    assert logs(api, user, job_id) == {"job_id": job_id, "dropped_runs": 0, "runs": []}
    log(api, lease, LINES[:1])
    (run,) = logs(api, user, job_id)["runs"]
    assert (run["attempt"], run["state"], run["lines"]) == (1, "running", JSON[:1])
    finish(api, lease, LINES)
    expected = {
        "job_id": job_id,
        "dropped_runs": 0,
        "runs": [
            {
                "attempt": 1,
                "state": "ended",
                "started_at": "2026-05-03T19:33:20.000000Z",
                "worker": "w1",
                "ended_at": None,
                "outcome": None,
                "error": None,
                "lines": JSON,
            }
        ],
    }
    assert logs(api, user, job_id) == expected
    api.archive()
    assert api.outbox() == []
    assert logs(api, user, job_id) == expected


def test_how_earlier_runs_ended_is_in_the_log_of_the_job_before_and_after_it_is_archived(api: Api) -> None:
    user, job_id, lease = started(api)
    end = RunEnd(AT_US + 5, RunOutcome.FAILED, b'{"type":"Boom","message":"no"}')
    text = encode_run(1, AT_US, "w1", [], end)
    assert api.lanes.run(Finish("w1", [Outcome(lease, JobState.RETRYING, AT_US, b"1", 0, text)])) == [True]
    (lease,) = api.start(user)
    assert api.lanes.run(Finish("w1", [Outcome(lease, JobState.SUCCEEDED, AT_US, b"1")])) == [True]
    expected = {
        "attempt": 1,
        "state": "ended",
        "started_at": "2026-05-03T19:33:20.000000Z",
        "worker": "w1",
        "ended_at": "2026-05-03T19:33:20.000005Z",
        "outcome": "failed",
        "error": {"type": "Boom", "message": "no"},
        "lines": [],
    }
    assert logs(api, user, job_id)["runs"] == [expected]
    api.archive()
    assert api.outbox() == []
    assert logs(api, user, job_id)["runs"] == [expected]


def test_answers_about_jobs_do_not_carry_their_logs(api: Api) -> None:
    user, job_id, lease = started(api)
    finish(api, lease, LINES, JobState.FAILED)
    for is_archived in (False, True):
        if is_archived:
            api.archive()
        assert "onerror" not in str(api.job(user, job_id))
        reply = api.http.get("/api/jobs", headers=api.auth(user))
        assert reply.json()["jobs"] == [api.job(user, job_id)]
    dead = api.mongo()["dead_letters"].find_one({"_id": f"{user}/{job_id}"})
    assert dead is not None
    assert "log" not in dead


def test_only_the_user_and_administrators_read_a_log(api: Api) -> None:
    user, job_id, lease = started(api)
    log(api, lease, LINES)
    for is_archived in (False, True):
        if is_archived:
            finish(api, lease, LINES)
            api.archive()
        path = f"/api/jobs/{job_id}/logs"
        problem(api.http.get(path, headers=api.auth(api.user())), 404, "unknown-job")
        problem(api.http.get(path), 401, "invalid-token")
        of_user = api.http.get(f"/api/admin/jobs/{user}/{job_id}/logs", headers=api.admin())
        assert of_user.json() == logs(api, user, job_id)
        other = f"/api/admin/jobs/{api.user()}/{job_id}/logs"
        problem(api.http.get(other, headers=api.admin()), 404, "unknown-job")


@pytest.mark.parametrize("path", ["/api/events", "/api/connect"])
def test_new_lines_arrive_live_and_only_at_their_user(api: Api, path: str) -> None:
    user, job_id, lease = started(api)
    other, _, other_lease = started(api)
    with api.connect(api.auth(user), path=path) as mine, api.connect(api.auth(other), path=path) as theirs:
        log(api, lease, LINES)
        assert receive(mine) == {"event": "log", "job_id": job_id, "attempt": 1, "lines": JSON}
        log(api, other_lease, LINES[:1])
        assert receive(theirs)["job_id"] == other_lease.job_id
        finish(api, lease, LINES)
        assert receive(mine)["event"] == "state"


def test_a_log_does_not_push_states_out_of_the_backlog(api: Api) -> None:
    user, _job_id, lease = started(api)
    with api.connect(api.auth(user), path="/api/events") as socket:
        log(api, lease, LINES)
        assert receive(socket)["event"] == "log"
        api.enqueue(user)
        last = receive(socket)["id"]
    for _ in range(500):
        log(api, lease, LINES)
    finish(api, lease, LINES)
    with api.connect({**api.auth(user), "last-event-id": last}, path="/api/events") as socket:
        assert receive(socket)["state"] == "succeeded"
