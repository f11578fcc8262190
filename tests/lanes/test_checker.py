"""The checker: whatever is deleted or overwritten in Redis, service resumes for everybody and the damage is reported."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from laneway.lanes.checker import Checker
from laneway.lanes.commands import (
    Archived,
    Enqueue,
    Expire,
    InspectJob,
    InspectJobs,
    InspectLog,
    InspectReports,
    Limit,
    Outbox,
    Pause,
    Replay,
    Report,
    ReportKind,
    Resume,
    Turns,
    Watch,
)
from laneway.lanes.errors import LaneError
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState, Lease
from tests.conftest import serve_redis
from tests.lanes.driver import FOR_EVER, Driver, W, new_job

TURN = b"a turn " + TURN_PLACEHOLDER.encode()
STATES = ("later", "waiting", "claimed", "started", "delayed", "due", "ended")
SHARED = (
    "ring",
    "lanes",
    "leases",
    "retries",
    "delayed",
    "outbox",
    "cancels",
    "losses",
    "expiry",
    "clock",
    "turns",
    "wakeups",
)
DAMAGES = ["deleted", pytest.param("string", marks=pytest.mark.thorough), "list"]
OF_A_JOB = ("spec", "job", "ended", "later")
WRONG_TYPES: dict[str, Callable[[Driver, str], object]] = {
    "string": lambda lanes, key: lanes.client.set(key, "garbage"),
    "list": lambda lanes, key: lanes.client.rpush(key, "garbage"),
}


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a separate server: the checker scans all keys, and the shared server keeps those of every earlier test."""
    yield from serve_redis(tmp_path_factory.mktemp("checked"))


class Scene:
    """One user with a job in each state, and a bystander with jobs of its own."""

    def __init__(self, lanes: Driver) -> None:
        self.lanes = lanes
        self.ids: dict[str, str] = {}
        self.held: list[Lease] = []
        lanes.run(Turns(TURN, 1))
        lanes.run(Limit("*", 20))
        for state in ("ended", "delayed", "due", "started"):
            (lease,) = lanes.started("ann")
            self.ids[state] = lease.job_id
            if state == "ended":
                lanes.finish(lease)
            elif state == "started":
                self.held.append(lease)
            else:
                lanes.finish(lease, state=JobState.RETRYING, delay=3600 if state == "delayed" else 0)
                if state == "due":  # it would be claimed before the next
                    lanes.run(Pause("ann"))
                    lanes.run(Resume("ann"))
                    self.held += self._set_aside(lease.job_id)
        self.ids["claimed"] = lanes.enqueue("ann")[0]
        self.held += [lease for lease in lanes.claim() if lease.job_id == self.ids["claimed"]]
        self._make_due(self.ids["due"])
        self.ids["waiting"] = lanes.enqueue("ann")[0]
        self.ids["later"] = lanes.enqueue("ann", delay=3600)[0]
        self.bystander = lanes.enqueue("bob", 3)

    def _set_aside(self, job_id: str) -> list[Lease]:
        """Claim the due job, so that the next enqueued job is claimed alone."""
        self.aside = self.lanes.claim()
        assert [lease.job_id for lease in self.aside] == [job_id]
        self.lanes.start(*self.aside)
        return []

    def _make_due(self, job_id: str) -> None:
        assert [lease.job_id for lease in self.aside] == [job_id]
        self.lanes.finish(*self.aside, state=JobState.RETRYING)

    def check(self) -> Counter[str]:
        """Check everything once. Return what was mended."""
        return self.lanes.check_all()

    def serve(self) -> dict[str, JobState]:
        """Do what workers and janitors do until nothing is left. Return how the jobs have ended."""
        lanes, ended = self.lanes, dict[str, JobState]()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.check()
            for key in (lanes.keys.leases, lanes.keys.retries, lanes.keys.delayed):
                for member in lanes.client.zrange(key, 0, -1):
                    lanes.client.zadd(key, {member: 1})
            lanes.run(Expire())
            leases = lanes.claim()
            lanes.start(*leases)
            lanes.finish(*leases)
            page = lanes.run(Outbox(100))
            ended |= {job.job_id: job.state for job in page}
            lanes.run(Archived([job.job_id for job in page]))
            if (
                not leases
                and not page
                and not lanes.ring()
                and not lanes.known_lanes()
                and not lanes.leases()
                and not lanes.client.exists(lanes.keys.delayed)
            ):
                break
        return ended


@pytest.fixture
def scene(lanes: Driver) -> Scene:
    return Scene(lanes)


def test_the_scene_has_a_job_in_each_state(scene: Scene) -> None:
    lanes = scene.lanes
    bands = lanes.where("ann", *(scene.ids[state] for state in STATES))
    assert bands == [None, "waiting", "claimed", "started", "started", "due", None]
    assert lanes.retries() == {scene.ids["delayed"]}
    assert lanes.done() == [scene.ids["ended"]]


