"""inspect_lanes: reads all lanes, a page at a time."""

from __future__ import annotations

from laneway.lanes.commands import InspectLanes, Limit, Pause
from laneway.lanes.model import JobState, LaneLine, seq_of
from tests.lanes.driver import Driver


def test_lanes_in_order_of_names_with_their_numbers(lanes: Driver) -> None:
    lanes.run(Limit("eve", 2))
    lanes.run(Pause("dan"))
    for user, count in (("eve", 3), ("ann", 7), ("dan", 1), ("bob", 4)):
        lanes.enqueue(user, count)
    by_id = {lease.job_id: lease for lease in lanes.claim(6)}
    delayed, due = (lease for lease in by_id.values() if lease.user == "eve")
    lanes.finish(delayed, state=JobState.RETRYING, delay=100)
    lanes.finish(due, state=JobState.RETRYING)
    lines = lanes.run(InspectLanes())
    assert lines == [
        LaneLine("ann", 7, 2, 5),
        LaneLine("bob", 4, 2, 5),
        LaneLine("dan", 1, 0, 0),
        LaneLine("eve", 3, 2, 2),
    ]
    assert [line.usable for line in lines] == [5, 4, 0, 2]


def test_the_oldest_job_without_a_slot(lanes: Driver) -> None:
    bob = lanes.started("bob")
    (running,) = lanes.started("ann")
    first, _ = lanes.enqueue("ann", 2)
    lines = lanes.run(InspectLanes(with_oldest=True))
    assert [(line.user, line.oldest_us) for line in lines] == [("ann", seq_of(first)), ("bob", None)]
    lanes.finish(running, *bob)
    assert [line.oldest_us for line in lanes.run(InspectLanes())] == [None], "not asked for"


def test_followers_take_no_slot(lanes: Driver) -> None:
    lanes.run(Limit("ann", 3))
    lanes.enqueue("ann", 20)
    first, *others = lanes.claim(15, with_followers=True)
    assert [(line.jobs, line.taken, line.slots) for line in lanes.run(InspectLanes())] == [(20, 3, 3)]
    lanes.run(Pause("ann"))
    assert [(line.jobs, line.taken, line.slots) for line in lanes.run(InspectLanes())] == [(20, 3, 0)]
    lanes.start(first)
    lanes.finish(*others)
    assert [(line.jobs, line.taken, line.slots) for line in lanes.run(InspectLanes())] == [(6, 1, 0)]


def test_pages_follow_one_another(lanes: Driver) -> None:
    users = sorted(f"user{number}" for number in range(7))
    for user in users:
        lanes.enqueue(user)
    seen: list[str] = []
    after = ""
    while page := lanes.run(InspectLanes(after, 3)):
        assert len(page) <= 3
        seen += [line.user for line in page]
        after = page[-1].user
    assert seen == users


def test_an_empty_lane_is_not_listed(lanes: Driver) -> None:
    lanes.finish(*lanes.claimed("ann"))
    assert lanes.run(InspectLanes()) == []


def test_lanes_of_users_whose_names_begin_alike(lanes: Driver) -> None:
    for user in ("an", "ann", "ann.2", "anna", "annz", "ao", "bob"):
        lanes.enqueue(user)

    def users(*args: object, **options: object) -> list[str]:
        return [line.user for line in lanes.run(InspectLanes(*args, **options))]  # type: ignore[arg-type]

    assert users(prefix="ann") == ["ann", "ann.2", "anna", "annz"]
    assert users("", 2, prefix="ann") == ["ann", "ann.2"]
    assert users("ann.2", 2, prefix="ann") == ["anna", "annz"]
    assert users("annz", 2, prefix="ann") == users(prefix="x") == []


def test_a_lane_that_waits_for_a_permit_can_use_no_more_processes(lanes: Driver) -> None:
    lanes.enqueue("ann", 4, type_="gpu")
    lanes.enqueue("bob", 4, type_="gpu")
    leases = lanes.claim(2)
    lanes.ask(*leases, running=1)
    lanes.start(leases[0])
    ann, bob = lanes.run(InspectLanes())
    assert (ann.is_blocked, ann.usable) == (False, 4), "its next job has not asked yet"
    assert (bob.is_blocked, bob.usable) == (True, 1), (
        "the job that waits; it counts as a delayed one, which is subtracted"
    )
    (second,) = lanes.claim(1)
    lanes.ask(second, running=1)
    ann, bob = lanes.run(InspectLanes())
    assert (ann.is_blocked, ann.usable) == (True, 2), "what runs, and the job that waits"
