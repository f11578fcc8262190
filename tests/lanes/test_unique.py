"""Unique keys: while a job with one is in its lane or delayed, its user enqueues no second job with the same key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

from laneway.lanes import errors
from laneway.lanes.commands import (
    Archived,
    Cancel,
    Claim,
    Command,
    Enqueue,
    EnqueueLimits,
    InspectJob,
    Outbox,
    Purge,
    PurgeDelayed,
)
from laneway.lanes.model import Accepted, JobState, Lease
from tests.conftest import serve_redis
from tests.lanes.driver import FOR_EVER, Driver, new_job


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a separate server: the checker scans all keys."""
    yield from serve_redis(tmp_path_factory.mktemp("unique"))


def enqueue(lanes: Driver, *keys: str, user: str = "ann", delay: float = 0) -> Accepted:
    return lanes.accept(user, unique_keys=keys or ["k"], delay=delay)


def archive(lanes: Driver) -> None:
    jobs = lanes.run(Outbox(100))
    lanes.run(Archived.of(jobs))


def keys(lanes: Driver) -> set[str]:
    return lanes.all_keys() - {"clock", "wakeups"}


def test_a_second_job_with_the_same_key_is_a_duplicate_of_the_first(lanes: Driver) -> None:
    lanes.enqueue("ann", 2)
    first = enqueue(lanes)
    before = lanes.snapshot()
    second = enqueue(lanes)
    assert (first.duplicates, first.new, second.duplicates, second.new) == ((), [0], (0,), [])
    assert (second.job_ids, second.position, second.repeated) == (first.job_ids, 3, False)
    assert lanes.snapshot() == before
    job = lanes.run(InspectJob("ann", first.job_ids[0]))
    assert job
    assert (job.type, job.unique_key) == ("echo", "k")


def test_a_key_is_of_one_user_and_holds_for_all_types(lanes: Driver) -> None:
    (first,) = enqueue(lanes).job_ids
    assert enqueue(lanes, user="bob").job_ids != (first,)
    assert enqueue(lanes, "l").new
    again = lanes.run(Enqueue("ann", [new_job(type_="sleep", unique_key="k")]))
    assert (again.job_ids, again.duplicates) == ((first,), (0,))


@pytest.mark.parametrize("delay", [0, 3600])
def test_a_job_of_a_schedule_has_its_key_like_any_other(lanes: Driver, delay: float) -> None:
    """The schedule stands beside the key in the job's spec: the key is found there, by the checker too."""
    job = replace(new_job(unique_key="k", delay=delay), schedule="report")
    (first,) = lanes.run(Enqueue("ann", [job])).job_ids
    assert enqueue(lanes).job_ids == (first,)
    lanes.client.unlink(lanes.key("unique:ann:k"))
    lanes.check_all()
    assert lanes.holder("ann", "k") == first
    found = lanes.run(InspectJob("ann", first))
    assert found
    assert (found.type, found.unique_key, found.schedule) == ("echo", "k", "report")


def test_the_longest_names_fit_together(lanes: Driver) -> None:
    """A user, a type, a schedule and a unique key are as long as the API lets them be, and the scripts read them all."""
    user, key = "u" * 64, "k" * 128
    job = replace(new_job(type_="t" * 255, unique_key=key), schedule="s" * 64)
    (first,) = lanes.run(Enqueue(user, [job])).job_ids
    assert enqueue(lanes, key, user=user).job_ids == (first,)
    lanes.check_all()
    assert lanes.run(InspectJob(user, first)) is not None
    assert lanes.holder(user, key) == first


def claimed(lanes: Driver) -> list[Lease]:
    leases = lanes.claim()
    assert leases
    return leases


def started(lanes: Driver) -> list[Lease]:
    leases = claimed(lanes)
    lanes.start(*leases)
    return leases


LIVE: dict[str, Callable[[Driver], object]] = {
    "queued": lambda lanes: None,
    "claimed": claimed,
    "running": started,
    "retrying": lambda lanes: lanes.finish(*started(lanes), state=JobState.RETRYING, delay=60),
    "due again": lambda lanes: lanes.finish(*started(lanes), state=JobState.RETRYING),
    "interrupted": lambda lanes: lanes.finish(*started(lanes), state=JobState.QUEUED),
    "released": lambda lanes: lanes.release(*claimed(lanes)),
    "released for later": lambda lanes: lanes.release(*claimed(lanes), delay=60),
    "lost with its process": lambda lanes: lanes.process_dies(*started(lanes)),
    "lost with its worker": lambda lanes: lanes.lose(*started(lanes)),
    "asked to stop": lambda lanes: lanes.run(Cancel("ann", started(lanes)[0].job_id)),
}


