"""Live connections: presence, events, tokens of browsers, and how connections end."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from laneway.api.live.connection import MAX_WAITING
from laneway.api.live.hub import MAX_PER_USER, Hub
from laneway.api.live.message import Message
from laneway.api.revocations import Revocations
from laneway.api.tokens import Token, Tokens
from laneway.lanes.commands import Progress
from laneway.lanes.keys import Keys
from laneway.lanes.model import ID_LENGTH, JobState
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.presence import Presence, PresenceSweeper
from laneway.storage.users import Role
from tests.api.running import SECRET, Api, closed, problem, receive, wait_for


def connected(api: Api, user: str) -> bool:
    return bool(api.http.get("/api/queue", headers=api.auth(user)).json()["connected"])


def until(socket: ClientConnection, event: str, **fields: Any) -> dict[str, Any]:
    """Return the next message of this kind with these fields."""
    while True:
        message = receive(socket)
        if message["event"] == event and all(message[name] == value for name, value in fields.items()):
            return message


def enqueue_and_hear(api: Api, user: str, sent: Iterator[dict[str, Any]]) -> tuple[list[str], str]:
    """Enqueue, and return the jobs and the first of them that the stream tells of.

    On a busy machine Redis may seem silent for a heartbeat. Then the stream says that it may have missed something.
    """
    job_ids = [api.enqueue(user)]
    while (event := next(sent)) == {"event": "missed"}:
        job_ids.append(api.enqueue(user))
    assert event["job_id"] in job_ids
    return job_ids, event["job_id"]


@contextmanager
def stream(
    api: Api, headers: dict[str, str] | None = None, *, path: str = "/api/events", **query: str
) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the messages of an event stream, without its comments. The first one, `connected`, has been read."""

    def messages(reply: httpx.Response) -> Iterator[dict[str, Any]]:
        fields: dict[str, str] = {}
        for line in reply.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                message = json.loads(fields["data"])
                assert message["event"] == fields["event"]
                assert message.get("id") == fields.get("id")
                yield message
                fields = {}

    with api.http.stream("GET", path, headers=headers, params=query) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-store"
        found = messages(reply)
        assert next(found)["event"] == "connected"
        yield found


def test_an_open_websocket_is_presence(api: Api) -> None:
    user = api.user()
    assert not connected(api, user)
    with api.connect(api.auth(user)):
        assert connected(api, user)
        with api.connect(api.auth(user)):
            assert connected(api, user)
        assert connected(api, user)
    wait_for(lambda: not connected(api, user))


def test_an_open_event_stream_is_presence(api: Api) -> None:
    user = api.user()
    with stream(api, api.auth(user), path="/api/connect"):
        assert connected(api, user)
    wait_for(lambda: not connected(api, user))


def test_watching_is_not_presence_and_its_end_purges_nothing(start_api: Callable[..., Api]) -> None:
    """With a policy that empties lanes at once, and heartbeats that would renew any presence."""
    api = start_api(heartbeat_seconds=0.1, disconnect_grace_seconds=0)
    user = api.user()
    job_id = api.enqueue(user)
    sweeper = PresenceSweeper(api.lanes.lanes)
    with stream(api, api.auth(user)) as sent, api.connect(api.auth(user), path="/api/events") as socket:
        later, heard = enqueue_and_hear(api, user, sent)
        assert until(socket, "state")["job_id"] == heard
        first = api.lanes.client.hget(api.lanes.key("watch"), "last")
        wait_for(lambda: api.lanes.client.hget(api.lanes.key("watch"), "last") != first)  # a heartbeat
        assert not connected(api, user)
    wait_for(lambda: "laneway_connections 0.0" in api.metrics())
    assert list(sweeper.take_disconnected(0)) == []
    assert {api.job(user, job)["state"] for job in (job_id, *later)} == {"queued"}
    with api.connect(api.auth(user)), stream(api, api.auth(user)):
        assert connected(api, user)
    wait_for(lambda: [name for name, _ in sweeper.take_disconnected(0)] == [user])


@pytest.mark.parametrize("policy", ["purge", "drain"])
def test_the_first_message_says_what_the_end_of_the_connection_means(
    start_api: Callable[..., Api], policy: str
) -> None:
    api = start_api(disconnect_policy=policy, disconnect_grace_seconds=45)
    user = api.user()
    for path, on_disconnect in (
        ("/api/events", None),
        ("/api/connect", {"policy": policy, "grace_seconds": 45.0}),
    ):
        with api.http.stream("GET", path, headers=api.auth(user)) as reply:
            (data,) = itertools.islice((line for line in reply.iter_lines() if line.startswith("data: ")), 1)
        assert json.loads(data[6:]).pop("id")
        assert json.loads(data[6:]) | {"id": ""} == {
            "event": "connected",
            "id": "",
            "user": user,
            "heartbeat_seconds": 10.0,
            "on_disconnect": on_disconnect,
        }


