"""`GET /api/queue`."""

from __future__ import annotations

from laneway.lanes.commands import Pause, Resume
from tests.api.running import Api, problem


def test_an_empty_queue(api: Api) -> None:
    reply = api.http.get("/api/queue", headers=api.auth(api.user()))
    assert reply.json() == {
        "queued": 0,
        "running": 0,
        "delayed": 0,
        "slots": 5,
        "connected": False,
        "paused": False,
        "oldest_seconds": None,
    }


def test_the_counts_of_a_queue(api: Api) -> None:
    user = api.user()
    api.enqueue(user)
    (lease,) = api.start(user)
    for _ in range(3):
        api.enqueue(user)
    api.lanes.run(Pause(user))
    with api.connect(api.auth(user)):
        queue = api.http.get("/api/queue", headers=api.auth(user)).json()
    assert (queue["queued"], queue["running"], queue["paused"], queue["connected"]) == (3, 1, True, True)
    assert 0 < queue["oldest_seconds"] < 60
    api.lanes.run(Resume(user))
    api.lanes.finish(lease)
    queue = api.http.get("/api/queue", headers=api.auth(user)).json()
    assert (queue["queued"], queue["running"], queue["paused"]) == (3, 0, False)


def test_a_token_is_needed(api: Api) -> None:
    problem(api.http.get("/api/queue"), 401, "invalid-token")