@pytest.mark.parametrize("state", LIVE)
def test_a_key_is_taken_as_long_as_its_job_has_not_ended(lanes: Driver, state: str) -> None:
    (first,) = enqueue(lanes).job_ids
    LIVE[state](lanes)
    again = enqueue(lanes)
    assert (again.job_ids, again.duplicates) == ((first,), (0,))
    is_queued = state in (
        "queued",
        "due again",
        "interrupted",
        "released",
        "lost with its process",
        "lost with its worker",
    )
    assert again.position == is_queued


@pytest.mark.parametrize("delay", [3600, 1e-6])
def test_a_delayed_job_has_its_key_before_and_after_it_enters_its_lane(lanes: Driver, delay: float) -> None:
    (first,) = enqueue(lanes, delay=delay).job_ids
    again = enqueue(lanes)
    assert (again.job_ids, again.position, again.duplicates) == ((first,), 0, (0,))
    assert enqueue(lanes, delay=60).job_ids == (first,)
    assert len(lanes.claim()) == (delay < 1)
    assert enqueue(lanes).job_ids == (first,)


def lose_often(lanes: Driver) -> None:
    lanes.process_dies(*started(lanes), max_losses=1)


def lose_spec(lanes: Driver, job_id: str) -> None:
    lanes.client.unlink(lanes.key(f"spec:{job_id}"))
    assert lanes.claim() == []