def test_a_client_that_comes_back_to_another_process_receives_what_it_missed(
    start_api: Callable[..., Api],
) -> None:
    here, there = start_api(), start_api()
    user = here.user()
    with stream(here, here.auth(user)) as sent:
        before = here.enqueue(user)
        last_id = next(sent)["id"]
    missed = [here.enqueue(user) for _ in range(20)]
    with (
        stream(there, there.auth(user) | {"last-event-id": last_id}) as again,
        stream(there, there.auth(user), last_event_id=last_id) as by_query,
        there.connect(there.auth(user), path=f"/api/events?last_event_id={last_id}") as socket,
    ):
        newest = here.enqueue(user)
        expected = [*missed, newest]
        assert before not in expected
        assert [next(again)["job_id"] for _ in expected] == expected
        assert [next(by_query)["job_id"] for _ in expected] == expected
        assert [receive(socket)["job_id"] for _ in expected] == expected
    with stream(there, there.auth(user)) as again:  # without an id it begins with what comes
        latest = here.enqueue(user)
        assert next(again)["job_id"] == latest


def test_nothing_is_missed_or_repeated_by_clients_that_come_back_while_events_come(
    start_api: Callable[..., Api],
) -> None:
    apis = [start_api(), start_api()]
    user = apis[0].user()
    headers = apis[0].auth(user)
    accepted: list[str] = []
    done = threading.Event()

    def enqueue() -> None:
        accepted.extend(apis[0].enqueue(user) for _ in range(200))
        done.set()

    heard: list[str] = []
    last: dict[str, str] = {}
    with stream(apis[0], headers) as sent:
        enqueueing = threading.Thread(target=enqueue, daemon=True)
        enqueueing.start()
        message = next(sent)
    for number in itertools.count():
        heard.append(message["job_id"])
        last = {"last-event-id": message["id"]}
        if done.is_set() and heard[-1] == accepted[-1]:
            break
        with stream(apis[number % 2], headers | last) as sent:
            message = next(sent)
    enqueueing.join()
    assert heard == accepted


@pytest.mark.parametrize("last_id", ["0-0", "1-1", "99999999999999-0", "nonsense", "9" * 40])
def test_a_client_that_missed_more_than_is_kept_is_told_so(api: Api, last_id: str) -> None:
    user = api.user()
    headers = api.auth(user)
    with stream(api, headers) as sent:
        api.enqueue(user)
        next(sent)
    with stream(api, headers | {"last-event-id": last_id}) as again:
        assert next(again) == {"event": "missed"}
        job_id = api.enqueue(user)
        assert next(again)["job_id"] == job_id


def test_a_long_absence_is_told_too(api: Api) -> None:
    user = api.user()
    headers = api.auth(user)
    with stream(api, headers) as sent:
        api.enqueue(user)
        last_id = next(sent)["id"]
    for _ in range(5):
        requests = [{"request": number} for number in range(100)]
        assert api.http.post("/api/enqueue/batch", json={"requests": requests}, headers=headers).is_success
    with stream(api, headers | {"last-event-id": last_id}) as again:
        assert next(again) == {"event": "missed"}
    kept = api.lanes.client.xlen(api.lanes.key(f"backlog:{user}"))
    assert 300 <= kept < MAX_WAITING


def test_events_that_redis_lost_are_told_by_the_next_heartbeat(start_api: Callable[..., Api]) -> None:
    """It was restarted without its data, say: nobody publishes to a user without a backlog."""
    api = start_api(heartbeat_seconds=0.2)
    user = api.user()
    with stream(api, api.auth(user)) as sent:
        backlog = api.lanes.key(f"backlog:{user}")
        api.lanes.client.unlink(backlog)
        assert next(sent) == {"event": "missed"}
        wait_for(lambda: api.lanes.client.exists(backlog))  # it is missed earlier if Redis seems silent
        enqueue_and_hear(api, user, sent)


