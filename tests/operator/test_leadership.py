"""Leader election on a fake cluster: who leads, from when, and until when at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from lightkube import AsyncClient

from laneway.cancellation import cancel
from laneway.operator.leadership import Leadership, LeaseTimes
from tests.operator.fake_cluster import HANG, NAMESPACE, Action, FakeCluster

TIMES = LeaseTimes(duration_seconds=1, renew_within_seconds=0.6, retry_seconds=0.02, request_seconds=0.15)
LEASE = "laneway-operator"
STARTS_AND_ENDS = 0.3
"""How late a busy machine may notice something."""


class Candidate:
    """An operator that wants to lead, as a task."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self.leadership = Leadership(client, NAMESPACE, LEASE, name, TIMES)
        self.task = asyncio.create_task(self.leadership.run(lambda _seconds: None))

    @property
    def leading(self) -> bool:
        return self.leadership.leading

    async def stop(self) -> None:
        await cancel([self.task])


class Election:
    """A lease and its candidates."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.client = self.cluster.client()
        self.candidates: list[Candidate] = []

    def join(self, name: str, cluster_client: AsyncClient | None = None) -> Candidate:
        candidate = Candidate(cluster_client or self.client, name)
        self.candidates.append(candidate)
        return candidate

    def add_lease(self, **spec: Any) -> None:
        self.cluster.add("leases", {"metadata": {"name": LEASE}, "spec": spec})

    @property
    def lease(self) -> dict[str, Any]:
        return dict(self.cluster.get("leases", LEASE)["spec"])

    async def until(self, condition: Callable[[], object], seconds: float = 5) -> float:
        """Wait, and see that never two lead; how long it took."""
        began = time.monotonic()
        while not condition():
            assert sum(candidate.leading for candidate in self.candidates) < 2
            assert time.monotonic() - began < seconds, "nothing happened"
            await asyncio.sleep(0.005)
        return time.monotonic() - began


def play(act: Callable[[Election], Awaitable[None]]) -> None:
    asyncio.run(_play(act))


async def _play(act: Callable[[Election], Awaitable[None]]) -> None:
    async with _opened() as election:
        await act(election)


@asynccontextmanager
async def _opened() -> AsyncIterator[Election]:
    election = Election()
    try:
        yield election
    finally:
        for candidate in election.candidates:
            await candidate.stop()
        await election.client.close()


def test_a_free_lease_is_taken_and_renewed() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        first = election.lease
        assert (first["holderIdentity"], first["leaseDurationSeconds"], first["leaseTransitions"]) == (
            "ann",
            1,
            1,
        )
        await election.until(lambda: election.lease["renewTime"] != first["renewTime"])
        assert election.lease["acquireTime"] == first["acquireTime"]
        assert election.lease["leaseTransitions"] == 1
        assert ann.leadership.holder == "ann"

    play(act)


def test_a_second_candidate_stands_by_and_follows_a_death() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        bob = election.join("bob")
        await election.until(lambda: bob.leadership.holder == "ann")
        await ann.stop()  # without a release: killed
        took = await election.until(lambda: bob.leading)
        assert took > TIMES.duration_seconds - STARTS_AND_ENDS
        assert not ann.leading
        assert election.lease["leaseTransitions"] == 2

    play(act)


def test_a_release_is_followed_at_once() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        bob = election.join("bob")
        await ann.stop()
        await ann.leadership.release()
        assert not ann.leading
        assert await election.until(lambda: bob.leading) < TIMES.duration_seconds - STARTS_AND_ENDS

    play(act)


def test_a_release_leaves_the_lease_of_another_alone() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        await ann.stop()
        election.cluster.patch("leases", LEASE, {"spec": {"holderIdentity": "bob"}})
        await ann.leadership.release()
        assert election.lease["holderIdentity"] == "bob"

    play(act)


@pytest.mark.parametrize("renew_time", ["2001-01-01T00:00:00.000001Z", "2099-01-01T00:00:00.000001Z"])
def test_the_clock_of_another_machine_decides_nothing(renew_time: str) -> None:
    """A holder counts as gone when its record has stood still here for the duration that it names."""

    async def act(election: Election) -> None:
        election.add_lease(holderIdentity="gone", leaseDurationSeconds=2, renewTime=renew_time)
        ann = election.join("ann")
        took = await election.until(lambda: ann.leading)
        assert 2 - STARTS_AND_ENDS < took < 2 + 2 * STARTS_AND_ENDS

    play(act)


def test_a_holder_that_renews_is_never_taken_for_gone() -> None:
    async def act(election: Election) -> None:
        election.add_lease(
            holderIdentity="bob", leaseDurationSeconds=2, renewTime="2001-01-01T00:00:00.000001Z"
        )
        ann = election.join("ann")
        for number in range(12):
            await asyncio.sleep(0.3)
            renewed = f"2001-01-01T00:00:{number:02}.000001Z"
            election.cluster.patch("leases", LEASE, {"spec": {"renewTime": renewed}})
            assert not ann.leading

    play(act)


def test_one_who_lost_the_lease_stops_leading() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        stolen = {"holderIdentity": "bob", "renewTime": "2001-01-01T00:00:00.000001Z"}
        election.cluster.patch("leases", LEASE, {"spec": stolen})
        assert await election.until(lambda: not ann.leading) < TIMES.renew_within_seconds
        assert ann.leadership.holder == "bob"

    play(act)


def test_of_two_who_write_at_once_one_is_refused_and_does_not_lead() -> None:
    async def act(election: Election) -> None:
        election.add_lease()

        def overtake() -> None:
            election.cluster.patch("leases", LEASE, {"spec": {"holderIdentity": "bob"}})

        election.cluster.on("patch", "leases", overtake)
        ann = election.join("ann")
        await election.until(lambda: ann.leadership.holder == "bob")
        assert not ann.leading
        assert election.lease["holderIdentity"] == "bob"

    play(act)


def test_a_leader_whose_renewal_conflicts_does_not_lead_until_it_has_read_again() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        leading: list[bool] = []

        def overtake() -> None:
            election.cluster.patch("leases", LEASE, {"spec": {"leaseTransitions": 7}})
            election.cluster.on("get", "leases", lambda: leading.append(ann.leading))

        election.cluster.on("patch", "leases", overtake)
        await election.until(lambda: leading)
        assert leading == [False]
        await election.until(lambda: ann.leading)

    play(act)


@pytest.mark.parametrize("action", [500, 403, httpx2.ConnectError, HANG])
def test_a_leader_without_the_api_server_stops_before_another_may_begin(action: Action) -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        election.cluster.on("*", "leases", action, times=None)
        took = await election.until(lambda: not ann.leading)
        assert took < TIMES.duration_seconds
        election.cluster.heal()
        await election.until(lambda: ann.leading)

    play(act)


def test_a_short_outage_does_not_interrupt_the_lead() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        election.cluster.on("*", "leases", 500, times=3)
        before = len(election.cluster.requests)
        await election.until(lambda: len(election.cluster.requests) > before + 5)
        assert ann.leading
        assert election.lease["leaseTransitions"] == 1

    play(act)


# -- the Lease is missing ------------------------------------------------------------------------------------------------


def test_a_missing_lease_is_created_after_a_lease_duration_and_reported_until_then() -> None:
    async def act(election: Election) -> None:
        ann, bob = election.join("ann"), election.join("bob")
        await election.until(lambda: "not found" in ann.leadership.problem)
        took = await election.until(lambda: ann.leading or bob.leading)
        assert took > TIMES.duration_seconds - STARTS_AND_ENDS, (
            "an operator that is uninstalled must not recreate it"
        )
        await election.until(lambda: ann.leadership.problem == bob.leadership.problem == "")
        assert election.cluster.verbs("leases").count("create") <= 2
        assert election.lease["leaseTransitions"] == 1

    play(act)


def test_a_lease_deleted_under_its_holder_ends_the_lead_before_it_is_created_again() -> None:
    async def act(election: Election) -> None:
        election.add_lease()
        ann = election.join("ann")
        await election.until(lambda: ann.leading)
        election.cluster.remove("leases", LEASE)
        await election.until(lambda: not ann.leading)
        assert not election.cluster.all("leases")
        bob = election.join("bob")
        await election.until(lambda: ann.leading or bob.leading)

    play(act)


def test_without_the_right_to_create_the_lease_nobody_leads_and_the_problem_says_why() -> None:
    async def act(election: Election) -> None:
        election.cluster.on("create", "leases", 403, times=None)
        ann = election.join("ann")
        await election.until(lambda: ann.leadership.problem.startswith("create Lease laneway-operator: "))
        assert not ann.leading
        election.cluster.heal()
        await election.until(lambda: ann.leading)

    play(act)


def test_a_lease_that_comes_back_is_not_created_at_the_next_short_absence() -> None:
    async def act(election: Election) -> None:
        ann = election.join("ann")
        await election.until(lambda: "not found" in ann.leadership.problem)
        election.add_lease()
        await election.until(lambda: ann.leading)
        await asyncio.sleep(TIMES.duration_seconds)
        election.cluster.remove("leases", LEASE)
        await election.until(lambda: "not found" in ann.leadership.problem)
        assert not election.cluster.all("leases")

    play(act)