ENDS: dict[str, Callable[[Driver, str], object]] = {
    "succeeded": lambda lanes, _: lanes.finish(*started(lanes)),
    "failed": lambda lanes, _: lanes.finish(*started(lanes), state=JobState.FAILED),
    "stopped": lambda lanes, _: lanes.finish(*started(lanes), state=JobState.CANCELLED),
    "cancelled": lambda lanes, job_id: lanes.run(Cancel("ann", job_id)),
    "purged": lambda lanes, _: lanes.run(Purge("ann", FOR_EVER, "gone")),
    "failed by losses": lambda lanes, _: lose_often(lanes),
    "lost": lose_spec,
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_job_frees_its_key_at_once(lanes: Driver, end: str) -> None:
    (first,) = enqueue(lanes).job_ids
    ENDS[end](lanes, first)
    assert lanes.done() == [first]
    second = enqueue(lanes)
    assert second.new == [0]
    assert second.job_ids != (first,)
    assert enqueue(lanes).job_ids == second.job_ids


@pytest.mark.parametrize("end", ["cancelled", "purged"])
def test_the_end_of_a_delayed_job_frees_its_key(lanes: Driver, end: str) -> None:
    (first,) = enqueue(lanes, delay=60).job_ids
    command: Command[Any] = (
        Cancel("ann", first) if end == "cancelled" else PurgeDelayed("ann", FOR_EVER, "gone")
    )
    lanes.run(command)
    assert enqueue(lanes).new == [0]


def test_a_batch_says_which_are_duplicates_of_a_live_job_and_which_of_another_in_it(lanes: Driver) -> None:
    (held,) = enqueue(lanes, "held").job_ids
    batch = enqueue(lanes, "", "held", "new", "", "new", "held", "other")
    ids = batch.job_ids
    assert batch.duplicates == (1, 4, 5)
    assert batch.new == [0, 2, 3, 6]
    assert (ids[1], ids[5], ids[4]) == (held, held, ids[2])
    assert [job_id for _, job_id in lanes.lane("ann")] == [held, ids[0], ids[2], ids[3], ids[6]]
    assert batch.position == 2
    assert [lanes.job(ids[i]).get("unique_key") for i in batch.new] == [None, "new", None, "other"]


def test_the_position_is_that_of_the_first_also_when_it_is_a_duplicate(lanes: Driver) -> None:
    enqueue(lanes, "a", "b", "c")
    assert enqueue(lanes, "b", "d").position == 2
    assert enqueue(lanes, "d", "b").position == 4


def test_a_batch_of_duplicates_alone_changes_nothing(lanes: Driver) -> None:
    first = enqueue(lanes, "a", "b")
    before = lanes.snapshot()
    again = lanes.accept("ann", unique_keys=["b", "a", "b"], idempotency_key="i", fingerprint="f")
    assert again.job_ids == (first.job_ids[1], first.job_ids[0], first.job_ids[1])
    assert again.duplicates == (0, 1, 2)
    assert lanes.snapshot() == before


def test_a_duplicate_needs_no_room_and_spends_nothing(lanes: Driver) -> None:
    lanes.accept("ann", unique_keys=["a", "b"], rate_per_second=0.01)
    limits: dict[str, Any] = {"lane_length": 2, "backlog": 0, "rate_per_second": 0.01}
    assert lanes.accept("ann", unique_keys=["b", "a"], **limits).duplicates == (0, 1)
    with pytest.raises(errors.LaneFull):
        lanes.accept("ann", unique_keys=["b", "c"], lane_length=2)
    lanes.client.unlink(lanes.key("rate:ann"))
    rate: dict[str, Any] = {"rate_per_second": 0.01}  # a job in 100 s
    assert lanes.accept("ann", unique_keys=["b", "c", "a"], lane_length=3, **rate).new == [1]
    with pytest.raises(errors.TooFast) as refused:
        lanes.accept("ann", unique_keys=["d"], **rate)
    assert 90 < refused.value.retry_after_seconds <= 100


def test_the_bytes_of_a_duplicate_do_not_count(lanes: Driver) -> None:
    big = [new_job(b'"' + b"x" * 1000 + b'"', unique_key=key) for key in ("a", "a", "a")]
    limits: dict[str, Any] = {"lane_bytes": 1600, "request_max_bytes": 1_000_000}
    assert lanes.accept("ann", unique_keys=["z"], **limits).new == [0]
    assert lanes.run(Enqueue("ann", big, EnqueueLimits(**limits))).new == [0]
    with pytest.raises(errors.LaneFull):
        lanes.run(Enqueue("ann", [new_job(big[0].request)], EnqueueLimits(**limits)))


def test_a_refused_batch_takes_no_key(lanes: Driver) -> None:
    with pytest.raises(errors.LaneFull):
        lanes.accept("ann", unique_keys=["a", "b"], lane_length=1)
    assert lanes.all_keys() == set()
    assert enqueue(lanes, "a", "b").new == [0, 1]


def test_a_repetition_says_the_same_as_the_first_time(lanes: Driver) -> None:
    enqueue(lanes, "held")

    def batch() -> Accepted:
        return lanes.accept("ann", unique_keys=["held", "new", "new"], idempotency_key="i", fingerprint="f")

    first = batch()
    assert (first.duplicates, first.new) == ((0, 2), [1])
    lanes.finish(*started(lanes))
    again = batch()
    assert again.repeated
    assert (again.job_ids, again.duplicates, again.new) == (first.job_ids, first.duplicates, [])


def test_an_idempotency_key_is_free_if_only_duplicates_were_sent_with_it(lanes: Driver) -> None:
    def once() -> Accepted:
        return lanes.accept("ann", unique_keys=["k"], idempotency_key="i", fingerprint="f")

    enqueue(lanes)
    assert once().duplicates == (0,)
    lanes.finish(*started(lanes))
    made = once()
    assert made.new == [0]
    assert once().repeated


def test_archiving_a_job_deletes_its_key_unless_another_job_has_it(lanes: Driver) -> None:
    enqueue(lanes, "a", "b")
    lanes.finish(*started(lanes))
    (second,) = enqueue(lanes, "a").job_ids
    archive(lanes)
    assert (lanes.holder("ann", "a"), lanes.holder("ann", "b")) == (second, None)
    assert enqueue(lanes, "a").job_ids == (second,)
    lanes.finish(*started(lanes))
    archive(lanes)
    assert keys(lanes) == set()


def test_a_foreign_key_holds_up_no_archive(lanes: Driver) -> None:
    enqueue(lanes, "a", "b")
    lanes.finish(*started(lanes))
    lanes.client.delete(lanes.key("unique:ann:a"))
    lanes.client.rpush(lanes.key("unique:ann:a"), "foreign")
    archive(lanes)
    assert keys(lanes) == {"unique:ann:a"}
    lanes.check_all()
    assert keys(lanes) == set()


def test_the_type_of_a_job_with_a_key_is_as_of_any(lanes: Driver) -> None:
    enqueue(lanes)
    (lease,) = started(lanes)
    assert (lease.type, lease.request, lease.max_attempts) == ("echo", b"null", 3)
    (lost,) = lanes.lose(lease)
    assert lost.type == "echo"
    (held,) = lanes.claim()
    lanes.finish(held)
    (job,) = lanes.run(Outbox(1))
    assert (job.type, job.unique_key) == ("echo", "k")


@pytest.mark.parametrize("key", ["a\tb", "a\nb"])
def test_a_key_that_would_break_the_layout_is_refused(lanes: Driver, key: str) -> None:
    with pytest.raises(ValueError, match="line feed or a tab"):
        enqueue(lanes, key)
    with pytest.raises(ValueError, match="at most 620 bytes together"):
        enqueue(lanes, "k" * 633)
    with pytest.raises(ValueError, match="tab"):
        lanes.run(Enqueue("ann", [new_job(type_="echo\tk")]))
    assert lanes.all_keys() == set()


def test_a_payload_is_never_taken_for_a_key(lanes: Driver) -> None:
    request = b"[\t1,\n2\n]"
    (job_id,) = lanes.run(Enqueue("ann", [new_job(request)])).job_ids
    lanes.check_all()
    job = lanes.run(InspectJob("ann", job_id))
    assert job
    assert (job.request, job.unique_key) == (request, None)
    assert not [key for key in lanes.all_keys() if key.startswith("unique:")]


def test_many_clients_at_once_make_one_job(lanes: Driver) -> None:
    """On connections of their own, while workers end the jobs: at no moment are there two, and each end frees the key."""
    rounds, clients = 40, 8

    def client() -> list[Accepted]:
        with closing(Driver(lanes.url, lanes.keys.name)) as own:
            return [enqueue(own) for _ in range(rounds)]

    def worker() -> int:
        with closing(Driver(lanes.url, lanes.keys.name)) as own:
            ended = 0
            while not done.is_set() or own.lane("ann"):
                leases = own.run(Claim(8, 30)).leases
                assert len(leases) <= 1
                assert own.client.zcard(own.key("lane:ann")) <= 1
                own.start(*leases)
                ended += sum(own.finish(*leases)) if leases else 0
            return ended

    done = Event()
    with ThreadPoolExecutor(clients + 2) as pool:
        working = [pool.submit(worker) for _ in range(2)]
        sending = [pool.submit(client) for _ in range(clients)]
        accepted = [one for sent in sending for one in sent.result()]
        done.set()
        ended = sum(one.result() for one in working)
    made = [one.job_ids[0] for one in accepted if one.new]
    assert len(made) == len(set(made)) == ended > 1
    assert {one.job_ids[0] for one in accepted} == set(made), "a duplicate names a job that somebody has made"
    assert sorted(lanes.done()) == sorted(made)


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 3600])
def test_a_lost_key_is_restored(lanes: Driver, delay: float) -> None:
    (first,) = enqueue(lanes, delay=delay).job_ids
    lanes.client.unlink(lanes.key("unique:ann:k"))
    assert lanes.check_all() == {"unique": 1}
    assert enqueue(lanes).job_ids == (first,)
    assert lanes.check_all() == {}


