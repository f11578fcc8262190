"""Sending commands: scripts that the server does not know, a server that is away, callers that share a round trip."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from laneway.cancellation import cancel
from laneway.dev import embedded
from laneway.lanes import errors
from laneway.lanes.commands import (
    Archived,
    Cancel,
    Claim,
    Command,
    Enqueue,
    EnqueueLimits,
    Finish,
    InspectLane,
    Limit,
)
from laneway.lanes.keys import Keys
from laneway.lanes.model import JobState, LaneView, Outcome
from laneway.lanes.scripts import load
from laneway.lanes.store import AsyncLanes, Lanes, connect, connect_async
from tests.lanes.driver import Driver, new_job

UNLOADED = ("enqueue", "claim", "inspect_lane")


def enqueue(user: str) -> Enqueue:
    return Enqueue(user, [new_job()])


@asynccontextmanager
async def async_lanes(url: str, name: str, timeout_seconds: float = 5) -> AsyncIterator[AsyncLanes]:
    client = connect_async(url, timeout_seconds=timeout_seconds)
    try:
        yield AsyncLanes(client, Keys(name))
    finally:
        await client.aclose()


def reads(lanes: Driver) -> int:
    """Return how often the server has read from its clients."""
    return int(lanes.client.info("stats")["total_reads_processed"])


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.001)


# -- scripts that the server does not know ------------------------------------------------------------------------


def test_a_server_that_forgot_the_scripts_gets_them_again(own_lanes: Driver) -> None:
    lanes = own_lanes.lanes
    lanes.run_all([enqueue("ann"), Claim(1, 30), InspectLane("ann")])
    own_lanes.client.script_flush()
    accepted, claimed, view = lanes.run_all([enqueue("bob"), Claim(9, 30), InspectLane("bob")])
    assert [lease.job_id for lease in claimed.leases] == list(accepted.job_ids)
    assert view == LaneView(0, 1, 5, paused=False, oldest_us=view.oldest_us, delayed=0)


@pytest.mark.parametrize("known", UNLOADED)
def test_only_commands_without_their_script_are_sent_again(own_lanes: Driver, known: str) -> None:
    lanes = own_lanes.lanes
    lanes.run_all([enqueue("eve"), Claim(1, 30), InspectLane("eve")])
    own_lanes.client.script_flush()
    own_lanes.client.script_load(load(known).text)
    lanes.run_all([enqueue("ann"), enqueue("ann"), Claim(1, 30), InspectLane("ann")])
    assert len(own_lanes.lane("ann")) == 2


def test_forgotten_scripts_are_loaded_again_on_an_event_loop(
    own_server: embedded.Embedded, own_lanes: Driver
) -> None:
    async def scenario() -> None:
        async with async_lanes(own_server.url, "own") as lanes:
            await lanes.run(enqueue("ann"))
            own_lanes.client.script_flush()
            await asyncio.gather(*(lanes.run(enqueue("ann")) for _ in range(3)))
            own_lanes.client.script_flush()
            results = await lanes.run_all([enqueue("ann"), InspectLane("ann")])
            assert len(results) == 2

    asyncio.run(scenario())
    assert len(own_lanes.lane("ann")) == 5


# -- a server that is away ----------------------------------------------------------------------------------------


def test_a_server_that_is_gone_is_unavailable_and_then_back(own_server: embedded.Embedded) -> None:
    lanes = Lanes(connect(own_server.url), Keys("own"))
    lanes.run(enqueue("ann"))
    own_server.kill()
    started = time.monotonic()
    commands: list[Command[Any]] = [enqueue("ann"), Claim(1, 30), Limit("ann", 1)]
    for command in commands:  # only the first one's script is loaded
        with pytest.raises(errors.StoreUnavailable) as caught:
            lanes.run(command)
        assert caught.value.__cause__ is not None
    assert time.monotonic() - started < 1
    own_server.restart()
    assert lanes.run(InspectLane("ann")).queued == 1
    assert len(lanes.run(Claim(1, 30)).leases) == 1
    lanes.client.close()


def test_every_waiting_caller_learns_soon_that_the_server_is_gone(own_server: embedded.Embedded) -> None:
    async def scenario() -> None:
        async with async_lanes(own_server.url, "own") as lanes:
            await lanes.run(enqueue("ann"))
            own_server.kill()
            started = time.monotonic()
            calls = (lanes.run(enqueue("ann")) for _ in range(3 * AsyncLanes.MAX_TOGETHER))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {errors.StoreUnavailable}
            with pytest.raises(errors.StoreUnavailable):
                await lanes.run_all([InspectLane("ann")])
            assert time.monotonic() - started < 1
            await asyncio.to_thread(own_server.restart)
            assert (await lanes.run(InspectLane("ann"))).queued == 1

    asyncio.run(scenario())


def test_a_server_that_does_not_answer_is_unavailable_in_time_and_nothing_is_repeated(
    own_server: embedded.Embedded, own_lanes: Driver
) -> None:
    lanes = Lanes(connect(own_server.url, timeout_seconds=0.2), Keys("own"))
    lanes.run(InspectLane("ann"))
    lanes.run(enqueue("ann"))
    own_lanes.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    started = time.monotonic()
    with pytest.raises(errors.StoreUnavailable):
        lanes.run(enqueue("ann"))
    assert 0.1 < time.monotonic() - started < 2
    own_lanes.client.execute_command("CLIENT", "UNPAUSE")
    assert lanes.run(InspectLane("ann")).queued in (1, 2)  # it is unknown whether it arrived
    lanes.run(enqueue("bob"))
    assert lanes.run(InspectLane("bob")).queued == 1
    lanes.client.close()


class Deaf:
    """A proxy. While `deaf` is set it forwards a command and drops the connection instead of the reply, once: a client that
    repeats the command is served."""

    def __init__(self, url: str) -> None:
        self.deaf = False
        self._server = int(url.rsplit(":", maxsplit=1)[1].partition("/")[0])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{self._server}/", f":{self._listener.getsockname()[1]}/")
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        server.close()

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65536)) and not self.deaf:
                client.sendall(data)
        self.deaf = False
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def deaf(own_server: embedded.Embedded) -> Iterator[Deaf]:
    between = Deaf(own_server.url)
    yield between
    between.close()


def test_a_command_whose_answer_was_lost_is_not_repeated(deaf: Deaf) -> None:
    sender = Lanes(connect(deaf.url), Keys("own"))
    sender.run(enqueue("ann"))
    deaf.deaf = True
    with pytest.raises(errors.StoreUnavailable):
        sender.run(enqueue("ann"))
    assert sender.run(InspectLane("ann")).queued == 2
    sender.client.close()


def test_a_command_whose_answer_was_lost_is_not_repeated_on_an_event_loop(deaf: Deaf) -> None:
    async def scenario() -> None:
        async with async_lanes(deaf.url, "own") as sender:
            await sender.run(enqueue("ann"))
            deaf.deaf = True
            calls = (sender.run(enqueue("ann")) for _ in range(3))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {errors.StoreUnavailable}
            assert (await sender.run(InspectLane("ann"))).queued == 4

    asyncio.run(scenario())


def test_a_server_without_memory_accepts_nothing_and_lets_jobs_end(own_lanes: Driver) -> None:
    own_lanes.enqueue("ann", 3)
    own_lanes.client.config_set("maxmemory", 1)
    with pytest.raises(errors.StoreUnavailable, match="memory"):
        own_lanes.enqueue("ann")
    leases = own_lanes.claim()
    assert len(leases) == 3
    assert own_lanes.start(*leases) == [1, 1, 1]
    assert own_lanes.renew(*leases) == [1, 1, 1]
    assert own_lanes.finish(*leases) == [True] * 3
    assert own_lanes.run(Archived(own_lanes.done())) == 3


def test_a_server_that_refuses_writes_for_now_is_unavailable(own_lanes: Driver) -> None:
    own_lanes.enqueue("ann")
    own_lanes.client.config_set("min-replicas-to-write", 1)
    with pytest.raises(errors.StoreUnavailable, match="NOREPLICAS"):
        own_lanes.enqueue("ann")


def test_connections_to_a_server_that_became_read_only_are_dropped(
    own_server: embedded.Embedded, own_lanes: Driver
) -> None:
    """After a failover the address may stand for another server, while the old one keeps its connections."""

    async def scenario(in_threads: Lanes) -> None:
        async with async_lanes(own_server.url, "own") as in_loop:
            before = in_threads.client.client_id(), await in_loop.client.client_id()
            own_lanes.client.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(errors.StoreUnavailable, match="read only"):
                in_threads.run(enqueue("ann"))
            with pytest.raises(errors.StoreUnavailable, match="read only"):
                await in_loop.run(enqueue("ann"))
            assert in_threads.client.client_id() != before[0]
            assert await in_loop.client.client_id() != before[1]

    with connect(own_server.url) as client:
        asyncio.run(scenario(Lanes(client, own_lanes.keys)))


@pytest.mark.parametrize("is_another_asked_to_stop", [False, True])
@pytest.mark.parametrize("has_logged", [False, True])
def test_an_overwritten_key_costs_no_job_its_end(
    own_lanes: Driver, is_another_asked_to_stop: bool, has_logged: bool
) -> None:
    """Not that of its own job either: only what its run has reported is lost."""
    for user in ("ann", "bob", "eve"):
        own_lanes.enqueue(user)
    leases = own_lanes.claim()
    own_lanes.start(*leases)
    if is_another_asked_to_stop:
        own_lanes.run(Cancel("eve", leases[2].job_id))
    own_lanes.client.set(own_lanes.keys.job(leases[1].job_id), "overwritten")
    log = b'{"lines":[]}' if has_logged else b""
    ends = [Outcome(lease, JobState.SUCCEEDED, 1, b"1", log=log) for lease in leases]
    assert own_lanes.run(Finish("w1", ends)) == [True, True, True]
    assert own_lanes.done() == [lease.job_id for lease in leases]
    assert own_lanes.lane("bob") == []


@pytest.mark.parametrize("field", ["c:ann", "*"])
def test_a_limit_that_is_no_number_counts_as_not_set(own_lanes: Driver, field: str) -> None:
    own_lanes.client.hset(own_lanes.key("limits"), field, "many")
    ids = own_lanes.enqueue("ann", 7)
    leases = own_lanes.claim()
    assert [lease.job_id for lease in leases] == ids[:5]
    own_lanes.start(*leases)
    assert own_lanes.finish(*leases) == [True] * 5
    own_lanes.check_all()
    assert [lease.job_id for lease in own_lanes.claim()] == ids[5:]


# -- callers that share a round trip ------------------------------------------------------------------------------


def test_callers_at_the_same_time_share_round_trips_and_a_connection(
    own_server: embedded.Embedded, own_lanes: Driver
) -> None:
    users = [f"user{number}" for number in range(300)]

    async def scenario() -> None:
        async with async_lanes(own_server.url, "own") as lanes:
            await lanes.run(enqueue("ann"))
            connections = len(own_lanes.client.client_list())
            before = reads(own_lanes)
            answers = await asyncio.gather(*(lanes.run(enqueue(user)) for user in users))
            assert reads(own_lanes) - before < 30
            assert len(own_lanes.client.client_list()) == connections
            for user, accepted in zip(users, answers, strict=True):
                assert [job_id for _, job_id in own_lanes.lane(user)] == list(accepted.job_ids)

    asyncio.run(scenario())


def test_a_callers_commands_run_in_its_order(redis_url: str, prefix: str, lanes: Driver) -> None:
    async def scenario() -> list[str]:
        async with async_lanes(redis_url, prefix) as sender:
            calls = [asyncio.create_task(sender.run(enqueue("ann"))) for _ in range(300)]
            return [(await call).job_ids[0] for call in calls]

    ids = asyncio.run(scenario())
    assert ids == sorted(ids) == [job_id for _, job_id in lanes.lane("ann")]


def test_a_refused_caller_disturbs_nobody(redis_url: str, prefix: str) -> None:
    async def scenario() -> None:
        async with async_lanes(redis_url, prefix) as lanes:
            full = Enqueue("ann", [new_job()], EnqueueLimits(lane_length=0))
            good, refused, also_good = await asyncio.gather(
                lanes.run(enqueue("ann")), lanes.run(full), lanes.run(enqueue("ann")), return_exceptions=True
            )
            assert isinstance(refused, errors.LaneFull)
            assert (good.position, also_good.position) == (1, 2)  # type: ignore[union-attr]
            results = await lanes.run_all([enqueue("bob"), full, enqueue("bob")])
            assert [type(result).__name__ for result in results] == ["Accepted", "LaneFull", "Accepted"]

    asyncio.run(scenario())


class Unreadable(InspectLane):
    """Its reply cannot be parsed."""

    def parse(self, reply: Any) -> LaneView:
        raise ValueError(reply)


def test_a_caller_whose_command_is_broken_disturbs_nobody(redis_url: str, prefix: str) -> None:
    bad: list[Command[Any]] = [Cancel("ann", "id", "\udcff"), Unreadable("ann")]

    async def scenario() -> None:
        async with async_lanes(redis_url, prefix) as sender:
            for broken in bad:
                results = await asyncio.gather(
                    sender.run(enqueue("ann")),
                    sender.run(broken),
                    sender.run(enqueue("ann")),
                    return_exceptions=True,
                )
                assert [type(result).__name__ for result in results][::2] == ["Accepted"] * 2
                assert isinstance(results[1], Exception)
                assert not isinstance(results[1], errors.StoreUnavailable)
            assert (await sender.run(InspectLane("ann"))).queued == 4

    asyncio.run(scenario())


def paused(own_lanes: Driver) -> None:
    own_lanes.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")


def arrived(own_lanes: Driver) -> bool:
    """Return whether a client waits for the end of the pause."""
    return int(own_lanes.client.info("clients")["blocked_clients"]) > 0


@pytest.mark.parametrize("sending", ["run", "run_all"])
def test_a_caller_that_gives_up_takes_no_other_callers_answer(
    own_server: embedded.Embedded, own_lanes: Driver, sending: str
) -> None:
    async def scenario() -> None:
        # As long as the pause: if the machine stands still, the caller must not time out before it gives up.
        async with async_lanes(own_server.url, "own", timeout_seconds=60) as lanes:

            def send(user: str) -> Coroutine[Any, Any, Any]:
                return lanes.run(enqueue(user)) if sending == "run" else lanes.run_all([enqueue(user)])

            await asyncio.gather(send("ann"), lanes.run(InspectLane("ann")))
            paused(own_lanes)
            calls = [asyncio.create_task(send(user)) for user in ("bob", "eve")]
            await until(lambda: arrived(own_lanes))
            await cancel({calls[0]})
            assert calls[0].cancelled()
            own_lanes.client.execute_command("CLIENT", "UNPAUSE")
            await asyncio.wait_for(calls[1], 5)
            views = await asyncio.gather(*(lanes.run(InspectLane(user)) for user in ("ann", "eve", "dan")))
            assert [view.queued for view in views] == [1, 1, 0]
            (view,) = await lanes.run_all([InspectLane("dan")])
            assert view.oldest_us is None

    asyncio.run(scenario())


def test_a_process_without_descriptors_does_not_blame_redis(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def ask() -> None:
        monkeypatch.setattr(socket, "socket", refuse)
        await AsyncLanes(connect_async(redis_url), Keys(prefix)).run(InspectLane("ann"))

    try:
        with pytest.raises(errors.StoreUnavailable) as starved:
            asyncio.run(ask())
        assert starved.value.reason == "this process has no file descriptor left"
        with pytest.raises(errors.StoreUnavailable) as starved:
            Lanes(connect(redis_url), Keys(prefix)).run(InspectLane("ann"))
        assert starved.value.reason == "this process has no file descriptor left"
    finally:
        monkeypatch.undo()
