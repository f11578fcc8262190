"""`GET /api/admin/ring`: whose turn is next, and who is served."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laneway.api import ring
from laneway.lanes.commands import Start
from laneway.lanes.model import Lease
from tests.api.running import Api, problem


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """With lanes of its own: the ring is that of everybody."""
    return start_api()


def read(api: Api, **params: Any) -> dict[str, Any]:
    reply = api.http.get("/api/admin/ring", params=params, headers=api.admin())
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def order(api: Api) -> list[str]:
    return [lane["user"] for lane in read(api)["lanes"]]


def start(api: Api, *leases: Lease) -> None:
    """Start jobs now, as a worker says it of jobs that take long."""
    api.lanes.run(Start("w1", leases, [api.lanes.now_us()] * len(leases)))


def test_lanes_are_served_in_the_order_that_it_says(api: Api) -> None:
    """Ann has 40 jobs and each of the others one; she was first, and takes one turn a round."""
    for user, jobs in (("ann", 40), ("bob", 1), ("dan", 3), ("eve", 1)):
        api.lanes.enqueue(user, jobs)
    served: list[str] = []
    for _ in range(7):
        next_ = order(api)[0]
        (lease,) = api.lanes.claim(1)
        assert lease.user == next_
        served.append(lease.user)
        start(api, lease)
        api.lanes.finish(lease)
    assert served == ["ann", "bob", "dan", "eve", "ann", "dan", "ann"]


def test_a_lane_is_shown_with_its_wait_and_with_what_runs(api: Api) -> None:
    api.lanes.enqueue("ann", 4)
    first, second = api.lanes.claim(2)
    start(api, first, second)
    api.lanes.enqueue("bob")
    found = read(api)
    ann, bob = found["lanes"]
    assert (ann["user"], ann["jobs"], ann["taken"], ann["slots"]) == ("ann", 4, 2, 5)
    assert (bob["user"], bob["jobs"], bob["taken"], found["length"]) == ("bob", 1, 0, 2)
    since, at = datetime.fromisoformat(ann["since"]), datetime.fromisoformat(found["at"])
    assert since < datetime.fromisoformat(bob["since"]) < at
    (served,) = found["served"]
    assert (served["user"], served["in_flight"]) == ("ann", 2)
    started = datetime.fromisoformat(served["last_start_at"])
    assert timedelta(0) < at - started < timedelta(minutes=1)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert not found["truncated"]


def test_who_is_served_stands_in_the_order_of_starts(api: Api) -> None:
    for user in ("ann", "bob", "eve"):
        api.lanes.enqueue(user)
    ann, bob, _claimed = api.lanes.claim(3)
    start(api, ann)
    start(api, bob)
    found = read(api)
    assert (found["lanes"], found["length"]) == ([], 0), "none of them has another job"
    assert [(lane["user"], lane["last_start_at"] is None) for lane in found["served"]] == [
        ("bob", False),
        ("ann", False),
        ("eve", True),
    ]


def test_a_page_at_most_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "MAX_HELD", 2)
    for user in ("ann", "bob", "eve"):
        api.lanes.enqueue(user, 2)
    start(api, *api.lanes.claim(3))
    found = read(api, limit=2)
    assert (len(found["lanes"]), found["length"]) == (2, 3)
    assert (len(found["served"]), found["truncated"]) == (2, True)
    for limit in (0, 101):
        reply = api.http.get("/api/admin/ring", params={"limit": limit}, headers=api.admin())
        problem(reply, 400, "bad-request")