@pytest.mark.parametrize("delay", [0, 3600])
def test_a_key_that_names_a_foreign_job_makes_no_duplicate_and_is_mended(lanes: Driver, delay: float) -> None:
    (first,) = enqueue(lanes, delay=delay).job_ids
    others = [
        *enqueue(lanes, "l").job_ids,
        *lanes.enqueue("ann"),
        *enqueue(lanes, user="bob").job_ids,
        "garbage",
    ]
    for other in others:
        lanes.client.set(lanes.key("unique:ann:k"), other)
        assert lanes.check_all() == {"unique": 2} or lanes.holder("ann", "k") == first
        assert lanes.check_all() == {}
        assert enqueue(lanes).job_ids == (first,)
    lanes.client.set(lanes.key("unique:ann:free"), others[0])
    assert lanes.check_all() == {"unique": 1}
    assert lanes.holder("ann", "free") is None
    lanes.client.set(lanes.key("unique:ann:free"), others[0])
    assert enqueue(lanes, "free").new == [0]


def test_a_key_that_nobody_has_any_more_is_deleted(lanes: Driver) -> None:
    (first,) = enqueue(lanes).job_ids
    lanes.finish(*started(lanes))
    assert lanes.check_all() == {}, "it is deleted with its job"
    lanes.run(Archived([first]))
    assert lanes.check_all() == {"unique": 1}
    assert keys(lanes) == set()


def test_a_key_of_another_type_is_rebuilt(lanes: Driver) -> None:
    (first,) = enqueue(lanes).job_ids
    lanes.client.delete(lanes.key("unique:ann:k"))
    lanes.client.rpush(lanes.key("unique:ann:k"), "foreign")
    with pytest.raises(errors.ScriptFailed):
        enqueue(lanes)
    assert lanes.enqueue("ann"), "others go on"
    lanes.check_all()
    assert enqueue(lanes).job_ids == (first,)