def test_a_job_is_followed_live(api: Api) -> None:
    user = api.user()
    with api.connect(api.auth(user)) as socket, stream(api, api.auth(user)) as sent:
        job_id = api.enqueue(user)
        queued = until(socket, "state")
        assert queued.pop("id")
        assert queued == {
            "event": "state",
            "job_id": job_id,
            "state": "queued",
            "attempts": 0,
        }
        (lease,) = api.start(user)
        assert until(socket, "state", job_id=job_id)["state"] == "running"
        api.lanes.run(Progress(lease, 40, "half of it ä"))
        progress = {"event": "progress", "job_id": job_id, "percent": 40.0, "note": "half of it ä"}
        told = until(socket, "progress")
        assert told.pop("id")
        assert told == progress
        api.lanes.finish(lease, state=JobState.SUCCEEDED)
        assert until(socket, "state", state="succeeded")["attempts"] == 1
        states = [next(sent) for _ in range(4)]
        assert [message.get("state", message["event"]) for message in states] == [
            "queued",
            "running",
            "progress",
            "succeeded",
        ]


def test_events_of_others_are_not_delivered(api: Api) -> None:
    user, other = api.user(), api.user()
    with api.connect(api.auth(user)) as socket, api.connect(api.auth(other)):
        api.enqueue(other)
        job_id = api.enqueue(user)
        assert until(socket, "state")["job_id"] == job_id  # a busy machine may have missed some before


def test_a_user_who_reconnects_receives_events_again(api: Api) -> None:
    """The subscription ends with the last connection and begins with the next, whichever order Redis sees."""
    user = api.user()
    for _ in range(20):
        with api.connect(api.auth(user)) as socket:
            job_id = api.enqueue(user)
            assert until(socket, "state", job_id=job_id)["state"] == "queued"


def test_a_user_who_connects_while_the_subscription_begins_receives_events(
    redis_url: str, prefix: str
) -> None:
    """At the start of a process, and after an interruption of its subscription."""
    keys, now = Keys(prefix), time.time()

    async def run() -> None:
        client = connect_async(redis_url)
        lanes = AsyncLanes(client, keys)
        presence = Presence(lanes, heartbeat_seconds=10)
        hub = Hub(lanes, presence, Revocations(client, keys), heartbeat_seconds=10, on_disconnect={})
        listening = asyncio.create_task(hub.subscription.run_forever())
        await asyncio.sleep(0)  # it has begun
        connection = await hub.join(Token("ann", Role.USER, "id", now, now + 3600), is_presence=True)
        messages = [await connection.next(10), await connection.next(10)]
        assert sorted(message.kind for message in messages if isinstance(message, Message)) == [
            "connected",
            "missed",
        ]
        async with asyncio.timeout(10):
            while not await client.publish(keys.events("ann"), f"{'0' * ID_LENGTH} queued 0"):
                pass  # the subscription is on its way to Redis
        assert isinstance(await connection.next(10), Message)
        listening.cancel()
        hub.leave(connection)
        await hub.drain()
        await client.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("headers", [None, {"authorization": "Bearer x"}, {"authorization": "Basic x"}])
def test_without_a_valid_token_no_connection_is_opened(api: Api, headers: dict[str, str] | None) -> None:
    with pytest.raises(InvalidStatus) as caught, api.connect(headers):
        pass
    response = caught.value.response
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    problem(api.http.get("/api/events", headers=headers), 401, "invalid-token")
    problem(api.http.get("/api/connect", headers=headers), 401, "invalid-token")


def test_a_browsers_websocket_sends_its_token_as_a_subprotocol(api: Api) -> None:
    user = api.user()
    token = api.tokens.issue(user, Role.USER)
    with api.connect(subprotocols=["laneway", f"bearer.{token}"]) as socket:
        assert socket.subprotocol == "laneway"
        assert connected(api, user)
    with pytest.raises(InvalidStatus), api.connect(subprotocols=["laneway", "bearer.nonsense"]):
        pass


def test_a_browsers_event_source_sends_its_token_in_the_query(api: Api) -> None:
    user = api.user()
    with stream(api, access_token=api.tokens.issue(user, Role.USER)) as sent:
        job_id = api.enqueue(user)
        assert next(sent)["job_id"] == job_id
    problem(api.http.get("/api/events", params={"access_token": "nonsense"}), 401, "invalid-token")


def test_a_logout_closes_the_connections_of_its_token_and_disconnects_at_once(
    start_api: Callable[..., Api],
) -> None:
    api = start_api()
    user = api.user()
    headers, others = api.auth(user), api.auth(user)
    sweeper = PresenceSweeper(api.lanes.lanes)
    with api.connect(headers) as first, api.connect(others) as second:
        assert api.http.post("/api/logout", headers=headers).status_code == 204
        assert closed(first) == (1008, "logged out")
        assert connected(api, user)  # by the connection of the other token
        assert list(sweeper.take_disconnected(60)) == []
        assert api.http.post("/api/logout", headers=others).status_code == 204
        assert [name for name, _ in sweeper.take_disconnected(60)] == [user]
        assert closed(second) == (1008, "logged out")
    with pytest.raises(InvalidStatus), api.connect(headers):
        pass


