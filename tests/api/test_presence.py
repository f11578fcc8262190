"""Who counts as connected, and who is told to the janitor, when. Time passes by ageing what Redis holds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import connect, connect_async
from laneway.presence import Presence, PresenceSweeper
from tests.lanes.driver import Driver

T = TypeVar("T")
HEARTBEAT, GRACE = 10, 60
A, B = "token-a:1", "token-b:1"


class Scene:
    """Presence behind one prefix, and what makes time pass in it."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.keys = url, Keys(name)
        self.driver = Driver(url, name)
        self.client = self.driver.client
        self.sweeper = PresenceSweeper(connect(url), self.keys)

    def presence(self, method: str, *args: Any) -> Any:
        async def call() -> Any:
            client = connect_async(self.url)
            try:
                return await getattr(Presence(client, self.keys, heartbeat_seconds=HEARTBEAT), method)(*args)
            finally:
                await client.aclose()

        return run(call())

    def take(self, grace_seconds: float = GRACE) -> dict[str, int]:
        return dict(self.sweeper.take_disconnected(grace_seconds))

    def pass_(self, seconds: float, *, alive: bool = True) -> None:
        """Let so many seconds pass. `alive`: the API processes go on showing themselves, though not for the users here."""
        milliseconds = seconds * 1000
        for user, score in self.client.zrange(self.driver.key("presence"), 0, -1, withscores=True):
            if score > 0:
                self.client.zincrby(self.driver.key("presence"), -milliseconds, user)
        for key in self.driver.all_keys():
            if key.startswith("connections:"):
                for connection in self.client.zrange(self.driver.key(key), 0, -1):
                    self.client.zincrby(self.driver.key(key), -milliseconds, connection)
        for field in ("since",) if alive else ("since", "last"):
            before = float(self.client.hget(self.driver.key("watch"), field))
            self.client.hset(self.driver.key("watch"), field, max(0, int(before - milliseconds)))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def scene(redis_url: str, prefix: str) -> Iterator[Scene]:
    one = Scene(redis_url, prefix)
    yield one
    one.driver.close()


def test_who_holds_a_connection_is_connected(scene: Scene) -> None:
    assert not scene.presence("connected", "ann")
    scene.presence("connect", "ann", A)
    assert scene.presence("connected", "ann")
    assert not scene.presence("connected", "bob")
    scene.presence("disconnect", [("ann", A)])
    assert not scene.presence("connected", "ann")


def test_who_never_connected_is_never_told_of(scene: Scene) -> None:
    scene.driver.enqueue("plain", 3)
    scene.presence("heartbeat", [])
    scene.presence("logout", "plain", "token-a")
    scene.pass_(10_000)
    assert scene.take() == {}
    assert len(scene.driver.lane("plain")) == 3


