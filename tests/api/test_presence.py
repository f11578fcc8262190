"""Who counts as connected, and when the janitor learns who has disconnected. Time passes by ageing what Redis holds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, Lanes, connect, connect_async
from laneway.presence import Presence, PresenceSweeper
from tests.lanes.driver import Driver

T = TypeVar("T")
HEARTBEAT, GRACE = 10, 60
A, B = "token-a:1", "token-b:1"


class Scene:
    """Presence behind one prefix, and a clock that tests can advance."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.keys = url, Keys(name)
        self.driver = Driver(url, name)
        self.client = self.driver.client
        self.sweeper = PresenceSweeper(self.driver.lanes)

    def presence(self, method: str, *args: Any) -> Any:
        """Call a method of `Presence`."""

        async def call() -> Any:
            client = connect_async(self.url)
            try:
                presence = Presence(AsyncLanes(client, self.keys), heartbeat_seconds=HEARTBEAT)
                return await getattr(presence, method)(*args)
            finally:
                await client.aclose()

        return run(call())

    def is_connected(self, user: str) -> bool:
        connected: bool = self.presence("inspect", user).connected
        return connected

    def take(self, grace_seconds: float = GRACE) -> dict[str, int]:
        return dict(self.sweeper.take_disconnected(grace_seconds))

    def advance(self, seconds: float, *, alive: bool = True) -> None:
        """Advance the clock. `alive`: API processes go on sending heartbeats, but not for the users here."""
        milliseconds = seconds * 1000
        presence, watch = self.driver.key("presence"), self.driver.key("watch")
        keys = [self.driver.key(key) for key in self.driver.all_keys() if key.startswith("connections:")]
        with self.client.pipeline() as pipeline:
            for key in keys:
                pipeline.zrange(key, 0, -1)
            connections = dict(zip(keys, pipeline.execute(), strict=True))
        since, last = (float(text) for text in self.client.hmget(watch, "since", "last"))
        # However long this takes on a busy machine: processes that are alive have just sent a heartbeat.
        last = self.driver.now_us() // 1000 if alive else max(0, last - milliseconds)
        with self.client.pipeline() as pipeline:
            for user, score in self.client.zrange(presence, 0, -1, withscores=True):
                if score > 0:
                    pipeline.zincrby(presence, -milliseconds, user)
            for key, members in connections.items():
                for connection in members:
                    pipeline.zincrby(key, -milliseconds, connection)
            pipeline.hset(watch, mapping={"since": max(0, int(since - milliseconds)), "last": int(last)})
            pipeline.execute()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def scene(redis_url: str, prefix: str) -> Iterator[Scene]:
    one = Scene(redis_url, prefix)
    yield one
    one.driver.close()


def test_a_user_with_an_open_connection_is_connected(scene: Scene) -> None:
    assert not scene.is_connected("ann")
    scene.presence("connect", "ann", A)
    assert scene.is_connected("ann")
    assert not scene.is_connected("bob")
    scene.presence("disconnect", [("ann", A)])
    assert not scene.is_connected("ann")


def test_a_user_who_never_connected_is_never_reported(scene: Scene) -> None:
    scene.driver.enqueue("plain", 3)
    scene.presence("heartbeat", [])
    scene.presence("logout", "plain", "token-a")
    scene.advance(10_000)
    assert scene.take() == {}
    assert len(scene.driver.lane("plain")) == 3


