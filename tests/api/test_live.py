"""Live connections: presence, events, tokens of browsers, and how connections end."""

from __future__ import annotations

import asyncio
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

from laneway.api.live.connection import MAX_WAITING, kind_of
from laneway.api.live.hub import MAX_PER_USER, Hub
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


@contextmanager
def stream(
    api: Api, headers: dict[str, str] | None = None, **query: str
) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the messages of an event stream, without its comments."""

    def messages(reply: httpx.Response) -> Iterator[dict[str, Any]]:
        name = ""
        for line in reply.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                message = json.loads(line.removeprefix("data: "))
                assert message["event"] == name
                yield message

    with api.http.stream("GET", "/api/events", headers=headers, params=query) as reply:
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


def test_open_server_sent_events_are_presence(api: Api) -> None:
    user = api.user()
    with stream(api, api.auth(user)):
        assert connected(api, user)
    wait_for(lambda: not connected(api, user))


def test_a_job_is_followed_live(api: Api) -> None:
    user = api.user()
    with api.connect(api.auth(user)) as socket, stream(api, api.auth(user)) as sent:
        job_id = api.enqueue(user)
        assert until(socket, "state") == {
            "event": "state",
            "job_id": job_id,
            "state": "queued",
            "attempts": 0,
        }
        (lease,) = api.start(user)
        assert until(socket, "state", job_id=job_id)["state"] == "running"
        api.lanes.run(Progress(lease, 40, "half of it ä"))
        progress = {"event": "progress", "job_id": job_id, "percent": 40.0, "note": "half of it ä"}
        assert until(socket, "progress") == progress
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
        assert receive(socket)["job_id"] == job_id


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
        presence = Presence(AsyncLanes(client, keys), heartbeat_seconds=10)
        hub = Hub(client, keys, presence, Revocations(client, keys), heartbeat_seconds=10)
        listening = asyncio.create_task(hub.deliver_forever())
        await asyncio.sleep(0)  # it has begun
        connection = await hub.join(Token("ann", Role.USER, "id", now, now + 3600))
        messages = [await connection.next(10), await connection.next(10)]
        assert sorted(kind_of(message) for message in messages if isinstance(message, bytes)) == [
            "connected",
            "missed",
        ]
        async with asyncio.timeout(10):
            while not await client.publish(keys.events("ann"), f"{'0' * ID_LENGTH} queued 0"):
                pass  # the subscription is on its way to Redis
        assert isinstance(await connection.next(10), bytes)
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


def test_connect_without_an_upgrade(api: Api) -> None:
    reply = api.http.get("/api/connect", headers=api.auth(api.user()))
    problem(reply, 426, "upgrade-required")
    assert reply.headers["upgrade"] == "websocket"  # RFC 9110, section 15.5.22


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