def test_nothing_is_mended_where_nothing_is_damaged(scene: Scene) -> None:
    before = scene.lanes.snapshot()
    assert scene.check() == {}
    assert scene.lanes.snapshot() == before
    assert set(scene.serve()) == {*scene.ids.values(), *scene.bystander}


@pytest.mark.parametrize("name", [*SHARED, "limits", "turn", "lane:ann", "delayed:ann"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_shared_key_is_lost_or_overwritten_and_everybody_is_served(
    scene: Scene, name: str, damage: str
) -> None:
    lanes, key = scene.lanes, scene.lanes.key(name)
    kind = lanes.client.type(key)
    lanes.client.delete(key)
    if damage != "deleted":
        WRONG_TYPES[damage](lanes, key)
    overwritten = damage != "deleted" and lanes.client.type(key) != kind
    mended = scene.check()
    if overwritten:
        assert mended["type"], "the damage is reported"
    if name == "ring":
        assert mended["ring"] == 1, "bob's lane; ann's has a claimed job"
    if name in ("leases", "retries"):
        assert mended["slot"]
    if name in ("lanes", "outbox"):
        assert mended[name]
    if name in ("delayed", "delayed:ann"):
        assert mended["member"] == 1
    if name == "lane:ann":
        assert mended["member"] == 5
    assert scene.check() == {}
    states = scene.serve()
    assert set(states) == {*scene.ids.values(), *scene.bystander}
    assert set(states.values()) == {JobState.SUCCEEDED}
    assert not {
        key for key in lanes.all_keys() if key.startswith(("lane:", "spec:", "job:", "ended:", "later:"))
    }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", OF_A_JOB)
@pytest.mark.parametrize("state", STATES)
def test_a_key_of_a_job_is_lost_or_overwritten_and_everybody_is_served(
    scene: Scene, state: str, name: str, damage: str
) -> None:
    lanes, job_id = scene.lanes, scene.ids[state]
    key = lanes.key(f"{name}:{job_id}")
    lanes.client.delete(key)
    if damage != "deleted":
        WRONG_TYPES[damage](lanes, key)
    states = scene.serve()
    assert set(states) - {job_id} == {*scene.ids.values(), *scene.bystander} - {job_id}
    assert {states[other] for other in states if other != job_id} == {JobState.SUCCEEDED}
    if (name == "spec" and state not in ("ended", "later")) or name == state == "later":
        assert states[job_id] == JobState.FAILED, "nobody had its request any more"
    elif name == "ended" and state == "ended":
        assert states[job_id] == JobState.FAILED, "nobody knows how it ended"
    else:
        assert states[job_id] == JobState.SUCCEEDED


def test_a_queued_job_whose_spec_is_lost_fails_once_and_says_why(scene: Scene) -> None:
    lanes, job_id = scene.lanes, scene.ids["waiting"]
    lanes.client.delete(lanes.key(f"spec:{job_id}"))
    assert scene.check() == {"spec": 1}
    job = lanes.run(InspectJob("ann", job_id))
    assert job is not None
    assert (job.state, job.reason, job.type, job.request) == (JobState.FAILED, "lost", "unknown", b"null")
    assert job_id in [job.job_id for job in lanes.run(InspectJobs("ann", FOR_EVER, 100))]
    assert lanes.done().count(job_id) == 1
    assert scene.check() == {}


def test_a_claim_passes_over_a_job_whose_spec_is_lost(lanes: Driver) -> None:
    first, second = lanes.enqueue("ann", 2)
    (other,) = lanes.enqueue("bob")
    lanes.client.delete(lanes.key(f"spec:{first}"))
    assert {lease.job_id for lease in lanes.claim()} == {second, other}
    assert lanes.job(first)["reason"] == "lost"
    assert lanes.done() == [first]


def test_archiving_goes_on_when_the_spec_of_an_ended_job_is_lost(scene: Scene) -> None:
    lanes, job_id = scene.lanes, scene.ids["ended"]
    lanes.client.delete(lanes.key(f"spec:{job_id}"))
    (job,) = lanes.run(Outbox(10))
    assert (job.job_id, job.user, job.state, job.result) == (job_id, "ann", JobState.SUCCEEDED, b'"done"')
    lanes.run(Archived([job_id]))
    assert lanes.done() == []


def test_scores_that_no_band_gives_are_mended(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 3)
    lanes.client.zadd(lanes.key("lane:ann"), {ids[0]: 17, ids[1]: -9 * W})
    lanes.client.zadd(lanes.key("lane:ann"), {"garbage": 5})
    assert Checker(lanes.lanes).check_slice()["score"] == 3
    assert [job_id for _, job_id in lanes.lane("ann")] == ids


def test_many_lanes_and_leases_are_checked_a_slice_at_a_time(lanes: Driver) -> None:
    users = [f"user{n:04}" for n in range(450)]
    for user in users:
        lanes.enqueue(user)
    leases = lanes.claim(300)
    lanes.client.delete(lanes.keys.ring)
    checker = Checker(lanes.lanes)
    for _ in range(50):
        checker.check_slice()
    assert len(lanes.ring()) == 150
    assert len(lanes.leases()) == len(leases) == 300
    assert checker.mended == {"ring": 150}


def test_a_redis_that_evicts_keys_costs_the_jobs_that_it_evicts_and_nobody_waits(own_lanes: Driver) -> None:
    """The field had 300 jobs in 12 MB. What is left of each job is enough to serve it or to end it; new jobs are served."""
    scene = Scene(own_lanes)
    client: Any = own_lanes.client
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 4_000_000)
    users = [f"user{number}" for number in range(30)]
    large = b'"%b"' % (b"x" * 30_000)
    for number in range(300):
        with suppress(LaneError):  # the server may find nothing more to evict
            own_lanes.run(Enqueue(users[number % 30], [new_job(large)]))
    assert client.info("stats")["evicted_keys"] > 0
    client.config_set("maxmemory", 0)
    own_lanes.run(Turns(TURN, 1))
    scene.serve()
    new = {job_id for user in users for job_id in own_lanes.enqueue(user)}
    states = scene.serve()
    assert {states[job_id] for job_id in new} == {JobState.SUCCEEDED}
    assert scene.check() == {}
    left = ("lane:", "spec:", "job:", "ended:", "later:")
    assert not {key for key in own_lanes.all_keys() if key.startswith(left)}


def test_a_redis_that_came_back_empty_needs_no_mending(own_lanes: Driver) -> None:
    own_lanes.started("ann", 3)
    own_lanes.client.flushall()
    assert Checker(own_lanes.lanes).check_slice() == {}
    assert own_lanes.enqueue("ann")
    assert len(own_lanes.claim()) == 1


def test_without_the_right_to_scan_the_rest_is_checked(own_lanes: Driver) -> None:
    own_lanes.enqueue("ann")
    own_lanes.client.delete(own_lanes.keys.ring)
    own_lanes.client.execute_command("ACL", "SETUSER", "default", "-scan")
    assert Checker(own_lanes.lanes).check_slice() == {"ring": 1}


def test_a_checker_without_redis_says_so(own_lanes: Driver, own_server: object) -> None:
    own_server.kill()  # type: ignore[attr-defined]
    with pytest.raises(LaneError):
        Checker(own_lanes.lanes).check_slice()


def test_work_that_nobody_serves_is_noticed(lanes: Driver) -> None:
    checker = Checker(lanes.lanes)
    checker.check_slice()
    assert checker.unserved_seconds == 0
    lanes.enqueue("ann")
    lanes.client.zincrby(lanes.keys.ring, -60_000_000, "ann")
    checker.check_slice()
    assert 60 <= checker.unserved_seconds < 120
    lanes.enqueue("bob")
    lanes.claim(1)  # somebody serves
    checker.check_slice()
    assert checker.unserved_seconds == 0


@pytest.mark.parametrize("how", ["lost", *WRONG_TYPES])
def test_permits_of_jobs_that_run_are_restored(lanes: Driver, how: str) -> None:
    for user in ("ann", "bob"):
        lanes.enqueue(user, type_="gpu")
    held, asking = lanes.claim()
    lanes.ask(held, running=1)
    lanes.start(held)
    lanes.client.delete(key := lanes.key("permits:gpu"))
    if how != "lost":
        WRONG_TYPES[how](lanes, key)
    checker = Checker(lanes.lanes)
    assert checker.check_slice()["permit"] == 1
    assert not checker.check_slice()["permit"]
    assert lanes.ask(asking, running=1) == [3], "the job that runs holds the only permit"


@pytest.mark.parametrize(
    "name", ["lines:{id}", "backlog:ann", "report:workers/w1", "reports:workers", "idem:ann:key", "rate:ann"]
)
def test_what_is_kept_beside_the_jobs_is_mended_too(lanes: Driver, name: str) -> None:
    """Otherwise the log of a job, live events or the list of workers fail as long as somebody asks for them."""
    (lease,) = lanes.started("ann")
    lanes.run(Watch(["ann"], 60))
    lanes.run(Report(ReportKind.WORKERS, "w1", {}, 60))
    key = lanes.key(name.format(id=lease.job_id))
    lanes.client.delete(key)
    lanes.client.hset(key, "foreign", "1")
    assert lanes.check_all() == {"type": 1}
    lanes.run(Watch(["ann"], 60))
    assert lanes.run(Replay("ann")).newest
    assert lanes.run(InspectLog("ann", lease.job_id))
    assert lanes.run(InspectReports(ReportKind.WORKERS)) is not None