def test_a_user_who_stays_away_longer_than_the_grace_time_is_reported_once(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("disconnect", [("ann", A)])
    scene.advance(GRACE - 1)
    assert scene.take() == {}
    scene.advance(2)
    before = scene.driver.now_us()
    disconnected = scene.take()
    assert list(disconnected) == ["ann"]
    assert before <= disconnected["ann"] <= scene.driver.now_us()
    assert scene.take() == {}


def test_no_key_is_left_of_a_user_who_was_dealt_with(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    assert scene.take().keys() == {"ann"}
    assert scene.driver.all_keys() == {"watch"}


def test_a_user_who_is_back_within_the_grace_time_is_not_reported(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("disconnect", [("ann", A)])
    scene.advance(GRACE - 1)
    scene.presence("connect", "ann", B)
    scene.advance(20)
    assert scene.take() == {}


def test_a_dead_process_disconnects_only_users_who_do_not_come_back(scene: Scene) -> None:
    """It closed no connection: they run out, and the last heartbeat is their last sign of life."""
    users = [f"user{n}" for n in range(20)]
    scene.presence("heartbeat", [(user, f"{user}:{n}") for user in users for n in range(10)])
    scene.advance(25)
    assert scene.take() == {}
    scene.presence("heartbeat", [(user, f"{user}:new") for user in users[:15]])
    scene.advance(GRACE - 24)
    assert scene.take().keys() == set(users[15:])


def test_heartbeats_keep_a_connection_for_ever(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    for _ in range(20):
        scene.advance(HEARTBEAT)
        scene.presence("heartbeat", [("ann", A)])
        assert scene.is_connected("ann")
        assert scene.take(grace_seconds=0) == {}


def test_a_connection_without_heartbeats_runs_out(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.advance(3 * HEARTBEAT - 1)
    assert scene.is_connected("ann")
    scene.advance(2)
    assert not scene.is_connected("ann")


def test_one_of_two_connections_is_enough(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("connect", "ann", B)
    scene.presence("disconnect", [("ann", A)])
    assert scene.is_connected("ann")
    scene.presence("logout", "ann", "token-a")
    assert scene.take(grace_seconds=0) == {}
    scene.presence("logout", "ann", "token-b")
    assert scene.take().keys() == {"ann"}


def test_a_logout_disconnects_at_once_and_applies_only_to_jobs_before_it(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    (before,) = scene.driver.enqueue("ann")
    scene.presence("logout", "ann", "token-a")
    (after,) = scene.driver.enqueue("ann")
    assert not scene.is_connected("ann")
    disconnected = scene.take()
    assert int(before[:13], 16) < disconnected["ann"] < int(after[:13], 16)


def test_a_heartbeat_that_a_logout_overtakes_renews_nothing(scene: Scene) -> None:
    """Otherwise it would undo the disconnection, and a later one would apply to jobs from after the log-out."""
    scene.presence("connect", "ann", A)
    (before,) = scene.driver.enqueue("ann")
    scene.client.set(scene.keys.revoked("token-a"), 1)
    scene.presence("logout", "ann", "token-a")
    scene.presence("heartbeat", [("ann", A), ("bob", B)])
    scene.presence("disconnect", [("ann", A)])
    (after,) = scene.driver.enqueue("ann")
    disconnected = scene.take()
    assert disconnected.keys() == {"ann"}
    assert int(before[:13], 16) < disconnected["ann"] < int(after[:13], 16)
    assert scene.is_connected("bob")


def test_a_user_who_connects_again_after_a_logout_is_connected(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.presence("connect", "ann", B)
    assert scene.is_connected("ann")
    assert scene.take(grace_seconds=0) == {}


def test_closing_a_connection_that_a_logout_removed_changes_nothing(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.presence("disconnect", [("ann", A)])
    assert scene.take().keys() == {"ann"}


def test_a_token_id_that_begins_like_another_is_another(scene: Scene) -> None:
    scene.presence("connect", "ann", "token-ab:1")
    scene.presence("logout", "ann", "token-a")
    assert scene.is_connected("ann")


def test_without_a_grace_time_a_live_connection_still_counts(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.advance(HEARTBEAT)
    assert scene.take(grace_seconds=0) == {}
    scene.presence("disconnect", [("ann", A)])
    scene.advance(0.002)
    assert scene.take(grace_seconds=0).keys() == {"ann"}


def test_an_outage_disconnects_nobody(scene: Scene) -> None:
    """Redis, or every API process, was away for an hour: users who come back within the grace time stay connected."""
    scene.presence("heartbeat", [("ann", A), ("bob", B)])
    scene.advance(3600, alive=False)
    assert scene.take() == {}
    scene.presence("heartbeat", [("ann", A)])  # the first process is back
    assert scene.take() == {}
    scene.advance(GRACE - 1)
    scene.presence("heartbeat", [("ann", A)])
    assert scene.take() == {}
    scene.advance(2)
    assert scene.take().keys() == {"bob"}


def test_a_logout_disconnects_during_an_outage_too(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    scene.advance(3600, alive=False)
    assert scene.take().keys() == {"ann"}


def test_a_user_who_was_not_dealt_with_is_reported_again(scene: Scene) -> None:
    """The janitor died, or Redis went away, while it dealt with one."""
    for user in ("ann", "bob", "cid"):
        scene.presence("connect", user, A)
        scene.presence("logout", user, "token-a")
    disconnected = scene.sweeper.take_disconnected(GRACE)
    first = next(disconnected)
    second = next(disconnected)
    disconnected.close()  # type: ignore[attr-defined]
    again = scene.take()
    assert first[0] not in again
    assert again[second[0]] == second[1]
    assert len(again) == 2


def test_a_new_disconnection_while_the_old_one_is_dealt_with_is_reported(scene: Scene) -> None:
    scene.presence("connect", "ann", A)
    scene.presence("logout", "ann", "token-a")
    disconnected = scene.sweeper.take_disconnected(GRACE)
    _, until_us = next(disconnected)
    scene.presence("connect", "ann", B)
    scene.presence("logout", "ann", "token-b")
    other = PresenceSweeper(Lanes(connect(scene.url), scene.keys))
    newer = next(other.take_disconnected(GRACE))
    assert newer[1] > until_us
    next(disconnected, None)
    assert scene.take()["ann"] == newer[1]


def test_many_users_are_reported_in_pieces(scene: Scene) -> None:
    users = [f"user{n}" for n in range(1234)]
    scene.presence("heartbeat", [(user, A) for user in users])
    scene.advance(GRACE + 1)
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


def test_without_redis_presence_is_unavailable(prefix: str) -> None:
    url = "redis://127.0.0.1:1/0"

    async def connect_() -> None:
        await Presence(AsyncLanes(connect_async(url), Keys(prefix)), heartbeat_seconds=10).connect("ann", A)

    with pytest.raises(StoreUnavailable):
        run(connect_())
    with pytest.raises(StoreUnavailable):
        list(PresenceSweeper(Lanes(connect(url), Keys(prefix))).take_disconnected(GRACE))