def test_who_stays_away_longer_than_the_grace_time_is_told_of_once(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("disconnect", [("ann", A)])
    scene.pass_(GRACE - 1)
    assert scene.take() == {}
    scene.pass_(2)
    before = scene.driver.now_us()
    told = scene.take()
    assert list(told) == ["ann"]
    assert before <= told["ann"] <= scene.driver.now_us()
    assert scene.take() == {}


def test_nothing_is_left_of_one_who_was_told_of(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    assert scene.take().keys() == {"ann"}
    assert scene.driver.all_keys() == {"watch"}


def test_who_is_back_within_the_grace_time_is_not_told_of(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("disconnect", [("ann", A)])
    scene.pass_(GRACE - 1)
    scene.presence("connect", "ann", B)
    scene.pass_(20)
    assert scene.take() == {}


def test_a_dead_process_disconnects_only_those_who_do_not_come_back(scene: Scene) -> None:
    """It could close nothing: its connections run out, and the last heartbeat counts."""
    users = [f"user{n}" for n in range(20)]
    scene.presence("heartbeat", [(user, f"{user}:{n}") for user in users for n in range(10)])
    scene.pass_(25)
    assert scene.take() == {}
    scene.presence("heartbeat", [(user, f"{user}:new") for user in users[:15]])
    scene.pass_(GRACE - 24)
    assert scene.take().keys() == set(users[15:])


def test_heartbeats_keep_a_connection_for_ever(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    for _ in range(20):
        scene.pass_(HEARTBEAT)
        scene.presence("heartbeat", [("ann", A)])
        assert scene.presence("connected", "ann")
        assert scene.take(grace_seconds=0) == {}


def test_a_connection_whose_process_is_silent_runs_out(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.pass_(3 * HEARTBEAT - 1)
    assert scene.presence("connected", "ann")
    scene.pass_(2)
    assert not scene.presence("connected", "ann")


def test_one_of_two_connections_is_enough(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("connect", "ann", B)
    scene.presence("disconnect", [("ann", A)])
    assert scene.presence("connected", "ann")
    scene.presence("logout", "ann", "token-a")
    assert scene.take(grace_seconds=0) == {}
    scene.presence("logout", "ann", "token-b")
    assert scene.take().keys() == {"ann"}


def test_a_logout_disconnects_at_once_and_means_only_the_jobs_before_it(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    (before,) = scene.driver.enqueue("ann")
    scene.presence("logout", "ann", "token-a")
    (after,) = scene.driver.enqueue("ann")
    assert not scene.presence("connected", "ann")
    told = scene.take()
    assert int(before[:13], 16) < told["ann"] < int(after[:13], 16)


def test_a_heartbeat_that_a_logout_overtakes_renews_nothing(scene: Scene) -> None:
    """It would take back that the user has disconnected, and in the end mean jobs from after the log-out as well."""
    scene.presence("connect", "ann", A)
    (before,) = scene.driver.enqueue("ann")
    scene.client.set(scene.keys.revoked("token-a"), 1)
    scene.presence("logout", "ann", "token-a")
    scene.presence("heartbeat", [("ann", A), ("bob", B)])
    scene.presence("disconnect", [("ann", A)])
    (after,) = scene.driver.enqueue("ann")
    told = scene.take()
    assert told.keys() == {"ann"}
    assert int(before[:13], 16) < told["ann"] < int(after[:13], 16)
    assert scene.presence("connected", "bob")


def test_who_connects_again_after_a_logout_is_connected(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.presence("connect", "ann", B)
    assert scene.presence("connected", "ann")
    assert scene.take(grace_seconds=0) == {}


def test_closing_what_a_logout_has_taken_away_changes_nothing(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.presence("disconnect", [("ann", A)])
    assert scene.take().keys() == {"ann"}


def test_a_token_id_that_begins_like_another_is_another(scene: Scene) -> None:
    scene.presence("connect", "ann", "token-ab:1")
    scene.presence("logout", "ann", "token-a")
    assert scene.presence("connected", "ann")


def test_without_grace_a_live_connection_counts_all_the_same(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.pass_(HEARTBEAT)
    assert scene.take(grace_seconds=0) == {}
    scene.presence("disconnect", [("ann", A)])
    scene.pass_(0.002)
    assert scene.take(grace_seconds=0).keys() == {"ann"}


def test_an_outage_is_no_disconnection(scene: Scene) -> None:
    """Redis was away for an hour, or every API process was: whoever comes back within the grace time after it is fine."""
    scene.presence("heartbeat", [("ann", A), ("bob", B)])
    scene.pass_(3600, alive=False)
    assert scene.take() == {}
    scene.presence("heartbeat", [("ann", A)])  # the first process is back
    assert scene.take() == {}
    scene.pass_(GRACE - 1)
    scene.presence("heartbeat", [("ann", A)])
    assert scene.take() == {}
    scene.pass_(2)
    assert scene.take().keys() == {"bob"}


def test_a_logout_counts_in_an_outage_too(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.pass_(3600, alive=False)
    assert scene.take().keys() == {"ann"}


def test_a_user_who_was_not_dealt_with_is_told_of_again(scene: Scene) -> None:
    """The janitor died, or Redis went away, in the middle of it."""
    for user in ("ann", "bob", "cid"):
        scene.presence("connect", user, A)
        scene.presence("logout", user, "token-a")
    told = scene.sweeper.take_disconnected(GRACE)
    first = next(told)
    second = next(told)
    told.close()  # type: ignore[attr-defined]
    again = scene.take()
    assert first[0] not in again
    assert again[second[0]] == second[1]
    assert len(again) == 2


def test_a_new_departure_while_the_old_one_is_dealt_with_is_told_of(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    told = scene.sweeper.take_disconnected(GRACE)
    _, until_us = next(told)
    scene.presence("connect", "ann", B)
    scene.presence("logout", "ann", "token-b")
    other = PresenceSweeper(connect(scene.url), scene.keys)
    newer = next(other.take_disconnected(GRACE))
    assert newer[1] > until_us
    next(told, None)
    assert scene.take()["ann"] == newer[1]


def test_many_users_are_told_of_in_pieces(scene: Scene) -> None:
    users = [f"user{n}" for n in range(1234)]
    scene.presence("heartbeat", [(user, A) for user in users])
    scene.pass_(GRACE + 1)
    assert scene.take().keys() == set(users)
    assert scene.driver.all_keys() == {"watch"}


def test_a_heartbeat_is_one_round_trip_for_all_connections(scene: Scene) -> None:
    scene.presence("heartbeat", [])  # loads the script
    before = scene.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    scene.presence("heartbeat", [("ann", f"t:{n}") for n in range(200)])
    assert scene.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 1
    assert scene.client.zcard(scene.driver.key("connections:ann")) == 200


def test_connections_are_forgotten_by_redis_itself(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    assert 0 < scene.client.pttl(scene.driver.key("connections:ann")) <= 3 * HEARTBEAT * 1000


def test_without_redis_it_says_so(prefix: str) -> None:
    url = "redis://127.0.0.1:1/0"

    async def connect_() -> None:
        await Presence(connect_async(url), Keys(prefix), heartbeat_seconds=10).connect("ann", A)

    with pytest.raises(StoreUnavailable):
        run(connect_())
    with pytest.raises(StoreUnavailable):
        list(PresenceSweeper(connect(url), Keys(prefix)).take_disconnected(GRACE))