def test_a_logout_reaches_the_other_process(start_api: Callable[..., Api]) -> None:
    here, there = start_api(), start_api()
    headers = here.auth(here.user())
    with here.connect(headers) as socket, stream(here, headers) as sent:
        assert there.http.post("/api/logout", headers=headers).status_code == 204
        assert closed(socket)[0] == 1008
        assert list(sent) == []  # the stream has ended


def test_the_heartbeat_finds_a_logout_whose_event_was_lost(
    start_api: Callable[..., Api],
) -> None:
    api = start_api(heartbeat_seconds=0.2)
    headers = api.auth(api.user())
    token = api.tokens.verify(headers["authorization"].encode())
    with api.connect(headers) as socket:
        api.lanes.client.set(api.lanes.keys.revoked(token.token_id), 1)
        assert closed(socket) == (1008, "logged out")


def test_a_connection_ends_with_its_token(start_api: Callable[..., Api]) -> None:
    api = start_api(heartbeat_seconds=0.2)
    token = Tokens({"1": SECRET.encode()}, "1", seconds=2).issue(api.user(), Role.USER)
    with api.connect({"authorization": f"Bearer {token}"}) as socket:
        code, reason = closed(socket)
    assert (code, "expired" in reason) == (1008, True)


def test_heartbeats_renew_presence(start_api: Callable[..., Api]) -> None:
    api = start_api(heartbeat_seconds=0.1)
    user = api.user()
    with api.connect(api.auth(user)):
        first = api.lanes.client.zscore(api.lanes.key("presence"), user)
        wait_for(lambda: api.lanes.client.zscore(api.lanes.key("presence"), user) > first + 500)
        assert connected(api, user)


def test_an_idle_event_stream_gets_heartbeats(start_api: Callable[..., Api]) -> None:
    """Otherwise a vanished client, or a proxy that closes idle connections, would go unnoticed."""
    api = start_api(heartbeat_seconds=0.1)
    with api.http.stream("GET", "/api/events", headers=api.auth(api.user())) as reply:
        lines = reply.iter_lines()
        assert any(line == ": still here" for line, _ in zip(lines, range(20), strict=False))


@pytest.mark.thorough  # it fills the buffers of the kernel
def test_a_slow_client_is_told_that_it_missed_events(start_api: Callable[..., Api]) -> None:
    """Its memory is bounded by its queue. The events are as large as possible, to fill the kernel's buffers."""
    api = start_api()
    user = api.user()
    note = "x" * 500
    with (
        api.connect(api.auth(user), max_queue=1, compression=None) as slow,
        api.connect(api.auth(user)) as quick,
    ):
        api.enqueue(user)
        (lease,) = api.start(user)
        heard = threading.Thread(target=lambda: until(quick, "progress", percent=99.0), daemon=True)
        heard.start()
        pipeline = api.lanes.client.pipeline(transaction=False)
        channel = api.lanes.keys.events(user)
        for _ in range(100):
            for _ in range(MAX_WAITING):
                pipeline.publish(channel, f"{lease.job_id} progress 1 {note}")
            pipeline.execute()
        api.lanes.run(Progress(lease, 99, ""))
        heard.join(60)
        assert not heard.is_alive()
        events: list[dict[str, Any]] = []
        while not events or events[-1].get("percent") != 99.0:
            events.append(receive(slow, 30))
        assert {"event": "missed"} in events
        assert len(events) < 100 * MAX_WAITING


def test_messages_from_the_client_are_ignored(api: Api) -> None:
    user = api.user()
    with api.connect(api.auth(user)) as socket:
        socket.send("hello")
        socket.send(b"\xff\x00")
        job_id = api.enqueue(user)
        assert receive(socket)["job_id"] == job_id


def test_a_user_has_a_bounded_number_of_connections(api: Api) -> None:
    headers = api.auth(api.user())
    with ExitStack() as stack:
        for _ in range(MAX_PER_USER):
            stack.enter_context(api.connect(headers))
        problem(api.http.get("/api/events", headers=headers), 429, "too-many-connections")
        with pytest.raises(InvalidStatus), api.connect(headers):
            pass
    started = time.monotonic()
    wait_for(lambda: not connected(api, api.tokens.verify(headers["authorization"].encode()).user))
    assert time.monotonic() - started < 20
